"""The engine around the pure core: takes messages in and has the core process them, one caller at a time.

There is no scheduler thread that must be woken for each command. A caller puts its message into a queue and tries to
take the engine's lock. The thread that gets the lock processes the queue until it is empty; a thread that does not get
it has left its message in the queue and returns. So the core has one caller at a time and needs no lock of its own, a
report never waits, and starting a job needs no thread switch. While the lock is held nothing may block: no I/O, no
logging, no listener, no plugin code. `ActionExecutor` carries out what the core decides.

One timer thread waits for deadlines.
"""

from __future__ import annotations

import os
from _random import Random
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from taskloom.clock import Clock
from taskloom.core.inputs import Input, RunEnded, RunStarted, StopJob, Tick
from taskloom.core.lifecycle import Lifecycle
from taskloom.core.model import Moment, Phase, Reason
from taskloom.errors import SchedulerForked
from taskloom.runners import Runner
from taskloom.runners.callback_pool import CallbackPool
from taskloom.scheduler.action_executor import ActionExecutor
from taskloom.scheduler.at_exit import AtExit
from taskloom.scheduler.cancel_waves import REPORT_SECONDS
from taskloom.scheduler.failure_log import FailureLog
from taskloom.scheduler.live_run import LiveRun
from taskloom.scheduler.process_hooks import add_engine, register_exit_hook
from taskloom.scheduler.subscribers import Listener
from taskloom.scheduler.timer import Timer
from taskloom.sync.latch import Latch

__all__ = ["Engine"]

Result = TypeVar("Result")


class _Call:
    """Commands whose caller waits for the answer."""

    __slots__ = ("error", "is_done", "latch", "messages", "read", "result")

    def __init__(self, messages: Iterable[Input], read: Callable[[Lifecycle], Any]) -> None:
        self.messages = messages
        self.read = read
        self.result: Any = None
        self.error: Exception | None = None
        self.is_done = False
        # Created only if the caller has to wait. Mostly it gets the lock and processes the call itself.
        self.latch: Latch | None = None


