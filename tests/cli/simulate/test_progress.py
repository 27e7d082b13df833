"""The progress of `taskloom simulate` on a terminal, and its end by Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.cli.entry import call
from taskloom.cli.simulate.findings import simulated_time
from taskloom.cli.simulate.progress import FIRST_SECONDS, PAUSE_SECONDS, Interrupt, ProgressLine, has_progress
from taskloom.core.events import Event
from taskloom.core.model import ReasonKind
from taskloom.core.policies import Schedule
from taskloom.simulation import Plan, Progress, simulate_jobs
from taskloom.simulation.tally import JobStats
from taskloom.testing import make_job

DAY = 86_400.0
JOBS = "jobs: {beat: {task: countdown, schedule: {every: 1m}}}\n"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class BrokenTerminal(Terminal):
    """A terminal that is gone."""

    def write(self, _text: str) -> int:
        raise OSError(5, "Input/output error")


def progress_at(seconds: float, firings: int = 0) -> Progress:
    stats = JobStats(make_job("a", schedule=Schedule(every=60.0)), runs=firings)
    return Progress(seconds, [stats])


# -- where it is shown


@every_case(
    ("stream", "environ", "shares_terminal", "is_shown"),
    [
        (Terminal(), {"TERM": "xterm"}, False, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False, True),  # a carriage return is not an escape
        (Terminal(), {"TERM": "dumb"}, False, False),
        (Terminal(), {"TERM": "Unknown "}, False, False),
        (Terminal(), {}, False, False),
        (Terminal(), {"TERM": "xterm"}, True, False),
        (io.StringIO(), {"TERM": "xterm"}, False, False),
        (None, {"TERM": "xterm"}, False, False),
    ],
)
def test_it_is_shown_on_a_terminal_that_can_go_back_in_a_line_and_that_has_no_data(
    stream: Any, environ: dict[str, str], shares_terminal: bool, is_shown: bool
) -> None:
    assert has_progress(stream, shares_terminal=shares_terminal, environ=environ) is is_shown


def test_it_is_not_shown_on_a_closed_stream() -> None:
    stream = io.StringIO()
    stream.close()

    assert not has_progress(stream, shares_terminal=False, environ={"TERM": "xterm"})


# -- the line


@pytest.fixture
def now() -> list[float]:
    """The seconds of the line's clock."""
    return [0.0]


def test_the_line_has_the_time_the_share_and_the_firings_and_is_written_over(now: list[float]) -> None:
    stream = Terminal()
    line = ProgressLine(7 * DAY, lambda: now[0], stream)

    line(progress_at(5.0))
    short = stream.getvalue()
    for seconds, firings in ((3 * DAY + 4 * 3600, 1234), (4 * DAY, 5)):
        now[0] += FIRST_SECONDS
        line(progress_at(seconds, firings))
    line.erase()

    assert short == ""  # a short simulation shows nothing
    first, second, blank, end = stream.getvalue().split("\r")[1:]
    assert first == "simulated 3d4h of 7d (45%), 1,234 firings"
    assert second.rstrip() == "simulated 4d of 7d (57%), 5 firings"
    assert len(second) == len(first)
    assert (blank.strip(), end) == ("", "")
    assert len(blank) == len(second.rstrip())


def test_it_is_not_written_more_often_than_people_read(now: list[float]) -> None:
    stream = Terminal()
    line = ProgressLine(DAY, lambda: now[0], stream)

    for step in range(1000):
        now[0] = FIRST_SECONDS + step / 1000
        line(progress_at(step))

    assert stream.getvalue().count("\r") == int(1 / PAUSE_SECONDS)


def test_a_terminal_that_is_gone_stops_no_simulation(now: list[float]) -> None:
    line = ProgressLine(DAY, lambda: now[0], BrokenTerminal())

    now[0] = FIRST_SECONDS
    line(progress_at(5.0))
    line.erase()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.25, "250ms"), (61.7, "1m1s"), (86_399.9, "23h59m59s"), (2 * DAY + 3 * 3600 + 61, "2d3h1m")],
)
def test_the_time_is_never_rounded_up(seconds: float, text: str) -> None:
    assert simulated_time(seconds) == text


# -- Ctrl-C


