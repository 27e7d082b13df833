"""Puts a scheduler behind a control socket: for `taskloom run`, and for programs that bring their own scheduler."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from taskloom.clock import mono
from taskloom.control.api import LOGGER, Api
from taskloom.control.endpoint import Endpoint, Wanted
from taskloom.control.exchange import Answer, Request
from taskloom.control.in_children import close_in_children, keep_in_children
from taskloom.control.log_once import Log
from taskloom.control.names import checked_name, program_name
from taskloom.control.preload import import_for_answers
from taskloom.control.program_info import ProgramInfo
from taskloom.control.server import Server
from taskloom.core.events import Event
from taskloom.scheduler.facade import Listener, Scheduler
from taskloom.scheduler.failure_log import FailureLog
from taskloom.sync.latch import Latch

if TYPE_CHECKING:
    import socket as sockets

__all__ = ["FINISH_SECONDS", "Control", "serve"]

# For the last replies, once the report of the stop is known.
FINISH_SECONDS = 1.0

# A client that has requested the stop asks for its report on a second connection. It gets this time to come.
REPORT_SECONDS = 0.5
_REPORT_PATH = "/v1/stop"


def serve(scheduler: Scheduler, *, name: str | None = None, socket: str | None = None) -> Control:
    """Let `taskloom status` and the other verbs see and steer the jobs of this scheduler, until `close`.

    `name`: by which the verbs find this program; by default the name of its script, with a hash of its pid. `socket`:
    the path of the socket; by default a file in the first folder that suits, as for `taskloom run`.

    Raises ValueError for a name that a program cannot have, ProgramRunning if a program of this user has the name, and
    OSError if the socket cannot be made, with the reason as its text. One thread is started for the requests, and one
    for the events. To close it is up to the caller, after the scheduler was stopped: `with serve(scheduler): ...`
    """
    checked = program_name(sys.argv[0] if sys.argv else "") if name is None else checked_name(name)
    info = ProgramInfo(checked, cwd=_folder(), command=tuple(sys.orig_argv))
    wanted = Wanted(checked, True, "", info.start, info.since, socket or None)
    log = FailureLog(_logger())
    control = Control(Api(scheduler, program=info, log=log.put_line), wanted, log=log.put_line)
    try:
        control.start()
        control.subscribe(scheduler)
    except BaseException:
        control.close()
        raise
    return control


class Control:
    """A control socket with what answers there. Also a context manager that closes it.

    Raises ProgramRunning and OSError as `serve`. It listens from the construction, and answers from `start`.
    """

    def __init__(self, api: Api, wanted: Wanted, *, log: Log, environ: Mapping[str, str] | None = None) -> None:
        import_for_answers()
        self._api = api
        self._listener: Listener | None = None
        self._scheduler: Scheduler | None = None
        # Opened when a client asks for the report of the stop.
        self._is_report_wanted = Latch()
        self._pid = os.getpid()
        self._endpoint = Endpoint(wanted, environ)
        try:
            self._server = Server(self._answer, self._endpoint, log=log, is_slow=api.is_slow)
        except BaseException:
            self._endpoint.close()
            raise
        self.put: Callable[[Event], object] = api.put
        """Takes an event of the scheduler. Never blocks; only one thread calls it."""
        close_in_children(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> str:
        """The path of the socket."""
        return self._endpoint.path

    @property
    def notes(self) -> list[str]:
        """Hints for the user: which variable named a folder that cannot be used."""
        return self._endpoint.notes

    @property
    def wakeups(self) -> int:
        """How often its thread has woken up. For tests."""
        return self._server.wakeups

    def start(self) -> None:
        """Start to answer. Raises RuntimeError if the system refuses the thread."""
        self._server.start()

    def connect(self, via: str) -> sockets.socket:
        """Return one end of a new connection, for another listener of this process; `via` names it in logs.

        Any thread may call it. Raises OSError if there is no descriptor.
        """
        return self._server.connect(via)

    def announce_page(self, url: str, token_file: str) -> None:
        """Let clients know where the web page is, and which file has its token. Called before `start`."""
        self._api.announce_page(url, token_file)

    def subscribe(self, scheduler: Scheduler) -> None:
        """Take the events of the scheduler on a thread of their own. Otherwise the caller passes them to `put`."""
        self._listener = scheduler.listen(self.put)
        self._scheduler = scheduler

    def finish(self, report: Mapping[str, Any], within: float = FINISH_SECONDS, *, awaits_client: bool = False) -> None:
        """Send the report of the stop to the clients that wait for it, and close, all within `within` seconds.

        `awaits_client`: a client has requested the stop. If none waits for the report yet, it gets a moment to come.
        """
        end = mono() + within
        self._api.finish(report)
        if awaits_client:
            self._is_report_wanted.wait(min(REPORT_SECONDS, within))
        self.close(max(0.0, end - mono()))

    def close(self, within: float = FINISH_SECONDS) -> None:
        """Send what is being sent, within `within` seconds, and remove the socket. Idempotent; raises nothing.

        In a forked child it does nothing: the socket is that of the parent process.
        """
        if os.getpid() != self._pid:
            return
        end = mono() + within
        report = self._scheduler.stop_report if self._scheduler is not None else None
        if report is not None:  # of a host program that has called no `finish`; otherwise that one counts
            self._api.finish(report.as_dict())
        if self._listener is not None:
            self._listener.close(within)
        self._server.close(max(0.0, end - mono()))
        self._endpoint.close()
        keep_in_children(self)

    def _answer(self, request: Request) -> Answer:
        answer = self._api.answer(request)
        if request.path == _REPORT_PATH:
            self._is_report_wanted.open()
        return answer

    def forget(self) -> None:
        """Close all descriptors, in a forked child."""
        self._server.forget()


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        return ""  # it was removed


def _logger() -> Any:
    import logging

    return logging.getLogger(LOGGER)
