"""Finds out where overdue runs are, without making the stop wait for a file.

The place of a thread is read from its frames, which needs no file, on the scheduler thread. The text of a stack quotes
source lines. They may be on a disk that does not answer, so a helper thread formats the text, and it has
CAPTURE_SECONDS for it. After that the place alone is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from taskloom.clock import mono
from taskloom.runners import RunHandle, Runner, Stack
from taskloom.runners.callback_pool import CallbackPool
from taskloom.runners.thread import ThreadRunner
from taskloom.scheduler.live_run import LiveRun
from taskloom.sync.cancel_token import CancelCallback
from taskloom.sync.latch import Latch

__all__ = ["Capture", "StackReader", "never_blocks"]

# Less than the quarter of a second by which a stop may be later than its deadline, more than reading some files takes.
CAPTURE_SECONDS = 0.2
# Whole stacks are read by people. For more runs than this in one capture, only the place is recorded.
WHOLE_STACKS = 100


def never_blocks(runner: Runner) -> bool:
    """Return whether the runner's methods may be called on the scheduler thread: ours, not another or a subclass."""
    return type(runner) is ThreadRunner


class Capture:
    """The stacks of several runs, captured at once. `stacks`: what is known of them so far, by the id of the run."""

    __slots__ = ("error", "is_repeated", "runs", "stacks", "until")

    def __init__(self, runs: Sequence[str], stacks: dict[str, Stack]) -> None:
        self.runs = runs
        self.stacks = stacks
        self.error: Exception | None = None
        """Raised by a runner that breaks its contract."""
        self.until = mono() + CAPTURE_SECONDS
        """The monotonic second at which what is known is reported."""
        self.is_repeated = False
        """Whether it has waited for the reports of runs that had ended meanwhile."""

    def part(self, runs: Sequence[str]) -> Capture:
        """Return the part about runs that have ended, to be reported if their reports do not come soon."""
        part = Capture(runs, self.stacks)
        part.is_repeated = True
        return part


class StackReader:
    """Reads the stacks of runs. `pool` formats texts, and asks the runners whose methods may block."""

    def __init__(self, runners: Mapping[str, Runner], pool: CallbackPool) -> None:
        self._runners = runners
        self._pool = pool
        # Open when the last `locate_within` is no longer reading.
        self._is_read = Latch()
        self._is_read.open()

    def locate(self, runs: Sequence[LiveRun], texts: int = WHOLE_STACKS) -> list[tuple[LiveRun, Stack]]:
        """Return where the begun runs currently are, with `texts` whole stacks for each runner.

        Asks each runner once. Reads files for the texts, so the scheduler thread never calls it.
        """
        return [
            found
            for name, group in self._by_runner(runs).items()
            for found in self._read(self._runners[name], group, texts)
        ]

    def locate_within(self, runs: Sequence[LiveRun], seconds: float) -> list[tuple[LiveRun, Stack]]:
        """Do what `locate` does, but wait at most `seconds` for files and runners; the places alone are read at once.

        One helper at most is waited for in all: if an earlier one is still reading, the texts are left out.
        """
        if not self._is_read.is_open:
            return self.places(runs)
        is_read = self._is_read = Latch()
        capture = self.begin(runs, lambda _: is_read.open())
        is_read.wait(seconds)
        stacks = capture.stacks
        return [(run, stacks[run.id]) for run in runs if run.id in stacks]

    def begin(self, runs: Sequence[LiveRun], done: Callable[[Capture], None]) -> Capture:
        """Read the places now, and have a helper add the texts and then call `done`. Never blocks."""
        places = {run.id: stack for run, stack in self.places(runs)}
        capture = Capture([run.id for run in runs], places)

        def add_texts() -> None:
            try:
                capture.stacks = {**places, **{run.id: stack for run, stack in self.locate(runs)}}
            except Exception as error:  # noqa: BLE001 - a runner that breaks its contract
                capture.error = error
            finally:
                done(capture)

        self._pool.submit("", [CancelCallback(add_texts, "stacks")])
        return capture

    def places(self, runs: Sequence[LiveRun]) -> list[tuple[LiveRun, Stack]]:
        """Return where the runs are whose runner never blocks, without the texts. Reads no file."""
        groups = self._by_runner(runs).items()
        readable = [(self._runners[name], group) for name, group in groups if never_blocks(self._runners[name])]
        return [found for runner, group in readable for found in self._read(runner, group, 0)]

    def _by_runner(self, runs: Sequence[LiveRun]) -> dict[str, list[LiveRun]]:
        by_runner: dict[str, list[LiveRun]] = {}
        for run in runs:
            if run.handle is not None:
                by_runner.setdefault(run.record.spec.runner.name, []).append(run)
        return by_runner

    def _read(self, runner: Runner, runs: Sequence[LiveRun], texts: int) -> list[tuple[LiveRun, Stack]]:
        handles: list[RunHandle] = [run.handle for run in runs if run.handle is not None]
        return list(zip(runs, runner.stacks(handles, texts), strict=True))
