"""Scenes for the full-screen view: a source that the test fills, jobs in each state, and screens as text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from taskloom.control.reply_fields import Fields
from taskloom.top.app import TopApp
from taskloom.top.board import Board
from taskloom.top.inbox import Firing, Look, Report, Snapshot, Taken
from taskloom.top.job_row import JobRow
from taskloom.top.layout import screen
from taskloom.top.log_buffer import LogLine
from taskloom.top.program_facts import ProgramFacts, Usage
from taskloom.top.remembered import Remembered
from taskloom.top.run_book import PastRun
from taskloom.top.styled import text_of
from taskloom.top.table import Moment

__all__ = [
    "FIRINGS",
    "JOBS",
    "LOG",
    "NOW",
    "PROGRAM",
    "RUNS",
    "FakeSource",
    "Scene",
    "drive",
    "full",
    "job",
    "names",
    "report_of",
    "run",
    "take_all",
    "texts",
]

NOW = Moment(1000.0, 1_800_000_000.0)
PROGRAM = ProgramFacts("jobs", "0a1b2c3d", NOW.wall - 7980, "running", (), Usage(12.4, 84 << 20))


def job(name: str, state: str = "running", **values: Any) -> JobRow:
    """Return a job as it was read now; one that runs is ready."""
    known: dict[str, Any] = {
        "task": "countdown", "state": state, "run": f"{name}#1", "seconds": 7.0, "within": 10.0, "read_at": NOW.mono,
        "marks": frozenset({"ready"}) if state == "running" else frozenset(),
    }  # fmt: skip
    return JobRow(name, **(known | values))


def run(
    name: str, number: int, begun: float, seconds: float | None, outcome: str = "succeeded", **more: Any
) -> PastRun:
    """Return a run that began `begun` seconds before now."""
    start = NOW.wall - begun
    ended = None if seconds is None else start + seconds
    return PastRun(name, f"{name}#{number}", outcome if ended else "", start, None, start, ended, seconds, **more)


JOBS = (
    job("countdown", run="countdown#12", progress=0.7, note="7/10 numbers"),
    job("gps", task="socket-reader", seconds=7981.0, note="41 frames, dropped 0"),
    job("syslog", "waiting", task="socket-reader", run="syslog#3", waiting_for="backoff", due_in=8.0, restarts=2,
        note="refused :5140"),
    job("backup", "waiting", task="command", run="backup#40", waiting_for="next firing", next_at=NOW.wall + 252),
    job("uplink", "stopping", stopping_for=3.2, stop_left=6.8, note="stopped by alice"),
    job("camera", "stopping", stopping_for=42.0, stop_left=0.0, marks=frozenset({"overdue"})),
    job("report", "finished", task="command", run="report#7", seconds=31.0, outcome="failed", has_failed=True,
        note="KeyError: line 44"),
)  # fmt: skip
FIRINGS = (Firing("backup", NOW.wall + 252), Firing("backup", NOW.wall + 1452))
RUNS = (
    *(run("countdown", each, 1500 - 100 * each, 20.0 + 10 * (each % 3)) for each in range(1, 12)),
    run("countdown", 12, 7, None),
    *(run("backup", 30 + each, 1700 - 150 * each, 40.0) for each in range(10)),
    run("report", 6, 900, 31.0),
    run("report", 7, 300, 31.0, "failed", error="KeyError: line 44"),
)
LOG = tuple(LogLine(f"12:00:{each:02}.234", "info", "countdown", f"tick {each}") for each in range(40))


def report_of(*jobs: JobRow) -> Report:
    """Return the report of a stop by Ctrl-C, after which these jobs had succeeded."""
    rows: list[dict[str, Any]] = [
        {"job": each.name, "task": each.task, "daemon": False, "state": "finished", "outcome": "succeeded", "runs": 1,
         "run": each.run, "seconds": 7.0, "replica": 1}
        for each in jobs
    ]  # fmt: skip
    data = {"exit_code": 130, "reason": {"kind": "signal", "text": "INT"}, "seconds": 1.5, "jobs": rows}
    return Report(
        Fields(data), [job(each.name, "finished", task=each.task, run=each.run, outcome="succeeded") for each in jobs]
    )


class FakeSource:
    """A source without threads: the test puts what is taken next, and reads what was requested."""

    def __init__(self) -> None:
        self.next: list[Taken] = []
        self.acts: list[tuple[str, str]] = []
        self.logs: list[str | None] = []
        self.looks: list[Look | None] = []

    def put(self, **values: Any) -> FakeSource:
        """Let this be taken next."""
        self.next.append(Taken(**values))
        return self

    def put_jobs(self, *jobs: JobRow, program: ProgramFacts = PROGRAM, **values: Any) -> FakeSource:
        """Let a snapshot of these jobs be taken next."""
        return self.put(snapshot=Snapshot(program, jobs, FIRINGS), trouble="", **values)

    def take(self) -> Taken:
        return self.next.pop(0) if self.next else Taken()

    def choose_log(self, job: str | None) -> None:
        self.logs.append(job)

    def watch(self, look: Look | None) -> None:
        self.looks.append(look)

    def act(self, verb: str, job: str) -> None:
        self.acts.append((verb, job))

    def hurry(self) -> None:
        raise AssertionError("the screen leaves the pace to the feed")


def full() -> FakeSource:
    """Return a source with all jobs, their runs and a log."""
    return FakeSource().put_jobs(*JOBS, runs=RUNS).put(lines=LOG)


class Scene:
    """A board without an application."""

    def __init__(self, source: FakeSource | None = None, remembered: Remembered | None = None) -> None:
        self.source = full() if source is None else source
        self.board = Board(self.source, remembered or Remembered(), NOW)
        self.take()

    def take(self) -> Scene:
        """Let the board take all that there is."""
        while self.source.next:
            self.board.accept(self.source.take())
        return self

    def pass_time(self, seconds: float) -> Scene:
        """Let time pass."""
        now = self.board.now
        self.board.pass_time(Moment(now.mono + seconds, now.wall + seconds))
        return self

    def text(self, width: int = 80, height: int = 24) -> str:
        """Return the screen."""
        return "\n".join(text_of(each).rstrip() for each in screen(self.board, width, height))


def texts(app: TopApp) -> str:
    """Return the screen of an application as it was drawn, without blanks at the ends of lines."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"


def drive(
    source: FakeSource,
    steps: Callable[[TopApp, Pilot[int]], Awaitable[None]],
    *,
    size: tuple[int, int] = (80, 24),
    settings: Path | None = None,
    **options: Any,
) -> TopApp:
    """Run the application without a terminal, and let `steps` press its keys. The clock stands still."""

    async def body() -> TopApp:
        app = TopApp(source, settings=settings, clock=lambda: NOW, **options)
        async with app.run_test(size=size) as pilot:
            take_all(app)
            await pilot.pause()
            await steps(app, pilot)
        return app

    return asyncio.run(body())


def take_all(app: TopApp) -> None:
    """Let the application take all that there is, and draw."""
    source = app.board.source
    assert isinstance(source, FakeSource)
    while source.next:
        app.tick()
    app.tick()


def names(jobs: Sequence[JobRow]) -> list[str]:
    """Return the names of jobs."""
    return [each.name for each in jobs]
