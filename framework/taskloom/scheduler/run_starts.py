"""The starts of runs: by their runners, and the end of a run that cannot or must not start."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from taskloom.clock import Clock
from taskloom.core.actions import StartRun
from taskloom.core.inputs import RunEnded, RunStartFailed
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import ErrorInfo, How
from taskloom.errors import TaskNotFound
from taskloom.runners import Runner, RunOrder
from taskloom.runners.callback_pool import CallbackPool
from taskloom.runners.error_info import describe
from taskloom.scheduler.heartbeats import HeartbeatMonitor
from taskloom.scheduler.live_run import LiveRun
from taskloom.scheduler.messages import Messages
from taskloom.scheduler.stack_captures import never_blocks
from taskloom.sync.cancel_callback import CancelCallback
from taskloom.sync.gate import Gate
from taskloom.sync.latch import Latch
from taskloom.text import kind_of, message_of

__all__ = ["RunStarts", "StartReturned"]

# No report about most of these comes any more. The threads that still bring one are starting right now.
MOST_REFUSED = 1000


class StartReturned:
    """A runner that may block has started the run, or failed to: `error`. Reported by a helper thread."""

    __slots__ = ("error", "run")

    def __init__(self, run: LiveRun, error: ErrorInfo | None) -> None:
        self.run = run
        self.error = error


class RunStarts:
    """Starts runs. Called on the scheduler thread only. `core` is only read here.

    Each run is recorded in `live` by its id, and in `last` by its job. `prepare` is called before each start.
    """

    def __init__(
        self,
        messages: Messages,
        core: Lifecycle,
        *,
        live: dict[str, LiveRun],
        last: dict[str, LiveRun],
        runners: Mapping[str, Runner],
        helpers: CallbackPool,
        prepare: Callable[[], object],
        clock: Clock,
        gate: Gate,
        heartbeats: HeartbeatMonitor,
    ) -> None:
        self.refused: dict[str, None] = {}
        """The latest runs that were ended without their runner; what it still reports about them is dropped."""
        self._messages = messages
        self._core = core
        self._live = live
        self._last = last
        self._runners = runners
        self._helpers = helpers
        self._prepare = prepare
        self._clock = clock
        self._gate = gate
        self._heartbeats = heartbeats

    def start(self, action: StartRun) -> None:
        """Start a run, or end it if that fails; nothing here blocks or raises."""
        spec = action.spec
        before = self._live.get(action.run)
        if before is not None:
            # An error of ours has struck the first attempt. The run may have begun; then it reports its own end.
            self._start_failed(before, ErrorInfo("MemoryError", "the start was interrupted", "MemoryError\n"))
            return
        previous = self._last.get(spec.name)
        order = RunOrder.of(action, previous.token if previous is not None else None)
        run = LiveRun(self._core.runs[action.run], order, self._heartbeats, self._gate)
        self._last[spec.name] = self._live[action.run] = run
        if self._gate.is_closed:
            self._end_unentered(run)
            return
        try:
            self._prepare()
            name = spec.runner.name
            if name not in self._runners:
                raise TaskNotFound(name, self._runners, kind="runner")
            run.prepare(self._clock.now())
            self._start(run, self._runners[name])
        except Exception as error:  # noqa: BLE001 - any error of a runner ends this run and no other
            # Without its traceback: that quotes source lines, and no file is read on this thread.
            kind, text = kind_of(error), message_of(error)
            self._start_failed(run, ErrorInfo(kind, text, f"{kind}: {text}\n"))

    def _end_unentered(self, run: LiveRun) -> None:
        """End a run that was queued before the stop and is not started any more."""
        stop = self._gate.stop
        if stop is not None:
            run.token.request(stop.reason)
        self._messages.process(RunEnded(run.id, How.NOT_ENTERED, None, True, False))

    def _start(self, run: LiveRun, runner: Runner) -> None:
        post = self._messages.post
        if never_blocks(runner):
            run.start(runner, post)
            run.watch(self._heartbeats)
            return
        run.decided = Latch()

        def start() -> None:
            error: ErrorInfo | None = None
            try:
                run.start(runner, post)
            except BaseException as raised:  # noqa: BLE001 - the runner is foreign code
                error = describe(raised)
            finally:
                post(StartReturned(run, error))

        self._helpers.submit("", [CancelCallback(start, "start")])

    def returned(self, returned: StartReturned) -> None:
        """Take the report of a helper thread that a runner has started a run, or has failed to."""
        run = returned.run
        try:
            if returned.error is not None:
                self._start_failed(run, returned.error)
            else:
                run.watch(self._heartbeats)
        finally:
            if run.decided is not None:
                run.decided.open()

    def _start_failed(self, run: LiveRun, error: ErrorInfo) -> None:
        """End a run whose runner has raised, unless it has entered the body after all: then it reports its own end."""
        if run.id not in self.refused and run.token.forbid_entry():
            self._refuse(run)
            self._messages.process(RunStartFailed(run.id, error))

    def _refuse(self, run: LiveRun) -> None:
        """Drop what the runner still reports about a run that we end without it."""
        self.refused[run.id] = None
        if len(self.refused) > MOST_REFUSED:
            del self.refused[next(iter(self.refused))]

    def give_up(self, run: LiveRun) -> None:
        """End a run that is requested to stop while its runner starts it, unless it has entered the body."""
        if not run.token.forbid_entry():
            return
        # Its runner may block for long, and the stop does not wait for that.
        self._refuse(run)
        self._messages.process(RunEnded(run.id, How.NOT_ENTERED, None, True, False))
        if run.decided is not None:
            run.decided.open()  # a caller may be waiting for the start
