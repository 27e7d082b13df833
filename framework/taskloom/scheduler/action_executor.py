"""The executing side of the engine: carries out the core's actions on runs, listeners and waiting threads.

Nothing here decides anything or knows how messages are queued. The engine calls the handlers one at a time, in the
order in which the core returned the actions; they do not depend on the thread that calls them. A handler must not
block: no I/O, no logging, and no plugin code except a runner's `start`, `stacks` and `close`. Only `carry_out_deferred`
sleeps, for at most WAVE_SECONDS after each wave of a stop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from taskloom.clock import Clock, mono
from taskloom.core import actions
from taskloom.core.events import Event, EventName
from taskloom.core.inputs import Input, RunStartFailed, StackCaptured
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.report import StopReport, make_stop_report
from taskloom.errors import TaskNotFound
from taskloom.runners import Runner, RunOrder, Stack
from taskloom.runners.callback_pool import CallbackPool
from taskloom.runners.error_info import describe
from taskloom.scheduler.cancel_waves import CancelWaves
from taskloom.scheduler.condition import Condition
from taskloom.scheduler.live_run import LiveRun
from taskloom.scheduler.stop_progress import log_stop_progress
from taskloom.scheduler.subscribers import Listener
from taskloom.scheduler.timer import Timer
from taskloom.sync.cancel_token import CancelCallback
from taskloom.sync.latch import Latch

__all__ = ["ActionExecutor", "Messages"]

# A stop waits this long for a listener to deliver the last events; a stuck listener delays it no longer.
FLUSH_SECONDS = 0.2
# Whole stacks are read by people. For more runs than this in one capture, only the place is recorded.
WHOLE_STACKS = 100


class Messages(Protocol):
    """How the executing side reports to the core."""

    def post(self, message: Input) -> None:
        """Queue a report; never blocks, any thread may call it."""

    def process(self, message: Input) -> None:
        """Hand a report to the core now, before the queued messages. Only for use by a handler."""

    def process_queued(self) -> None:
        """Hand all queued messages to the core now. Only for use by a handler."""

    def record_bug(self, error: Exception) -> None:
        """Keep the error if it is the first breach of Taskloom's own rules."""


