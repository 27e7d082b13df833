"""Finds out where overdue runs are, without making the stop wait for a file.

The place of a thread is read from its frames, which needs no file, on the scheduler thread. The text of a stack quotes
source lines. They may be on a disk that does not answer, so a helper thread formats the text, and it has
CAPTURE_SECONDS for it. After that the place alone is reported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

from taskloom.clock import mono
from taskloom.runners import RunHandle, Runner, Stack
from taskloom.runners.callback_pool import CallbackPool
from taskloom.runners.thread import ThreadRunner
from taskloom.scheduler.live_run import LiveRun
from taskloom.sync.cancel_callback import CancelCallback
from taskloom.sync.latch import Latch

__all__ = ["Capture", "StackReader", "never_blocks", "reads_at_once"]

# Less than the quarter of a second by which a stop may be later than its deadline, more than reading some files takes.
CAPTURE_SECONDS = 0.2
# Whole stacks are read by people. For more runs than this in one capture, only the place is recorded.
WHOLE_STACKS = 100


def reads_at_once(runner: Runner) -> bool:
    """Return whether all methods of the runner may be called on the scheduler thread, also that for the stacks."""
    return type(runner) is ThreadRunner


def never_blocks(runner: Runner) -> bool:
    """Return whether the runner's methods, but for `stacks`, may be called on the scheduler thread.

    Those of ours may, not of another one or a subclass.
    """
    if type(runner) is ThreadRunner:
        return True
    return any(type(runner) is getattr(sys.modules.get(module), name, None) for module, name in _NEVER_BLOCKING)


# Not imported: a program whose jobs are all threads has no use for them.
_NEVER_BLOCKING = (
    ("taskloom.runners.process.runner", "ProcessRunner"),
    ("taskloom.runners.dask.runner", "DaskRunner"),
)


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

    def __init__(self, pool: CallbackPool) -> None:
        self._pool = pool
        # Open when the last `locate_within` is no longer reading.
        self._is_read = Latch()
        self._is_read.open()

    def locate(self, runs: Sequence[LiveRun], texts: int = WHOLE_STACKS) -> list[tuple[LiveRun, Stack]]:
        """Return where the begun runs currently are, with `texts` whole stacks for each runner.

        Asks each runner once. Reads files for the texts, so the scheduler thread never calls it.
        """
        groups = self._by_runner(runs)
        return [found for runner, group in groups for found in self._read(runner, group, texts)]

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
        """Read the places now, and have helpers add the texts; the last one calls `done`. Never blocks.

        There is a helper for each runner: one that does not answer does not cost the others their texts.
        """
        places = {run.id: stack for run, stack in self.places(runs)}
        capture = Capture([run.id for run in runs], places)
        groups = self._by_runner(runs)
        # One item for each helper that reads. A list, not a number: `pop` is atomic.
        reading = [None] * max(1, len(groups))

        def add_texts(group: Sequence[LiveRun]) -> None:
            try:
                # Into the same dict, in one call: another helper adds to it as well.
                capture.stacks.update({run.id: stack for run, stack in self.locate(group)})
            except Exception as error:  # noqa: BLE001 - a runner that breaks its contract
                capture.error = error
            finally:
                reading.pop()
                if not reading:
                    done(capture)

        for group in [group for _, group in groups] or [[]]:
            self._pool.submit("", [CancelCallback(partial(add_texts, group), "stacks")])
        return capture

    def places(self, runs: Sequence[LiveRun]) -> list[tuple[LiveRun, Stack]]:
        """Return where the runs are whose runner can tell it at once, without the texts. Reads no file."""
        readable = [(runner, group) for runner, group in self._by_runner(runs) if reads_at_once(runner)]
        return [found for runner, group in readable for found in self._read(runner, group, 0)]

    def _by_runner(self, runs: Sequence[LiveRun]) -> list[tuple[Runner, list[LiveRun]]]:
        by_runner: dict[int, tuple[Runner, list[LiveRun]]] = {}
        for run in runs:
            if run.handle is not None and run.runner is not None:
                by_runner.setdefault(id(run.runner), (run.runner, []))[1].append(run)
        return list(by_runner.values())

    def _read(self, runner: Runner, runs: Sequence[LiveRun], texts: int) -> list[tuple[LiveRun, Stack]]:
        handles: list[RunHandle] = [run.handle for run in runs if run.handle is not None]
        return list(zip(runs, runner.stacks(handles, texts), strict=True))
