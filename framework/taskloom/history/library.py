"""The history of a program that brings its own scheduler."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskloom.clock import mono, wall
from taskloom.core.events import Event, EventName
from taskloom.scheduler.facade import Scheduler
from taskloom.scheduler.failure_log import FailureLog

if TYPE_CHECKING:
    from taskloom.history.model import RunGauges
    from taskloom.history.recorder import Recorder

__all__ = ["record"]

# As for `taskloom run`.
_KEEP_SECONDS = 30 * 86400.0
_SIZE_BYTES = 256 << 20
_FINISH_SECONDS = 2.0


@contextmanager
def record(
    scheduler: Scheduler,
    target: str | None = None,
    *,
    name: str,
    keep: float = _KEEP_SECONDS,
    size: int = _SIZE_BYTES,
) -> Iterator[Recorder]:
    """Record what the jobs of this scheduler do, until the end of the block.

    `target`: the path or URL of a database; None for a file in the state folder of the user. `name`: by which
    `taskloom history --name` finds it; of two programs with one name, the second records nothing. `keep`: seconds after
    which rows may go. `size`: the most bytes. Enter it before `start`, and stop the scheduler inside of the block: runs
    that are alive at its end count as abandoned.

    One thread writes, and one takes the events. If the database cannot be used, the logger `taskloom.history` says so,
    and it is tried again and again; jobs do not wait for it. Entering takes five seconds at most, leaving two.

    Raises HistoryError for a target that cannot be used, and ImportError without the extra `history`.
    """
    from taskloom.history.location import default_target, parse_target
    from taskloom.history.model import StartInfo
    from taskloom.history.recorder import Recorder

    log = FailureLog(logging.getLogger("taskloom.history"))
    recorder = Recorder(
        default_target(name) if target is None else parse_target(target, is_password_allowed=True),
        name=name,
        start=StartInfo(os.urandom(4).hex(), wall(), os.getpid(), (), tuple(sys.orig_argv)),
        keep=keep,
        size=size,
        log=lambda level, line: log.put_line(line, level.upper()),
        polls=lambda: gauges_of(scheduler),
    )
    recorder.open()
    try:
        listener = scheduler.listen(lambda event: recorder.put(event, gauges_at_end(event)))
        try:
            yield recorder
        finally:
            listener.close(_FINISH_SECONDS)
    finally:
        report = scheduler.stop_report
        code = 0 if report is None else int(report.exit_code)
        recorder.finish({} if report is None else report.as_dict(), code, mono() + _FINISH_SECONDS)
        recorder.close()
        log.flush()


def gauges_at_end(event: Event) -> RunGauges | None:
    """Return what a run has reported that has ended; None for another event, or if it has reported nothing."""
    if event.event is not EventName.ENDED or not event.data:
        return None
    from taskloom.history.model import RunGauges

    return RunGauges(None, event.data.get("counts"), event.data.get("progress"))


def gauges_of(scheduler: Scheduler) -> Mapping[str, RunGauges]:
    """Return what each live run has reported, and when it last polled. Never waits; any thread may call it."""
    from taskloom.history.model import RunGauges

    ahead = wall() - mono()
    return {
        each.run: RunGauges(
            None if each.polled_at is None else each.polled_at + ahead,
            each.reported.get("counts"),
            each.reported.get("progress"),
        )
        for each in scheduler.gauges()
    }
