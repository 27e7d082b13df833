"""Blocking calls that a cancellation wakes within a millisecond: recv, accept, connect, get, put, process.

They take the context and raise `Cancelled`; in a thread that outlives its run they raise it as well. `passed_sockets`
returns the sockets that systemd has opened for this process.
"""

from __future__ import annotations

from taskloom.waiting.passed import passed_sockets
from taskloom.waiting.processes import process
from taskloom.waiting.queues import get, put
from taskloom.waiting.sockets import accept, connect, recv

__all__ = ["accept", "connect", "get", "passed_sockets", "process", "put", "recv"]
