"""What of each job is logged, and where: levels, files and the console."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from taskloom.core.model import JobSpec, Moment
from taskloom.core.policies import LogLevel, LogPolicy
from taskloom.diagnostics import MASK
from taskloom.observe.console import Console, ConsoleHandler
from taskloom.observe.job_logs import JobLogs, level_number
from taskloom.observe.log_format import LogMessage
from taskloom.observe.masking import Masker

AT = Moment(1.0, 2.0)


def spec(name: str, level: LogLevel | None = None, file: str | None = "", replicas: int = 1) -> JobSpec:
    return JobSpec(name=name, task="idle", log=LogPolicy(level, file), replicas=replicas)


class Shown:
    """A console over the logs of some jobs."""

    def __init__(self, *specs: JobSpec, level: int = logging.INFO, least: int = 0, secret: str = "") -> None:
        self.logs = JobLogs(level=level)
        self.logs.apply(specs)
        self.put: list[bytes] = []
        self.console = Console(self._put, is_colored=False, logs=self.logs, masker=Masker([secret]), least_level=least)

    def _put(self, text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
        if text:
            self.put.append(text)

    def kept(self, job: str | None = None) -> list[str]:
        return [line.text for line in self.logs.ring.after(0, None if job is None else [job], 100)]


@pytest.mark.parametrize(
    ("job", "logged"),
    [("plain", "info warning error"), ("loud.2", "debug info warning error"), ("quiet", "error"),
     ("lib.module", "info warning error")],
)  # fmt: skip
def test_the_level_of_a_job_replaces_that_of_the_program(job: str, logged: str) -> None:
    shown = Shown(spec("plain"), spec("loud", LogLevel.DEBUG, replicas=2), spec("quiet", LogLevel.ERROR))
    for level in LogLevel:
        shown.console.log(level.value, level=level.value.upper(), job=job)

    assert shown.kept() == logged.split()
    assert len(shown.put) == len(logged.split())
    assert shown.logs.least_level == logging.DEBUG


def test_quiet_keeps_all_lines_and_shows_warnings_and_errors() -> None:
    shown = Shown(spec("a"), least=logging.WARNING)
    for level in ("INFO", "WARNING", "ERROR"):
        shown.console.log(level, level=level, job="a")
    shown.console.show("the summary\n")

    assert shown.kept() == ["INFO", "WARNING", "ERROR"]
    assert [text.split()[-1] for text in shown.put] == [b"WARNING", b"ERROR", b"summary"]


def test_a_handler_does_not_format_what_is_not_logged() -> None:
    class Costly:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    shown = Shown(spec("a", LogLevel.ERROR))
    logger = logging.Logger("test", logging.DEBUG)  # noqa: LOG001 - a registered one has other handlers too
    logger.addHandler(ConsoleHandler(shown.console))
    logger.info("%s", Costly(), extra={"job": "a", "run": "a#1"})

    assert shown.kept() == []


def test_messages_are_kept_masked_with_their_level_and_lines_about_no_job_apart() -> None:
    shown = Shown(spec("a"), secret="hunter2")
    shown.console.log("the password is hunter2\nsecond", job="a", run="a#1", level="ERROR", at=AT)
    shown.console.log("hello", at=AT)
    shown.console.show("in a table: hunter2\n")

    first, second = shown.logs.ring.after(0, None, 10)
    assert first[1:] == (2.0, "error", "a", "a#1", f"the password is {MASK}\nsecond")
    assert (second.job, shown.kept("a")) == ("taskloom", [first.text])
    assert b"hunter2" not in b"".join(shown.put)


def test_a_reload_changes_levels_and_remembers_jobs_that_are_gone() -> None:
    shown = Shown(spec("a"), spec("gone", LogLevel.ERROR))
    shown.logs.apply([spec("a", LogLevel.WARNING)])
    for job in ("a", "gone"):
        shown.console.log("x", job=job)
        shown.console.log("y", job=job, level="ERROR")

    assert shown.kept() == ["y", "y"]
    assert shown.logs.least_level == logging.INFO


def test_each_job_has_the_file_that_it_wants(tmp_path: Path) -> None:
    logs = JobLogs(folder=str(tmp_path / "logs"))
    logs.apply([spec("a", replicas=2), spec("own", file=str(tmp_path / "own.txt")), spec("none", file=None)])
    for run in ("a.1#1", "a.2#1", "own#1", "none#1", ""):
        logs.printed(f"print of {run}\n".encode(), run)

    assert logs.finish(10.0) == 0
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["_taskloom.log", "a.1.log", "a.2.log"]
    assert (tmp_path / "own.txt").read_text().endswith("own          print of own#1\n")
    assert (tmp_path / "logs" / "_taskloom.log").read_text().endswith("unknown      print of \n")


def test_a_relative_file_stays_where_it_is_if_a_task_changes_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    logs = JobLogs()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    logs.apply([spec("web", file="web.txt")])
    logs.message(LogMessage("one", "INFO", "web", "web#1"), 0.0)
    logs.finish(5.0)

    assert [each.name for each in tmp_path.rglob("*.txt")] == ["web.txt"]
    assert (tmp_path / "web.txt").exists()


def test_without_files_there_is_no_thread_for_them() -> None:
    logs = JobLogs()
    logs.apply([spec("a"), spec("b", LogLevel.DEBUG)])

    assert logs.finish(10.0) == 0
    assert logs._files._thread is None


def test_a_very_long_message_loses_its_middle() -> None:
    shown = Shown(spec("a"))
    shown.console.log("x" * 200_000, job="a")

    assert len(shown.kept()[0]) < 70_000
    assert len(b"".join(shown.put)) > 200_000


@pytest.mark.parametrize(
    ("level", "number"), [("DEBUG", 10), ("CRITICAL", 50), ("Level 35", 20), ("NOTSET", 0), ("", 20)]
)
def test_the_number_of_a_level(level: str, number: int) -> None:
    assert level_number(level) == number
