"""The job files of a program that reads them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskloom.cli.program.selection import JobFiles
from taskloom.cli.settings import Sources


@pytest.mark.parametrize("path", ["jobs.yaml", "./jobs.yaml", "."])
def test_the_same_files_are_read_again_after_a_task_has_changed_the_working_folder(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pw").write_text("lift off")
    (tmp_path / "env").write_text("START=3\n")
    (tmp_path / "jobs.yaml").write_text("""
jobs:
  a:
    task: countdown
    params:
      start: ${START}
      message: ${file:pw}
""")
    monkeypatch.chdir(tmp_path)
    files = JobFiles([path], env_files=["env"])
    before = files.read()

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    after = files.read()

    assert [spec.params for spec in after.specs] == [spec.params for spec in before.specs]
    assert after.secrets == before.secrets == {"lift off"}


def test_a_later_reading_warns_as_for_the_stop_of_the_running_program(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"

    def write(stop_within: str) -> None:
        path.write_text(f"taskloom: {{stop_within: {stop_within}}}\njobs: {{a: {{task: countdown, join: 10s}}}}\n")

    write("5s")
    files = JobFiles([str(path)], sources=Sources({}, {}))
    [first] = files.read().warnings
    write("20s")
    later = [files.read(), files.read()]

    assert "longer than 5s" in first.message
    assert [list(each.warnings) for each in later] == [[first], [first]]
    assert later[-1].settings["stop_within"].value == 20.0
