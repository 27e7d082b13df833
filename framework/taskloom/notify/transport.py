"""How a message reaches a receiver: what the drivers `command` and `webhook` promise."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NotSent", "Transport"]


class NotSent(Exception):
    """A try to send a message has failed. The text says why, without a secret of the settings."""

    def __init__(self, reason: str, *, is_final: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.is_final = is_final
        """Whether another try would fail as well."""
        self.retry_after = retry_after
        """For how many seconds the receiver does not want another try; 0 if it has not said so."""


class Transport(Protocol):
    """Sends messages to one receiver, one at a time, on the thread of the receiver.

    - `send` returns once the receiver has taken the message, and raises NotSent in every other case.
    - `send` ends by the monotonic second `until`, but for the look-up of a host name, which nothing can end.
    - After `abort`, which any thread may call at any time, the present and each later `send` ends at once.
    - Nothing of a `send` is left when it has ended: no process and no open descriptor.
    """

    def send(self, number: str, body: bytes, until: float) -> None:
        """Send a message. `number`: its id, the same for each try."""

    def abort(self) -> None:
        """End what is being sent. Idempotent; it does not block."""
