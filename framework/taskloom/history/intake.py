"""Takes events, instants and actions from any thread, and folds them into rows for the writer thread.

Each arrival is appended to a deque, which needs no lock and never blocks. It is folded by the writer thread, or, while
that waits for its disk, by the thread that brings the events, if it finds too much and the lock free. So memory stays
bounded however long a write takes, and a finalizer that runs in the middle of a fold finds no lock to wait for. Threads
that bring instants and actions never take the lock: one may be the main thread, in which a Ctrl-C may strike any line.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import Counter, deque
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from typing import NamedTuple

from taskloom.core.events import Event, EventName
from taskloom.core.model import Outcome
from taskloom.core.remembered import RememberedJob
from taskloom.history.memory import JobMemory
from taskloom.history.model import RunGauges
from taskloom.history.queue import Batch, Done, Rank, Row, RowQueue
from taskloom.history.rows import EventFold, Stuck

__all__ = ["Intake"]

_FOLDED_TOGETHER = 256
# The writer fetches the tails of runs that failed, a batch at a time. More than these wait only while it is blocked.
_MOST_TAILS_WANTED = 1_000


class _Event(NamedTuple):
    event: Event
    gauges: RunGauges | None


class _Instant(NamedTuple):
    job: str
    instant: float
    done: Done


class _Promised(NamedTuple):
    row: Row
    done: Done | None


class Intake:
    """The way of rows into the queue. Any thread may call `put_event`, `put_instant` and `put_row`, which never block.

    All other methods are for the writer thread. `wake` is called after each arrival; True if it may not wait.
    """

    def __init__(self, fold: EventFold, memory: JobMemory, queue: RowQueue, wake: Callable[[bool], object]) -> None:
        self._fold, self._memory, self._queue = fold, memory, queue
        self._wake = wake
        self._arrived: deque[_Event | _Instant | _Promised] = deque()
        # Guards all that is folded. Never held while code of others is called.
        self._lock = allocate_lock()
        # Instants of jobs whose declaration has not arrived yet.
        self._early: list[_Instant] = []
        self._tails_wanted: deque[str] = deque()
        self._unfolded = 0

    def put_event(self, event: Event, gauges: RunGauges | None) -> None:
        """Take an event. Not on the main thread, if that handles signals."""
        self._arrived.append(_Event(event, gauges))
        if len(self._arrived) >= _FOLDED_TOGETHER:
            self._fold_arrived(may_wait=False)
        self._wake(False)

    def put_instant(self, job: str, instant: float, done: Done) -> None:
        """Take an instant whose run waits for its commit."""
        self._arrived.append(_Instant(job, instant, done))
        self._wake(True)

    def put_row(self, row: Row, done: Done | None = None) -> None:
        """Take a row that is made elsewhere; without `done` nothing waits for its commit."""
        self._arrived.append(_Promised(row, done))
        self._wake(done is not None)

    @property
    def has_arrived(self) -> bool:
        """Whether there is something to fold, or a log to fetch."""
        return bool(self._arrived or self._tails_wanted)

    @property
    def waiting(self) -> int:
        """How many rows and events wait. Any thread may ask."""
        return len(self._queue) + len(self._arrived)

    @property
    def dropped(self) -> Counter[Rank]:
        """What was lost to a lack of room, or of memory, since the start. Any thread may ask."""
        dropped = self._queue.dropped.copy()
        if self._unfolded:
            dropped[Rank.EVENT] += self._unfolded
        return dropped

    @property
    def has_alive(self) -> bool:
        """Whether a run is alive."""
        return self._fold.alive > 0

    @property
    def has_new(self) -> bool:
        """Whether a run has begun since `take_new`, and is alive."""
        return bool(self._fold.new)

    # -- for the writer thread

    def take_new(self) -> Collection[str]:
        """Return the runs that have begun since the last call and are alive."""
        with self._lock:
            new, self._fold.new = self._fold.new, set()
        return new

    def fold(self) -> None:
        """Fold all that has arrived into the queue."""
        self._fold_arrived(may_wait=True)

    def take(self, ranks: Container[Rank], most: int, most_bytes: float) -> Batch:
        """Remove and return the rows of the next transaction."""
        with self._lock:
            return self._queue.take(ranks, most, most_bytes)

    def put_back(self, rows: Iterable[Row]) -> None:
        """Keep rows that could not be written for a later time."""
        with self._lock:
            lost = self._queue.put_back(rows)
        _refuse(lost)

    def refuse_waiting(self) -> None:
        """Tell all that wait for a commit that there is none now; their rows stay."""
        with self._lock:
            waiting = self._queue.take_waiting()
            early, self._early = self._early, []
        _refuse(waiting)
        _refuse([each.done for each in early])

    def load(self, remembered: Mapping[str, RememberedJob]) -> Mapping[str, RememberedJob]:
        """Take what earlier starts have left, and return what of it is remembered."""
        with self._lock:
            return self._memory.load(remembered)

    def put_all(self) -> None:
        """Queue the rows of everything that is alive: the database knows nothing of this start."""
        self._put(lambda: [*self._fold.rows(), *self._memory.rows()])

    def put_polled(self, gauges: Mapping[str, RunGauges]) -> None:
        """Queue the rows of runs that have polled or reported something since."""
        self._put(lambda: self._fold.polled(gauges))

    def abandon(self, at: float, survivors: Mapping[str, Stuck]) -> None:
        """Queue the rows of the runs that the program leaves alive."""
        self._put(lambda: self._fold.abandon(at, survivors))

    def next_tail(self) -> str | None:
        """Return the next run that did not succeed, whose log is wanted."""
        try:
            return self._tails_wanted.popleft()
        except IndexError:
            return None

    def _put(self, rows: Callable[[], Iterable[Row]]) -> None:
        lost: list[Done] = []
        with self._lock:
            for row in rows():
                lost += self._queue.put(row)
        _refuse(lost)

    # -- folding

    def _fold_arrived(self, *, may_wait: bool) -> None:
        """Fold what has arrived. If another thread is doing that, it folds ours too, or the writer thread does, woken.

        If another thread takes the lock after this one has found it free, the wait is for a fold, which does no I/O.
        """
        while self._arrived and (may_wait or not self._lock.locked()):
            lost: list[Done] = []
            with self._lock:
                while self._arrived:
                    self._fold_next(lost)
            _refuse(lost)

    def _fold_next(self, lost: list[Done]) -> None:
        item = self._arrived.popleft()
        try:
            self._queue.begin_group()
            if isinstance(item, _Event):
                self._fold_event(item, lost)
            elif isinstance(item, _Instant):
                self._fold_instant(item, lost)
            else:
                lost += self._queue.put(item.row, item.done)
        except BaseException as error:  # such as a MemoryError: one item is lost, and counted
            self._unfolded += 1
            if not isinstance(item, _Event) and item.done is not None:
                lost.append(item.done)
            if not isinstance(error, Exception):
                raise

    def _fold_event(self, item: _Event, lost: list[Done]) -> None:
        event = item.event
        for row in (*self._fold.add(event, item.gauges), *self._memory.add(event)):
            lost += self._queue.put(row)
        if event.event is EventName.ENDED and event.outcome is not Outcome.SUCCEEDED and event.run is not None:
            self._want_tail(event.run)
        if self._early and event.event in (EventName.JOB_ADDED, EventName.RELOADED):
            early, self._early = self._early, []
            for each in early:
                self._fold_instant(each, lost)

    def _fold_instant(self, item: _Instant, lost: list[Done]) -> None:
        row = self._memory.record(item.job, item.instant)
        if row is None:
            self._early.append(item)
        else:
            lost += self._queue.put(row, item.done)

    def _want_tail(self, run: str) -> None:
        if len(self._tails_wanted) >= _MOST_TAILS_WANTED:
            self._tails_wanted.popleft()
            self._queue.dropped[Rank.TAIL] += 1
        self._tails_wanted.append(run)


def _refuse(waiting: Iterable[Done]) -> None:
    for done in waiting:
        try:
            done(False)
        except Exception:  # noqa: BLE001 - the caller's; a history that fails there is worse
            pass
