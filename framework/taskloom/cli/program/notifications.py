"""The notifications of one `taskloom run`: their threads begin before the first job, and end with the program.

Without the setting `notify`, nothing of them is imported and nothing runs.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskloom.cli.program.history import ProgramHistory
from taskloom.cli.resources import needed
from taskloom.clock import mono
from taskloom.control.program_info import ProgramInfo
from taskloom.core.events import Event
from taskloom.core.model import JobSpec
from taskloom.jobfile.fields.notify import Receivers
from taskloom.observe.console import Console
from taskloom.observe.masking import Masker
from taskloom.text import plural

if TYPE_CHECKING:
    from taskloom.notify.notifier import Notifier

__all__ = ["ProgramNotifications"]

# If the deadline of the stop is over already: enough for a receiver on this machine.
LEAST_SECONDS = 0.1

Labels = Mapping[str, tuple[str, ...]]


class ProgramNotifications:
    """The receivers, or none: then every method does nothing.

    `put` is called by the thread of the events. Any thread may call `learn` and `as_json`.
    """

    def __init__(self) -> None:
        self._notifier: Notifier | None = None
        # Those of the jobs before the last reload, too: their last events are still to come.
        self._labels: Labels = {}
        self._latest: Labels = {}

    def open(
        self,
        settings: Receivers | None,
        info: ProgramInfo,
        masker: Masker,
        console: Console,
        history: ProgramHistory,
    ) -> None:
        """Make the receivers and start their threads. Raises OutOfResources if the system refuses them.

        `history`: opened before.
        """
        if not settings:
            return
        masker.learn(settings.secrets)
        with needed("import what sends notifications"):
            from taskloom.notify.message import Sender
            from taskloom.notify.notifier import Notifier
            from taskloom.notify.receiver import Surroundings

        def why_no_history() -> str | None:
            status = history.status()
            return status.reason if status.state == "degraded" else None

        around = Surroundings(
            Sender(info.name, info.start, socket.gethostname(), os.getpid()),
            masker.mask_data,
            lambda line, level: console.log(line, level=level),
            lambda: self._labels,
            why_no_history,
        )
        self._notifier = Notifier(settings, around)
        history.changed = self._notifier.history_changed
        with needed("start the threads that send notifications"):
            self._notifier.start()

    def learn(self, specs: Iterable[JobSpec]) -> None:
        """Take the labels of these jobs, before they are added."""
        latest = {each.name: tuple(spec.labels) for spec in specs for each in spec.replicated()}
        self._labels, self._latest = {**self._latest, **latest}, latest

    def put(self, event: Event) -> None:
        """Take an event of the scheduler; never blocks. Only one thread calls it."""
        if self._notifier is not None:
            self._notifier.put(event)

    def as_json(self) -> Sequence[Mapping[str, Any]]:
        """Return how it goes with each receiver, as JSON data."""
        return () if self._notifier is None else [each._asdict() for each in self._notifier.status()]

    def finish(self, console: Console, deadline: float) -> None:
        """Send what is queued, before the monotonic second `deadline`; log what could not be sent. Idempotent."""
        notifier = self._notifier
        if notifier is None:
            return
        for each in notifier.finish(max(deadline, mono() + LEAST_SECONDS)):
            missing = each.lost + each.queued
            if missing:
                why = each.reason or "no answer yet"
                console.log(f"{plural(missing, 'notification')} not sent to {each.name} ({why})", level="WARNING")

    def close(self) -> None:
        """End the threads, because the program does not begin."""
        if self._notifier is not None:
            self._notifier.finish(mono())
