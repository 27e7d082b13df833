"""The loop of the main thread while jobs run: it waits on one queue, for signals and for messages about the scheduler.

Any exception on the main thread meanwhile stops the jobs; the main thread goes on waiting for signals.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

from taskloom.cli.program.imports import ImportWatch
from taskloom.cli.program.main_thread_errors import MOST_ERRORS, MOST_WHILE_LISTENING, MainThreadErrors
from taskloom.cli.program.messages import Message
from taskloom.cli.program.signal_queue import SignalQueue
from taskloom.cli.program.signal_reactions import SignalReactions
from taskloom.cli.program.signals import Signal, SignalAction, SignalPolicy
from taskloom.cli.program.stopping import Stopping
from taskloom.clock import mono
from taskloom.core.model import Reason, ReasonKind
from taskloom.core.report import StopReport
from taskloom.scheduler.facade import Scheduler
from taskloom.sync.latch import Latch

__all__ = ["MainLoop"]

# While a stop is under way the main thread also polls for its end, so that no lost message can hold the program.
STOP_POLL_SECONDS = 1.0


class MainLoop:
    """The queue of the main thread and what it does with each message. Only the main thread calls it, except `queue`.

    It takes signals from the start on; `attach` comes before the rest.
    """

    def __init__(self, policy: SignalPolicy) -> None:
        self.queue: SignalQueue[Message | Callable[[], object]] = SignalQueue()
        """Any thread may put a message there."""
        self.errors = MainThreadErrors()
        self.is_stop_requested = False
        """Whether a signal has requested a stop."""
        self._policy = policy
        self._jobs_started = Latch()

    def note_signal(self, number: int, _: object) -> None:
        """Note the number of a signal. The handler may interrupt the main thread at any point."""
        if self._policy.is_stop(number):
            self.is_stop_requested = True
        self.queue.note(number)

    def attach(
        self, scheduler: Scheduler, stopping: Stopping, imports: ImportWatch, reactions: SignalReactions
    ) -> None:
        """Set what the messages act on."""
        self._scheduler = scheduler
        self._stopping = stopping
        self._imports = imports
        self._reactions = reactions

    def wait_for_end(self) -> StopReport:
        """Start the jobs and wait until they are stopped. An exception stops them, and the waiting goes on."""
        error: BaseException | None = None
        for count in range(MOST_ERRORS):
            try:
                if error is not None:
                    self._stop_after(error)
                if count > MOST_WHILE_LISTENING:
                    self._scheduler.wait_stopped(max(0.0, self._stopping.deadline - mono()))
                self._start_jobs()
                self.handle_until(Message.STOPPED)
                return self._scheduler.stop()
            except BaseException as raised:  # noqa: BLE001 - also what a signal handler of a plugin raises
                error = raised
        os._exit(self.errors.code)

    def wait_for_scheduler(self, scheduler: Scheduler) -> None:
        """Wait for the end of the work and of the stop, and say so to the main thread. On a helper thread."""
        try:
            self._jobs_started.wait()
            scheduler.wait()
            self.queue.put(Message.WORK_FINISHED)
            scheduler.wait_stopped()
            self.queue.put(Message.STOPPED)
        except BaseException as error:  # noqa: BLE001 - without this thread the program would not end by itself
            self.queue.put(partial(self._stop_after, error))

    def handle_until(self, last: Message) -> None:
        """Handle signals and messages until this message comes, or until the stop is over if its message is lost."""
        while True:
            message = self.queue.get(STOP_POLL_SECONDS if self._stopping.is_under_way else float("inf"))
            if message is last:
                return
            if message is None and last is Message.STOPPED and self._scheduler.wait_stopped(0):
                return
            if message is Message.WORK_FINISHED:
                finished = Reason(ReasonKind.FINISHED, "all non-daemon jobs have ended")
                self._stopping.begin(self._scheduler.stop_reason or finished)
            elif isinstance(message, Message):
                self._imports.take_back_unseen()
            elif isinstance(message, Signal):
                self._handle_signal(message)
            elif message is not None:
                message()

    def _start_jobs(self) -> None:
        if not self._jobs_started.is_open:
            # After a stop signal while the files were read, no job starts.
            if not (self.is_stop_requested or any(map(self._policy.is_stop, self.queue.arrived()))):
                self._scheduler.start()
            self._jobs_started.open()

    def _stop_after(self, error: BaseException) -> None:
        """Stop all jobs because of an exception on the main thread; it may be called again."""
        self.errors.record(error)
        self._jobs_started.open()
        self._imports.take_back_unseen()
        if isinstance(error, KeyboardInterrupt):  # SIGINT, while its handler was that of Python
            self.note_signal(signal.SIGINT, None)
        else:
            self._stopping.begin(Reason(ReasonKind.SHUTDOWN, f"{type(error).__name__} on the main thread"))

    def _handle_signal(self, arrived: Signal) -> None:
        action = self._policy.action_for(arrived.number, arrived.at)
        if action is SignalAction.RELOAD:
            self._imports.take_back_unseen()
        self._reactions.react(arrived, action)
