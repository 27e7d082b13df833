"""Asks runs in processes where they are, all at once, and waits for their answers for a short time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from taskloom.clock import mono
from taskloom.runners import Stack
from taskloom.runners.process.handle import ProcessHandle
from taskloom.runners.process.worker_run import WorkerRun
from taskloom.runners.process_tree import tree_text, where_of
from taskloom.sync.latch import Latch

if TYPE_CHECKING:
    from taskloom.runners.process.driven_run import DrivenRun
    from taskloom.runners.wire import Hello

__all__ = ["ANSWER_SECONDS", "StackSlot", "ask_stacks"]

ANSWER_SECONDS = 0.08
"""A worker answers within milliseconds, unless it does not get the GIL or is not there yet."""


class StackSlot:
    """The place for the answer of one run."""

    __slots__ = ("answered", "hello", "stack")

    def __init__(self) -> None:
        self.hello: Hello | None = None
        """What the worker has said about itself; None if it is not there, or is no worker."""
        self.stack: Stack | None = None
        self.answered = Latch()

    def answer(self, stack: Stack) -> None:
        """Take the answer. Called on the IO thread."""
        self.stack = stack
        self.answered.open()


def ask_stacks(handles: Sequence[ProcessHandle], texts: int) -> list[Stack]:
    """Return where the runs are; with the whole text for the first `texts` of them. Takes a fifth of a second at most.

    A worker that does not answer is asked by a signal, which needs no GIL. Of a program, and of a worker that does not
    answer at all, /proc says what the main process does.
    """
    slots = [StackSlot() for _ in handles]
    for handle, slot in zip(handles, slots, strict=True):
        connection = handle.connection
        if connection is not None:
            connection.ask(partial(_ask, slot))
        else:
            slot.answer(Stack("", ""))
    until = mono() + ANSWER_SECONDS
    for slot in slots:
        slot.answered.wait(max(0.0, until - mono()))
    return [
        _stack_of(handle, slot, with_text=number < texts)
        for number, (handle, slot) in enumerate(zip(handles, slots, strict=True))
    ]


def _ask(slot: StackSlot, run: DrivenRun) -> None:
    """Ask one run. On the IO thread."""
    if isinstance(run, WorkerRun):
        run.ask_stack(slot)
    else:
        slot.answered.open()


def _stack_of(handle: ProcessHandle, slot: StackSlot, *, with_text: bool) -> Stack:
    if slot.stack is not None:
        return slot.stack if with_text else Stack(slot.stack.where, "")
    main, supervisor = handle.main, handle.supervisor
    if not main or not handle.is_alive():
        return Stack("", "")
    return Stack(where_of(main), tree_text(supervisor, without_root=True) if with_text else "")