@pytest.fixture
def default_sigint() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt, as in a fresh interpreter."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_sigint")
def test_the_first_ctrl_c_asks_and_the_second_leaves_at_once() -> None:
    interrupt = Interrupt()

    with pytest.raises(KeyboardInterrupt), interrupt.caught():
        signal.raise_signal(signal.SIGINT)
        assert interrupt.reason is not None
        signal.raise_signal(signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupt().caught():
            signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_sigint")
def test_a_simulation_that_is_interrupted_stops_its_jobs_and_gives_what_it_has() -> None:
    interrupt = Interrupt()
    seen: list[Event] = []

    def press(event: Event) -> None:
        seen.append(event)
        if len(seen) == 5000:
            signal.raise_signal(signal.SIGINT)

    job = make_job("a", schedule=Schedule(every=60.0))
    with interrupt.caught():
        result = simulate_jobs([job], Plan(seconds=365 * DAY, start=0.0), [press], lambda _: interrupt.reason)

    assert (result.is_interrupted, result.reason.kind) == (True, ReasonKind.SIGNAL)
    assert 0 < result.seconds < 7 * DAY
    assert result.jobs[0].firings == result.seconds // 60
    assert result.jobs[0].next_firing is not None
    assert seen[-1].event.value == "scheduler_stopped"


@pytest.fixture
def interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], default_sigint: None
) -> Callable[..., tuple[int, str, str]]:
    """Call the command, with one Ctrl-C after some steps; return its exit code and output."""
    monkeypatch.chdir(tmp_path)
    Path("jobs.yaml").write_text(JOBS)
    real = Progress.__new__

    def new(cls: type[Progress], *values: Any) -> Progress:
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            signal.raise_signal(signal.SIGINT)
        return real(cls, *values)

    monkeypatch.setattr(Progress, "__new__", new)

    def run(*options: str) -> tuple[int, str, str]:
        code = call(["simulate", "jobs.yaml", "--for", "7d", "--at", "2026-01-01T00:00Z", *options])
        return code, *capsys.readouterr()

    return run


def test_the_report_says_where_it_was_stopped_and_the_exit_code_is_130(interrupted: Callable[..., Any]) -> None:
    code, out, err = interrupted()

    assert (code, err) == (130, "")
    assert out.splitlines()[1].split()[:2] == ["beat", "500"]
    assert out.endswith("\n\nstopped at 8h20m1s of 7d by Ctrl-C\n")


def test_the_data_say_it_too(interrupted: Callable[..., Any]) -> None:
    code, out, _ = interrupted("-o", "json")

    data = json.loads(out)
    assert code == 130
    assert data["ended"] == {"kind": "signal", "text": "Ctrl-C"}
    assert data["seconds"] < data["of_seconds"] == 7 * DAY
    assert data["remarks"][0].endswith(" of 7d by Ctrl-C")
    assert data["jobs"][0]["next_firing"] is not None


# -- a real terminal


@pytest.mark.long
@pytest.mark.parametrize(("term", "options"), [("xterm", ()), ("xterm", ("-o", "json")), ("dumb", ())])
def test_on_a_terminal_the_line_is_erased_before_the_report(
    child_env: dict[str, str], tmp_path: Path, term: str, options: tuple[str, ...]
) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBS)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "taskloom", "simulate", "jobs.yaml", "--for", "3600d", "--events", "e", *options]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=child_env | {"TERM": term}, cwd=tmp_path
    ) as process:
        os.close(theirs)
        is_shown = term == "xterm" and not options
        events, text = tmp_path / "e", b""
        while is_shown and text.count(b"\r") < 3:
            text += os.read(ours, 65_536)
        while not is_shown and not (events.exists() and events.stat().st_size > 1_000_000):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.02)
        process.send_signal(signal.SIGINT)
        try:
            while data := os.read(ours, 65_536):
                text += data
        except OSError:  # how Linux tells that the other end is closed
            pass
    os.close(ours)

    shown = text.decode().replace("\r\n", "\n")
    assert process.returncode == 130
    assert "\x1b" not in shown
    assert ("\rsimulated " in shown) is is_shown
    if is_shown:
        assert shown[shown.rindex("\r") + 1 :].startswith("JOB ")
    else:
        assert "\r" not in shown
    assert " of 3600d by Ctrl-C" in shown
