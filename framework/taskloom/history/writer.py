"""The steps of the writer thread: connects, writes batches, tries again after errors, and ends in time.

Only rows that are committed are acknowledged. A batch that could not be written stays in the queue, except where a
later row has come meanwhile; its rows are whole, so it does not matter how much of it was committed after all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

from taskloom.clock import Clock
from taskloom.core.remembered import RememberedJob
from taskloom.history.database import Database
from taskloom.history.errors import HistoryCorrupt, HistoryError, HistoryFailed, HistoryHeld
from taskloom.history.health import Health
from taskloom.history.intake import Intake
from taskloom.history.lost import mark_lost
from taskloom.history.model import LostRun, Opened, RunGauges
from taskloom.history.past_runs import PastRuns
from taskloom.history.queue import Batch, Done, Rank, Row
from taskloom.history.retention import Batch as Limit
from taskloom.history.retention import Pruner, Room
from taskloom.history.rows import Stuck
from taskloom.history.start_row import StartRow
from taskloom.history.stored import is_about_a_row, is_running, load_jobs, write_rows
from taskloom.text import error_text, first_of, plural

__all__ = ["Ending", "Sources", "Storage", "Writer"]

# The most that one transaction writes.
MOST_ROWS, MOST_BYTES = 1_000, 4 * 1024 * 1024
# Seconds between two rows that say that the program is alive: while a run is alive, and while none is.
BUSY_BEAT, IDLE_BEAT = 5.0, 60.0
# Seconds until it is written what a new run has reported: a crash soon after its start must not hide that it polled.
FIRST_BEAT = 0.9
# Tails that are fetched before a batch: each may take as long as it takes to read 2,000 lines.
_TAILS_TOGETHER = 200
# More names than these make a log line too long to read.
_MOST_NAMED = 5

_RANKS: Mapping[Room, frozenset[Rank]] = {
    Room.ALL: frozenset(Rank),
    Room.RUNS: frozenset(Rank) - {Rank.TAIL, Rank.EVENT},
    Room.PROMISES: frozenset({Rank.ACTION}),
    Room.NOTHING: frozenset(),
}
_STATE = frozenset(Rank) - {Rank.TAIL, Rank.EVENT}


class Sources(NamedTuple):
    """What the thread asks the program for. Called on the writer thread, without a lock."""

    log: Callable[[str, str], object]
    """With the level and the text of a line."""
    tail_of: Callable[[str], tuple[str, int]]
    """The last lines of a run, masked, and how many bytes before them are left out."""
    polls: Callable[[], Mapping[str, RunGauges]]
    """What the runs that are alive have reported."""


class Storage(NamedTuple):
    """Where rows go to, and how long they stay there."""

    connect: Callable[[], Database]
    pruner: Callable[[Database], Pruner]
    """Makes the pruner of a connection."""


class Ending(NamedTuple):
    """The end of the program, which is to be written. `deadline`: a monotonic second."""

    report: Mapping[str, Any]
    exit_code: int
    deadline: float


class _FileGone(Exception):
    """The file of the database was deleted or replaced while it was open."""


class Writer:
    """The database of one start, and what is being done with it. One thread calls `step`, `end` and `struck`."""

    def __init__(
        self,
        start_row: StartRow,
        intake: Intake,
        storage: Storage,
        sources: Sources,
        health: Health,
        *,
        clock: Clock,
    ) -> None:
        self.opened: Opened | None = None
        """What the first connection has found."""
        # The same, as the program was told it. Setting a default is atomic: it was in time, or the log tells it.
        self._told: dict[str, Opened] = {}
        self.database: Database | None = None
        """None while there is no connection. Another thread may call `abort` and `leave_behind` of it."""
        self._start_row, self._intake = start_row, intake
        self._storage, self._sources = storage, sources
        self._health, self._clock = health, clock
        self.past_runs = PastRuns()
        """The queries of views. Another thread may call its `request`."""
        self._pruner: Pruner | None = None
        # What is being written, and who waits for it. Kept here so that whatever strikes, it is put back.
        self._rows: Sequence[Row] = ()
        self._waiting: deque[Done] = deque()
        self._beaten_at = -inf
        # When it is due to write what runs have reported that are new since the last time; inf if none is.
        self._first_beat_at = inf
        self.refused = 0
        """How many rows no database takes."""
        self.may_work_soon = False
        """Whether the last attempt has failed for a reason that may be over soon, with no change by a user."""
        # Runs that were marked as lost, and are not told yet.
        self._lost: dict[tuple[str, str], LostRun] = {}

    # -- when

    def due(self) -> float:
        """Return the monotonic second at which there is something to do, even if nothing arrives."""
        if self._health.is_degraded or self.database is None:
            return self._health.retry_at
        return min(self._beat_due(), self._pruner.due if self._pruner is not None else inf)

    def _beat_due(self) -> float:
        return min(self._first_beat_at, self._beaten_at + (BUSY_BEAT if self._intake.has_alive else IDLE_BEAT))

    def step(self) -> bool:
        """Do what is due; return whether there is more to be written at once. Raises nothing of a database."""
        self._gather()
        now = self._clock.now().mono
        if (self._health.is_degraded or self.database is None) and now < self._health.retry_at:
            self._intake.refuse_waiting()
            self.past_runs.refuse()
            return False
        return self._try(self._work)

    def _work(self) -> bool:
        if self.database is None:
            self._connect()
        now = self._clock.now().mono
        if self._intake.has_new and self._first_beat_at == inf:
            self._first_beat_at = now + FIRST_BEAT
        is_beat = self._health.is_degraded or now >= self._beat_due()
        if is_beat:
            self._beat(now)
        more = self._write_next(must_write=is_beat)
        if self.database is not None:
            self.past_runs.answer(self.database)
        self._prune()
        self._health.heal(self._intake.dropped)
        return more

    def _try(self, act: Callable[[], bool]) -> bool:
        self.may_work_soon = False
        try:
            return act()
        except HistoryError as error:
            self.may_work_soon = isinstance(error, HistoryHeld | HistoryFailed)
            self._failed(str(error), cause=error)
        except _FileGone as error:
            self._failed(str(error), at_once=True)
        except Exception as error:  # noqa: BLE001 - of a driver, or a MemoryError
            self.may_work_soon = True
            self._failed(error_text(error))
        return False

    def struck(self, error: BaseException) -> None:
        """Called after an exception that `step` has not caught: keep the rows, connect again."""
        self._failed(error_text(error), keeps_connection=False)

    # -- connecting

    def _connect(self) -> None:
        database = self._storage.connect()
        try:
            now = self._clock.now().wall
            name, start = database.name, self._start_row.start
            with database.begin() as connection:
                # Kept also if the answer to the commit gets lost: they are marked then, and are not found again.
                self._lost |= {(each.start, each.run): each for each in mark_lost(connection, name, start)}
                remembered = load_jobs(connection, name) if self.opened is None else {}
                is_known = is_running(connection, name, start)
                write_rows(connection, name, [self._start_row.alive(now)], now)
            pruner = self._storage.pruner(database)
        except BaseException:
            database.close()
            raise
        self.database, self._pruner = database, pruner
        if database.moved:
            self._sources.log("warning", f"the history was damaged: it is now {database.moved}, and a new one begins")
        self._found(remembered)
        if not is_known:
            self._intake.put_all()

    def told(self) -> Opened:
        """Return what the first connection has found: nothing if there was none, also later. Any thread may call it."""
        return self._told.setdefault("opened", Opened((), {}))

    def _found(self, remembered: Mapping[str, RememberedJob]) -> None:
        lost = tuple(self._lost.values())
        self._lost.clear()
        if self.opened is None:
            self.opened = Opened(lost, self._intake.load(remembered))
            if self._told.setdefault("opened", self.opened) is self.opened:
                return
        if lost:
            # The database could not be used when the program began, or another program had it until now.
            runs = f"{plural(len(lost), 'run')} {'was' if len(lost) == 1 else 'were'} lost"
            names = first_of([each.run for each in lost], _MOST_NAMED)
            self._sources.log("info", f"an earlier start was killed, and {runs}: {names}")

    # -- writing

    def _gather(self) -> None:
        """Fold what has arrived, and fetch the logs of runs that failed while they can be had."""
        self._intake.fold()
        for _ in range(_TAILS_TOGETHER):
            run = self._intake.next_tail()
            if run is None:
                return
            self._fetch_tail(run)

    def _fetch_tail(self, run: str) -> None:
        try:
            text, truncated = self._sources.tail_of(run)
        except Exception as error:  # noqa: BLE001 - of the program
            text, truncated = f"cannot read the log of {run}: {error_text(error)}\n", 0
        if text:
            values = {"at": self._clock.now().wall, "text": text, "truncated": truncated}
            self._intake.put_row(Row(("log_tails", self._start_row.start, run), values, Rank.TAIL))
            self._intake.fold()

    def _beat(self, now: float) -> None:
        """Queue what the runs have reported since: all of them, or those that are new if only these are due."""
        only = self._intake.take_new()
        is_whole = now < self._first_beat_at
        self._first_beat_at = inf
        if is_whole:
            self._beaten_at = now
        if not self._intake.has_alive:
            return
        try:
            found = self._sources.polls()
            self._intake.put_polled(found if is_whole else {run: found[run] for run in only if run in found})
        except Exception as error:  # noqa: BLE001 - of the program
            self._sources.log("debug", f"cannot read the counters of the runs: {error_text(error)}")

    def _write_next(self, *, must_write: bool) -> bool:
        """Write the next batch; return whether more may be waiting."""
        limit = self._limit()
        batch = self._take(limit, _RANKS[limit.room])
        if limit.room is Room.NOTHING:
            self._intake.refuse_waiting()
        elif batch.rows or must_write:
            self._write(batch, self._start_row.alive(self._clock.now().wall))
        return bool(batch.rows) and (len(batch.rows) >= limit.rows or batch.size >= limit.bytes)

    def _take(self, limit: Limit, ranks: Container[Rank]) -> Batch:
        """Take the rows of the next transaction; whatever strikes after this line, they are put back."""
        if limit.room is Room.NOTHING:
            return Batch([], [], 0)
        if self._rows:  # an exception struck while the last ones were put back
            self._give_back()
        batch = self._intake.take(ranks, limit.rows, limit.bytes)
        self._rows, self._waiting = batch.rows, deque(batch.waiting)
        return batch

    def _limit(self) -> Limit:
        limit = self._pruner.batch() if self._pruner is not None else Limit(Room.ALL, MOST_ROWS, MOST_BYTES)
        return limit._replace(rows=min(limit.rows, MOST_ROWS))

    def _write(self, batch: Batch, start: Row) -> None:
        """Write the batch, and acknowledge it if it is in a file that still has its name."""
        try:
            self._commit([*batch.rows, start])
        except Exception as error:
            if not batch.rows or not is_about_a_row(error):
                raise
            self._write_singly(batch.rows, start)
        self._check_file()
        self._rows = ()
        self._health.heal(self._intake.dropped)
        while self._waiting:
            _call(self._waiting.popleft(), True)
        if self._pruner is not None:
            self._pruner.wrote(len(batch.rows) + 1, batch.size)

    def _commit(self, rows: Sequence[Row]) -> None:
        database, now = self.database, self._clock.now().wall
        assert database is not None
        self._health.begin_write()
        with database.begin() as connection:
            write_rows(connection, database.name, rows, now)
        self._health.end_write()

    def _write_singly(self, rows: Sequence[Row], start: Row) -> None:
        """Write each row alone, without those that the database refuses: they would hold up all others for ever."""
        for row in (*rows, start):
            try:
                self._commit([row])
            except Exception as error:
                if not is_about_a_row(error):
                    raise
                self.refused += 1
                if self.refused == 1:
                    self._sources.log("warning", f"the history refuses a row of {row.table}: {error_text(error)}")

    def _check_file(self) -> None:
        """Connect again if the file was deleted: what was just committed is in no file that anyone can open."""
        if self.database is not None and self.database.is_lost():
            self._disconnect()
            raise _FileGone("its database, or a file beside it, was deleted or replaced; it is opened again")

    def _prune(self) -> None:
        if self._pruner is None or self._clock.now().mono < self._pruner.due:
            return
        pruned = self._pruner.step()
        self._health.limit(pruned.trouble)

    # -- errors

    def _failed(
        self, reason: str, *, cause: HistoryError | None = None, keeps_connection: bool = True, at_once: bool = False
    ) -> None:
        """Keep the rows for the next attempt, and say why there is one. `at_once`: it need not wait."""
        self._give_back()
        database = self.database
        if database is not None and isinstance(cause, HistoryCorrupt):
            reason, at_once = f"{reason}{self._move_aside(database)}", True
        elif database is not None and not (keeps_connection and database.is_usable):
            self._disconnect()
        self._health.fail(reason, self._intake.dropped, at_once=at_once)
        self._intake.refuse_waiting()
        self.past_runs.refuse()

    def _give_back(self) -> None:
        self._intake.put_back(self._rows)
        self._rows = ()
        while self._waiting:
            _call(self._waiting.popleft(), False)

    def _move_aside(self, database: Database) -> str:
        self.database = self._pruner = None
        try:
            return f"; it was moved to {database.move_aside()}"
        except HistoryError as error:
            return f"; {error}"
        finally:
            database.close()

    def _disconnect(self) -> None:
        database, self.database, self._pruner = self.database, None, None
        if database is not None:
            database.close()

    # -- the end

    def end(self, ending: Ending) -> bool:
        """Write all that waits, and that the program has ended; return whether that worked by its deadline."""
        self._gather()
        self._intake.abandon(self._clock.now().wall, _survivors_of(ending.report))
        return self._try(lambda: self._write_rest(ending))

    def _write_rest(self, ending: Ending) -> bool:
        if self.database is None:
            self._connect()
        start, ended = self._start_row, False
        while self._clock.now().mono < ending.deadline:
            self._gather()
            limit = self._limit()
            allowed = _RANKS[limit.room]
            batch = self._take(limit, allowed if ended else allowed & _STATE)
            if not batch.rows and ended:
                return self._intake.waiting == 0
            now = self._clock.now().wall
            # The runs first: a start that has ended is not looked at again for runs that seem alive.
            ended = ended or not batch.rows
            self._write(batch, start.ended(now, ending.report, ending.exit_code) if ended else start.alive(now))
        return False

    def close(self) -> None:
        """Close the database."""
        self._give_back()
        self._intake.refuse_waiting()
        self.past_runs.refuse()
        self._disconnect()


def _survivors_of(report: Mapping[str, Any]) -> Mapping[str, Stuck]:
    """Return where each run stood that outlived the stop, by run. `report`: of the stop, as JSON."""
    return {each["run"]: Stuck(each["where"], each["stack"]) for each in report.get("survivors", ())}


def _call(done: Done, is_written: bool) -> None:
    try:
        done(is_written)
    except Exception:  # noqa: BLE001 - the caller's, who knows better what to do about it
        pass
