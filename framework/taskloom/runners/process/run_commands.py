"""The commands of the scheduler to one run in a process. Posted by the handle, and by the observer of the token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskloom.runners.process.run_phase import BEFORE, Phase

if TYPE_CHECKING:
    from taskloom.runners.process.connection import Connection
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["RunCommands"]


class RunCommands:
    """Passes each request on to the run, in the phases in which it has a meaning. Called on the IO thread."""

    def __init__(self, connection: Connection, token: CancelToken) -> None:
        self._connection = connection
        self._token = token

    def cancel(self, now: float) -> None:
        """Pass the request to stop on; idempotent."""
        connection, run = self._connection, self._connection.run
        if connection.phase is Phase.QUEUED:
            connection.conclude(run.not_entered())
        elif run.ladder.requested is None and connection.phase in (Phase.LAUNCHING, Phase.OPEN):
            reason = self._token.reason
            if reason is not None:
                run.on_cancel(reason, now)

    def terminate(self, now: float) -> None:
        """Pass TERM on, at most once, and not after a kill."""
        run = self._connection.run
        if self._is_open and run.ladder.terminated is None and run.ladder.killed is None:
            run.on_terminate(now)

    def kill(self, now: float) -> None:
        """Kill the run, once; one whose processes were not started yet ends at once, or as soon as they are there."""
        connection, run = self._connection, self._connection.run
        if connection.phase in BEFORE or self._is_open:
            if run.ladder.killed is None:
                run.on_kill(now)
            if connection.phase is Phase.QUEUED:
                connection.conclude(run.end(lost=None))

    def signal(self, number: int) -> None:
        """Send a signal to the main process."""
        if self._is_open:
            self._connection.run.on_signal(number)

    def reload(self) -> None:
        """Pass on that the job files were read again."""
        if self._is_open:
            self._connection.run.on_reload()

    def set_urgent(self, now: float) -> None:
        """Pass on that little time is left."""
        if self._is_open:
            self._connection.run.on_urgent(now)

    def set_poll_interval(self, seconds: float) -> None:
        """Pass the new poll interval on."""
        if self._connection.phase in (Phase.LAUNCHING, Phase.OPEN):
            self._connection.run.on_poll_interval(seconds)

    def renew(self, until: float) -> None:
        """Let the lease end later; a run without one has none afterwards either."""
        connection = self._connection
        if connection.lease is not None and until > connection.lease:
            connection.lease = until
            connection.link.send_order(f"lease {until!r}")

    @property
    def _is_open(self) -> bool:
        return self._connection.phase is Phase.OPEN
