"""An exception at any line of the IO thread, such as a MemoryError, loses no run."""

from __future__ import annotations

import pytest
from tests.support.descriptors import no_descriptor_is_left
from tests.support.fake_supervisor import WHY, ProcessBench
from tests.support.scripted_supervisor import ScriptedSupervisors
from tests.support.strikes import strike_each_line

from taskloom.core.inputs import RunEnded, RunStartFailed
from taskloom.core.model import ErrorInfo, How
from taskloom.sync.cancel_token import CancelToken

# A trace function is called in all new threads, and the descriptors are those of the whole process.
pytestmark = pytest.mark.alone

# The files whose lines the IO thread executes.
PLACES = tuple(
    f"runners/process/{name}.py"
    for name in (
        "channel",
        "connection",
        "control_socket",
        "deaths",
        "driven_run",
        "handle",
        "hub",
        "io_thread",
        "log_thread",
        "orphans",
        "outgoing",
        "output_lines",
        "output_pipes",
        "run_descriptors",
        "run_socket",
        "starts",
        "supervisor_socket",
        "supervisor_watch",
        "worker_run",
    )
)
RUNS = 2


def strike_io_thread(monkeypatch: pytest.MonkeyPatch, first: int, step: int) -> int:
    """Let two runs begin, be cancelled and end, with a strike at each `step`th line; return how many were struck."""
    struck = 0

    def trial() -> None:
        nonlocal struck
        bench, supervisors = ProcessBench(), ScriptedSupervisors()
        monkeypatch.setattr("taskloom.runners.process.connection.launch", supervisors.launch)
        tokens = [CancelToken() for _ in range(RUNS)]
        for token in tokens:
            bench.start(token)
        bench.wait_for(lambda: {report.run for report in bench.reports} >= {"job#1", "job#2"})
        for token in tokens:
            token.request(WHY)
            token.wake()
        bench.end(RUNS)
        bench.runner.close()
        assert bench.runner.join(20.0)
        supervisors.close()

        assert sorted(end.run for end in bench.ends()) == ["job#1", "job#2"]
        internal = [end for end in bench.ends() if _is_internal(end)]
        assert all(_is_internal(end) or _is_usual(end) for end in bench.ends()), bench.ends()
        assert len(internal) <= 1
        struck += bool(bench.bugs)
        assert len(bench.bugs) >= len(internal)

    with no_descriptor_is_left():
        for _ in strike_each_line("taskloom-processes", PLACES, trial, first=first, step=step):
            pass
    return struck


def _is_internal(end: RunEnded | RunStartFailed) -> bool:
    error: ErrorInfo | None = end.error
    return error is not None and error.type == "InternalError"


def _is_usual(end: RunEnded | RunStartFailed) -> bool:
    return isinstance(end, RunEnded) and end.how is How.CANCELLED and end.was_requested


def test_a_strike_at_some_lines_of_the_io_thread_loses_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert strike_io_thread(monkeypatch, first=1, step=61) > 5


@pytest.mark.long
def test_a_strike_at_any_line_of_the_io_thread_loses_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert strike_io_thread(monkeypatch, first=1, step=1) > 100
