"""`make run` and `make test` set themselves up; what they lack they say in one sentence.

The interpreters of strangers are stood in for by scripts that answer as those would.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

SetUp = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the set-up reads, in a path with a space."""
    copy = tmp_path / "a checkout"
    shutil.copytree(ROOT / ".ci", copy / ".ci")
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder to be the whole PATH: a shell, what the set-up needs, and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("sh", "dirname", "make"):
        (folder / name).symlink_to(shutil.which(name) or pytest.fail(f"cannot find {name}"))
    return folder


@pytest.fixture
def set_up(checkout: Path, tools: Path) -> SetUp:
    """Run the set-up with that PATH and an empty HOME."""

    def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tools / command[0], *command[1:]],
            cwd=checkout,
            env={"PATH": str(tools), "HOME": str(checkout)} | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def write_python(path: Path, pretend: str) -> Path:
    """Write a Python that pretends something before it does what it is asked for."""
    path.write_text(f'#!/bin/sh\nshift\nexec {shlex.quote(sys.executable)} -c "import sys\n{pretend}\n$1"\n')
    path.chmod(0o755)
    return path


def of_version(*numbers: int) -> str:
    return f"sys.version_info = {numbers}"


WITHOUT_ENSUREPIP = "import importlib.util; importlib.util.find_spec = lambda name: None"


def test_make_help_shows_every_target(set_up: SetUp, tools: Path) -> None:
    (tools / "awk").symlink_to(shutil.which("awk") or pytest.fail("cannot find awk"))
    [targets] = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    answer = set_up("make", "help")

    shown = [re.fullmatch(r"  make ([a-z]+) +(\S.+)", line) for line in answer.stdout.splitlines()]
    assert [line[1] for line in shown if line] == targets.split()


def test_an_unknown_choice_of_packages_is_refused(set_up: SetUp) -> None:
    answer = set_up("sh", ".ci/setup.sh", "run", PYTHON=sys.executable, TASKLOOM_PACKAGES="latest")

    assert answer.returncode == 1
    assert answer.stderr == "cannot use TASKLOOM_PACKAGES=latest; expected constraints, newest, oldest\n"


