"""The executing side of the engine: carries out the core's actions on runs, listeners and waiting threads.

Nothing here decides anything or knows how messages are queued. The engine calls the handlers on the scheduler thread,
one at a time, in the order in which the core returned the actions. A handler does not block: no I/O, no formatting, no
plugin code. The methods of any runner but `thread`, `on_stopping` and the log lines of a stop are called on helper
threads, which report by message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from taskloom.clock import Clock, mono
from taskloom.core import actions
from taskloom.core.events import EVERYTHING, FAILURES, NO_EVENTS, NOTHING, Event, EventName
from taskloom.core.inputs import InstantRecorded
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import JobSpec
from taskloom.core.report import StopReport
from taskloom.core.waits import Wait
from taskloom.runners import LeavesBehind, RecordsBugs, RetainsOptions, Runner
from taskloom.runners.callback_pool import CallbackPool
from taskloom.scheduler.cancel_waves import CancelWaves
from taskloom.scheduler.capture_requests import CaptureRequests
from taskloom.scheduler.failure_log import FailureLog
from taskloom.scheduler.heartbeats import HeartbeatMonitor
from taskloom.scheduler.live_run import LiveRun, run_gauges
from taskloom.scheduler.memory import Memory
from taskloom.scheduler.messages import Messages
from taskloom.scheduler.run_starts import RunStarts, StartReturned
from taskloom.scheduler.stack_captures import Capture, StackReader, never_blocks, reads_at_once
from taskloom.scheduler.stop_progress import log_not_terminated, log_stop_progress
from taskloom.scheduler.subscribers import EventSink, Listener
from taskloom.sync.cancel_callback import CancelCallback
from taskloom.sync.gate import Gate
from taskloom.sync.latch import Latch

__all__ = ["ActionExecutor"]

# A stop waits this long for a listener to deliver the last events; a stuck listener delays it no longer.
FLUSH_SECONDS = 0.2
# A stop waits this long for `on_stopping` before it cancels the first run: enough to write to a pipe.
HOOK_SECONDS = 0.1


class ActionExecutor:
    """The live runs, the listeners, and everything that an action of the core needs.

    `core` is only read here. `on_stopping` is called on a helper thread when a stop of everything begins.
    """

    def __init__(
        self,
        messages: Messages,
        core: Lifecycle,
        *,
        clock: Clock,
        runners: Mapping[str, Runner],
        gate: Gate,
        heartbeats: HeartbeatMonitor,
        on_stopping: Callable[[], object] | None,
        wake_scheduler: Callable[[], None],
        log: FailureLog | None = None,
        before_first_run: Callable[[], object] | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.live: dict[str, LiveRun] = {}
        """The runs that the core has not released yet, by id."""
        self.last: dict[str, LiveRun] = {}
        """The latest run of each job, ended or not."""
        self.released: deque[LiveRun] = deque()
        """Released runs, oldest first; the leading ones whose threads are gone are dropped at each release."""
        self.listeners: dict[Listener, None] = {}
        """An ordered set. Only the scheduler adds a listener; any thread removes one, with one call."""
        self.log = log
        self.has_changed = False
        """Set when a run has ended or is overdue, and when the work or the stop is over. The engine clears it."""
        self.stopped = Latch()
        self.report: StopReport | None = None
        self.callbacks = CallbackPool(messages.post)
        # Our own work on helper threads: it must not wait behind callbacks of tasks that are stuck.
        self.helpers = CallbackPool(messages.post)
        self.cancel_waves = CancelWaves(self.callbacks, wake_scheduler)
        self.stacks = StackReader(self.helpers)
        self._messages = messages
        self._core = core
        self._clock = clock
        self._runners: dict[str, Runner] = {}
        self._gate = gate
        self._heartbeats = heartbeats
        self._on_stopping = on_stopping
        self._before_first_run = before_first_run
        self._memory = memory
        self._needs_helpers = on_stopping is not None
        self._is_prepared = False
        for name, runner in runners.items():
            self.add_runner(name, runner)
        self.captures = CaptureRequests(
            self.live, self.stacks, messages, clock=clock, gate=gate, mark_changed=self._mark_changed
        )
        self.starts = RunStarts(
            messages,
            core,
            live=self.live,
            last=self.last,
            runners=self._runners,
            helpers=self.helpers,
            prepare=self.prepare,
            clock=clock,
            gate=gate,
            heartbeats=heartbeats,
        )
        self.default_audience = EVERYTHING if on_stopping is not None else FAILURES if log is not None else NO_EVENTS
        """For whom events are made while there is no listener."""
        self.handlers: dict[type, Callable[[Any], object]] = {
            Event: self._publish,
            Wait: self._publish_wait,
            actions.StartRun: self.starts.start,
            actions.CancelRun: self._cancel_run,
            actions.MarkUrgent: self._mark_urgent,
            actions.TerminateRun: lambda action: self.call_handle(action.run, "terminate"),
            actions.KillRun: lambda action: self.call_handle(action.run, "kill"),
            actions.CaptureStack: lambda action: self.captures.requested.append(action.run),
            actions.ReportStopProgress: self._report_stop_progress,
            actions.ReleaseRun: self._release_run,
            actions.ApplySpec: self._apply_spec,
            actions.RecordInstant: self._record_instant,
            actions.ForgetJob: lambda action: self.last.pop(action.job, None),
            actions.WorkFinished: lambda _: self._mark_changed(),
        }
        """For each type of action, and for events, the method that carries it out."""
        self.reports: dict[type, Callable[[Any], object]] = {
            StartReturned: self.starts.returned,
            Capture: self.captures.finish,
        }
        """For each type of message that is not for the core, the method that takes it."""

    def prepare(self) -> bool:
        """Create the threads that a stop will need: later the system may refuse new threads. Idempotent.

        Return whether there is a helper of each pool.
        """
        if not self._is_prepared:
            if self._before_first_run is not None:
                self._before_first_run()
            has_helpers = self.callbacks.prepare()
            if self._needs_helpers:
                has_helpers = self.helpers.prepare() and has_helpers
            self._is_prepared = has_helpers
        return self._is_prepared

    def has_runner(self, name: str) -> bool:
        """Return whether there is a runner of this name; any thread may call it."""
        return name in self._runners

    def add_runner(self, name: str, runner: Runner) -> None:
        """Add a runner, unless there is one of this name; any thread may call it, before its first job is added."""
        if not reads_at_once(runner):
            # First: the next run is started by a thread that finds both, or neither.
            self._needs_helpers, self._is_prepared = True, False
        if never_blocks(runner) and isinstance(runner, RecordsBugs):
            runner.record_bug = self._messages.record_bug
        self._runners.setdefault(name, runner)

    def retain_options(self, specs: Sequence[JobSpec]) -> None:
        """Let the runners release what no declared job needs any more; any thread may call it, after a reload."""
        for name, runner in list(self._runners.items()):
            if not isinstance(runner, RetainsOptions):
                continue
            options = [spec.runner.options for spec in specs if spec.runner.name == name]
            # On a helper thread: no signal interrupts it inside a lock, and a reload that was applied does not raise.
            self.helpers.submit("", [CancelCallback(partial(runner.retain, options), "retain")])

    def add_listener(self, listener: Listener) -> None:
        """Give the listener every event from now on, and each Wait if it takes them."""
        self.listeners[listener] = None
        self._core.enable_events(EVERYTHING)
        if listener.takes_waits:
            self._core.enable_waits()
        self._finish_listeners_at_end()

    def remove_listener(self, listener: Listener) -> None:
        """Forget the listener; idempotent, any thread may call it."""
        self.listeners.pop(listener, None)

    def call_after_samples(self, callback: Callable[[], object]) -> None:
        """Call `callback` after each sample of the poll ages, on the thread that samples."""
        self._heartbeats.on_sample = callback

    # -- for callers' threads

    def join(self, released: tuple[LiveRun, ...], until: float) -> None:
        """Wait until monotonic second `until` for the threads of those runs and the runners to end.

        Then give each listener FLUSH_SECONDS to deliver its last events. Blocks: never called on the scheduler thread.
        """
        for run in released:
            run.join(max(0.0, until - mono()))
        for runner in list(self._runners.values()):
            runner.join(max(0.0, until - mono()))
        self._join_callbacks(until)
        for sink in self._sinks():
            sink.flush(FLUSH_SECONDS)

    def leave_runners_behind(self) -> None:
        """Called in a forked child: let the runners start nothing there that was meant for the parent."""
        for runner in list(self._runners.values()):
            if isinstance(runner, LeavesBehind):
                runner.leave_behind()

    def _join_callbacks(self, until: float) -> None:
        """Let each `terminate` return, or the end of the program would cut it off; log those that do not even begin."""
        not_begun = self.callbacks.join(max(0.0, min(FLUSH_SECONDS, until - mono())))
        if not_begun:
            log_not_terminated(not_begun)

    # -- one method for each action

    def _publish(self, event: Event) -> None:
        if event.event is EventName.SCHEDULER_STOPPING and self._on_stopping is not None:
            self._call_hook(self._on_stopping)
        if event.event is EventName.ENDED:
            event = self._with_gauges(event)
        for sink in self._sinks():
            sink.put(event)
        if not self.listeners:
            self._core.enable_events(self.default_audience)  # the last listener was removed

    def _with_gauges(self, event: Event) -> Event:
        """Return the end of a run with what the run has counted and reported, if it has."""
        run = self.live.get(event.run or "")
        gauges = run_gauges(run) if run is not None and run.handle is not None else NOTHING
        return event._replace(data={**event.data, **gauges}) if gauges else event

    def _publish_wait(self, wait: Wait) -> None:
        for listener in list(self.listeners):
            if listener.takes_waits:
                listener.put(wait)

    def _sinks(self) -> list[EventSink]:
        """Return the listeners and the log. A copy, made in one call: another thread may remove a listener."""
        sinks: list[EventSink] = list(self.listeners)
        if self.log is not None:
            sinks.append(self.log)
        return sinks

    def _call_hook(self, hook: Callable[[], object]) -> None:
        """Call `on_stopping` on a helper thread, and wait for it, HOOK_SECONDS at most."""
        is_over = Latch()

        def call() -> None:
            try:
                hook()
            except Exception as error:  # noqa: BLE001 - the host's code
                self._messages.record_bug(error)
            finally:
                is_over.open()

        self.helpers.submit("", [CancelCallback(call, "on_stopping")])
        is_over.wait(HOOK_SECONDS)

    def _cancel_run(self, action: actions.CancelRun) -> None:
        run = self.live[action.run]
        self.cancel_waves.add(run, action.reason)
        if run.decided is not None and not run.decided.is_open:
            self.starts.give_up(run)

    def _mark_urgent(self, action: actions.MarkUrgent) -> None:
        self.live[action.run].token.urgent = True
        self.call_handle(action.run, "set_urgent")

    def _record_instant(self, action: actions.RecordInstant) -> None:
        """Have the memory record the instant, whose answer comes as a message."""
        job, instant, post = action.job, action.instant, self._messages.post

        def done(is_recorded: bool) -> None:
            post(InstantRecorded(job, instant, bool(is_recorded)))

        try:
            if self._memory is not None:
                self._memory.record_instant(job, instant, done)
                return
        except Exception as error:  # noqa: BLE001 - the host's code; the run starts all the same
            self._messages.record_bug(error)
        done(False)

    def _apply_spec(self, action: actions.ApplySpec) -> None:
        self.live[action.run].apply(action.spec)
        self.call_handle(action.run, "set_poll_interval", action.spec.poll_interval)

    def call_handle(self, name: str, method: str, *arguments: object) -> None:
        """Call a method of the run's handle that only the handles of some runners have.

        On a helper thread if the runner is another one than ours: its code may block. A failure there is reported as
        that of a callback.
        """
        run = self.live.get(name)
        if run is None or run.handle is None or run.runner is None or reads_at_once(run.runner):
            return  # a thread has none of these methods

        def call() -> None:
            function = getattr(run.handle, method, None)
            if function is not None:
                function(*arguments)

        if never_blocks(run.runner):
            call()
        else:
            self.helpers.submit(run.id, [CancelCallback(call, method)])

    def _report_stop_progress(self, action: actions.ReportStopProgress) -> None:
        # Logged on a helper thread: a log handler may block, and the stop must go on.
        runs = [self.live[name] for name in action.runs if name in self.live]

        def log() -> None:
            alive = [run for run in runs if run.is_alive()]
            log_stop_progress(self.stacks.locate(alive, texts=0), action.more, self._clock.now().mono)

        self.helpers.submit("", [CancelCallback(log, "stop progress")])

    def release_ended_runs(self) -> None:
        """Release the runs that do not execute any more, as their runners say."""
        for run in list(self.live.values()):
            if not run.is_executing():
                self._release(run)

    def _release_run(self, action: actions.ReleaseRun) -> None:
        run = self.live.get(action.run)
        if run is not None:  # otherwise this is the second attempt, after an error of ours
            self._release(run)

    def _release(self, run: LiveRun) -> None:
        run.over.open()  # before all else: threads wait for it, and `is_gone` below may raise
        self.live.pop(run.id)
        self._mark_changed()
        self._heartbeats.remove(run.id)
        released = self.released
        released.append(run)
        while released and released[0].is_gone():
            released.popleft()
        if self.report is not None:
            self._finish_listeners_at_end()

    def _mark_changed(self) -> None:
        self.has_changed = True

    def finish(self, report: StopReport) -> None:
        """Release the threads that wait for the stop, and let the helpers and the runners end.

        Idempotent: what an error of ours has interrupted is done by the second call. The first report counts.
        """
        if self.report is None:
            self.report = report
        for run in list(self.live.values()):
            if run.decided is not None:
                run.decided.open()  # nothing more is decided about its start
        self.stopped.open()
        self._mark_changed()
        self._finish_listeners_at_end()
        for runner in list(self._runners.values()):
            if never_blocks(runner):
                runner.close()
            else:
                self.helpers.submit("", [CancelCallback(runner.close, "close")])
        self.callbacks.close()
        self.helpers.close()

    def _finish_listeners_at_end(self) -> None:
        """Let the listeners end once the stop is over and no run lives: no further event can come."""
        if self.report is not None and not self.live:
            for sink in self._sinks():
                sink.finish()
