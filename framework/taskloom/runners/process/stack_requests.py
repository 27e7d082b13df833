"""Asks runs in processes where they are, all at once, and waits for their answers for a short time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from taskloom.clock import mono
from taskloom.runners import Stack
from taskloom.runners.process.handle import ProcessHandle
from taskloom.runners.process.stack_dump import dump_stack
from taskloom.runners.process.worker_run import WorkerRun
from taskloom.runners.process_tree import tree_text, where_of
from taskloom.runners.wire import Hello
from taskloom.sync.latch import Latch

if TYPE_CHECKING:
    from taskloom.runners.process.driven_run import DrivenRun

__all__ = ["ANSWER_SECONDS", "StackSlot", "ask_stacks"]

ANSWER_SECONDS = 0.08
"""A worker answers within milliseconds, unless it does not get the GIL or is not there yet."""
DUMP_SECONDS = 0.16
"""From the question until no more worker is asked by a signal: less than the time for the stacks of a stop."""


class StackSlot:
    """The place for the answer of one run."""

    __slots__ = ("answered", "hello", "stack")

    def __init__(self) -> None:
        self.hello: Hello | None = None
        """The message of the worker about itself; None if it is not there, or is not a worker."""
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
            connection.query(partial(_ask, slot))
        else:
            slot.answer(Stack("", ""))
    begun = mono()
    for slot in slots:
        slot.answered.wait(max(0.0, begun + ANSWER_SECONDS - mono()))
    return [
        _stack_of(handle, slot, begun + DUMP_SECONDS, with_text=number < texts)
        for number, (handle, slot) in enumerate(zip(handles, slots, strict=True))
    ]


def _ask(slot: StackSlot, run: DrivenRun) -> None:
    """Ask one run. On the IO thread."""
    if isinstance(run, WorkerRun):
        run.ask_stack(slot)
    else:
        slot.answered.open()


def _stack_of(handle: ProcessHandle, slot: StackSlot, until: float, *, with_text: bool) -> Stack:
    main, supervisor = handle.main, handle.supervisor
    stack = slot.stack
    if stack is None and main and slot.hello is not None and mono() < until:
        # With the pid that the supervisor has said: what a worker says of itself is not used for other processes.
        hello = Hello(slot.hello.version, main, slot.hello.dump, slot.hello.thread)
        stack = dump_stack(hello, handle.signal, until)
    if stack is not None and stack.where:
        return stack if with_text else Stack(stack.where, "")
    if not main or not handle.is_alive():
        return Stack("", "")
    return Stack(where_of(main), tree_text(supervisor, without_root=True) if with_text else "")
