"""The shell around the pure core: hands it what happened, carries out what it decides.

There is no scheduler thread to wake for every command. Messages go into a queue, and whoever put one in takes
the *turn*, if nobody has it, and works until the queue is empty; the others have left their message and go their
way. So the core has one caller at a time and needs no lock, a report never waits, and starting a job costs no
switch of threads. Nothing that may block happens in the turn: no I/O, no logging, no listener, no plugin code.

One timer thread stands by for deadlines.
"""

from __future__ import annotations

from _random import Random
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from taskloom.clock import Clock, mono
from taskloom.core import actions
from taskloom.core.events import Event, EventName
from taskloom.core.inputs import Input, RunEnded, RunNamed, RunStarted, RunStartFailed, StopJob, Tick
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Moment, Phase, Reason
from taskloom.core.report import StopReport, make_stop_report
from taskloom.errors import TaskNotFound
from taskloom.runners import Runner, RunOrder, Stack
from taskloom.runners.callback_pool import Wakers
from taskloom.runners.error_info import describe
from taskloom.scheduler.cancel_waves import SILENCE_SECONDS, Waking
from taskloom.scheduler.condition import Watchers
from taskloom.scheduler.live_run import LiveRun, locate_runs
from taskloom.scheduler.stop_progress import remind
from taskloom.scheduler.subscribers import Listener
from taskloom.scheduler.timer import Timer
from taskloom.sync.cancel_token import CancelCallback
from taskloom.sync.latch import Latch

__all__ = ["Shell"]

Result = TypeVar("Result")

# What a stop waits for a listener to tell the last events; one that is stuck holds no stop for longer.
FLUSH_SECONDS = 0.2
# Whole stacks are for people: beyond so many in one look, only the place is noted.
WHOLE_STACKS = 100


class _Call:
    """A command whose caller waits for the answer."""

    __slots__ = ("error", "is_done", "latch", "messages", "read", "result")

    def __init__(self, messages: Iterable[Input], read: Callable[[Lifecycle], Any]) -> None:
        self.messages = messages
        self.read = read
        self.result: Any = None
        self.error: Exception | None = None
        self.is_done = False
        # Made only by a caller that has to wait: mostly it finds the turn free and does the work itself.
        self.latch: Latch | None = None


