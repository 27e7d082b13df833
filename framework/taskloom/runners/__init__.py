"""The contract of a runner, which executes runs.

Rules for a runner, which is registered under the entry-point group `taskloom.runners`:
- `start` returns once the run is certain to begin, or raises: then the run never begins, and no report comes.
- Before that, it waits on the thread of the run for `order.terminate_returned`, at most TERMINATE_SECONDS, or until the
  run is cancelled: so two attempts of a job do not overlap without need.
- It creates the body (`order.binding.make()`) where the run executes and registers its `terminate` with `token.enter`.
  It enters `run` only if `token.enter` returned True: a run that is cancelled earlier never enters.
- It emits RunStarted just before it enters `run`, and never for a body that could not be created. If the task
  announces that it is ready, it emits RunReady between start and end; once is enough. For each run for which `start`
  returned, it emits exactly one RunEnded or RunStartFailed, whatever the body raises and however long it takes. `emit`
  never blocks and never raises.
- It never starts a run without an order, and after the report it keeps nothing of the run except the handle. Whatever
  it keeps between runs (idle threads) carries no state from one run to the next, and is released after `close`.
- It never imports the scheduler.

Methods that a runner may have beside those of Runner; the scheduler finds them by these protocols:
- RetainsOptions: it keeps something for certain options, such as a connection, and releases it when no job needs it.
- LeavesBehind: it has threads, processes or connections that a forked child must not use.

Rules for a runner whose class has `kills = True`:
- `kill` of a handle ends the run, whatever its task does: then RunEnded comes with `How.KILLED` and an error whose text
  says how and after how long, such as "SIGKILL after 10.0 s". If the run has said before how its body ended, that
  counts. `terminate` asks the processes of the run to end, as TERM does.
- A run is alive until nothing of it is left, so the next run of its job never overlaps with what a run has started.
- A run that dies without a request has failed: `How.RAISED`, with the cause in words. One about which nothing can be
  found out any more is `How.LOST`.
- If the run executes elsewhere, the token here is told: `token.add_observer` passes the request on, without a thread
  that waits for it, and `token.update_remote` takes over polls and waits, so that poll age and watchdog work.
- `set_urgent` and `set_poll_interval` are passed on to where the run executes.
- RunPlaced, RunUnreachable and RunReachable come between `start` and the end, as often as that changes.
- A lost run of which something may still execute has a `stopped_by` in its RunEnded. If the runner learns before that
  nothing is left, it emits RunReleased, the only report after RunEnded.
- `stacks` may take a fifth of a second; a stop does not wait longer for it.

Its class says what it can do, by attributes that a job file is checked with; each may be left out:
- `kills = True`: its handles are KillableHandles. `otherwise: kill` is legal on it, and the default of all jobs.
- `needs_reference = True`: it imports the task elsewhere, by `order.binding.reference`. A job whose task or params
  cannot be sent there is refused when it is declared. For other runners `reference` may be None.
- `starts_programs = True`: it starts what `order.binding.program` describes, where that is not None.
- `check_options(options)`, a static method: returns an error for each wrong option of a job, as a tuple of its location
  below the options (keys and indices), the message and perhaps a hint. A runner without it takes no options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from taskloom.core.run_reports import (
    CallbackFailed,
    RunEnded,
    RunPlaced,
    RunReachable,
    RunReady,
    RunReleased,
    RunResponsive,
    RunStarted,
    RunStartFailed,
    RunUnreachable,
    RunUnresponsive,
)
from taskloom.sync.cancel_token import CancelToken

if TYPE_CHECKING:
    from taskloom.core.actions import StartRun
    from taskloom.runners.binding import Binding
    from taskloom.runners.gauges import Gauges
    from taskloom.sync.latch import Latch

__all__ = [
    "TERMINATE_SECONDS",
    "Emit",
    "KillableHandle",
    "LeavesBehind",
    "ProcessInfo",
    "RecordsBugs",
    "Report",
    "RetainsOptions",
    "RunHandle",
    "RunOrder",
    "Runner",
    "Stack",
]

TERMINATE_SECONDS = 1.0
"""How long a run waits at most until `terminate` of the job's previous run has returned."""

Report = (
    RunStarted
    | RunReady
    | RunUnresponsive
    | RunResponsive
    | RunPlaced
    | RunUnreachable
    | RunReachable
    | CallbackFailed
    | RunEnded
    | RunStartFailed
    | RunReleased
)
"""A report of a runner about a run."""

