"""Stops a token as the engine does, for the tests of tokens."""

from __future__ import annotations

from taskloom.core.model import Reason, ReasonKind
from taskloom.sync.cancel_token import CancelToken

__all__ = ["FIRST", "SECOND", "stop"]

FIRST = Reason(ReasonKind.USER, "first")
SECOND = Reason(ReasonKind.SHUTDOWN, "second")


def stop(token: CancelToken, reason: Reason = FIRST) -> None:
    """Do what the engine does to stop a run, including its callbacks."""
    token.request(reason)
    callbacks = token.take_callbacks()
    token.wake()
    for callback in callbacks:
        if callback.begin():
            callback()
