"""The recorder of one start of a program: takes events and actions, and has one thread write them to the database.

No job and no stop waits for the database. A caller that needs to know that a row survives a crash gives a `done`, which
is called after the commit.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from itertools import count
from typing import Any

from taskloom.clock import Clock, MonotonicClock, mono
from taskloom.core.events import Event
from taskloom.history.database import Database, connect
from taskloom.history.health import Health
from taskloom.history.intake import Intake
from taskloom.history.location import Target
from taskloom.history.memory import JobMemory
from taskloom.history.model import ActionRow, HistoryState, Opened, RunGauges, StartInfo
from taskloom.history.queue import Rank, Row, RowQueue
from taskloom.history.read_rows import Page
from taskloom.history.retention import KEEP_SECONDS, SIZE, Pruner
from taskloom.history.rows import EventFold
from taskloom.history.start_row import StartRow
from taskloom.history.wakeup import Wakeup
from taskloom.history.writer import Ending, Sources, Storage, Writer
from taskloom.observe.masked_data import masked_data
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch

__all__ = ["OPEN_SECONDS", "Recorder"]

OPEN_SECONDS = 5.0
"""How long a start waits for its history before it goes on without."""
# Between two attempts to write the end of the program.
_END_RETRY = 0.1
_CLOSE_SECONDS = 2.0


class _Stage(Enum):
    """How far the recorder is."""

    NEW = "new"
    OPEN = "open"
    ENDING = "ending"
    """It takes nothing more, and writes what it has."""
    CLOSED = "closed"
    LEFT = "left"
    """In a forked child: the thread and the database are the parent's."""


