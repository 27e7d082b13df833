"""The terms of a session. Apart from the messages: each program that reads job files imports this module."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Lease"]


class Lease(NamedTuple):
    """The terms of a session, in seconds."""

    ttl: float = 20.0
    grace: float = 10.0
    """From the end of the lease, when each token is set, to SIGKILL."""
    period: float = 5.0
    """Between two requests to an agent."""
    claim_wait: float = 30.0
    """How long an execution waits for its grant or denial; then Dask gets its slot back."""
