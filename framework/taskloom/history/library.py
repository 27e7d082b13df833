"""The history of programs that bring their own scheduler."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from taskloom.clock import mono, wall
from taskloom.core.remembered import RememberedJob
from taskloom.history.gauges import gauges_at_end, gauges_of
from taskloom.history.location import Target, default_target, parse_target
from taskloom.history.model import HistoryState, LostRun, Opened, StartInfo
from taskloom.history.recorder import OPEN_SECONDS, Recorder
from taskloom.history.retention import KEEP_SECONDS, SIZE
from taskloom.scheduler.facade import Listener, Scheduler

__all__ = ["History", "ScheduleMemory", "record"]

LOGGER = "taskloom.history"
# For the last rows, when the block is left.
FINISH_SECONDS = 2.0


class ScheduleMemory:
    """The memory of a scheduler whose jobs have `missed: catch-up`: given to the scheduler first, and to `record` then.

    Before and after the block of `record` nothing is recorded: runs start all the same, and are marked `unrecorded`.
    """

    def __init__(self) -> None:
        self._recorder: Recorder | None = None

    def record_instant(self, job: str, instant: float, done: Callable[[bool], None]) -> None:
        """Record that a run of the job starts for this instant; called by the scheduler."""
        if self._recorder is None:
            done(False)
        else:
            self._recorder.record_instant(job, instant, done)


class History:
    """The history of one scheduler, within the block of `record`. Any thread may use it."""

    def __init__(self, recorder: Recorder, opened: Opened) -> None:
        self._recorder = recorder
        self.lost: tuple[LostRun, ...] = opened.lost
        """The runs that were alive when the program was killed the last time."""
        self.remembered: Mapping[str, RememberedJob] = opened.remembered
        """What earlier starts have left of each job, for `Scheduler.add_all`."""

    @property
    def state(self) -> HistoryState:
        """How it is at the moment: `on`, or `degraded` and why."""
        return self._recorder.state


@contextmanager
def record(
    scheduler: Scheduler,
    target: str | os.PathLike[str] | None = None,
    *,
    name: str,
    keep: float = KEEP_SECONDS,
    size: float = SIZE,
    memory: ScheduleMemory | None = None,
    mask: Callable[[str], str] = str,
) -> Iterator[History]:
    """Record the jobs of this scheduler in a database until the end of the block, in which it should be stopped.

        scheduler = Scheduler()
        with record(scheduler, "state/runs.sqlite", name="shop"), scheduler:
            ...

    `target`: a path or a URL; by default a file in the folder of state, as for `taskloom run`. `name`: of the program;
    only one program at a time writes the history of a name. `keep`: seconds for which rows are kept, and `size`: bytes.
    `memory`: the one that the scheduler was made with. `mask`: hides secrets in texts that tasks and people write.

    Jobs never wait for it. If the database cannot be used it is `degraded`, the logger `taskloom.history` says why, and
    it goes on trying. Raises BadTarget and HistoryUnusable for a place that cannot be one.
    """
    recorder = Recorder(
        _target_of(target, name),
        name=name,
        start=StartInfo(os.urandom(4).hex(), wall(), os.getpid(), (), tuple(map(mask, sys.orig_argv))),
        keep=keep,
        size=size,
        mask=mask,
        log=_log,
        polls=lambda: gauges_of(scheduler),
    )
    listener: Listener | None = None
    try:
        opened = recorder.open(OPEN_SECONDS)
        if memory is not None:
            memory._recorder = recorder
        listener = scheduler.listen(lambda event: recorder.put(event, gauges_at_end(event)))
        yield History(recorder, opened)
    finally:
        if memory is not None:
            memory._recorder = None
        _finish(scheduler, recorder, listener, mono() + FINISH_SECONDS)


def _finish(scheduler: Scheduler, recorder: Recorder, listener: Listener | None, deadline: float) -> None:
    try:
        if listener is not None:
            listener.close(max(0.0, deadline - mono()))
        report = scheduler.stop_report
        data, code = (report.as_dict(), int(report.exit_code)) if report is not None else ({}, 0)
        if not recorder.finish(data, code, deadline) and recorder.state.kind != "off":
            _log(
                "warning", f"the history could not be written to its end: {recorder.state.reason or 'no time is left'}"
            )
    finally:
        recorder.close()


def _target_of(target: str | os.PathLike[str] | None, name: str) -> Target:
    if target is None:
        return default_target(name)
    if isinstance(target, str):
        return parse_target(target, is_password_allowed=True)
    return parse_target(os.path.join(os.curdir, os.fspath(target)))  # noqa: PTH118 - it may be a plain file name


def _log(level: str, text: str) -> None:
    logging.getLogger(LOGGER).log(logging.getLevelNamesMapping()[level.upper()], text)
