"""YAML files of other programs: exit code 2, one line that says what is wrong, at its place, and never a traceback."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.support.foreign_styles import STYLES
from tests.support.foreign_yaml import ForeignFile, foreign_file
from tests.support.given_catalog import GivenCatalog

from taskloom.cli.validate import validate
from taskloom.jobfile import check
from taskloom.jobfile.render import render_all
from taskloom.task import Context

SEED = int(os.environ.get("TASKLOOM_FUZZ_SEED", "20261129"))


def idle(ctx: Context) -> None:
    """Do nothing."""


CATALOG = GivenCatalog({"idle": idle})


def hold(file: ForeignFile, folder: Path) -> None:
    """Check the property for one file."""
    path = folder / "foreign.yaml"
    path.write_bytes(file.data)

    problems = check(path, catalog=CATALOG, environ={}).problems

    shown = f"seed {file.seed}, {file.style}:\n{render_all(problems)}"
    assert len(problems) == 1, shown
    [problem] = problems
    assert problem.severity == "error", shown
    assert problem.message.startswith("cannot "), shown
    assert "internal error" not in problem.message, shown
    assert problem.place.path == str(path), shown
    lines = file.data.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert 1 <= problem.place.line <= len(lines), shown
    assert 1 <= problem.place.column <= len(lines[problem.place.line - 1]) + 1, shown
    assert len(render_all(problems).splitlines()) <= 4, shown


def test_a_hundred_foreign_files_get_one_line_each(tmp_path: Path) -> None:
    print(f"foreign files: TASKLOOM_FUZZ_SEED={SEED}")
    for seed in range(SEED, SEED + 100):
        hold(foreign_file(seed), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("with_libyaml", [True, False], ids=["libyaml", "python"])
def test_2000_foreign_files_get_one_line_each(
    with_libyaml: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", with_libyaml)
    print(f"foreign files: TASKLOOM_FUZZ_SEED={SEED}")
    counts: Counter[str] = Counter()
    texts = set()
    for seed in range(SEED, SEED + 2000):
        file = foreign_file(seed)
        hold(file, tmp_path)
        counts[file.style] += 1
        texts.add(file.data)
    assert set(counts) == set(STYLES)
    assert len(texts) > 1950


def test_validate_ends_with_2_for_a_file_of_each_style(tmp_path: Path) -> None:
    for seed in range(len(STYLES)):
        path = tmp_path / "foreign.yaml"
        path.write_bytes(foreign_file(seed).data)

        answer = CliRunner().invoke(validate, [str(path)])

        assert answer.exit_code == 2, foreign_file(seed).style
        assert isinstance(answer.exception, SystemExit)
        assert answer.stderr.count("error: ") == 1
        assert answer.stdout == "1 file: 1 error\n"


def test_a_seed_makes_one_file() -> None:
    assert [foreign_file(seed) for seed in range(50)] == [foreign_file(seed) for seed in range(50)]
