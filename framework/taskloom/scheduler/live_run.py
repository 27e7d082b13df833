"""A live run as the engine sees it: its token, its runner's handle and its heartbeats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from taskloom.core.model import JobSpec, Moment
from taskloom.core.records import RunRecord
from taskloom.runners import Emit, ProcessInfo, RunHandle, Runner, RunOrder
from taskloom.runners.gauges import Gauges
from taskloom.scheduler.heartbeats import HeartbeatMonitor, HeartbeatTrack
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.gate import Gate
from taskloom.sync.latch import Latch

__all__ = ["LiveRun", "RunGauges", "run_gauges"]


class RunGauges(NamedTuple):
    """A run that has not ended, and all that it has reported so far."""

    run: str
    polled_at: float | None
    """The monotonic second at which it last polled, to one second; None if that is not known."""
    reported: Mapping[str, Any]
    """JSON data: `counts` and `progress`, each only if it has some."""


class LiveRun:
    """The engine's side of a run. `over` opens once the core knows that the body has returned."""

    __slots__ = (
        "_order",
        "_track",
        "begun",
        "decided",
        "handle",
        "id",
        "is_cancel_queued",
        "is_in_process",
        "job",
        "over",
        "processes",
        "record",
        "runner",
        "token",
    )

    def __init__(self, record: RunRecord, order: RunOrder, heartbeats: HeartbeatMonitor, gate: Gate) -> None:
        self.record = record
        """The core's record of the run; read only."""
        self.id = record.id
        self.job = order.job
        self.over = Latch()
        self.decided: Latch | None = None
        """Opens once the runner has started the run or failed to; None if that was done on the scheduler thread."""
        self.is_cancel_queued = False
        """Whether a cancel is queued that the core has not processed: another one would change nothing."""
        self.token = CancelToken(heartbeats, gate, record.id)
        self.handle: RunHandle | None = None
        self.runner: Runner | None = None
        """Set when its runner is called to start it."""
        self.begun: Moment | None = None
        """When the runner was called to start the run; None if the run began to wait for something else then."""
        self.is_in_process = False
        """Whether its handle can show processes."""
        self.processes: tuple[float, ProcessInfo | None] = (0.0, None)
        """The monotonic second at which its processes were last read, and what was found."""
        self._order = order
        self._track: HeartbeatTrack | None = None

    @property
    def gauges(self) -> Gauges:
        """Progress and counters."""
        return self.handle.gauges if self.handle is not None else Gauges()

    @property
    def worst_gap(self) -> float:
        """The longest observed time without a poll, in seconds."""
        return self._track.worst_gap if self._track is not None else 0.0

    def prepare(self, now: Moment) -> None:
        """Make what the run needs besides its runner."""
        # A process has to start and to import its task before the body is entered.
        is_prompt = self._order.terminate_returned is None and not self.record.spec.join.kills
        self.begun = now if is_prompt else None
        binding = self._order.binding
        # A program polls nothing: it is observed from its first successful check on.
        is_unobserved = binding.has_terminate or binding.program is not None
        self._track = HeartbeatTrack(self.record, self.token, self.record.queued.mono, is_unobserved=is_unobserved)

    def start(self, runner: Runner, emit: Emit) -> None:
        """Have the runner start the run. Raises what the runner raises."""
        self.runner = runner
        handle = runner.start(self._order, self.token, emit)
        self.handle, self.is_in_process = handle, hasattr(type(handle), "process")

    def watch(self, heartbeats: HeartbeatMonitor) -> None:
        """Have its polls sampled, unless it has ended already."""
        if self._track is not None and not self.over.is_open:
            heartbeats.add(self.id, self._track)

    def apply(self, spec: JobSpec) -> None:
        """Apply the part of a new declaration that can change while the run goes on."""
        self.gauges.poll_interval = spec.poll_interval

    def is_alive(self) -> bool:
        """Return whether the body may still be executing."""
        return not self.over.is_open

    def is_executing(self) -> bool:
        """Return what its runner says: whether the body may still be executing."""
        return self.handle is not None and self.handle.is_alive()

    def is_gone(self) -> bool:
        """Return whether nothing of the run is left: its thread has ended, or is free for another run."""
        return self.handle is None or self.handle.is_gone()

    def join(self, timeout: float) -> bool:
        """Wait until nothing of the run is left; return False after `timeout` seconds."""
        return self.handle is None or self.handle.join(timeout)

    def last_polled(self, now: float) -> float | None:
        """Return the monotonic second at which it last polled, to one second; None if unobserved. Any thread may ask.

        Unlike `poll_age` it changes nothing: the thread that samples the polls may be at work.
        """
        track = self._track
        if track is None:
            return None
        if self.token.is_waiting or self.token.polls != track.polls:
            return now
        return None if track.is_unobserved else track.polled_at

    def poll_age(self, now: float) -> float | None:
        """Return the seconds since its last poll; None if unobserved."""
        return self._track.age(now) if self._track is not None else None

    def unfinished_callbacks(self) -> tuple[str, ...]:
        """Name the callbacks that were dispatched and have not returned."""
        return tuple(
            f"{callback.name}: {'still running' if callback.is_begun else 'not begun'}"
            for callback in self.token.dispatched
            if not callback.is_done
        )


def run_gauges(run: LiveRun) -> Mapping[str, Any]:
    """Return what the run has counted and reported, as JSON data: `counts` and `progress`, each only if it has some."""
    found: dict[str, Any] = {}
    gauges = run.gauges
    counts, progress = gauges.counts, gauges.progress
    if counts:
        found["counts"] = counts
    if progress is not None:
        found["progress"] = progress._asdict()
    return found