class Recorder:
    """One writer thread. No method blocks for longer than it says; any thread may call them.

    `keep`: seconds for which rows are kept; `size`: bytes. `log`: called with a level and a text, once when a trouble
    begins and once when it ends. `tail_of`: returns the last lines of a run, and how many bytes before them are left
    out. `polls`: returns what the runs that are alive have reported. All three are called on the writer thread.
    `is_fresh`: whether nothing that earlier starts have left is remembered.
    """

    def __init__(
        self,
        target: Target,
        *,
        name: str,
        start: StartInfo,
        keep: float = KEEP_SECONDS,
        size: float = SIZE,
        mask: Callable[[str], str] = str,
        log: Callable[[str, str], object],
        tail_of: Callable[[str], tuple[str, int]] = lambda _: ("", 0),
        polls: Callable[[], Mapping[str, RunGauges]] = dict,
        is_fresh: bool = False,
        connect: Callable[[Target, str], Database] = connect,
        clock: Clock | None = None,
        queue: RowQueue | None = None,
    ) -> None:
        clock = MonotonicClock() if clock is None else clock
        queue = RowQueue() if queue is None else queue
        self._target, self._start, self._mask = target, start.start, mask
        self._action_ids = count(1)
        self._stage = _Stage.NEW
        self._ending: Ending | None = None
        self._wakeup = Wakeup()
        self._health = Health(log, clock)
        self._intake = Intake(
            EventFold(start.start, mask), JobMemory(mask, is_fresh=is_fresh), queue, self._wakeup.wake
        )
        storage = Storage(partial(connect, target, name), partial(Pruner, start=start.start, keep=keep, size=size))
        sources = Sources(log, tail_of, polls)
        self._writer = Writer(StartRow(start), self._intake, storage, sources, self._health, clock=clock)
        self._has_more = False
        # Opened when the first attempt to connect has ended; when all is written; when the thread is over.
        self._tried, self._written, self._over = Latch(), Latch(), Latch()
        self._is_complete = False
        self._thread = KeptThread("taskloom-history", self._step, self._struck)
        _remember(self)

    def open(self, within: float = OPEN_SECONDS) -> Opened:
        """Start the thread, and wait until it has connected, for at most `within` seconds.

        It does not wait if only a user can change why the database cannot be used.

        If it has not connected the history is degraded, and the thread goes on trying. Raises RuntimeError if no thread
        can be started. Called once.
        """
        self._stage = _Stage.OPEN
        try:
            self._thread.start()
        except BaseException:
            self._stage = _Stage.CLOSED
            raise
        self._thread.wait_for(self._tried, within)
        return self._writer.told()

    def put(self, event: Event, gauges: RunGauges | None = None) -> None:
        """Take an event; not on the main thread. `gauges`: what its run has reported, if known; best with `ended`."""
        if self._takes():
            self._intake.put_event(event, gauges)

    def put_action(self, action: ActionRow, done: Callable[[bool], object] | None = None) -> None:
        """Take an action. `done`: called with True after its commit, or with False; it must not block."""
        if not self._takes():
            if done is not None:
                done(False)
            return
        values = {
            "at": action.at,
            "action": action.action,
            "jobs": list(action.jobs),
            "caller": masked_data(self._mask, dict(action.caller)),
            "reason": self._mask(action.reason),
            "result": self._mask(action.result),
        }
        self._intake.put_row(Row(("actions", self._start, next(self._action_ids)), values, Rank.ACTION), done)

    def record_instant(self, job: str, instant: float, done: Callable[[bool], object]) -> None:
        """Record that a run starts for this instant. `done`: as in `put_action`, as soon as possible."""
        if self._takes():
            self._intake.put_instant(job, instant, done)
        else:
            done(False)

    def read_runs(self, since: float, most: int, found: Callable[[Page | None], object]) -> None:
        """Read the last `most` runs since an instant, in seconds since the epoch; also those of earlier starts.

        `found` is called once, with None if they cannot be read now; it must neither block nor raise.
        """
        if not self._takes() or not self._writer.past_runs.request(since, most, found):
            found(None)
            return
        self._wakeup.wake(is_urgent=True)

    @property
    def state(self) -> HistoryState:
        """How the history is at the moment."""
        if self._stage is _Stage.LEFT:
            return HistoryState("off")
        dropped = sum(self._intake.dropped.values()) + self._writer.refused
        return self._health.state(queued=self._intake.waiting, dropped=dropped, url=self._target.shown)

    def finish(self, report: Mapping[str, Any], exit_code: int, deadline: float) -> bool:
        """Write all that waits, and that the program has ended, and close the database.

        `report`: of the stop, as JSON. `deadline`: a monotonic second. Returns False if not all is written by then.
        Idempotent: later calls wait for the first. Nothing is taken any more.
        """
        if self._stage is _Stage.OPEN:
            self._ending = Ending(masked_data(self._mask, report), exit_code, deadline)
            self._stage = _Stage.ENDING
        if self._stage is not _Stage.ENDING:
            return self._is_complete
        self._wakeup.wake(is_urgent=True)
        self._thread.wait_for(self._over, max(0.0, deadline - mono()))
        if not self._over.is_open:
            self._abort()
        return self._is_complete

    def close(self) -> None:
        """End the thread, at most _CLOSE_SECONDS later. Without `finish` the start of the program looks as if killed.

        Idempotent.
        """
        if self._stage in (_Stage.NEW, _Stage.LEFT):
            return
        self._stage = _Stage.CLOSED
        self._wakeup.wake(is_urgent=True)
        if self._thread.is_current() or self._thread.wait_for(self._over, _CLOSE_SECONDS / 2):
            return
        self._abort()
        self._thread.wait_for(self._over, _CLOSE_SECONDS / 2)

    def leave_behind(self) -> None:
        """Called in a forked child, where the thread does not exist: touch nothing of the parent's. Idempotent."""
        if self._stage is _Stage.LEFT:
            return
        self._stage = _Stage.LEFT
        if self._writer.database is not None:
            self._writer.database.leave_behind()
        for latch in (self._tried, self._written, self._over):
            latch.open()

    def _takes(self) -> bool:
        if self._stage is not _Stage.OPEN:
            return False
        self._thread.ensure()
        return True

    def _abort(self) -> None:
        database = self._writer.database
        if database is not None:
            database.abort()

    # -- on the writer thread

    def _step(self) -> bool:
        """Do what is due, after waiting for it; return True once all is over."""
        if self._stage is _Stage.ENDING and self._ending is not None:
            return self._end(self._ending)
        if self._stage is _Stage.CLOSED:
            return self._finish_thread()
        if self._tried.is_open:
            self._sleep()
            if self._stage is not _Stage.OPEN:
                return False
        self._has_more = True  # if an exception ends this thread, the next one goes on at once
        self._has_more = self._writer.step()
        # Another program that holds the history is perhaps the one before this, which ends; a server may just start.
        # Without an answer the jobs would know nothing of what was before.
        if self._tried.is_open or not self._writer.may_work_soon:
            self._tried.open()
        else:
            self._sleep()
        return False

    def _sleep(self) -> None:
        if self._has_more:
            return
        self._wakeup.idle()
        self._wakeup.sleep(self._writer.due(), has_work=self._intake.has_arrived)

    def _end(self, ending: Ending) -> bool:
        self._is_complete = self._is_complete or self._writer.end(ending)
        if not self._is_complete and mono() + _END_RETRY < ending.deadline:
            self._wakeup.idle()
            self._wakeup.sleep(mono() + _END_RETRY, has_work=False)
            return False
        return self._finish_thread()

    def _finish_thread(self) -> bool:
        self._writer.close()
        if self._stage is not _Stage.LEFT:
            self._stage = _Stage.CLOSED
        self._over.open()
        return True

    def _struck(self, error: BaseException) -> None:
        self._writer.struck(error)
        self._has_more = False
        self._tried.open()


_recorders: dict[int, weakref.ref[Recorder]] = {}
_registered: list[bool] = []


def _remember(recorder: Recorder) -> None:
    """Have the recorder left behind in each child that is forked from this process."""
    key = id(recorder)
    # The callback is C code: neither a fork on another thread nor a finalizer finds the dict half changed.
    _recorders[key] = weakref.ref(recorder, partial(_recorders.pop, key))
    if not _registered:
        _registered.append(True)
        os.register_at_fork(after_in_child=_leave_all_behind)


def _leave_all_behind() -> None:
    for reference in list(_recorders.values()):
        recorder = reference()
        if recorder is not None:
            recorder.leave_behind()
