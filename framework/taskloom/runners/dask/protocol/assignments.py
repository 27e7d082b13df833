"""The runs of a placement, the workers they are granted to, and every way in which a run goes on or ends."""

from __future__ import annotations

from taskloom.core.endings import ErrorInfo
from taskloom.runners.dask.protocol.deadlines import Deadlines
from taskloom.runners.dask.protocol.link import Link, LinkState
from taskloom.runners.dask.protocol.messages import Command, CommandKind, Lease
from taskloom.runners.dask.protocol.placement_io import (
    Action,
    DropTask,
    Ended,
    Lost,
    Placed,
    Reachable,
    Released,
    StartFailed,
    WithdrawTask,
)
from taskloom.runners.dask.protocol.runs import PlacedRun, RunState
from taskloom.runners.dask.protocol.slots import Slots

__all__ = ["Assignments"]

# A worker that was not heard of for so long after its last lease and the grace is not waited for.
_OUT_OF_REACH_SECONDS = 10.0
# A SIGKILL takes effect a little later than it is decided, and two clocks do not run exactly alike.
_MARGIN_SECONDS = 1.0


class Assignments:
    """The state of a placement. `actions` collects the actions of one input."""

    def __init__(self, lease: Lease) -> None:
        self.links: dict[str, Link] = {}
        self.runs: dict[str, PlacedRun] = {}
        """By run: none of them has ended."""
        self.submitted: dict[str, PlacedRun] = {}
        """Those that are SUBMITTED."""
        self.slots = Slots()
        self.deadlines = Deadlines()
        self.wanted: dict[str, Link] = {}
        """The links on which a request is to go out after this input."""
        self.actions: list[Action] = []
        self._lost: dict[str, PlacedRun] = {}
        self._lease = lease

    # -- links

    def want(self, link: Link) -> None:
        """Let a request go out to the worker after this input."""
        if link.state is not LinkState.LEFT:
            self.wanted[link.worker.address] = link

    def plan_silence(self, link: Link) -> None:
        """Plan when the worker becomes unreachable, or, if it is unreachable, when its runs are lost."""
        key = ("silence", link.worker.address)
        if link.executions:
            silent_at = link.heard_at + self._lease.ttl
            lost_at = silent_at + self._lease.grace + _OUT_OF_REACH_SECONDS
            self.deadlines.plan(key, lost_at if link.state is LinkState.UNREACHABLE else silent_at)
        else:
            self.deadlines.clear(key)
            if link.state is LinkState.UNREACHABLE:
                link.state = LinkState.SILENT

    def set_aside(self, link: Link) -> None:
        """Give no run to a worker that does not answer, and take those back that Dask may have sent there."""
        address = link.worker.address
        self.slots.leave(address)
        for run in list(self.submitted.values()):
            if address in run.workers:
                self.submit_again(run)

    def forget(self, link: Link) -> None:
        """Forget a worker that has left, if no run is waited for there."""
        if link.state is LinkState.LEFT and not link.lost:
            self.links.pop(link.worker.address, None)

    # -- grants

    def grant(self, link: Link, execution: str, run: PlacedRun, next_seq: int) -> None:
        """Grant a submitted run to an execution. `next_seq`: the number of the first request that may carry it."""
        del self.submitted[run.id]
        run.state = RunState.GRANTED
        run.address, run.execution, run.granted_by, run.pid = link.worker.address, execution, next_seq, 0
        link.executions[execution] = run
        self.send_grant(link, run)
        self.plan_silence(link)
        self.actions.append(Placed(run.id, link.worker))

    def send_grant(self, link: Link, run: PlacedRun) -> None:
        """Send the grant, and the commands that have come before it."""
        self.command(run, CommandKind.GRANT)
        for kind, number in run.kept.items():
            self.command(run, kind, number)

    def command(self, run: PlacedRun, kind: str, number: float = 0.0) -> None:
        """Send a command to the execution of a granted run."""
        self.send(self.links[run.address], Command(kind, run.execution, None, number))

    def send(self, link: Link, command: Command) -> None:
        """Send a command to the worker."""
        link.outbox.add(command)
        self.want(link)

    # -- how a run goes on

    def submit_again(self, run: PlacedRun) -> None:
        """Let a run that was never entered wait for a slot again."""
        self._take_back(run)
        self.slots.enqueue(run)

    def pause(self, run: PlacedRun, now: float) -> None:
        """Submit a run that was never entered again, the later the more often its tasks have ended without a grant."""
        if run.state is RunState.GRANTED and self.links[run.address].state is LinkState.UNREACHABLE:
            self.actions.append(Reachable(run.id))  # an old reply has come late: the run is not there any more
        self._take_back(run)
        pause = run.pause()
        if pause:
            run.state = RunState.WAITING
            self.deadlines.plan(("again", run.id), now + pause)
        else:
            self.slots.enqueue(run)

    def _take_back(self, run: PlacedRun) -> None:
        """Take a run from its slot, its task and its execution."""
        self.slots.release(run)
        self.deadlines.clear(("kill", run.id))
        self.deadlines.clear(("again", run.id))
        if run.state is RunState.SUBMITTED:
            del self.submitted[run.id]
            self.actions.append(WithdrawTask(run.key))
        elif run.state is RunState.GRANTED:
            link = self.links[run.address]
            del link.executions[run.execution]
            link.outbox.drop(run.execution)
            self.plan_silence(link)
            self.actions.append(DropTask(run.key))

    # -- how a run ends

    def end(self, run: PlacedRun, *, entered: bool) -> None:
        """Called when nothing of the run is left."""
        self._take_back(run)
        del self.runs[run.id]
        self.actions.append(Ended(run.id, entered))

    def fail_start(self, run: PlacedRun, why: str) -> None:
        """Called when the run cannot be executed, and never was."""
        self._take_back(run)
        del self.runs[run.id]
        self.actions.append(StartFailed(run.id, ErrorInfo("ClusterError", why, "", is_explained=True)))

    def lose(self, run: PlacedRun, why: str, now: float) -> None:
        """Called when nothing can confirm the end of a granted run any more."""
        link = self.links[run.address]
        bound = link.lease_ends_by() + self._lease.grace + _MARGIN_SECONDS
        stopped_by = now if run.ended_there else max(now, bound)
        self._take_back(run)
        del self.runs[run.id]
        self.actions.append(Lost(run.id, why, stopped_by))
        if stopped_by > now:
            link.lost[run.execution] = self._lost[run.id] = run
            self.deadlines.plan(("release", run.id), stopped_by)
        self.want(link)

    def lose_all(self, link: Link, why: str, now: float) -> None:
        """Lose all runs that were granted to the worker."""
        for run in list(link.executions.values()):
            self.lose(run, why, now)

    def release(self, link: Link, execution: str) -> None:
        """Report that nothing of the execution is left, if its run is lost."""
        run = link.lost.pop(execution, None)
        if run is not None:
            del self._lost[run.id]
            self.deadlines.clear(("release", run.id))
            self.actions.append(Released(run.id))

    def end_lost(self, run_id: str) -> None:
        """Forget a lost run at its bound."""
        run = self._lost.pop(run_id)
        link = self.links[run.address]
        del link.lost[run.execution]
        self.forget(link)
