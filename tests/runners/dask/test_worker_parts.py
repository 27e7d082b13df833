"""The parts of the worker's side that need no run: the log of a child, the order, the place, the functions by name."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from contextlib import nullcontext
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from tests.support.dask_program import SOON, FakeWorker, WorkerProgram, spec_of
from tests.support.dask_tasks import brief

from taskloom.clock import boottime, mono
from taskloom.runners.dask import on_worker
from taskloom.runners.dask.agent_shell import AgentShell, Question
from taskloom.runners.dask.child_log import LONGEST_LINE, MOST_CHARACTERS, ChildLog
from taskloom.runners.dask.dask_worker import DaskWorker
from taskloom.runners.dask.place import Place, place
from taskloom.runners.dask.protocol import agent
from taskloom.runners.dask.protocol.agent_io import ExecutionReported
from taskloom.runners.dask.protocol.messages import CommandKind, Lease, Request
from taskloom.runners.dask.run_order import order_of
from taskloom.runners.process.log_thread import LogEntry
from taskloom.runners.wire import Logged, ProtocolError


def line(text: str) -> LogEntry:
    return LogEntry(20, "", text, 1.5)


# -- the log of a child


def test_lines_that_come_faster_than_they_are_taken_are_dropped_and_counted() -> None:
    sent: list[Logged] = []
    log = ChildLog(sent.append)
    text = "x" * 1000
    count = MOST_CHARACTERS // len(text) + 3
    for _ in range(count):
        log.add(line(text))
    most = len(sent)
    assert MOST_CHARACTERS / 2 < most * len(text) < MOST_CHARACTERS

    log.taken()
    log.add(line("later"))
    log.add(line(text))
    log.add(line("too late"))

    told, later, last = sent[most:]
    assert told.level == 30
    assert told.message == f"{count - most} log lines of the run dropped: they came faster than its worker took them"
    assert (later.message, last.message) == ("later", text)
    log.tell_dropped()
    log.tell_dropped()
    assert [logged.message[:1] for logged in sent[most + 3 :]] == ["1"]


@pytest.mark.parametrize("text", ["", "short", "x" * 600])
def test_a_burst_of_a_thousand_lines_waits_for_an_agent_that_is_busy(text: str) -> None:
    sent: list[Logged] = []
    log = ChildLog(sent.append)

    for _ in range(1000):
        log.add(line(text))

    assert [logged.message for logged in sent] == [text] * 1000


@pytest.mark.parametrize("taken", [0, 1])
def test_the_space_of_lines_that_were_taken_or_refused_is_free_again(taken: int) -> None:
    """However large they were: a record with odd data is refused, and does not count."""
    sent: list[Logged] = []

    def send(logged: Logged) -> None:
        if not taken:
            raise ValueError("odd data")
        sent.append(logged)

    log = ChildLog(send)
    for _ in range(2 * MOST_CHARACTERS // LONGEST_LINE):
        with nullcontext() if taken else pytest.raises(ValueError, match="odd data"):
            log.add(line("x" * LONGEST_LINE))
        if taken:
            log.taken()

    assert len(sent) == taken * (2 * MOST_CHARACTERS // LONGEST_LINE)


def test_a_long_line_keeps_its_ends() -> None:
    sent: list[Logged] = []
    ChildLog(sent.append).add(line("a" * LONGEST_LINE + "b" * LONGEST_LINE))

    assert len(sent[0].message) < LONGEST_LINE + 100
    assert (sent[0].message[0], sent[0].message[-1]) == ("a", "b")


# -- the order


def test_the_order_has_what_the_program_has_sent_and_imports_nothing() -> None:
    spec = spec_of(brief, "job#7", module="nowhere", params={"a": 1}, log_levels={"x": 10}, options={"nice": 3})

    order = order_of(spec)

    reference = order.binding.reference
    assert reference is not None
    assert (order.run, order.job, order.attempt, order.options) == ("job#7", "job", 1, {"nice": 3})
    assert (reference.module, reference.params, reference.log_levels) == ("nowhere", {"a": 1}, {"x": 10})


def test_a_spec_without_a_field_is_a_broken_protocol() -> None:
    spec = spec_of(brief, "job#7")
    del spec["label"]

    with pytest.raises(ProtocolError, match="'spec' has no 'label'"):
        order_of(spec)


# -- the place


def test_a_place_names_what_is_installed_by_the_shortest_name() -> None:
    tasks = {"b": "acme 1.0", "acme/b": "acme 1.0", "a": "base 2", "base/a": "base 2"}

    here = Place("host", "3.11", "", tasks, ())

    assert here.installed == "a (base 2), b (acme 1.0)"
    assert here.interpreter == "host host, an unknown interpreter (Python 3.11)"
    assert Place("host", "3.11", "", {}, ()).installed == "none"
    assert place() is place()


# -- the worker


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ("running", ""),
        ("paused", ""),
        ("closing_gracefully", "Dask retires it"),
        ("closing", "Dask closes it"),
        ("dont_reply", "its status is dont_reply"),
    ],
)
def test_a_worker_says_why_its_runs_have_to_end(status: str, why: str) -> None:
    worker = FakeWorker()
    worker.status = SimpleNamespace(name=status)

    assert DaskWorker(worker).why_closing == why


def test_an_event_of_a_worker_whose_loop_was_closed_is_lost() -> None:
    def log_event(*_: object) -> None:
        raise RuntimeError("Event loop is closed")

    DaskWorker(SimpleNamespace(log_event=log_event)).publish("topic", "text")


def test_the_requests_of_a_program_do_not_fill_the_log_of_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("distributed.worker")
    DaskWorker(FakeWorker())

    logger.info("Run out-of-band function %r", "request")
    logger.info("Run out-of-band function %r", "other")
    logger.warning("request")

    assert caplog.messages == ["Run out-of-band function 'other'", "request"]


def test_the_clock_of_the_leases_advances_as_the_monotonic_one() -> None:
    before, begun = boottime(), mono()

    after, ended = boottime(), mono()

    assert 0 <= after - before <= ended - begun + 1


# -- the functions by name


def test_the_functions_import_next_to_nothing() -> None:
    source = """
