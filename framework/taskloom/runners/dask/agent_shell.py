"""The shell of one `Agent`: its thread, its deadlines, and what it has children and Dask do.

Everything that happens comes to the thread through a queue, so the machine needs no lock, and the event loop of the
worker never waits for it. Requests come first: a cancel is not delayed by the output of many runs. The clock is
`boottime`: the leases of children go on while the machine is suspended.

If an exception strikes the thread, the children are killed, the callers return, and the session gets another agent when
it is heard of again: by the other id its program knows that the runs are lost.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from math import inf
from queue import Empty, SimpleQueue
from secrets import token_hex
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.clock import boottime
from taskloom.runners.dask.child_run import Children, ChildRun
from taskloom.runners.dask.child_stacks import ChildStacks
from taskloom.runners.dask.place import place
from taskloom.runners.dask.protocol.agent import Agent
from taskloom.runners.dask.protocol.agent_io import (
    Action,
    Begun,
    Closing,
    CommandChild,
    ExecutionGone,
    ExecutionReported,
    Forget,
    Input,
    KillChild,
    Publish,
    ReleaseCaller,
    RenewChild,
    Requested,
    StartChild,
    Tick,
    Withdrawn,
)
from taskloom.runners.dask.protocol.messages import CommandKind, Reply, Request
from taskloom.runners.process import ProcessRunner

if TYPE_CHECKING:
    from taskloom.runners.dask.dask_worker import DaskWorker

__all__ = ["TOPIC", "AgentShell", "Call", "Drain", "Question"]

TOPIC = "taskloom-"
"""The topic of the events of a session, before its id."""

# How soon a closing worker is noticed: its runs are to be cancelled within a second.
_STATUS_SECONDS = 0.25
# Without runs. The queue counts without the time of a suspension, so this also bounds how late a deadline is met then.
_IDLE_STATUS_SECONDS = 1.0
# Entries that follow each other sooner go out together.
_PUBLISH_SECONDS = 0.02
# Characters of events since the last request. A stream of Dask that stands still keeps all of them in memory.
_MOST_PUBLISHED = 1024 * 1024


class Call(NamedTuple):
    """Our function was called by Dask: the start of an execution."""

    begun: Begun
    key: str
    """The key of the Dask task."""
    release: Callable[[str], object]
    """Called once with the verdict; must not block."""


class Drain(NamedTuple):
    """The worker closes, and waits for the runs of this agent."""

    done: Callable[[], object]
    """Called once, when no run is left and all reports were sent; must not block."""


class Question(NamedTuple):
    """A request of the program, and what takes the reply as text, or the error in place of it. Called once."""

    request: Request
    answer: Callable[[str | BaseException], object]


class AgentShell:
    """One agent on its thread. `put`, `live_runs` and `start` are for any thread.

    `forget`: called on the thread when nothing is left of the session; returns False if there is new work for it.
    """

    def __init__(self, worker: DaskWorker, session: str, forget: Callable[[AgentShell], bool]) -> None:
        self.session = session
        self._worker = worker
        self._forget = forget
        # None wakes the thread for a question.
        self._inbox: SimpleQueue[Input | Call | Drain | None] = SimpleQueue()
        self._questions: deque[Question] = deque()
        self._drains: list[Drain] = []
        self._agent = Agent(session, token_hex(8))
        self._children = Children()
        self._callers: dict[str, Call] = {}
        self._stacks = ChildStacks()
        self._runner: ProcessRunner | None = None
        self._is_over = False
        # Whether the agent was told that the worker closes.
        self._is_closing = False
        self._status_at = -inf
        self._publish_at = inf
        self._published_at = -inf
        self._published_bytes = 0
        self._thread = Thread(target=self._work, name="taskloom-agent", daemon=True)

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if that is not possible."""
        self._thread.start()

    def put(self, message: Input | Call | Drain | Question) -> None:
        """Have the thread take an input; never blocks."""
        if isinstance(message, Question):
            self._questions.append(message)
            self._inbox.put(None)
        else:
            self._inbox.put(message)

    @property
    def has_messages(self) -> bool:
        """Whether something waits for the thread."""
        return not self._inbox.empty()

    def live_runs(self) -> dict[str, float]:
        """Return the runs of which processes may be left, and in how many seconds each is killed for its lease."""
        now = boottime()
        return {child.run: max(0.0, child.until - now) for child in list(self._children.values())}

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended; return False after `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- the thread

    def _work(self) -> None:
        try:
            while not self._is_over:
                self._step()
        except BaseException as error:  # noqa: BLE001 - whatever it is, no run may stay without its agent
            self._break_down(error)

    def _step(self) -> None:
        try:
            message = self._inbox.get(timeout=self._patience())
        except Empty:
            message = None
        while self._questions:
            self._answer(self._questions[0])
            self._questions.popleft()
        if message is not None:
            self._take(message)
        now = boottime()
        if self._agent.next_deadline() <= now:
            self._handle(Tick(), now)
        if self._status_at <= now:
            self._check_status(now)
        self._see_one_child(now)
        if self._publish_at <= now:
            self._publish(now)
        if self._drains and not self._children and self._publish_at == inf:
            self._end_drains()
        self._stacks.flush(self._runner)

    def _patience(self) -> float:
        """Return how many seconds to wait for a message."""
        seen = min((child.see_at for child in self._children.values()), default=inf)
        due = min(self._agent.next_deadline(), self._status_at, seen, self._publish_at)
        return max(0.0, due - boottime())

    def _answer(self, question: Question) -> None:
        now = boottime()
        self._published_bytes = 0
        self._handle(Requested(question.request), now)
        question.answer(self._agent.reply(now).to_json())

    def _take(self, message: Input | Call | Drain) -> None:
        now = boottime()
        if isinstance(message, Drain):
            self._drains.append(message)
            self._publish_at = now  # also what was left for the next request
            self._check_status(now)  # at once: the runs have no time to lose
            return
        if isinstance(message, Call):
            self._check_status(now)  # before: an agent that has refused to begin may be replaced
            self._callers[message.begun.execution] = message
            self._status_at = min(self._status_at, now + _STATUS_SECONDS)
            self._handle(message.begun, now)
        else:
            self._handle(message, now)
            if isinstance(message, ExecutionReported):
                self._count_line(message)
            elif isinstance(message, ExecutionGone):
                self._children.pop(message.execution, None)

    def _count_line(self, reported: ExecutionReported) -> None:
        child = self._children.get(reported.execution)
        if child is not None and "log" in reported.data:
            child.log.taken()

    def _handle(self, given: Input, now: float) -> None:
        for action in self._agent.handle(given, now):
            if not isinstance(action, Forget):
                _DO[type(action)](self, action, now)
            elif not isinstance(given, Begun | Requested):  # else the session was heard of at the last moment
                self._end()

    # -- time

    def _check_status(self, now: float) -> None:
        """Let the agent know that the worker closes, and of claims that Dask does not want any more."""
        self._status_at = now + (_STATUS_SECONDS if self._callers or self._children else _IDLE_STATUS_SECONDS)
        why = self._worker.why_closing
        if why and not self._is_closing:
            self._is_closing = True
            self._handle(Closing(why), now)
        elif not why and self._is_closing and not self._children and not self._callers:
            self._replace_agent()  # it was to be retired, and stays
        for execution, call in list(self._callers.items()):
            if execution not in self._children and self._worker.has_given_up(call.key):
                self._handle(Withdrawn(execution), now)
        if self._worker.is_closed and not self._children and not self._callers:
            self._end()

    def _see_one_child(self, now: float) -> None:
        """Report the processes of one child: those of others with the next steps, and messages come in between."""
        for child in self._children.values():
            if child.see_at <= now:
                child.see_processes(now)
                return

    def _publish(self, now: float) -> None:
        self._publish_at = inf
        if self._published_bytes > _MOST_PUBLISHED and not self._drains:
            return  # the next request takes it
        publication: Reply | None = self._agent.publication(now)
        if publication is None:
            return
        text = publication.to_json()
        self._published_bytes += len(text)
        self._published_at = now
        self._publish_at = now + _PUBLISH_SECONDS  # a publication may not have taken everything
        self._worker.publish(TOPIC + self.session, text)

    # -- actions

    def _start_child(self, action: StartChild, now: float) -> None:
        child = ChildRun(action.execution, action.spec, action.until + action.grace, place(), self.put)
        self._children[action.execution] = child
        if self._runner is None:
            self._runner = ProcessRunner(self._children)
            self._runner.record_bug = _record_bug
        child.start(self._runner, now)

    def _command_child(self, action: CommandChild, now: float) -> None:
        child = self._children.get(action.command.execution)
        if child is None:
            return
        if action.command.kind == CommandKind.STACK:
            self._stacks.request(child, int(action.command.number))
        else:
            child.command(action.command)

    def _kill_child(self, action: KillChild, now: float) -> None:
        child = self._children.get(action.execution)
        if child is not None:
            child.kill(action.why)

    def _renew_child(self, action: RenewChild, now: float) -> None:
        child = self._children.get(action.execution)
        if child is not None:
            child.renew(action.until + action.grace)

    def _release(self, action: ReleaseCaller, now: float) -> None:
        call = self._callers.pop(action.execution, None)
        if call is not None:
            call.release(action.verdict)

    def _plan_publication(self, action: Publish, now: float) -> None:
        self._publish_at = min(self._publish_at, max(now, self._published_at + _PUBLISH_SECONDS))

    def _end_drains(self) -> None:
        drains, self._drains = self._drains, []
        for drain in drains:
            drain.done()

    def _end(self) -> None:
        """End the thread, or go on with another agent if the session has just been heard of again."""
        if self._forget(self):
            self._is_over = True
            self._close()
        else:
            self._replace_agent()

    def _replace_agent(self) -> None:
        self._agent = Agent(self.session, token_hex(8))
        self._is_closing = False

    def _close(self) -> None:
        if self._runner is not None:
            self._runner.close()

    # -- trouble

    def _break_down(self, error: BaseException) -> None:
        """Leave nothing behind that would wait for this thread."""
        _record_bug(error)
        self._is_over = True
        for child in list(self._children.values()):
            child.kill("an exception struck the agent of its worker")
        while not self._forget(self):
            message = self._inbox.get()
            if isinstance(message, Call):
                message.release("closing")
            elif isinstance(message, Drain):
                self._drains.append(message)
        self._end_drains()
        for question in self._questions:
            question.answer(error)
        for call in self._callers.values():
            call.release("closing")
        self._close()


def _record_bug(error: BaseException) -> None:
    """Log an exception of ours: the program knows no more than that its runs are lost."""
    logging.getLogger("taskloom.dask").error("an exception struck the runs of a program", exc_info=error)


_DO: Mapping[type[Action], Callable[[AgentShell, Any, float], None]] = {
    StartChild: AgentShell._start_child,
    CommandChild: AgentShell._command_child,
    KillChild: AgentShell._kill_child,
    RenewChild: AgentShell._renew_child,
    ReleaseCaller: AgentShell._release,
    Publish: AgentShell._plan_publication,
}
