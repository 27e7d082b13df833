"""Keeps the control socket in its place: makes it again if its file was removed, or if a task has closed it."""

from __future__ import annotations

from math import inf

from taskloom.clock import mono
from taskloom.control.identity import NameTaken
from taskloom.control.listening import Listening
from taskloom.control.log_once import LogOnce
from taskloom.text import duration

__all__ = ["EndpointKeeper"]

# A change in the folder is handled after this time: to remove a whole folder, its files are removed first.
CHECK_SECONDS = 1.0
# How often a removed socket is looked for without a watch, and how often one that cannot be made again is tried.
RETRY_SECONDS = 5.0


class EndpointKeeper:
    """Checks an endpoint when its folder has changed, or at intervals. For the control thread alone."""

    def __init__(self, endpoint: Listening, log: LogOnce) -> None:
        self._endpoint = endpoint
        self._log = log
        self.check_at = mono() + RETRY_SECONDS if endpoint.needs_checks else inf
        """When `check` is to be called, in monotonic seconds; inf for never."""

    def is_lost(self) -> bool:
        """Return whether the socket is closed, and no check is due that would make it again."""
        return self.check_at == inf and not self._endpoint.is_listening

    def folder_changed(self, now: float) -> None:
        """Check soon."""
        self.check_at = min(self.check_at, now + CHECK_SECONDS)

    def hasten(self, now: float) -> None:
        """Check after what is being done now."""
        self.check_at = min(self.check_at, now)

    def check(self, now: float) -> None:
        """Make the socket file again if it was removed."""
        self.check_at = now + RETRY_SECONDS if self._endpoint.needs_checks else inf
        try:
            was_open = self._endpoint.is_listening
            if self._endpoint.check() and was_open:
                self._log.warn(f"the {self._endpoint.kind} socket was removed, and made again: {self._endpoint.path}")
        except (OSError, NameTaken) as error:
            self.check_at = now + RETRY_SECONDS
            what = f"cannot make the {self._endpoint.kind} socket again"
            reason = f"{what}, and try again every {duration(RETRY_SECONDS)}: {error}"
            self._log.warn_once(("check", str(error)), reason)
        else:
            if self._endpoint.needs_checks:
                self.check_at = now + RETRY_SECONDS