class Shell:
    """One lifecycle with its runners, timer, helpers and listeners."""

    def __init__(
        self, clock: Clock, runners: Mapping[str, Runner], stop_within: float, on_stopping: Callable[[], object] | None
    ) -> None:
        self.live: dict[str, LiveRun] = {}
        self.last: dict[str, LiveRun] = {}
        """The latest run of each job, ended or not."""
        self.listeners: tuple[Listener, ...] = ()
        self.stopped = Latch()
        self.report: StopReport | None = None
        self.bug: Exception | None = None
        self._on_stopping = on_stopping
        self._clock = clock
        self._runners = runners
        self._core = Lifecycle(Random().random, stop_within)
        self._core.hear(on_stopping is not None)
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self._turn = allocate_lock()
        self._latest = Moment(0.0, 0.0)
        # Messages that are taken in before those of the inbox.
        self._first: deque[Any] = deque()
        self._todo: deque[Any] = deque()
        self._to_name: list[str] = []
        self._leaving: deque[LiveRun] = deque()
        self._watchers = Watchers()
        self._stoppers: set[str] = set()
        self._is_prepared = False
        self._wakers = Wakers(self.tell)
        self._timer = Timer(clock, self._tick, self._wakers.relieve, self.tell)
        self._waking = Waking(self._wakers, self._timer, self._inbox, self._take_in)
        self.sampler = self._timer.sampler
        self._carry: dict[type, Callable[[Any], object]] = {
            Event: self._publish,
            actions.StartRun: self._start_run,
            actions.AskRun: self._ask_run,
            actions.HurryRun: self._hurry_run,
            actions.NameRun: self._name_run,
            actions.RemindStopping: self._remind,
            actions.RunOver: self._run_over,
            actions.ApplySpec: self._apply_spec,
            actions.ForgetJob: lambda action: self.last.pop(action.job, None),
            actions.WorkOver: self._work_over,
            actions.StopOver: self._stop_over,
            _Call: self._answer,
        }

    # -- how messages come in

    def tell(self, message: Input) -> None:
        """Hand a report to the core; never blocks, from any thread."""
        self._inbox.put(message)
        if type(message) is RunEnded:
            self._waking.ended()
        self._pump()

    def ask(self, message: Input | None, read: Callable[[Lifecycle], Result]) -> Result:
        """Hand a command to the core, see its actions carried out, and return what `read` finds then.

        `read` is called in the turn and must only look. Raises what the core raises.
        """
        return self.ask_all(() if message is None else (message,), read)

    def ask_all(self, messages: Iterable[Input], read: Callable[[Lifecycle], Result]) -> Result:
        """Do it for several commands in one turn; the first that is refused is the last."""
        call = _Call(messages, read)
        self._inbox.put(call)
        self._pump()
        if not call.is_done:
            latch = call.latch = Latch()
            if not call.is_done:  # the answer marks itself and then looks for a latch: one of us sees the other
                latch.wait()
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[no-any-return]

    def cancel(self, run: LiveRun, reason: Reason) -> None:
        """Ask one run to stop. Where nothing else is going on it is woken first, and the books are kept after that.

        That is what everybody would see anyway, only sooner: the turn is ours and nothing waits in it, so the core
        can but agree, and what the run says when it wakes up is taken in after the order.
        """
        order = StopJob(run.job, reason, run.id)
        if not self._turn.acquire(blocking=False):
            self.order(order)
            return
        try:
            is_alone = not self._todo and self._inbox.empty()
            self._first.append(order)
            if is_alone and not run.over.is_open and run.token.ask(reason):
                self._waking.wake(run)
                # To wait is to let go of the GIL, and the woken run wants nothing but that.
                self._first.append(self._inbox.get(timeout=SILENCE_SECONDS))
        except Empty:
            pass
        finally:
            self._turn.release()
        self._pump()

    def add_listener(self, listener: Listener) -> None:
        """Tell it of every event from now on."""

        def add(_: Lifecycle) -> None:
            self.listeners = (*self.listeners, listener)
            self._core.hear(True)
            self._end_listeners()

        self.ask(None, add)

    def order(self, command: Input) -> None:
        """Hand a command to the core and see it carried out. Raises what the core raises."""
        self.ask(command, lambda _: None)

    def now(self) -> Moment:
        """Read the scheduler's clock."""
        return self._clock.now()

    def wait_until(self, is_true: Callable[[Lifecycle], bool], timeout: float | None = None) -> bool:
        """Wait until that is true of the core; False when it took longer than `timeout` seconds.

        It is looked at in the turn whenever a run is over or overdue, the work is over or the stop is over.
        """
        return self._watchers.wait_until(lambda: self.ask(None, is_true), timeout)

    def wait_for_others(self, run: str) -> None:
        """Wait, on the thread of a run, until the stop awaits nobody but runs that wait here themselves."""

        def enter(_: Lifecycle) -> None:
            self._stoppers.add(run)
            self._watchers.tell()

        self.ask(None, enter)
        try:
            self.wait_until(lambda core: core.phase is Phase.STOPPED or core.stopping.keys() <= self._stoppers)
        finally:
            self._stoppers.discard(run)

    # -- the turn

    def _pump(self) -> None:
        # Who fails to take the turn leaves the message to who has it: that one looks at the queue again after
        # giving the turn back, so no message is left lying.
        while (not self._inbox.empty() or self._is_behind()) and self._turn.acquire(blocking=False):
            try:
                self._work()
            finally:
                self._turn.release()
                if self._is_behind():
                    self._timer.ring()  # a Ctrl-C struck the caller in the middle: the timer finishes the work

    def _is_behind(self) -> bool:
        return bool(self._todo or self._first or self._to_name or self._waking.asked)

    def _work(self) -> None:
        todo, inbox = self._todo, self._inbox
        while True:
            while todo:
                action = todo.popleft()
                try:
                    self._carry[type(action)](action)
                except Exception as error:  # noqa: BLE001 - a rule is broken; the others, and the timer, go on
                    self.bug = self.bug or error
            if self._waking.asked:
                self._waking.wake_all()
            elif self._to_name:
                self._name_all()
            elif self._first:
                self._take_in(self._first.popleft())
            elif inbox.empty():
                break
            else:
                self._take_in(inbox.get())
        self._timer.set_deadline(self._core.next_deadline())

    def _take_in(self, message: Any) -> None:
        now = self._latest = self._clock.now() if type(message) is not RunStarted else self._start_of(message)
        if type(message) is _Call:
            self._take_in_call(message, now)
            return
        try:
            self._todo.extend(self._core.handle(message, now))
        except Exception as error:  # noqa: BLE001 - a rule of our own is broken; keep the others going
            self.bug = self.bug or error

    def _start_of(self, message: RunStarted) -> Moment:
        """Date a start back to when the runner was told, so that it comes before the run's first words.

        Not before what was taken in since: the core's time never goes back.
        """
        run = self.live.get(message.run)
        if run is None or run.begun is None:
            return self._clock.now()
        return max(run.begun, self._latest)

    def _take_in_call(self, call: _Call, now: Moment) -> None:
        try:
            for message in call.messages:
                self._todo.extend(self._core.handle(message, now))
        except Exception as error:  # noqa: BLE001 - it is the caller's, and goes there
            call.error = error
        self._todo.append(call)

    def _answer(self, call: _Call) -> None:
        if call.error is None:
            try:
                call.result = call.read(self._core)
            except Exception as error:  # noqa: BLE001 - it is the caller's, and goes there
                call.error = error
        call.is_done = True
        if call.latch is not None:
            call.latch.open()

    # -- what the core wants done

    def _publish(self, event: Event) -> None:
        if event.event is EventName.SCHEDULER_STOPPING and self._on_stopping is not None:
            self._on_stopping()
        for listener in self.listeners:
            listener.put(event)

    def _start_run(self, action: actions.StartRun) -> None:
        spec = action.spec
        run = LiveRun(self._core.runs[action.run], RunOrder.of(action), self.sampler)
        self.live[action.run] = self.last[spec.name] = run
        try:
            self._prepare()
            run.begin(self._runner(spec.runner.name), self.sampler, self.tell, self._clock.now())
        except Exception as error:  # noqa: BLE001 - whatever a runner raises, it is this run's end alone
            self._take_in(RunStartFailed(action.run, describe(error)))

    def _runner(self, name: str) -> Runner:
        if name not in self._runners:
            raise TaskNotFound(name, self._runners, kind="runner")
        return self._runners[name]

    def _ask_run(self, action: actions.AskRun) -> None:
        self._waking.ask(self.live[action.run], action.reason)

    def _hurry_run(self, action: actions.HurryRun) -> None:
        self.live[action.run].token.urgent = True

    def _name_run(self, action: actions.NameRun) -> None:
        self._to_name.append(action.run)

    def _name_all(self) -> None:
        names = self._to_name.copy()
        now = self._clock.now().mono
        stacks: dict[str, Stack] = {}
        try:
            found = self.look([self.live[name] for name in names if name in self.live])
            stacks = {run.id: stack for run, stack in found}
        except Exception as error:  # noqa: BLE001 - a runner breaks its contract
            self.bug = self.bug or error
        for name in names:  # each of them: a run that nobody can see must not hold up the stop
            where, text = stacks.get(name, Stack("", ""))
            run = self.live.get(name)
            age, callbacks = (run.poll_age(now), run.unfinished_callbacks()) if run is not None else (None, ())
            self._take_in(RunNamed(name, where, text, age, callbacks))
        del self._to_name[: len(names)]  # now and not before: a Ctrl-C may strike in the middle
        self._watchers.tell()

    def look(self, runs: list[LiveRun], texts: int = WHOLE_STACKS) -> list[tuple[LiveRun, Stack]]:
        """Say where the runs stand, in one look per runner."""
        return locate_runs(self._runners, runs, texts)

    def _remind(self, action: actions.RemindStopping) -> None:
        # Said by a helper: a log handler may block, and the stop has to go on.
        runs = [self.live[name] for name in action.runs if name in self.live]

        def say() -> None:
            remind(self.look([run for run in runs if run.is_alive()], texts=0), action.more, self.now().mono)

        self._wakers.submit("", [CancelCallback(say, "reminder")])

    def _run_over(self, action: actions.RunOver) -> None:
        run = self.live.pop(action.run)
        run.over.open()  # first of all: somebody waits for it, and a handle may break its contract
        self._watchers.tell()
        self.sampler.forget(run.id)
        leaving = self._leaving
        leaving.append(run)
        while leaving and leaving[0].is_gone():
            leaving.popleft()
        if self.report is not None:
            self._end_listeners()

    def _apply_spec(self, action: actions.ApplySpec) -> None:
        self.live[action.run].apply(action.spec)

    def _work_over(self, action: actions.WorkOver) -> None:
        self._watchers.tell()

    def _stop_over(self, action: actions.StopOver) -> None:
        self.report = make_stop_report(self._core, self._clock.now())
        self.stopped.open()
        self._watchers.tell()
        self._end_listeners()
        self._wakers.close()
        self._timer.close()
        for runner in self._runners.values():
            runner.close()

    def _end_listeners(self) -> None:
        """Let the listeners end, once they have told what they have, when nothing can happen any more."""
        if self.report is not None and not self.live:
            for listener in self.listeners:
                listener.close(0)

    # -- time

    def _prepare(self) -> None:
        """Make the threads that a stop will need, while threads are still to be had."""
        if not self._is_prepared:
            self._timer.prepare()
            self._wakers.prepare()
            self._is_prepared = True

    def _tick(self, is_due: bool) -> None:
        if is_due:
            self._inbox.put(Tick())
        self._pump()

    # -- the end

    def close(self, until: float) -> None:
        """See the threads of ended runs gone, and the timer, until that monotonic second, and the last events told."""
        for run in self.ask(None, lambda _: tuple(self._leaving)):
            run.join(max(0.0, until - mono()))
        self._timer.join(max(0.0, until - mono()))
        for runner in self._runners.values():
            runner.join(max(0.0, until - mono()))
        for listener in self.listeners:
            listener.flush(FLUSH_SECONDS)
