"""What tasks print and log in a real `taskloom run`, and what they do to standard output and to logging."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.hostile_tasks import install_packages

# Each starts whole programs; test_stopping and test_signals are in the quick share.
pytestmark = pytest.mark.long

Start = Callable[..., Any]

# Reached only in failures.
ATTEMPTS = 1000


def _long(*names: str) -> list[Any]:
    """Mark parameters that only the long share tests: each starts a process."""
    return [pytest.param(name, marks=pytest.mark.long) for name in names]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_packages(tmp_path_factory.mktemp("hostile"))


class Run:
    """One ended run: its code, its output and its log."""

    def __init__(self, program: Any, out: Path) -> None:
        self.program = program
        self._out = out

    def end(self) -> int:
        code: int = self.program.end()
        return code

    def wait_for_output(self, content: bytes) -> None:
        """Wait until standard output has this content, while the program runs."""
        for _ in range(ATTEMPTS):
            if content in self.stdout:
                return
            self.program.pass_time(0.02)
        raise AssertionError(f"{content[:100]!r} never came:\n{self.log}")

    @property
    def stdout(self) -> bytes:
        return self._out.read_bytes()

    @property
    def log(self) -> str:
        text: str = self.program.stderr
        return text

    def messages(self, job: str) -> list[str]:
        """Return the messages of a job in the log, without time and level."""
        found = [re.fullmatch(rf"\S+ [A-Z]+ +{job} +(.*)", line) for line in self.log.splitlines()]
        return [match[1] for match in found if match]


@pytest.fixture
def start(start_program: Start, packages: Path, tmp_path: Path) -> Callable[..., Run]:
    def begin(jobs: str, *options: str, **env: str) -> Run:
        with (tmp_path / "out").open("wb") as out:
            variables = {"PYTHONPATH": str(packages)} | env
            return Run(start_program(jobs, *options, env=variables, stdout=out), tmp_path / "out")

    return begin


@pytest.mark.long
def test_what_a_run_prints_without_a_newline_comes_out_when_it_ends(start: Callable[..., Run]) -> None:
    run = start("jobs: {a: {task: rest, params: {text: the rest}}}")

    assert run.end() == 0
    assert run.stdout == b"the rest"


def test_what_a_thread_of_a_run_has_left_comes_out_when_the_thread_ends(start: Callable[..., Run]) -> None:
    run = start("jobs: {a: {task: threaded}}")
    run.program.wait_for("the thread has ended")

    run.wait_for_output(b"from a thread")

    run.program.send(signal.SIGTERM)
    assert run.end() == 0


@pytest.mark.long
def test_a_long_text_without_a_newline_comes_out_while_the_run_goes_on(start: Callable[..., Run]) -> None:
    run = start(f"jobs: {{a: {{task: rest, params: {{text: {'x' * 9000}, stays: true}}}}}}")

    run.wait_for_output(b"x" * 9000)

    run.program.send(signal.SIGTERM)
    assert run.end() == 0


def test_prints_of_runs_in_one_thread_never_mix(start: Callable[..., Run]) -> None:
    job = "{task: rest, daemon: true, runner: {thread: {reuse: true}}, params: {text: %s}"
    stay = "stay: {task: talker, after: {b: finished}}"
    run = start(f"jobs: {{a: {job % 'one'}}}, b: {job % 'two'}, after: {{a: finished}}}}, {stay}}}")

    assert run.end() == 0
    assert run.stdout == b"onetwo"


@pytest.mark.long
def test_what_a_task_prints_passes_byte_for_byte(start: Callable[..., Run]) -> None:
    run = start("jobs: {a: {task: raw_bytes}}")

    assert run.end() == 0
    assert run.stdout == b"\x1b[31m\xff\x00\n\x1b[0m\n"


SPOILED = {
    "wrap": b"wrapped\n",
    "keep": b"kept\n",
    "close": b"closed\n",
    "reopen": b"reopened\n",
    "codecs": b"codecs\n",
    "reconfigure": b"reconfigured\n",
    "redirect": b"redirected\n",
    "original": b"original\n",
    "none": b"",
}


@pytest.mark.parametrize("how", ["close", *_long(*(how for how in SPOILED if how != "close"))])
def test_a_task_that_spoils_standard_output_changes_no_exit_code(start: Callable[..., Run], how: str) -> None:
    run = start(f"jobs: {{a: {{task: spoiler, params: {{how: {how}}}}}}}")

    assert run.end() == 0
    assert run.stdout == SPOILED[how]
    assert "Traceback" not in run.log
    assert "Exception ignored" not in run.log
    assert "succeeded after" in run.log


@pytest.mark.parametrize("how", ["dict", *_long("", "basic", "force", "wrap", "close", "print")])
def test_a_package_that_sets_up_output_at_its_import_changes_no_line(start: Callable[..., Run], how: str) -> None:
    run = start("jobs: {a: {task: at_import}}", AT_IMPORT=how)

    assert run.end() == 0
    assert run.stdout.endswith(b"prints hello\n")
    assert run.messages("a")[:3] == ["started", "says hello", "says hello as well"]
    assert len(re.findall("says hello", run.log)) == 2
    assert ("logging: an imported package" in run.log) == (how in {"basic", "force", "dict"})


@pytest.mark.parametrize("how", ["force", *_long("basic", "dict", "dict without root", "clear", "disable")])
def test_a_task_that_sets_up_logging_neither_doubles_nor_silences_it(start: Callable[..., Run], how: str) -> None:
    """A change that no call of ours sees (`clear`, `disable`) is found at the next event, before the next run."""
    job = f"task: configurer, params: {{how: {how}}}"
    run = start(
        f"jobs: {{a: {{{job}}}, b: {{{job}, after: {{a: finished}}}}, c: {{task: talker, after: {{b: finished}}}}}}"
    )

    assert run.end() == 0
    lines = run.messages("a")
    if how not in {"clear", "disable"}:
        assert f"after {how}" in lines
    assert lines[-1].startswith("succeeded")
    assert run.messages("c")[:4] == ["started", "line 0", "line 1", "line 2"]
    assert len(re.findall("line 0", run.log)) == 1
    assert len(re.findall(f"after {how}", "".join(run.messages("a")))) <= 1


@pytest.mark.long
def test_a_change_of_logging_is_reported_with_its_place(start: Callable[..., Run]) -> None:
    run = start("jobs: {a: {task: configurer, params: {how: force}}}")

    assert run.end() == 0
    assert re.search(r"logging: \S+printers_mod\.py:\d+ has tried to remove the handler of the log; it stays", run.log)


def test_the_line_that_a_run_started_is_before_its_own(start: Callable[..., Run]) -> None:
    run = start("jobs: {a: {task: talker, replicas: 60}}")

    assert run.end() == 0
    for number in range(1, 61):
        messages = run.messages(f"a\\.{number}")
        assert messages[:4] == ["started", "line 0", "line 1", "line 2"]
        assert messages[4].startswith("succeeded")


@pytest.mark.long
def test_the_log_has_date_and_zone_unless_it_is_asked_to_be_short(start: Callable[..., Run]) -> None:
    jobs = "jobs: {a: {task: errors}}"
    full = start(jobs, TZ="Europe/Berlin")
    assert full.end() == 0
    short = start(jobs, "--log-format", "short", TZ="Europe/Berlin")
    assert short.end() == 0

    time = r"^%s\d\d:\d\d:\d\d\.\d{3}%s INFO    a            started$"
    assert re.search(time % (r"\d{4}-\d\d-\d\dT", r"\+0[12]:00"), full.log, re.MULTILINE)
    assert re.search(time % ("", ""), short.log, re.MULTILINE)
    assert "\nline on stderr\n" in full.log


def test_the_log_as_json(start: Callable[..., Run]) -> None:
    run = start("jobs: {a: {task: talker}}", "--log-format", "json")

    assert run.end() == 0
    lines = [json.loads(line) for line in run.log.splitlines()]
    assert [line["message"] for line in lines if line["job"] == "a"][:4] == ["started", "line 0", "line 1", "line 2"]
    assert {"at", "mono", "level", "job", "run", "message"} == set(lines[1])
    assert lines[-1]["message"].startswith("JOB ")


def test_a_full_disk_loses_nothing_once_there_is_space_again(
    start_program: Start, packages: Path, tmp_path: Path, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    with (small_disk / "out").open("wb") as out:
        _fill(ballast)
        program = start_program(
            "jobs: {a: {task: rest, params: {text: 'the rest'}}, b: {task: threaded}}",
            env={"PYTHONPATH": str(packages)},
            stdout=out,
        )
    program.wait_for("cannot write to standard output: No space left on device; trying again")
    ballast.unlink()
    Run(program, small_disk / "out").wait_for_output(b"the rest")
    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert sorted([b"the rest", b"from a thread"]) == sorted(
        re.findall(b"the rest|from a thread", (small_disk / "out").read_bytes())
    )
    assert "bytes of output were lost" not in program.stderr


def _fill(file: Path) -> None:
    """Write to the file until its disk is full."""
    number = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(number, b"x" * 4096)
    except OSError:
        os.close(number)