class Engine:
    """The core with its message queue. Any thread may call any public method except `process*`.

    Implements `action_executor.Messages`.
    """

    def __init__(
        self,
        clock: Clock,
        runners: Mapping[str, Runner],
        stop_within: float,
        on_stopping: Callable[[], object] | None,
        log: FailureLog | None = None,
    ) -> None:
        self.bug: Exception | None = None
        self.at_exit: AtExit | None = None
        """What happens at the end of the program. It also keeps the scheduler alive for that as long as a run lives."""
        self._pid = os.getpid()
        # In a forked child: its process id.
        self._child: int | None = None
        self.clock = clock
        self._core = Lifecycle(Random().random, stop_within)
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._lock = allocate_lock()
        # The time of the message that the core processed last.
        self._latest_time = Moment(0.0, 0.0)
        # Messages that are processed before those of the queue.
        self._priority: deque[Any] = deque()
        # The actions of the core, and the calls to answer, in order.
        self._actions: deque[Any] = deque()
        # Runs whose thread waits in `wait_for_others`.
        self._waiting_runs: set[str] = set()
        pool = CallbackPool(self.post)
        self._timer = Timer(clock, self._tick, pool.grow_if_stuck, self.post)
        self.executor = ActionExecutor(
            self,
            self._core,
            clock=clock,
            runners=runners,
            pool=pool,
            timer=self._timer,
            on_stopping=on_stopping,
            log=log,
            before_first_run=register_exit_hook,
        )
        self._core.enable_events(self.executor.default_audience)
        self._cancel_waves = self.executor.cancel_waves
        self._handlers = {**self.executor.handlers, _Call: self._answer}
        add_engine(self)

    # -- in a forked child

    @property
    def is_left_behind(self) -> bool:
        """Whether this is a child process that was forked from the one that made the scheduler."""
        return self._child is not None or os.getpid() != self._pid

    def leave_behind(self) -> None:
        """Called in a forked child: no thread of ours exists there, and no lock of theirs may be touched."""
        self._child = os.getpid()
        for run in list(self.executor.live.values()):
            run.token.leave_behind(self._pid)
        for listener in list(self.executor.listeners):
            listener.leave_behind()
        self.executor.leave_runners_behind()

    def check_process(self) -> None:
        """Raise SchedulerForked in a forked child: no thread would ever answer there."""
        if self._child is not None:
            raise SchedulerForked(self._pid, self._child)

    # -- how messages come in

    def post(self, message: Input) -> None:
        """Hand a report to the core; never blocks, any thread may call it."""
        if self._child is not None:
            return
        self._queue.put(message)
        if type(message) is RunEnded:
            self._cancel_waves.run_ended()
        self._drain()

    def call(self, command: Input) -> None:
        """Hand a command to the core and wait until its actions are carried out. Raises what the core raises."""
        self.query(command, lambda _: None)

    def query(self, message: Input | None, read: Callable[[Lifecycle], Result]) -> Result:
        """Hand a command to the core, wait until its actions are carried out, and return the result of `read`.

        `read` is called while the engine's lock is held; it must not change the core. Raises what the core raises.
        """
        return self.query_all(() if message is None else (message,), read)

    def query_all(self, messages: Iterable[Input], read: Callable[[Lifecycle], Result]) -> Result:
        """Do the same for several commands, with no other message between them; stop at the first refused one."""
        self.check_process()
        call = _Call(messages, read)
        self._queue.put(call)
        self._drain()
        if not call.is_done:
            # We set `latch` and then read `is_done`; `_answer` sets `is_done` and then reads `latch`. In whichever
            # order these interleave, either we see the answer or `_answer` opens our latch.
            latch = call.latch = Latch()
            if not call.is_done:
                latch.wait()
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[no-any-return]

    def cancel(self, run: LiveRun, reason: Reason) -> None:
        """Request one run to stop. If the engine is idle, wake the run first and tell the core afterwards.

        The outcome is the same, only sooner: we hold the lock and no message is queued, so the core would accept the
        command; and the report of the woken run is processed after it.
        """
        self.check_process()
        command = StopJob(run.job, reason, run.id)
        if not self._lock.acquire(blocking=False):
            self.call(command)
            return
        try:
            is_idle = not self._actions and self._queue.empty()
            self._priority.append(command)
            if is_idle and not run.over.is_open and run.token.request(reason):
                self._cancel_waves.wake(run)
                # Waiting releases the GIL, which is all that the woken run needs now.
                self._priority.append(self._queue.get(timeout=REPORT_SECONDS))
        except Empty:
            pass
        finally:
            self._lock.release()
        self._drain()

    def add_listener(self, listener: Listener) -> None:
        """Give the listener every event from now on."""

        self.query(None, lambda _: self.executor.add_listener(listener))

    # -- waiting for a state of the core

    def wait_until(self, is_true: Callable[[Lifecycle], bool], timeout: float | None = None) -> bool:
        """Wait until `is_true` returns True; return False after `timeout` seconds.

        It is called while the engine's lock is held: at first, and whenever `ActionExecutor.changed` is notified.
        """
        return self.executor.changed.wait_until(lambda: self.query(None, is_true), timeout)

    def wait_for_others(self, run: str) -> None:
        """Wait, on the thread of a run, until the stop only waits for runs whose threads are in this method."""

        def enter(_: Lifecycle) -> None:
            self._waiting_runs.add(run)
            self.executor.changed.notify_all()

        self.query(None, enter)
        try:
            self.wait_until(lambda core: core.phase is Phase.STOPPED or core.stopping.keys() <= self._waiting_runs)
        finally:
            self._waiting_runs.discard(run)

    def close(self, until: float) -> None:
        """Wait until monotonic second `until` for the threads of ended runs and the timer, and flush the listeners."""
        self.executor.join(self.query(None, lambda _: tuple(self.executor.released)), until)

    # -- what the thread does that holds the lock

    def _drain(self) -> None:
        # If another thread holds the lock, it processes our message: after releasing the lock it reads the queue once
        # more. So no message is left behind.
        while (not self._queue.empty() or self._has_unfinished_work()) and self._lock.acquire(blocking=False):
            try:
                self._process_all()
            finally:
                self._lock.release()
                if self._has_unfinished_work():
                    self._timer.wake()  # a Ctrl-C interrupted this thread: the timer thread finishes the work

    def _has_unfinished_work(self) -> bool:
        return bool(self._actions or self._priority or self.executor.pending_captures or self._cancel_waves.pending)

    def _process_all(self) -> None:
        actions, queue, executor = self._actions, self._queue, self.executor
        while True:
            while actions:
                action = actions.popleft()
                try:
                    self._handlers[type(action)](action)
                except Exception as error:  # noqa: BLE001 - a bug; the other actions and the timer go on
                    self.record_bug(error)
            if self._cancel_waves.pending or executor.pending_captures:
                executor.carry_out_deferred()
            elif self._priority:
                self.process(self._priority.popleft())
            elif queue.empty():
                break
            else:
                self.process(queue.get())
        self._timer.set_deadline(self._core.next_deadline())

    def process(self, message: Any) -> None:
        """Have the core process a message and queue the actions. Only for the thread that holds the lock."""
        now = self._latest_time = self.clock.now() if type(message) is not RunStarted else self._start_of(message)
        if type(message) is _Call:
            self._process_call(message, now)
            return
        try:
            self._actions.extend(self._core.handle(message, now))
        except Exception as error:  # noqa: BLE001 - a bug; the next messages are processed
            self.record_bug(error)

    def process_queued(self) -> None:
        """Have the core process the queued messages. Only for the thread that holds the lock."""
        while not self._queue.empty():
            self.process(self._queue.get())

    def record_bug(self, error: Exception) -> None:
        """Keep the error if it is the first breach of Taskloom's own rules."""
        if self.bug is None:
            self.bug = error
            if self.executor.log is not None:
                self.executor.log.put_bug(error)

    def _start_of(self, message: RunStarted) -> Moment:
        """Date a start back to the call of the runner, so that it precedes everything that the run itself reports.

        Not before the latest processed message: the core's time never goes back.
        """
        run = self.executor.live.get(message.run)
        if run is None or run.begun is None:
            return self.clock.now()
        return max(run.begun, self._latest_time)

    def _process_call(self, call: _Call, now: Moment) -> None:
        try:
            for message in call.messages:
                self._actions.extend(self._core.handle(message, now))
        except Exception as error:  # noqa: BLE001 - raised in the caller
            call.error = error
        self._actions.append(call)

    def _answer(self, call: _Call) -> None:
        if call.error is None:
            try:
                call.result = call.read(self._core)
            except Exception as error:  # noqa: BLE001 - raised in the caller
                call.error = error
        call.is_done = True
        if call.latch is not None:
            call.latch.open()

    def _tick(self, is_due: bool) -> None:
        if is_due:
            self._queue.put(Tick())
        self._drain()
