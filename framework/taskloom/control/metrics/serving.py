"""Gives metrics and answers probes at an address of its own, for clients that nothing is known of.

It has a thread of its own, which sleeps while there is no client: the control socket, through which the program is
stopped, does not wait for clients of a network, and they cannot take its places.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module

from taskloom.control.exchange import Answer, Caller, Request
from taskloom.control.in_children import close_in_children, keep_in_children
from taskloom.control.log_once import Log
from taskloom.control.metrics.listener import MetricsListener
from taskloom.control.server import Server
from taskloom.jobfile.fields.metrics import MetricsAddress

__all__ = ["CLIENTS", "MetricsServer"]

CLIENTS = 16
# For the thread to end, if it is making a text. No client is waited for: at the end a scrape has no value.
CLOSE_SECONDS = 0.5


class MetricsServer:
    """Listens from the construction, and answers from `start` until `close`.

    `answer` is called on its thread. Raises OSError if it cannot listen, and ImportError without prometheus-client.
    """

    def __init__(self, answer: Callable[[Request], Answer], address: MetricsAddress, *, log: Log) -> None:
        # Now, as nothing is to be imported while jobs run.
        import_module("taskloom.control.metrics.exposition")
        self._pid = os.getpid()
        self._listener = MetricsListener(address)
        own = Caller(os.geteuid(), 0)
        try:
            self._server = Server(answer, self._listener, log=log, peers=lambda _: own, clients=CLIENTS)
        except BaseException:
            self._listener.close()
            raise
        close_in_children(self)

    @property
    def url(self) -> str:
        """The URL of the metrics."""
        return self._listener.url

    @property
    def wakeups(self) -> int:
        """How often its thread has woken up. For tests."""
        return self._server.wakeups

    def start(self) -> None:
        """Start to answer. Raises RuntimeError if the system refuses the thread."""
        self._server.start()

    def close(self, within: float = CLOSE_SECONDS) -> None:
        """Drop all clients, and stop listening; wait at most `within` seconds for its thread.

        Idempotent; raises nothing. In a forked child it does nothing.
        """
        if os.getpid() == self._pid:
            self._server.close(within, replies_within=0.0)
            self._listener.close()
            keep_in_children(self)

    def forget(self) -> None:
        """Close all descriptors, in a forked child."""
        self._server.forget()
