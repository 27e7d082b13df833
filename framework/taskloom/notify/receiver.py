"""One receiver with its thread: takes events, sends what is due, and counts what cannot be sent."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from taskloom.clock import Clock, MonotonicClock
from taskloom.core.events import Event, EventName
from taskloom.core.model import Moment
from taskloom.jobfile.fields.notify import Kind, ReceiverSetting
from taskloom.notify.message import Sender, message_of
from taskloom.notify.outbox import Batch, Outbox
from taskloom.notify.transport import NotSent, Transport
from taskloom.notify.troubles import Troubles
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch
from taskloom.sync.waker import lock_timeout
from taskloom.text import error_text, plural

__all__ = ["Receiver", "ReceiverStatus", "Surroundings"]

Labels = Mapping[str, tuple[str, ...]]


class Surroundings(NamedTuple):
    """The program, as its receivers see it. All of it may be called by any thread, and nothing of it blocks."""

    sender: Sender
    mask_data: Callable[[Any], Any]
    """Masks the secrets in JSON data, or in a text."""
    log: Callable[[str, str], object]
    """Logs a line with a level, such as `WARNING`."""
    labels: Callable[[], Labels]
    """Returns the labels of each job."""
    why_no_history: Callable[[], str | None]
    """Returns why the history is degraded; None if it works, or there is none."""
    clock: Clock = MonotonicClock()


class ReceiverStatus(NamedTuple):
    """How it goes with one receiver."""

    name: str
    """Its kind and its place, such as `webhook example.com`; without a secret."""
    reason: str
    """Why the last try has failed; "" if it has not."""
    sent: int
    """Messages that were sent."""
    queued: int
    """Notifications that wait, or are being sent."""
    lost: int
    """Notifications that could not be sent."""


class Receiver:
    """One receiver. Any thread may call its methods; none of them blocks but `wait`."""

    def __init__(self, setting: ReceiverSetting, number: int, transport: Transport, around: Surroundings) -> None:
        self.name = str(setting)
        self._setting = setting
        self._transport = transport
        self._around = around
        self._troubles = Troubles(setting.on)
        self._outbox = Outbox(setting.every)
        # Held for moments, while the two above are used: never during a send.
        self._guard = allocate_lock()
        # A binary semaphore: free from when there is news until the thread has noticed.
        self._news = allocate_lock()
        self._news.acquire()
        self._has_history_news = Kind.HISTORY_DEGRADED in setting.on
        # The monotonic second at which the last send has to be over, once the program ends.
        self._end: float | None = None
        self._reason = ""
        self._ended = Latch()
        self._thread = KeptThread(f"taskloom-notify-{number}", self._step, self._failed)

    def start(self) -> None:
        """Start its thread. Raises RuntimeError if the system refuses it."""
        self._thread.start()

    def put(self, event: Event) -> None:
        """Take an event. Only one thread calls it."""
        labels = self._setting.labels
        if labels and event.job is not None and labels.isdisjoint(self._around.labels().get(event.job, ())):
            return
        with self._guard:
            notices = self._troubles.take(event)
            if notices:
                now = self._around.clock.now().mono
                for notice in notices:
                    self._outbox.add(notice, now)
            is_due_later = event.event is EventName.READY and self._troubles.next_due() is not None
        if notices or is_due_later:
            self._wake()

    def history_changed(self) -> None:
        """Have its thread ask how the history is."""
        if Kind.HISTORY_DEGRADED in self._setting.on:
            self._has_history_news = True
            self._wake()

    @property
    def status(self) -> ReceiverStatus:
        """How it goes."""
        with self._guard:
            outbox = self._outbox
            return ReceiverStatus(self.name, self._reason, outbox.sent, outbox.queued, outbox.lost)

    def close(self, until: float) -> None:
        """Send what is there at once, until this monotonic second, and end."""
        self._end = until
        with self._guard:
            self._outbox.close()
        self._wake()

    def abort(self) -> None:
        """End what is being sent."""
        self._transport.abort()

    def wait(self, seconds: float) -> bool:
        """Wait until its thread has sent all and ended, after `close`; return False after `seconds`."""
        return self._thread.wait_for(self._ended, seconds)

    def _wake(self) -> None:
        try:
            self._news.release()
        except RuntimeError:
            pass  # released already
        self._thread.ensure()

    # -- on its thread

    def _step(self) -> bool:
        """Send the message that is due, or wait for one; return True at the end."""
        now = self._around.clock.now()
        end = self._end
        reason = self._take_history_news()
        with self._guard:
            self._take_news(now, reason)
            batch = self._outbox.take(now.mono)
            due = [each for each in (self._outbox.due_at(), self._troubles.next_due()) if each is not None]
        if batch is not None:
            self._send(batch, now.mono, end)
        elif end is not None:
            self._ended.open()
            return True
        else:
            self._news.acquire(True, lock_timeout(min(due) - now.mono if due else None))
        return False

    def _take_history_news(self) -> tuple[str | None] | None:
        if not self._has_history_news:
            return None
        self._has_history_news = False
        return (self._around.why_no_history(),)

    def _take_news(self, now: Moment, history: tuple[str | None] | None) -> None:
        notices = self._troubles.due(now.mono, now.wall)
        if history is not None:
            notices += self._troubles.history(history[0], now.mono, now.wall)
        for notice in notices:
            self._outbox.add(notice, now.mono)

    def _send(self, batch: Batch, now: float, end: float | None) -> None:
        around = self._around
        until = now + self._setting.within
        try:
            number, body = message_of(batch, around.sender, around.labels(), around.mask_data)
            self._transport.send(number, body, until if end is None else min(until, end))
        except NotSent as error:
            self._not_sent(str(around.mask_data(str(error))), is_final=error.is_final, retry_after=error.retry_after)
        else:
            with self._guard:
                self._outbox.succeed()
            if self._reason:
                self._reason = ""
                around.log(f"notifications reach {self.name} again", "INFO")

    def _not_sent(self, reason: str, *, is_final: bool, retry_after: float = 0.0) -> None:
        with self._guard:
            now = self._around.clock.now().mono
            is_lost = self._outbox.fail(now, is_final=is_final, retry_after=retry_after)
            lost = self._outbox.lost
        is_first, self._reason = not self._reason, reason
        if is_first:
            after = f"; {plural(lost, 'notification')} lost so far" if is_lost else "; it is tried again"
            self._around.log(f"cannot send notifications to {self.name}: {reason}{after}", "WARNING")

    def _failed(self, error: BaseException) -> None:
        """Lose the message at which our own code has raised, such as a MemoryError."""
        self._not_sent(error_text(error), is_final=True)
