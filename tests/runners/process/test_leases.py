"""Runs with a lease, and those whose logs and messages a listener takes, with a supervisor that the test plays."""

from __future__ import annotations

import logging
from queue import SimpleQueue
from typing import Any

import pytest
from tests.support.fake_supervisor import NO_PROCESS, ProcessBench, returned

from taskloom.core.inputs import RunEnded
from taskloom.core.model import ErrorInfo, How
from taskloom.runners.process import ProcessRunner
from taskloom.runners.process.launch import LaunchSpec
from taskloom.runners.process.log_thread import LogEntry
from taskloom.runners.wire import Gauged, Hello, Logged, Polled, Started, Up

SIGKILLED = 9


class Listening:
    """Keeps what a runner tells its listener."""

    def __init__(self) -> None:
        self.said: SimpleQueue[tuple[str, Up]] = SimpleQueue()
        self.entries: SimpleQueue[tuple[str, LogEntry]] = SimpleQueue()

    def worker_said(self, run: str, message: Up) -> None:
        self.said.put((run, message))

    def logged(self, run: str, entry: LogEntry) -> None:
        self.entries.put((run, entry))


@pytest.fixture
def listener() -> Listening:
    return Listening()


@pytest.fixture
def listened(bench: ProcessBench, listener: Listening) -> ProcessBench:
    bench.runner.close()
    bench.runner = ProcessRunner(listener)
    bench.runner.record_bug = bench.bugs.append
    return bench


def test_the_supervisor_gets_the_end_of_the_lease_and_each_later_one(bench: ProcessBench) -> None:
    handle = bench.start(lease=100.5)
    supervisor = bench.supervisor()
    supervisor.begin()
    bench.wait_for(lambda: len(bench.reports) == 1)

    for until in (99.0, 100.5, 101.25, 101.0, 102.0):
        handle.renew(until)

    assert supervisor.spec.lease == 100.5
    assert [supervisor.next_order() for _ in range(2)] == ["lease 101.25", "lease 102.0"]


def test_a_lease_that_is_renewed_while_the_supervisor_is_started_is_sent_to_it(bench: ProcessBench) -> None:
    def renew(_: LaunchSpec) -> None:
        """Renew, and wait until the IO thread knows."""
        known: SimpleQueue[float | None] = SimpleQueue()
        connection = bench.handles[0].connection if bench.handles else handles.get(timeout=20).connection
        assert connection is not None
        bench.runner._hub.io.post(connection, connection.commands.renew, 200.0)  # type: ignore[union-attr]
        bench.runner._hub.io.post(connection, lambda: known.put(connection.lease))  # type: ignore[union-attr]
        assert known.get(timeout=20) == 200.0

    handles: SimpleQueue[Any] = SimpleQueue()
    bench.before_launch = renew
    handles.put(bench.start(lease=100.0))
    supervisor = bench.supervisor()

    assert supervisor.spec.lease == 100.0
    assert supervisor.next_order() == "lease 200.0"


def test_a_run_without_a_lease_gets_none(bench: ProcessBench) -> None:
    handle, supervisor = bench.begun()

    handle.renew(1000.0)
    handle.signal(10)

    assert supervisor.spec.lease is None
    assert supervisor.next_order() == "signal 10"


def test_a_run_whose_lease_has_ended_was_killed_and_says_why(bench: ProcessBench) -> None:
    _, supervisor = bench.begun()

    supervisor.say("lease")
    supervisor.exit(SIGKILLED)

    error = "SIGKILL: the lease of the run has ended"
    assert bench.end() == RunEnded(
        "job#1", How.KILLED, ErrorInfo("LeaseEnded", error, f"LeaseEnded: {error}\n", is_explained=True), False, False
    )


def test_what_the_body_has_said_about_its_end_counts_more_than_the_lease(bench: ProcessBench) -> None:
    _, supervisor = bench.begun()

    supervisor.send(returned())
    supervisor.say("lease")
    supervisor.exit(SIGKILLED)

    assert bench.end() == RunEnded("job#1", How.RETURNED, None, False, False)


def test_a_listener_gets_logs_and_prints_and_logging_does_not(
    listened: ProcessBench, listener: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _, supervisor = listened.begun()

    supervisor.send(Logged(30, "somewhere", "a record", 1.5, line=7))
    run, record = listener.entries.get(timeout=20)
    supervisor.print(b"a line\n")
    _, line = listener.entries.get(timeout=20)
    supervisor.send(returned())
    supervisor.exit()
    listened.end()

    assert run == "job#1"
    assert (record.level, record.name, record.text, record.line) == (30, "somewhere", "a record", 7)
    assert (line.level, line.name, line.text) == (20, "", "a line")
    assert caplog.records == []


def test_a_listener_gets_the_other_messages_of_a_worker_after_the_run(
    listened: ProcessBench, listener: Listening
) -> None:
    handle, supervisor = listened.begun()

    supervisor.send(Gauged(None, {"frames": 7}))

    kinds = [listener.said.get(timeout=20) for _ in range(3)]
    assert [type(message) for _, message in kinds] == [Hello, Started, Gauged]
    assert handle.gauges.counts == {"frames": 7}
    supervisor.send(Logged(20, "n", "m", 1.5), Polled(1, True, False))
    assert listener.said.get(timeout=20) == ("job#1", Polled(1, True, False))
    assert handle.main == NO_PROCESS