@pytest.fixture
def setup_venv(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module `setup_venv.py` of the copy, with no choice of packages in the environment."""
    monkeypatch.delenv("TASKLOOM_PACKAGES", raising=False)
    return SimpleNamespace(**runpy.run_path(str(checkout / ".ci" / "setup_venv.py")))


def test_the_environment_is_made_again_when_the_choice_or_the_content_of_the_constraints_changes(
    setup_venv: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = [setup_venv.fingerprint("3.11.7")]

    for choice in ("oldest", "newest"):
        monkeypatch.setenv("TASKLOOM_PACKAGES", choice)
        prints.append(setup_venv.fingerprint("3.11.7"))
    monkeypatch.setenv("TASKLOOM_PACKAGES", "constraints")
    assert setup_venv.fingerprint("3.11.7") == prints[0]
    with (checkout / ".ci" / "constraints.txt").open("a") as file:
        file.write("another==1.0\n")
    prints.append(setup_venv.fingerprint("3.11.7"))

    assert len(set(prints)) == 4


@pytest.mark.parametrize(
    ("choice", "file"),
    [("", ".ci/constraints.txt"), ("constraints", ".ci/constraints.txt"), ("oldest", ".ci/oldest.txt")],
)
def test_pip_gets_the_chosen_constraints_for_the_packages_and_for_the_build(
    setup_venv: Any, monkeypatch: pytest.MonkeyPatch, choice: str, file: str
) -> None:
    monkeypatch.setenv("PIP_CONSTRAINT", "mine.txt")
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("TASKLOOM_PACKAGES", choice)

    environment = setup_venv.pip_environment()

    assert environment["PIP_CONSTRAINT"] == environment["PIP_BUILD_CONSTRAINT"] == file
    assert (ROOT / file).is_file()
    assert "PIP_USER" not in environment


def test_the_newest_packages_are_chosen_without_constraints_of_ours(
    setup_venv: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKLOOM_PACKAGES", "newest")
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)

    assert "PIP_CONSTRAINT" not in setup_venv.pip_environment()


def test_no_python_at_all_is_said(set_up: SetUp) -> None:
    answer = set_up("sh", ".ci/setup.sh", "run")

    assert answer.returncode == 2
    assert answer.stderr == (
        "cannot find a Python for Taskloom: install Python 3.11 or newer, or name one with PYTHON=/path/to/python3\n"
    )


def test_each_python_that_was_found_and_refused_is_named(set_up: SetUp, tools: Path) -> None:
    write_python(tools / "python3.12", of_version(3, 12, 1))
    write_python(tools / "python3.11", WITHOUT_ENSUREPIP + "; " + of_version(3, 11, 2))
    write_python(tools / "python3", of_version(3, 9, 18))

    answer = set_up("sh", ".ci/setup.sh", "run")

    assert answer.returncode == 2
    assert answer.stderr == (
        "cannot find a Python for Taskloom (3.11 or newer)"
        "; python3.12: 3.12.1 cannot start a thread while it ends, fixed in 3.12.3"
        "; python3.11: 3.11.2 has no ensurepip: apt install python3-venv"
        "; python3: 3.9.18 is older than 3.11\n"
    )


@pytest.mark.parametrize(
    ("pretend", "fault"),
    [
        (of_version(3, 10, 12), "3.10.12 is older than 3.11"),
        (of_version(3, 12, 2), "3.12.2 cannot start a thread while it ends, fixed in 3.12.3"),
        (WITHOUT_ENSUREPIP + "; " + of_version(3, 13, 0), "3.13.0 has no ensurepip: apt install python3-venv"),
        ("sys.exit(1)", "it does not run"),
        ("sys.exit(0)", "it is not a Python"),
    ],
)
def test_a_python_that_was_asked_for_and_will_not_do_is_refused(
    set_up: SetUp, tools: Path, pretend: str, fault: str
) -> None:
    python = write_python(tools / "my python", pretend)

    answer = set_up("sh", ".ci/setup.sh", "run", PYTHON=str(python))

    assert answer.returncode == 2
    assert answer.stderr == f"cannot use PYTHON={python}: {fault}\n"


def test_a_python_that_is_not_there_is_refused(set_up: SetUp) -> None:
    answer = set_up("sh", ".ci/setup.sh", "run", PYTHON="/nowhere/python3")

    assert answer.returncode == 2
    assert answer.stderr == "cannot use PYTHON=/nowhere/python3: no such program\n"


@pytest.mark.long
def test_no_network_is_said_in_one_sentence_after_an_interrupted_set_up_was_cleared(
    set_up: SetUp, checkout: Path
) -> None:
    nobody = "http://127.0.0.1:9/"
    litter = checkout / ".venv" / "half-installed"
    litter.parent.mkdir()
    litter.touch()
    litter.with_name("made-by-make").touch()

    answer = set_up("make", "run", PYTHON=sys.executable, PIP_INDEX_URL=nobody, PIP_CONFIG_FILE=os.devnull)

    assert answer.returncode == 2
    assert answer.stdout == ""
    setting_up, sentence, from_make = answer.stderr.splitlines()
    assert setting_up == "setting up .venv for make run, once, about 20 s"
    assert sentence == (
        "cannot install what Taskloom needs: no package index answers; connect to the network, or name a nearer one "
        "with PIP_INDEX_URL or PIP_FIND_LINKS, and run make again"
    )
    assert from_make.startswith("make: *** ")
    assert not litter.exists()


def test_an_environment_that_make_did_not_make_is_never_removed(set_up: SetUp, checkout: Path) -> None:
    treasure = checkout / ".venv" / "treasure"
    treasure.parent.mkdir()
    treasure.touch()

    answer = set_up("sh", ".ci/setup.sh", "run", PYTHON=sys.executable)

    assert answer.returncode == 1
    assert answer.stderr == (
        "cannot use .venv, which was not made by make: its Python or its pip does not run; "
        "remove it and run make again\n"
    )
    assert treasure.exists()