Emit = Callable[[Report], None]


class RunOrder(NamedTuple):
    """All that a runner needs to start a run."""

    run: str
    job: str
    task: str
    attempt: int
    replica: int
    daemon: bool
    poll_interval: float
    binding: Binding
    """Creates the body."""
    options: Mapping[str, Any] = MappingProxyType({})
    """The options that the job gives for its runner; the runner defines them."""
    terminate_returned: Latch | None = None
    """Open once `terminate` of the job's previous run has returned; None if there is nothing to wait for."""

    @classmethod
    def of(cls, action: StartRun, previous: CancelToken | None = None) -> RunOrder:
        """Return the order for a StartRun action of the core. `previous`: the token of the job's previous run."""
        spec = action.spec
        identity = (action.run, spec.name, spec.task, action.attempt, action.replica)
        returned = previous.terminate_returned() if previous is not None else None
        return cls(*identity, spec.daemon, spec.poll_interval, spec.binding, spec.runner.options, returned)


class Stack(NamedTuple):
    """The place at which a run currently is."""

    where: str
    """`file:line in function`: the innermost frame that belongs neither to Taskloom nor to the standard library."""
    text: str
    """The whole stack, formatted as in a traceback; "" if only `where` was requested."""


class ProcessInfo(NamedTuple):
    """The processes of a run, as the kernel counts them at this moment."""

    pid: int
    """The main process."""
    processes: int
    memory: int
    """Bytes, each page shared by n of all processes counted as 1/n; resident bytes if that cannot be read."""
    cpu: float
    """Seconds, of ended processes included."""
    state: str
    """The state of the main process: `running`, `sleeping` or `stopped`."""


class RunHandle(Protocol):
    """One run that a runner has started."""

    @property
    def gauges(self) -> Gauges:
        """Progress and counters of the run."""

    def is_alive(self) -> bool:
        """Return whether the body may still be executing."""

    def is_gone(self) -> bool:
        """Return whether nothing of the run is left: its thread has ended, or is free for another run."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until nothing of the run is left; return False after `timeout` seconds."""


class KillableHandle(RunHandle, Protocol):
    """One run of a runner with `kills = True`. No method blocks, and any thread may call it, also after the end."""

    def terminate(self) -> None:
        """Send TERM to the process group of the run."""

    def kill(self) -> None:
        """Kill every process of the run. The runner then reports RunEnded with `How.KILLED`."""

    def signal(self, number: int) -> None:
        """Send a signal to the main process of the run."""

    def set_urgent(self) -> None:
        """Let the run know that little time is left to stop."""

    def set_poll_interval(self, seconds: float) -> None:
        """Let the run know its new poll interval."""

    @property
    def process(self) -> ProcessInfo | None:
        """The processes of the run, as the kernel shows them; None if there are none.

        May read files, so the scheduler thread does not ask for it.
        """


class Runner(Protocol):
    """Starts runs. A scheduler has one instance; any thread may call it."""

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> RunHandle:
        """Start the run. Raises whatever prevented the start."""

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        """Return where these runs currently are, all read at once; whole stacks for the first `texts` of them."""

    def close(self) -> None:
        """Called when no more runs will be started: release everything that is kept between runs.

        Must not block, since the engine waits for it. Resources that runs still use are released when those end.
        """

    def join(self, timeout: float) -> bool:
        """After `close`, wait until what was kept between runs is released; return False after `timeout` seconds."""


@runtime_checkable
class RetainsOptions(Protocol):
    """A runner that keeps something for certain options, such as a connection."""

    def retain(self, options: Iterable[Mapping[str, Any]]) -> None:
        """Release what none of these options needs, as soon as the last run that uses it has ended.

        Called after each reload with the options of all jobs on the runner, on a thread for such calls; an exception
        does not undo the reload. Must not block. A later run with other options is legal.
        """


@runtime_checkable
class LeavesBehind(Protocol):
    """A runner with threads, processes or connections that a forked child must not use."""

    def leave_behind(self) -> None:
        """Called in a forked child: start nothing there, and touch nothing that belongs to the parent."""


@runtime_checkable
class RecordsBugs(Protocol):
    """One of Taskloom's own runners, which has threads whose errors are bugs of Taskloom."""

    record_bug: Callable[[BaseException], object]
    """Called with an exception that has struck one of its threads. The scheduler sets it."""
