"""`make run JOBS=...` passes the name of one file or folder on, whatever characters it has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with the Makefile, and a Python that prints its arguments, one in each line."""
    folder = tmp_path / "a tree"
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    (folder / ".ci").mkdir()
    (folder / ".ci" / "setup.sh").write_text("exit 0\n")
    shutil.copy(MAKEFILE, folder)
    return folder


def arguments(tree: Path, *given: str) -> list[str]:
    """Return what `make run` passes to `python -P -m taskloom run`."""
    env = {"PATH": os.environ["PATH"], "HOME": "/home/of me"}
    done = subprocess.run(["make", "run", *given], cwd=tree, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    assert words[:4] == ["-P", "-m", "taskloom", "run"]
    return words[4:]


@pytest.mark.parametrize(
    "name",
    [
        "my jobs",
        "my  jobs/two  blanks.yaml",
        "it's",
        'say "jobs"',
        "cost$5",
        "$(shell echo made)",
        "$HOME",
        "`echo run`",
        "*.yaml",
        "[ab]?",
        "-jobs",
        "--help",
        "a;b&c|d>e",
        "a\\b",
        "back\\",
        "#1",
        "a=b",
        "a,b",
        "50%",
        "(jobs)",
        "!jobs",
        "jöbs ☃",
        "jobs/one.yaml jobs/two.yaml",
    ],
)
def test_jobs_is_one_path_as_it_is_written(tree: Path, name: str) -> None:
    assert arguments(tree, f"JOBS={name}") == ["--", name]


def test_a_leading_tilde_means_the_home_folder(tree: Path) -> None:
    assert arguments(tree, "JOBS=~/my jobs") == ["--", "/home/of me/my jobs"]


def test_args_is_a_list_of_arguments(tree: Path) -> None:
    given = ("JOBS=my jobs", "ARGS=-v --stop-within 5s other.yaml")

    assert arguments(tree, *given) == ["-v", "--stop-within", "5s", "other.yaml", "--", "my jobs"]


def test_without_jobs_the_examples_run(tree: Path) -> None:
    assert arguments(tree) == ["jobs/quickstart.yaml"]