class ActionExecutor:
    """The live runs, the listeners, and everything that an action of the core needs.

    `core` is only read here. `on_stopping` is called when a stop of everything begins; it must not block.
    """

    def __init__(
        self,
        messages: Messages,
        core: Lifecycle,
        *,
        clock: Clock,
        runners: Mapping[str, Runner],
        pool: CallbackPool,
        timer: Timer,
        on_stopping: Callable[[], object] | None,
    ) -> None:
        self.live: dict[str, LiveRun] = {}
        """The runs that the core has not released yet, by id."""
        self.last: dict[str, LiveRun] = {}
        """The latest run of each job, ended or not."""
        self.released: deque[LiveRun] = deque()
        """Released runs, oldest first; the leading ones whose threads are gone are dropped at each release."""
        self.listeners: tuple[Listener, ...] = ()
        self.changed = Condition()
        """Notified when a run has ended or is overdue, and when the work or the stop is over."""
        self.stopped = Latch()
        self.report: StopReport | None = None
        self.cancel_waves = CancelWaves(pool, timer, messages.process_queued)
        self.pending_captures: list[str] = []
        """The ids of runs whose stacks are still to be captured."""
        self._messages = messages
        self._core = core
        self._clock = clock
        self._runners = runners
        self._pool = pool
        self._timer = timer
        self._heartbeats = timer.heartbeats
        self._on_stopping = on_stopping
        self._is_prepared = False
        self.handlers: dict[type, Callable[[Any], object]] = {
            Event: self._publish,
            actions.StartRun: self._start_run,
            actions.CancelRun: lambda action: self.cancel_waves.add(self.live[action.run], action.reason),
            actions.MarkUrgent: self._mark_urgent,
            actions.CaptureStack: lambda action: self.pending_captures.append(action.run),
            actions.ReportStopProgress: self._report_stop_progress,
            actions.ReleaseRun: self._release_run,
            actions.ApplySpec: lambda action: self.live[action.run].apply(action.spec),
            actions.ForgetJob: lambda action: self.last.pop(action.job, None),
            actions.WorkFinished: lambda _: self.changed.notify_all(),
            actions.ShutdownFinished: self._shutdown_finished,
        }
        """For each type of action, and for events, the method that carries it out."""

    def add_listener(self, listener: Listener) -> None:
        """Give the listener every event from now on."""
        self.listeners = (*self.listeners, listener)
        self._close_listeners_at_end()

    def call_after_samples(self, callback: Callable[[], object]) -> None:
        """Call `callback` after each sample of the poll ages, on the thread that samples."""
        self._heartbeats.on_sample = callback

    def locate_runs(self, runs: list[LiveRun], texts: int = WHOLE_STACKS) -> list[tuple[LiveRun, Stack]]:
        """Return where the begun runs currently are, with `texts` whole stacks for each runner.

        Asks each runner once. Any thread may call it.
        """
        by_runner: dict[str, list[LiveRun]] = {}
        for run in runs:
            if run.handle is not None:
                by_runner.setdefault(run.record.spec.runner.name, []).append(run)
        found: list[tuple[LiveRun, Stack]] = []
        for name, group in by_runner.items():
            stacks = self._runners[name].stacks([run.handle for run in group if run.handle is not None], texts)
            found.extend(zip(group, stacks, strict=True))
        return found

    def carry_out_deferred(self) -> None:
        """Wake the cancelled runs, or else capture the requested stacks.

        Both are deferred until the queued actions are carried out: all flags of a stop are set before the first run
        wakes, and all requested stacks are read at once.
        """
        if self.cancel_waves.pending:
            self.cancel_waves.wake_all()
        else:
            self._capture_stacks()

    def join(self, released: tuple[LiveRun, ...], until: float) -> None:
        """Wait until monotonic second `until` for the threads of those runs, the timer and the runners to end.

        Then give each listener FLUSH_SECONDS to deliver its last events. Blocks: never call it from a handler.
        """
        for run in released:
            run.join(max(0.0, until - mono()))
        self._timer.join(max(0.0, until - mono()))
        for runner in self._runners.values():
            runner.join(max(0.0, until - mono()))
        for listener in self.listeners:
            listener.flush(FLUSH_SECONDS)

    # -- one method for each action

    def _publish(self, event: Event) -> None:
        if event.event is EventName.SCHEDULER_STOPPING and self._on_stopping is not None:
            self._on_stopping()
        for listener in self.listeners:
            listener.put(event)

    def _start_run(self, action: actions.StartRun) -> None:
        spec = action.spec
        run = LiveRun(self._core.runs[action.run], RunOrder.of(action), self._heartbeats)
        self.live[action.run] = self.last[spec.name] = run
        try:
            self.prepare()
            name = spec.runner.name
            if name not in self._runners:
                raise TaskNotFound(name, self._runners, kind="runner")
            run.begin(self._runners[name], self._heartbeats, self._messages.post, self._clock.now())
        except Exception as error:  # noqa: BLE001 - any error of a runner ends this run and no other
            self._messages.process(RunStartFailed(action.run, describe(error)))

    def prepare(self) -> bool:
        """Create the threads that a stop will need before the first run: later the system may refuse new threads.

        Return whether there is a helper for callbacks. Raises RuntimeError if the timer thread cannot be started.
        """
        if not self._is_prepared:
            self._timer.prepare()
            self._is_prepared = self._pool.prepare()
        return self._is_prepared

    def _mark_urgent(self, action: actions.MarkUrgent) -> None:
        self.live[action.run].token.urgent = True

    def _capture_stacks(self) -> None:
        names = self.pending_captures.copy()
        now = self._clock.now().mono
        stacks: dict[str, Stack] = {}
        try:
            found = self.locate_runs([self.live[name] for name in names if name in self.live])
            stacks = {run.id: stack for run, stack in found}
        except Exception as error:  # noqa: BLE001 - the runner breaks its contract
            self._messages.record_bug(error)
        for name in names:  # every name, even without a stack: the stop waits for each answer
            where, text = stacks.get(name, Stack("", ""))
            run = self.live.get(name)
            age, callbacks = (run.poll_age(now), run.unfinished_callbacks()) if run is not None else (None, ())
            self._messages.process(StackCaptured(name, where, text, age, callbacks))
        # Only now: if a Ctrl-C interrupts the lines above, the names are still listed and are captured later.
        del self.pending_captures[: len(names)]
        self.changed.notify_all()

    def _report_stop_progress(self, action: actions.ReportStopProgress) -> None:
        # Logged on a helper thread: a log handler may block, and the stop must go on.
        runs = [self.live[name] for name in action.runs if name in self.live]

        def log() -> None:
            alive = [run for run in runs if run.is_alive()]
            log_stop_progress(self.locate_runs(alive, texts=0), action.more, self._clock.now().mono)

        self._pool.submit("", [CancelCallback(log, "stop progress")])

    def _release_run(self, action: actions.ReleaseRun) -> None:
        run = self.live.pop(action.run)
        run.over.open()  # before all else: threads wait for it, and `is_gone` below may raise
        self.changed.notify_all()
        self._heartbeats.remove(run.id)
        released = self.released
        released.append(run)
        while released and released[0].is_gone():
            released.popleft()
        if self.report is not None:
            self._close_listeners_at_end()

    def _shutdown_finished(self, action: actions.ShutdownFinished) -> None:
        self.report = make_stop_report(self._core, self._clock.now())
        self.stopped.open()
        self.changed.notify_all()
        self._close_listeners_at_end()
        self._pool.close()
        self._timer.close()
        for runner in self._runners.values():
            runner.close()

    def _close_listeners_at_end(self) -> None:
        """Close the listeners once the stop is over and no run lives: no further event can come."""
        if self.report is not None and not self.live:
            for listener in self.listeners:
                listener.close(0)
