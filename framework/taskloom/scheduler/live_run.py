"""One run while it lives, as the engine holds it: its token, its runner's handle, what is known of its polls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from taskloom.core.model import JobSpec, Moment
from taskloom.core.records import RunRecord
from taskloom.runners import Emit, RunHandle, Runner, RunOrder, Stack
from taskloom.runners.gauges import Gauges
from taskloom.scheduler.heartbeats import HeartbeatMonitor, HeartbeatTrack
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.latch import Latch

__all__ = ["LiveRun", "locate_runs"]


class LiveRun:
    """The engine's side of a run. `over` opens once the core knows that the body has come back."""

    __slots__ = ("_order", "_track", "begun", "handle", "over", "record", "token")

    def __init__(self, record: RunRecord, order: RunOrder, sampler: HeartbeatMonitor) -> None:
        self.record = record
        """What the core remembers of it; to look at only."""
        self.over = Latch()
        self.token = CancelToken(sampler)
        self.handle: RunHandle | None = None
        self.begun: Moment | None = None
        """When the runner was told to start it."""
        self._order = order
        self._track: HeartbeatTrack | None = None

    @property
    def id(self) -> str:
        """The run's name, unique in its scheduler."""
        return self.record.id

    @property
    def job(self) -> str:
        """The job's name."""
        return self._order.job

    @property
    def runner_name(self) -> str:
        """The name of the runner that executes it."""
        return self.record.spec.runner.name

    @property
    def gauges(self) -> Gauges:
        """Progress and counters."""
        return self.handle.gauges if self.handle is not None else Gauges()

    @property
    def worst_gap(self) -> float:
        """The longest time without a poll that was seen, in seconds."""
        return self._track.worst_gap if self._track is not None else 0.0

    def begin(self, runner: Runner, sampler: HeartbeatMonitor, emit: Emit, now: Moment) -> None:
        """Have the runner start it. Raises whatever kept it from starting."""
        self.begun = now
        has_terminate = self._order.binding.has_terminate
        self._track = HeartbeatTrack(self.record, self.token, self.record.queued.mono, is_unobserved=has_terminate)
        self.handle = runner.start(self._order, self.token, emit)
        sampler.watch(self.id, self._track)

    def apply(self, spec: JobSpec) -> None:
        """Have the run keep a new declaration as far as it can while it goes on."""
        self.gauges.poll_interval = spec.poll_interval

    def is_alive(self) -> bool:
        """Tell whether its body may still be executing."""
        return not self.over.is_open

    def is_gone(self) -> bool:
        """Tell whether the last of it is gone: the thread itself, which has left the body."""
        return self.handle is None or self.handle.is_gone()

    def join(self, timeout: float) -> bool:
        """Wait so many seconds for the last of it to be gone."""
        return self.handle is None or self.handle.join(timeout)

    def poll_age(self, now: float) -> float | None:
        """Return the seconds since its last poll; None where unobserved."""
        return self._track.age(now) if self._track is not None else None

    def unfinished_callbacks(self) -> tuple[str, ...]:
        """Name the callbacks that were handed out and have not come back."""
        return tuple(
            f"{callback.name}: {'still running' if callback.is_begun else 'not begun'}"
            for callback in self.token.dispatched
            if not callback.is_done
        )


def locate_runs(runners: Mapping[str, Runner], runs: Iterable[LiveRun], texts: int) -> list[tuple[LiveRun, Stack]]:
    """Say where the runs stand that began, in one look per runner; whole texts for the first `texts` of each."""
    by_runner: dict[str, list[LiveRun]] = {}
    for run in runs:
        if run.handle is not None:
            by_runner.setdefault(run.runner_name, []).append(run)
    found: list[tuple[LiveRun, Stack]] = []
    for name, group in by_runner.items():
        handles = [run.handle for run in group if run.handle is not None]
        stacks = runners[name].stacks(handles, texts)
        found.extend(zip(group, stacks, strict=True))
    return found
