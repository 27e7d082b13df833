"""The inputs and actions of `Agent`, the machine in a worker process for one session.

agent = Agent(session, agent_id)
actions = agent.handle(input, now)          # `now`: monotonic seconds of the worker's host
reply = agent.reply(now)                    # the Reply to the request that was just handled
reply = agent.publication(now)              # for Publish: the entries that no Reply has had; None if there are none
agent.next_deadline()                       # inf for none
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from taskloom.runners.dask.protocol.messages import Command, Lease, Request

__all__ = [
    "Action", "Begun", "Closing", "CommandChild", "ExecutionGone", "ExecutionReported", "Forget", "Input", "KillChild",
    "Publish", "ReleaseCaller", "RenewChild", "Requested", "StartChild", "Tick", "Withdrawn",
]  # fmt: skip

# -- inputs


class Begun(NamedTuple):
    """Dask has called our function: an execution claims its run. Only JSON data in `spec`."""

    execution: str
    run: str
    spec: Mapping[str, Any]
    lease: Lease = Lease()
    """The terms of the session, as `execute` got them."""


class Requested(NamedTuple):
    """A request of the program has come."""

    request: Request


class ExecutionReported(NamedTuple):
    """The child of an execution has sent a message (`data`: a JSON object of `taskloom.runners.dask.reports`)."""

    execution: str
    data: Mapping[str, Any]


class ExecutionGone(NamedTuple):
    """No process of the execution is left; its last message was reported before."""

    execution: str


class Withdrawn(NamedTuple):
    """Dask has given up the task of an execution that is still waiting for its grant."""

    execution: str


class Closing(NamedTuple):
    """The worker is closing, is being retired, or has lost its scheduler: every execution has to end."""

    why: str


class Tick(NamedTuple):
    """The moment of `next_deadline` has come."""


Input = Begun | Requested | ExecutionReported | ExecutionGone | Withdrawn | Closing | Tick

# -- actions


class StartChild(NamedTuple):
    """Start the processes of a granted execution, at most once for each. `until`: the end of the lease."""

    execution: str
    spec: Mapping[str, Any]
    until: float
    grace: float


class CommandChild(NamedTuple):
    """Pass a command on to the processes: CANCEL, URGENT, POLL_INTERVAL, TERMINATE, SIGNAL or STACK."""

    command: Command


class KillChild(NamedTuple):
    """Kill all processes of the execution.

    `why`: for its error, such as "the lease has ended"; "" if the program has asked for it.
    """

    execution: str
    why: str


class RenewChild(NamedTuple):
    """The lease now ends at `until`: the supervisor of the processes, which ends them without us, must know."""

    execution: str
    until: float
    grace: float


class ReleaseCaller(NamedTuple):
    """Let our function return to Dask with `verdict`: `ended`, `denied`, `unclaimed`, `cancelled` or `closing`."""

    execution: str
    verdict: str


class Publish(NamedTuple):
    """There are new entries: send them as an event of the session's topic, soon, together with those that follow."""


class Forget(NamedTuple):
    """Nothing is left of the session, and its program has not come back: drop this agent, and make another one, with
    another id, if the session is heard of again."""


Action = StartChild | CommandChild | KillChild | RenewChild | ReleaseCaller | Publish | Forget
