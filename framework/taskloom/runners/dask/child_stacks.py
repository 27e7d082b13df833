"""Asks children where they are. That takes up to a fifth of a second, and the agent does not wait for it."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskloom.runners.dask.child_run import ChildRun
    from taskloom.runners.process import ProcessRunner

__all__ = ["ChildStacks"]


class ChildStacks:
    """Collects the questions that come with one request: they are asked at once, on one thread."""

    def __init__(self) -> None:
        self._questions: list[tuple[ChildRun, int]] = []

    def request(self, child: ChildRun, number: int) -> None:
        """Have the stack of this child reported with this number of the request, after the next `flush`."""
        self._questions.append((child, number))

    def flush(self, runner: ProcessRunner | None) -> None:
        """Ask what is to be asked. Without a thread for it the questions stay without an answer."""
        if not self._questions or runner is None:
            return
        questions, self._questions = self._questions, []
        try:
            Thread(target=_answer, args=(runner, questions), name="taskloom-stacks", daemon=True).start()
        except RuntimeError:
            pass  # a program that gets no answer in time says so


def _answer(runner: ProcessRunner, questions: list[tuple[ChildRun, int]]) -> None:
    asked = [(child, child.handle, request) for child, request in questions]
    handles = [handle for _, handle, _ in asked if handle is not None]
    stacks = iter(runner.stacks(handles, len(handles)))
    for child, handle, request in asked:
        if handle is not None:
            stack = next(stacks)
            child.answer_stack(request, stack.where, stack.text)
