"""Tasks for runs on a cluster. Each leaves marks in a folder, which say when it executed and how often it was entered.

The second is that of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import NamedTuple

from taskloom import Context
from taskloom.clock import mono
from taskloom.testing.runner_bench import living
from taskloom.testing.runner_tasks import RunFolder, wait_until

__all__ = ["Marks", "Start", "beat", "brief", "fail", "ignore", "ignore_for_a_second", "see_cancel", "speak"]

BEAT_SECONDS = 0.02


class Start(NamedTuple):
    """One time that a task was entered."""

    pid: int
    second: float


class Marks:
    """The marks of one run: the files in the folder whose names end with its name."""

    def __init__(self, folder: Path | str, name: str) -> None:
        self._folder = RunFolder(str(folder))
        self._name = name

    def enter(self) -> None:
        """Record that the task was entered."""
        self._folder.append(f"starts-{self._name}", f"{os.getpid()} {mono()!r}")

    def beat(self, what: str = "beat") -> None:
        """Record that the task is executing at this moment."""
        self._folder.write(f"{what}-{self._name}", repr(mono()))

    @property
    def starts(self) -> list[Start]:
        """Each time that the task was entered."""
        lines = self._folder.read(f"starts-{self._name}").splitlines()
        return [Start(int(pid), float(second)) for pid, second in (line.split() for line in lines)]

    def second(self, what: str = "beat") -> float:
        """Return when the mark was made last; -inf if it never was."""
        return float(self._folder.read(f"{what}-{self._name}") or "-inf")

    def await_start(self, seconds: float = 60.0) -> Start:
        """Wait until the task was entered."""
        assert wait_until(lambda: bool(self.starts), seconds), f"{self._name} was not entered within {seconds:g} s"
        return self.starts[0]

    def await_stop(self, seconds: float = 60.0) -> float:
        """Wait until no process that has entered the task is left; return at about which second that was."""
        pids = [start.pid for start in self.starts]
        assert wait_until(lambda: not living(pids), seconds), f"{self._name} executes after another {seconds:g} s"
        return mono()


def beat(ctx: Context, folder: str, name: str) -> None:
    """Beat until cancelled."""
    marks = Marks(folder, name)
    marks.enter()
    while not ctx.wait(BEAT_SECONDS):
        marks.beat()


def ignore(ctx: Context, folder: str, name: str) -> None:
    """Beat for two minutes, whatever is requested."""
    marks = Marks(folder, name)
    marks.enter()
    _beat_for(120.0, marks)


def ignore_for_a_second(ctx: Context, folder: str, name: str) -> None:
    """Beat for a second from the cancel on, as if it had not seen it."""
    marks = Marks(folder, name)
    marks.enter()
    ctx.wait()
    _beat_for(1.0, marks)


def _beat_for(seconds: float, marks: Marks) -> None:
    limit = mono() + seconds
    while mono() < limit:
        marks.beat()
        threading.Event().wait(BEAT_SECONDS)


def see_cancel(ctx: Context, folder: str, name: str) -> None:
    """Wait until cancelled, and record when that was seen."""
    marks = Marks(folder, name)
    marks.enter()
    ctx.wait()
    marks.beat("seen")


def brief(ctx: Context, folder: str, name: str) -> None:
    """Return at once."""
    Marks(folder, name).enter()


def fail(ctx: Context, folder: str, name: str) -> None:
    """Fail at once."""
    Marks(folder, name).enter()
    raise ValueError(f"{name} finds no device")


def speak(ctx: Context, folder: str, name: str) -> None:
    """Log, print and count, and then wait until cancelled."""
    Marks(folder, name).enter()
    ctx.log.info("says hello")
    print(f"{name} prints this", flush=True)
    ctx.progress(2, 5, "files")
    ctx.count("lines", 7)
    ctx.wait()
