"""Passes the events of the scheduler on: to the log, clients, the history, notifications, and a file of events."""

from __future__ import annotations

from taskloom.cli.program.control import ProgramControl
from taskloom.cli.program.history import ProgramHistory
from taskloom.cli.program.notifications import ProgramNotifications
from taskloom.cli.program.service_manager import ServiceManager
from taskloom.cli.program.shutdown import close_listeners
from taskloom.core.events import Event, EventName
from taskloom.observe.console import Console
from taskloom.observe.event_file import EventSink
from taskloom.observe.program_output import ProgramOutput
from taskloom.observe.wait_log import WaitLog
from taskloom.scheduler.facade import Listener, Scheduler

__all__ = ["EventFeed"]


class EventFeed:
    """Listens to the scheduler from the construction until `close`.

    `sink`: takes all events on a thread of its own. Raises what a thread raises that cannot be started.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        shown: ProgramOutput,
        *,
        control: ProgramControl,
        history: ProgramHistory,
        notifications: ProgramNotifications,
        service: ServiceManager,
        sink: EventSink | None,
        is_verbose: bool,
    ) -> None:
        self._shown = shown
        self._control = control
        self._history = history
        self._notifications = notifications
        self._service = service
        self._sink = sink
        self._wait_log = WaitLog(shown.console) if is_verbose else None
        self.asked: dict[str, float] = {}
        """Job -> the monotonic second at which its last run was asked to stop."""
        on_wait = self._wait_log.on_wait if self._wait_log is not None else None
        self._listeners: list[Listener] = [scheduler.listen(self._on_event, on_wait=on_wait)]
        if sink is not None:
            self._listeners.append(scheduler.listen(sink))

    def close(self, console: Console, deadline: float) -> None:
        """Deliver the queued events, and log how many were lost. `deadline`: the monotonic second of the stop's end."""
        close_listeners(self._listeners, console, deadline, self._sink)

    def _on_event(self, event: Event) -> None:
        if event.event is EventName.CANCEL_REQUESTED and event.job:
            self.asked[event.job] = event.mono
        self._control.put(event)
        self._history.put(event)
        self._notifications.put(event)
        self._service.put()
        self._shown(event)
        if self._wait_log is not None:
            self._wait_log.on_event(event)