import sys
import taskloom.runners.dask.on_worker
heavy = {"distributed", "dask", "yaml", "stevedore", "pydantic", "taskloom.scheduler", "taskloom.runners.process"}
print(sorted(heavy & set(sys.modules)))
"""

    found = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)

    assert found.stdout == "[]\n"


def test_the_agent_of_a_program_that_is_gone_ends_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_OUT_OF_REACH_SECONDS", 0.0)
    worker = FakeWorker()
    program = WorkerProgram(worker, lease=Lease(0.05, 0.05, 0.01))
    verdict = program.execute(spec_of(brief, "job#1"))
    program.command(CommandKind.DENY, program.claim("job#1"))
    shell = on_worker._AGENTS[worker].get("session")

    assert verdict.result(SOON) == "denied"
    assert shell is None or shell.join(SOON)
    assert on_worker._AGENTS[worker] == {}
    program.end()


def test_a_request_is_answered_before_the_reports_that_have_come_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = FakeWorker()
    shell = AgentShell(DaskWorker(worker), "session", lambda _: True)
    taken: list[str] = []
    answers: SimpleQueue[object] = SimpleQueue()
    monkeypatch.setattr(shell, "_handle", lambda given, _: taken.append(type(given).__name__))
    for _ in range(3):
        shell.put(ExecutionReported("execution", {"ready": True}))
    shell.put(Question(Request("session", 1, "", None, Lease(), 0, None), answers.put))
    worker.status = SimpleNamespace(name="closed")

    shell.start()

    assert '"session"' in str(answers.get(timeout=SOON))
    assert shell.join(SOON)
    assert taken[:2] == ["Requested", "ExecutionReported"]


def test_a_text_that_is_not_a_request_is_refused() -> None:
    with pytest.raises(ProtocolError):
        asyncio.run(on_worker.request('{"session": 1}', FakeWorker()))
