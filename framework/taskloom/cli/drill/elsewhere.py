"""Drills of jobs whose runs are on a cluster: they share one runner, and their time begins when the run does.

A runner for each drill would connect each time, and start a local cluster each time. And until a worker has begun the
run there is nothing to stop: the connection, the queue and the start of a process are not the task's time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from taskloom.core.model import ErrorInfo, JobSpec
from taskloom.runners import Emit, RunHandle, Runner, RunOrder, Stack
from taskloom.sync.cancel_token import CancelToken
from taskloom.text import duration

__all__ = ["SharedRunner", "not_started", "shared_runners", "start_seconds"]

_NAME = "dask"
# Beside the time for which the cluster is waited for: a slot, the process and the import of the task.
_BEGIN_SECONDS = 30.0
# A local cluster has ended by then, and it ends with the program anyway.
_CLOSE_SECONDS = 5.0


def start_seconds(spec: JobSpec) -> float:
    """Return how many seconds the run may take until it begins; 0 if it begins at once, on this machine."""
    if spec.runner.name != _NAME:
        return 0.0
    from taskloom.runners.dask.options import DaskOptions

    return DaskOptions.of(spec.runner.options).cluster.wait + _BEGIN_SECONDS


def not_started(spec: JobSpec) -> ErrorInfo:
    """Return the error of a run that had not begun by then."""
    message = f"no worker of the cluster has begun the run within {duration(start_seconds(spec))}"
    return ErrorInfo("TimeoutError", message, "", is_explained=True)


class SharedRunner:
    """A runner that outlives the schedulers that use it, one after the other."""

    kills = needs_reference = True

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> RunHandle:
        """Start the run."""
        return self._runner.start(order, token, emit)

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        """Return where the runs currently are."""
        return self._runner.stacks(handles, texts)

    def close(self) -> None:
        """Do nothing: the next drill uses it."""

    def join(self, timeout: float) -> bool:
        """Return True: nothing is left of this drill."""
        return True


@contextmanager
def shared_runners(specs: Sequence[JobSpec]) -> Iterator[Mapping[str, Runner]]:
    """Provide the runners that all drills use together, by name; they are closed at the end of the block."""
    if all(spec.runner.name != _NAME for spec in specs):
        yield {}
        return
    from taskloom.catalog.entry_points import Catalog

    runner: Runner = Catalog().load_runner(_NAME).factory()
    try:
        yield {_NAME: SharedRunner(runner)}
    finally:
        runner.close()
        runner.join(_CLOSE_SECONDS)
