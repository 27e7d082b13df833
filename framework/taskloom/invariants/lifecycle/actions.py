"""I4, I8: what is said is done, and what is done is said: each order has its event."""

from __future__ import annotations

from taskloom.core import actions, inputs
from taskloom.invariants.history import Step
from taskloom.invariants.lifecycle.model import Books

__all__ = ["Orders"]


class Orders:
    """The orders beside the events; `queued` and `asked` count how many more events than orders a step brought."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.queued = self.asked = 0
        self._let_go = ""
        self._stop_overs = 0

    def close(self) -> None:
        """Judge what only the end can tell."""
        if self._stop_overs != 1:
            self._books.broken("I7", f"ShutdownFinished came {self._stop_overs} times")

    def judge_answers(self, step: Step) -> None:
        """Judge that a step said all that it had to: nothing is dropped in silence."""
        if self.queued or self.asked:
            self._judge_counts()
        kind, run = type(step.message), str(getattr(step.message, "run", ""))
        if kind is inputs.RunEnded or kind is inputs.RunStartFailed:
            if self._let_go != run:
                self._books.broken("I8", f"{run} is back, and nobody was told")
        elif kind is inputs.RunStarted:
            found = self._books.ledger.live.get(run)
            if found is not None and found.started is None and found.ended is None:
                self._books.broken("I4", f"{found.run} started, and no event says so")
        self._let_go = ""

    def _judge_counts(self) -> None:
        for event, action, more in (("queued", "StartRun", self.queued), ("cancel_requested", "CancelRun", self.asked)):
            if more:
                self._books.broken("I4", f"{abs(more)} {'more' if more > 0 else 'fewer'} {event} than {action}")
        self.queued = self.asked = 0

    def start_run(self, action: actions.StartRun) -> None:
        """Judge that a run is begun that was just queued."""
        self.queued -= 1
        run, book = self._books.ledger.live.get(action.run), self._books.jobs.get(action.spec.name)
        if run is None or run.job != action.spec.name or run.started is not None or run.queued != self._books.now:
            self._books.broken("I4", f"StartRun of {action.run}, which was not just queued")
        elif run.attempt != action.attempt or action.replica != action.spec.replica:
            self._books.broken("I4", f"StartRun of {action.run} as attempt {action.attempt} of {action.replica}")
        if book is None or action.spec is not book.spec:
            self._books.broken("I4", f"StartRun of {action.run} with another declaration")

    def ask_run(self, action: actions.CancelRun) -> None:
        """Judge that a run is asked that an event says was."""
        self.asked -= 1
        run = self._books.ledger.live.get(action.run)
        if run is None or run.asked != self._books.now or run.reason != (action.reason.kind.value, action.reason.text):
            self._books.broken("I4", f"CancelRun of {action.run} for {action.reason}, and its event does not say so")

    def run_over(self, action: actions.ReleaseRun) -> None:
        """Judge that a run is let go that is back."""
        self._let_go = action.run
        if action.run in self._books.ledger.live:
            self._books.broken("I8", f"ReleaseRun of {action.run}, which is live")
        message = self._books.step.message if self._books.step is not None else None
        if not isinstance(message, inputs.RunEnded | inputs.RunStartFailed) or message.run != action.run:
            self._books.broken("I8", f"ReleaseRun of {action.run}, and nobody said that it is back")

    def stop_over(self, action: actions.ShutdownFinished) -> None:
        """Judge that the stop is over when an event says so."""
        self._stop_overs += 1
        if self._books.ledger.stopped != self._books.now:
            self._books.broken("I7", "ShutdownFinished without scheduler_stopped")
