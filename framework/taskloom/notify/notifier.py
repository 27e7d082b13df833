"""All receivers of a program."""

from __future__ import annotations

from collections.abc import Sequence

from taskloom.clock import mono
from taskloom.core.events import Event
from taskloom.jobfile.fields.notify import Receivers, ReceiverSetting
from taskloom.notify.receiver import Receiver, ReceiverStatus, Surroundings
from taskloom.notify.transport import Transport

__all__ = ["FAILING_SECONDS", "FINISH_SECONDS", "Notifier", "transport_of"]

# At the end of the program, for what is queued. A receiver that did not answer before gets time for one more try.
FINISH_SECONDS = 2.0
FAILING_SECONDS = 0.5
# For commands that were killed, so that they are collected.
_ABORT_SECONDS = 0.1


def transport_of(setting: ReceiverSetting) -> Transport:
    """Return how messages reach a receiver. Without a webhook, nothing of TLS is imported."""
    if setting.command:
        from taskloom.notify.command import CommandTransport

        return CommandTransport(setting.command)
    from taskloom.notify.webhook import WebhookTransport

    return WebhookTransport(setting.webhook, setting.secret)


class Notifier:
    """The receivers, each with a thread of its own, from `start` to `finish`."""

    def __init__(self, settings: Receivers, around: Surroundings) -> None:
        self._receivers = [
            Receiver(setting, number, transport_of(setting), around) for number, setting in enumerate(settings, 1)
        ]

    def start(self) -> None:
        """Start their threads. Raises RuntimeError if the system refuses one; then `finish` ends the others."""
        for receiver in self._receivers:
            receiver.start()

    def put(self, event: Event) -> None:
        """Take an event; never blocks. Only one thread calls it."""
        for receiver in self._receivers:
            receiver.put(event)

    def history_changed(self) -> None:
        """Look how the history is, since that may have changed. Any thread; never blocks."""
        for receiver in self._receivers:
            receiver.history_changed()

    def status(self) -> Sequence[ReceiverStatus]:
        """Return how it goes with each receiver. Any thread; never blocks."""
        return [receiver.status for receiver in self._receivers]

    def finish(self, until: float) -> Sequence[ReceiverStatus]:
        """Send what is queued, to all at the same time and until the monotonic second `until`; return how that went."""
        now = mono()
        for receiver in self._receivers:
            receiver.close(min(until, now + (FAILING_SECONDS if receiver.status.reason else FINISH_SECONDS)))
        for receiver in self._receivers:
            limit = FAILING_SECONDS if receiver.status.reason else FINISH_SECONDS
            if not receiver.wait(max(0.0, min(until, now + limit) - mono())):
                receiver.abort()
        aborted = mono()
        for receiver in self._receivers:
            receiver.wait(max(0.0, aborted + _ABORT_SECONDS - mono()))
        return self.status()
