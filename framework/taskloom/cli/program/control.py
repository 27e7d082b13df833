"""The control socket of one `taskloom run`: made before the first job, closed when the report of the stop is sent.

The jobs do not depend on it. If there is no folder for it, one line says so and they run; only another program that
runs the same is a reason not to begin. The address for metrics is made and closed with it: the user has asked for that
one, so the program does not begin without it.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from taskloom.cli.program.settings import RunSettings
from taskloom.cli.resources import needed
from taskloom.clock import mono
from taskloom.control.action_record import ActionRecord
from taskloom.control.api import Api
from taskloom.control.endpoint import Wanted
from taskloom.control.log_once import Log
from taskloom.control.log_source import LogSource
from taskloom.control.metrics.serving import CLOSE_SECONDS, MetricsServer
from taskloom.control.names import checked_name, default_name, label_of, subject_of
from taskloom.control.probes import INSTALL, MISSING, has_metrics
from taskloom.control.program_info import ProgramInfo, RequestReload, RequestShutdown
from taskloom.control.serving import FINISH_SECONDS, Control
from taskloom.core.events import Event
from taskloom.core.model import Reason
from taskloom.observe.console import Console
from taskloom.scheduler.facade import Scheduler

if TYPE_CHECKING:
    import socket as sockets

__all__ = ["ProgramControl", "program_info"]

# If the deadline of the stop is over already: enough for clients that are reading.
LEAST_SECONDS = 0.1


class ProgramControl:
    """The control socket and the address for metrics; without both, every method does nothing."""

    def __init__(self) -> None:
        self._api: Api | None = None
        self._control: Control | None = None
        self._metrics: MetricsServer | None = None
        self._has_requested_stop = False
        # Lines for the log, each with its level, until the columns of the log are known.
        self._lines: list[tuple[str, str]] = []

    def open(
        self,
        scheduler: Scheduler,
        *,
        info: ProgramInfo,
        settings: RunSettings,
        paths: Sequence[str],
        console: Console,
        logs: LogSource,
        mask: Callable[[str], str],
        reload: RequestReload,
        shutdown: RequestShutdown,
        history: ActionRecord,
        notifications: Callable[[], Sequence[Mapping[str, Any]]],
    ) -> None:
        """Begin to listen as the settings say; clients wait until `start`.

        Raises ProgramRunning if another program runs the same or has the name, and click.UsageError if metrics cannot
        be given. Whatever else prevents a control socket is a line of `log_place`.
        """
        if not settings.control and settings.metrics is None:
            return

        def stop(within: float | None, reason: Reason) -> None:
            self._has_requested_stop = True
            shutdown(within, reason)

        def log(line: str, level: str) -> None:
            console.log(line, level=level)

        # Not through `logging`: a task's log handler may block, so it would need one more thread.
        self._api = Api(
            scheduler,
            program=info,
            logs=logs,
            mask=mask,
            reload=reload,
            shutdown=stop,
            log=log,
            history=history,
            notifications=notifications,
        )
        if settings.control:
            named = settings.name is not None
            wanted = Wanted(info.name, named, subject_of(paths[0]), info.start, info.since, settings.socket or None)
            self._open_control(self._api, wanted, log)
        self._open_metrics(self._api, settings, log)

    def _open_control(self, api: Api, wanted: Wanted, log: Log) -> None:
        try:
            control = Control(api, wanted, log=log)
        except OSError as error:
            reason = error.strerror.lower() if error.strerror else str(error)
            self._lines.append((f"no control socket, so taskloom status finds nothing: {reason}", "WARNING"))
            return
        self._lines += [(note, "WARNING") for note in control.notes]
        self._lines.append((f"control socket {control.path}", "DEBUG"))
        self._control = control

    def _open_metrics(self, api: Api, settings: RunSettings, log: Log) -> None:
        address = settings.metrics
        if address is None:
            return
        if not has_metrics():
            raise click.UsageError(f"cannot give metrics ({settings.metrics_from}): {MISSING}")
        try:
            self._metrics = MetricsServer(api.answer_in_public, address, log=log)
        except ImportError as error:  # half removed, or another package of this name
            raise click.UsageError(f"cannot give metrics ({settings.metrics_from}): {error}; {INSTALL}") from None
        except OSError as error:
            reason = error.strerror[:1].lower() + error.strerror[1:] if error.strerror else str(error)
            raise click.UsageError(f"cannot give metrics at {address} ({settings.metrics_from}): {reason}") from None
        self._lines.append((f"metrics at {self._metrics.url}", "INFO"))

    def start(self) -> None:
        """Begin to answer. Raises OutOfResources if there is no thread for it."""
        if self._control is not None:
            with needed("start the control thread"):
                self._control.start()
        if self._metrics is not None:
            with needed("start the thread that gives metrics"):
                self._metrics.start()

    def log_place(self, console: Console) -> None:
        """Log where the socket is, and what was in the way."""
        while self._lines:
            line, level = self._lines.pop(0)
            console.log(line, level=level)

    @property
    def is_open(self) -> bool:
        """Whether there is a control socket."""
        return self._control is not None

    def connect(self, via: str) -> sockets.socket:
        """Return a connection for another listener of this process, as `Control.connect`. Raises OSError."""
        control = self._control
        if control is None:
            raise OSError(errno.ESHUTDOWN, "the control server has ended")
        return control.connect(via)

    def announce_page(self, url: str, token_file: str) -> None:
        """Let clients know where the web page is, and which file has its token."""
        if self._control is not None:
            self._control.announce_page(url, token_file)

    def put(self, event: Event) -> None:
        """Take an event of the scheduler; never blocks. Only one thread calls it."""
        if self._api is not None:
            self._api.put(event)

    def finish(self, report: Callable[[], Mapping[str, Any]], deadline: float) -> None:
        """Send the report to the clients that wait for it, and close, before the monotonic second `deadline`."""
        control, self._control = self._control, None
        if control is not None:
            within = max(LEAST_SECONDS, min(FINISH_SECONDS, deadline - mono()))
            control.finish(report(), within, awaits_client=self._has_requested_stop)
        self._close_metrics(max(LEAST_SECONDS, min(CLOSE_SECONDS, deadline - mono())))

    def close(self) -> None:
        """Remove the sockets; idempotent."""
        control, self._control = self._control, None
        if control is not None:
            control.close(0.0)
        self._close_metrics(0.0)

    def _close_metrics(self, within: float) -> None:
        metrics, self._metrics = self._metrics, None
        if metrics is not None:
            metrics.close(within)


def program_info(name: str | None, paths: Sequence[str]) -> ProgramInfo:
    """Return what this start of the program is. `name`: as it is set; None for one that is made from the first path."""
    chosen = default_name(paths[0]) if name is None else checked_name(name)
    try:
        folder = os.getcwd()  # noqa: PTH109
    except OSError:
        folder = ""  # it was removed
    return ProgramInfo(
        chosen,
        label=label_of(chosen) if name is None else chosen,
        paths=tuple(paths),
        cwd=folder,
        command=tuple(sys.orig_argv),
    )
