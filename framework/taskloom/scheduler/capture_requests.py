"""The stacks that the core has requested, and what is known of them in time.

They are read after all queued actions were carried out, on a helper thread. The answer does not wait for that thread
longer than the capture allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from taskloom.clock import Clock
from taskloom.core.inputs import StackCaptured
from taskloom.runners import Stack
from taskloom.scheduler.live_run import LiveRun
from taskloom.scheduler.messages import Messages
from taskloom.scheduler.stack_captures import Capture, StackReader
from taskloom.sync.gate import Gate

__all__ = ["CaptureRequests"]


class CaptureRequests:
    """Captures stacks and reports them to the core. Called on the scheduler thread only.

    `live` has the runs that the core has not released yet. `mark_changed` is called when runs were found overdue.
    """

    def __init__(
        self,
        live: Mapping[str, LiveRun],
        stacks: StackReader,
        messages: Messages,
        *,
        clock: Clock,
        gate: Gate,
        mark_changed: Callable[[], object],
    ) -> None:
        self.requested: list[str] = []
        """The ids of runs whose stacks are still to be captured."""
        self.running: list[Capture] = []
        """Captures that helpers are working on."""
        self._live = live
        self._stacks = stacks
        self._messages = messages
        self._clock = clock
        self._gate = gate
        self._mark_changed = mark_changed

    def begin(self) -> None:
        """Read where the requested runs are: all requested stacks at once."""
        names, self.requested = self.requested, []
        try:
            runs = [self._live[name] for name in names if name in self._live]
            capture = self._stacks.begin(runs, self._messages.post)
        except Exception as error:  # noqa: BLE001 - a bug; the stop waits for each answer
            self._messages.record_bug(error)
            capture = Capture([], {})
        capture.runs = names  # every name, even without a stack
        self.running.append(capture)

    def finish(self, capture: Capture) -> None:
        """Tell the core what is known of these stacks: the helper is done, or its time is over."""
        if capture not in self.running:
            return  # reported already, without the helper
        self.running.remove(capture)
        if capture.error is not None:
            self._messages.record_bug(capture.error)
        # Those runs are over, and their reports will be processed before long: they are not overdue any more.
        ended = [] if capture.is_repeated else [name for name in capture.runs if name in self._gate.ended]
        if ended:
            self.running.append(capture.part(ended))
        now = self._clock.now().mono
        for name in capture.runs:
            if name in ended:
                continue
            where, text = capture.stacks.get(name, Stack("", ""))
            run = self._live.get(name)
            age, callbacks = (run.poll_age(now), run.unfinished_callbacks()) if run is not None else (None, ())
            self._messages.process(StackCaptured(name, where, text, age, callbacks))
        self._mark_changed()

    def finish_due(self, now: float) -> None:
        """Report what is known of the stacks whose helper has not come back by the monotonic second `now`."""
        for capture in [capture for capture in self.running if now >= capture.until]:
            self.finish(capture)
