"""A run in a process whose worker breaks the protocol, floods, reads nothing, or whose log blocks."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fake_supervisor import NO_PROCESS, WHY, FakeSupervisor, ProcessBench, returned

from taskloom import __version__
from taskloom.core import inputs
from taskloom.core.inputs import RunEnded, RunStartFailed
from taskloom.core.model import ErrorInfo, How
from taskloom.runners import Report
from taskloom.runners.process import log_thread
from taskloom.runners.wire import (
    LONGEST_LINE,
    CallbackFailed,
    Ended,
    Gauged,
    Hello,
    Logged,
    Ready,
    Started,
    encode,
)
from taskloom.sync.cancel_token import CancelToken

ROOT = Path(__file__).parents[3]


class KeptRecords(logging.Handler):
    """Keeps all records; while `gate` is closed, it blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.changed = threading.Condition()
        self.gate = threading.Event()
        self.is_blocking = threading.Event()
        self.gate.set()

    def emit(self, record: logging.LogRecord) -> None:
        if not self.gate.is_set():
            self.is_blocking.set()
            assert self.gate.wait(20)
        with self.changed:
            self.records.append(record)
            self.changed.notify_all()

    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptRecords]:
    """Keep what comes to the logger of tasks. The end of a run waits for all of it."""
    monkeypatch.setattr("taskloom.runners.process.connection._LOG_SECONDS", 20.0)
    logger = logging.getLogger("taskloom.task")
    before = logger.level, logger.propagate
    handler = KeptRecords()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield handler
    handler.gate.set()
    logger.removeHandler(handler)
    logger.setLevel(before[0])
    logger.propagate = before[1]


# -- the protocol


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"nonsense\n", "it sent a line that is not JSON: b'nonsense'"),
        (b"\xff\n", "it sent a line that is not UTF-8: b'\\xff'"),
        (b"[]\n", "it sent [] in place of an object"),
        (b'{"fly": 1}\n', "it sent 'fly', which is not a message"),
        (b'{"poll": {}}\n', "'poll' has no 'n'"),
        (b"x" * (LONGEST_LINE + 1), f"it sent a line that is longer than {LONGEST_LINE:,} bytes"),
        (encode(Hello(__version__, 1)), "it said hello for a second time"),
        (encode(returned()) + encode(Ready()), "it sent Ready after its end"),
        (encode(returned()) + encode(returned()), "it sent Ended after its end"),
        (encode(Gauged(None, {f"c{n}": 1 for n in range(10_001)})), "it counts under more than 10,000 names"),
    ],
    ids=["JSON", "UTF-8", "array", "unknown", "fields", "long", "hello", "late ready", "two ends", "counters"],
)
def test_a_worker_that_breaks_the_protocol_is_killed_and_has_failed(
    bench: ProcessBench, data: bytes, words: str
) -> None:
    _, supervisor = bench.begun()
    sender = threading.Thread(target=supervisor.far_control.sendall, args=(data,))

    sender.start()
    order = supervisor.next_order()
    supervisor.exit(signal.SIGKILL)
    end = bench.end()
    supervisor.far_control.shutdown(socket.SHUT_RDWR)
    sender.join()

    assert order == "kill"
    if b"ended" in data:
        assert end == RunEnded("job#1", How.RETURNED, None, False, False)
    else:
        assert isinstance(end, RunEnded)
        assert (end.how, str(end.error)) == (How.RAISED, f"the process broke the protocol: {words}")


@pytest.mark.parametrize("end", [returned(), Ended(How.RAISED, None, False, False)], ids=["returned", "raised"])
def test_a_worker_that_ends_what_it_has_not_begun_has_failed_to_start(bench: ProcessBench, end: Ended) -> None:
    bench.start()
    supervisor = bench.supervisor()

    supervisor.send(Hello(__version__, NO_PROCESS), end)
    order = supervisor.next_order()
    supervisor.exit(signal.SIGKILL)
    verdict = bench.end()

    assert order == "kill"
    assert isinstance(verdict, RunStartFailed)
    assert str(verdict.error) == "the process broke the protocol: it ended a run that it had not begun"


def test_a_worker_that_does_not_enter_without_a_request_has_failed_to_start(bench: ProcessBench) -> None:
    bench.start()
    supervisor = bench.supervisor()

    supervisor.send(Hello(__version__, NO_PROCESS), Ended(How.NOT_ENTERED, None, True, False))
    supervisor.exit()
    verdict = bench.end()

    assert isinstance(verdict, RunStartFailed)
    assert str(verdict.error) == "the process did not begin the run"


@pytest.mark.parametrize(
    ("rest", "words"),
    [(b"", "it closed its control socket"), (b'{"poll', "it ended within a line, after 6 bytes of it")],
    ids=["closed", "half a line"],
)
def test_a_worker_that_closes_its_control_socket_and_lives_is_killed_and_has_failed(
    bench: ProcessBench, monkeypatch: pytest.MonkeyPatch, rest: bytes, words: str
) -> None:
    monkeypatch.setattr("taskloom.runners.process.worker_run._CLOSED_SECONDS", 0.0)
    _, supervisor = bench.begun()

    supervisor.far_control.sendall(rest)
    supervisor.far_control.shutdown(socket.SHUT_RDWR)
    order = supervisor.next_order()
    supervisor.exit(signal.SIGKILL)
    end = bench.end()

    assert order == "kill"
    assert isinstance(end, RunEnded)
    assert (end.how, str(end.error)) == (How.RAISED, f"the process broke the protocol: {words}")


def test_a_worker_that_dies_within_a_line_has_died_of_its_signal(bench: ProcessBench) -> None:
    _, supervisor = bench.begun()

    supervisor.far_control.sendall(b'{"poll')
    supervisor.far_control.shutdown(socket.SHUT_RDWR)
    supervisor.exit(signal.SIGSEGV)
    end = bench.end()

    assert isinstance(end, RunEnded)
    assert str(end.error) == "SIGSEGV"


def test_a_message_that_supervisors_do_not_send_ends_that_run_alone(bench: ProcessBench) -> None:
    _, supervisor = bench.begun()
    _, other = bench.begun()

    supervisor.say("nonsense")
    order = supervisor.next_order()
    supervisor.exit(signal.SIGKILL)
    end = bench.end()
    other.send(returned())
    other.exit()

    assert order == "kill"
    assert isinstance(end, RunEnded)
    assert end.how is How.RAISED
    assert end.error is not None
    assert end.error.type == "InternalError"
    assert bench.end(2) == RunEnded("job#2", How.RETURNED, None, False, False)
    assert [str(bug) for bug in bench.bugs] == ["unknown message 'nonsense'"]
    bench.bugs.clear()


# -- too much


def test_ten_mebibytes_of_prints_come_through_in_order(bench: ProcessBench, log: KeptRecords) -> None:
    _, supervisor = bench.begun()
    line = b"%06d " + b"x" * 1000 + b"\n"
    count = 10 * 1024 * 1024 // len(line % 0)

    def print_all() -> None:
        for number in range(count):
            supervisor.print(line % number)

    printer = threading.Thread(target=print_all)
    printer.start()
    printer.join()
    supervisor.send(returned())
    supervisor.exit()
    bench.end()

    assert [text[:6] for text in log.texts()] == [f"{number:06d}" for number in range(count)]


def test_a_process_whose_log_blocks_blocks_in_its_print_and_the_other_runs_do_not(
    bench: ProcessBench, log: KeptRecords
) -> None:
    _, supervisor = bench.begun()
    _, other = bench.begun()
    os.set_blocking(supervisor.far_stdout, False)
    log.gate.clear()

    written = _fill(supervisor)
    other.send(returned())
    other.exit()
    end = bench.end()
    log.gate.set()
    supervisor.send(returned())
    supervisor.exit()
    bench.end(2)

    assert isinstance(end, RunEnded)
    assert end.run == "job#2"
    assert written < 4 * log_thread.MOST_BYTES
    assert sum(len(text) + 1 for text in log.texts()) == written


def _fill(supervisor: FakeSupervisor) -> int:
    """Print until the runner reads no more: until the pipe stays full for a while."""
    written, waits = 0, 0
    pause = threading.Event()
    while waits < 20:
        try:
            written += os.write(supervisor.far_stdout, b"x" * 999 + b"\n") and 1000
            waits = 0
        except BlockingIOError:
            pause.wait(0.01)
            waits += 1
    return written


def test_a_run_whose_log_blocks_for_ever_ends_all_the_same(
    bench: ProcessBench, log: KeptRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskloom.runners.process.connection._LOG_SECONDS", 0.01)
    _, supervisor = bench.begun()
    log.gate.clear()

    supervisor.print(b"first\nsecond\n")
    assert log.is_blocking.wait(20)
    supervisor.send(returned())
    supervisor.exit()

    assert bench.end() == RunEnded("job#1", How.RETURNED, None, False, False)
    assert log.texts() == []


def test_the_last_lines_are_logged_before_the_end_is_reported(bench: ProcessBench, log: KeptRecords) -> None:
    seen: list[list[str]] = []
    _, supervisor = bench.begun()

    def report(end: Report) -> None:
        seen.append(log.texts())
        bench.emit(end)

    connection = bench.handles[0].connection
    assert connection is not None
    connection._unreported[0] = report

    supervisor.print(b"one\n" * 500 + b"without an end")
    supervisor.send(returned())
    supervisor.exit()
    bench.end()

    assert seen == [["one"] * 500 + ["without an end"]]


def test_log_records_that_come_too_fast_are_dropped_and_counted(bench: ProcessBench, log: KeptRecords) -> None:
    _, supervisor = bench.begun()
    log.gate.clear()

    for number in range(3 * log_thread.MOST_ENTRIES):
        supervisor.send(Logged(logging.INFO, "taskloom.task", f"record {number}", 0.0))
    supervisor.send(CallbackFailed("last", ErrorInfo("E", "", "")))
    bench.wait_for(lambda: len(bench.reports) == 2)
    log.gate.set()
    supervisor.send(returned())
    supervisor.exit()
    bench.end()

    kept = [text for text in log.texts() if text.startswith("record")]
    dropped = 3 * log_thread.MOST_ENTRIES - len(kept)
    assert dropped > log_thread.MOST_ENTRIES
    assert f"{dropped:,} log records of the process dropped: they came faster than the log took them" in log.texts()
    assert kept == [f"record {number}" for number in range(len(kept))]


def test_dropped_log_records_are_told_although_the_log_is_empty_when_the_run_ends(
    bench: ProcessBench, log: KeptRecords
) -> None:
    _, supervisor = bench.begun()
    log.gate.clear()
    for number in range(2 * log_thread.MOST_ENTRIES):
        supervisor.send(Logged(logging.INFO, "taskloom.task", f"record {number}", 0.0))
    supervisor.send(CallbackFailed("last", ErrorInfo("E", "", "")))
    bench.wait_for(lambda: len(bench.reports) == 2)
    with log.changed:
        log.gate.set()
        assert log.changed.wait_for(lambda: len(log.records) >= log_thread.MOST_ENTRIES, 20)

    supervisor.send(returned())
    supervisor.exit()
    bench.end()

    assert "dropped" in log.texts()[-1]


def test_failed_callbacks_without_end_are_not_reported_without_end(bench: ProcessBench) -> None:
    _, supervisor = bench.begun()

    for _ in range(300):
        supervisor.send(CallbackFailed("again", ErrorInfo("E", "", "")))
    supervisor.send(returned())
    supervisor.exit()
    bench.end()

    assert sum(isinstance(report, inputs.CallbackFailed) for report in bench.reports) == 100


def test_a_flood_of_messages_does_not_keep_another_run_from_being_cancelled(bench: ProcessBench) -> None:
    token = CancelToken()
    _, flooding = bench.begun()
    _, other = bench.begun(token)
    is_over = threading.Event()

    def flood() -> None:
        data = encode(Gauged(None, {"n": 1})) * 1000
        while not is_over.is_set():
            try:
                flooding.far_control.sendall(data)
            except OSError:
                return

    flooder = threading.Thread(target=flood)
    flooder.start()
    token.request(WHY)
    token.wake()
    message = other.message()
    is_over.set()
    flooding.exit(signal.SIGKILL)
    bench.end()
    flooding.far_control.shutdown(socket.SHUT_RDWR)
    flooder.join()

    assert type(message).__name__ == "Cancel"


def test_a_worker_that_never_reads_costs_no_memory_without_end(
    bench: ProcessBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = CancelToken()
    handle = bench.start(token)
    supervisor = bench.supervisor()
    supervisor.say(f"started {NO_PROCESS}")
    supervisor.send(Hello(__version__, NO_PROCESS), Started(is_ready=True))
    bench.wait_for(lambda: len(bench.reports) == 1)
    connection = handle.connection
    assert connection is not None

    monkeypatch.setattr("taskloom.runners.process.outgoing._MOST_UNSENT", 64 * 1024)
    for _ in range(20_000):
        connection.commands.set_poll_interval(1.25)  # instead of the IO thread, which has nothing to do now

    control = connection._ends._control
    assert control is not None
    assert 0 < len(control.outgoing._pending) <= 64 * 1024


# -- log records


def test_a_record_arrives_as_it_was_made(bench: ProcessBench, log: KeptRecords) -> None:
    _, supervisor = bench.begun()
    created = 86400.0 * 20000

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taskloom.runners.process.worker_run.wall", lambda: created + 1.0)
        supervisor.send(
            Logged(
                logging.WARNING,
                "taskloom.task",
                "100% sure",
                created,
                "Traceback…",
                "Stack…",
                "worker-1",
                "/x/task.py",
                17,
                "run",
                {"frame": 3, "job": "another", "msg": "no"},
            )
        )
        supervisor.send(returned())
        supervisor.exit()
        bench.end()
    [record] = log.records

    assert (record.getMessage(), record.levelname, record.name) == ("100% sure", "WARNING", "taskloom.task")
    assert (record.created, record.threadName, record.process) == (created, "worker-1", NO_PROCESS)
    assert (record.pathname, record.lineno, record.funcName) == ("/x/task.py", 17, "run")
    assert (record.exc_text, record.stack_info) == ("Traceback…", "Stack…")
    extra = vars(record)
    assert (extra["job"], extra["run"], extra["frame"]) == ("job", "job#1", 3)


def test_a_record_of_another_age_has_the_time_of_its_arrival(bench: ProcessBench, log: KeptRecords) -> None:
    _, supervisor = bench.begun()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taskloom.runners.process.worker_run.wall", lambda: 1000.0)
        supervisor.send(Logged(logging.INFO, "taskloom.task", "late", 1e300))
        supervisor.send(returned())
        supervisor.exit()
        bench.end()

    assert [record.created for record in log.records] == [1000.0]


def test_a_handler_that_raises_costs_its_record_alone(bench: ProcessBench, log: KeptRecords) -> None:
    class Raising(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.getMessage() == "bad":
                raise MemoryError
            return True

    log.addFilter(Raising())
    _, supervisor = bench.begun()

    supervisor.print(b"good\nbad\nbetter\n")
    supervisor.send(returned())
    supervisor.exit()
    bench.end()

    assert log.texts() == ["good", "better"]


def test_names_of_loggers_without_end_do_not_make_loggers_without_end(bench: ProcessBench, log: KeptRecords) -> None:
    _, supervisor = bench.begun()
    known = logging.Logger.manager.loggerDict
    before = dict(known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taskloom.runners.process.log_thread._MOST_LOGGERS", len(before) + 10)
        for number in range(100):
            supervisor.send(Logged(logging.INFO, f"made-up-{number}", f"record {number}", 0.0))
        supervisor.send(returned())
        supervisor.exit()
        bench.end()

    made = set(known) - set(before)
    for name in made:
        del known[name]
    assert len(made) == 10
    assert log.texts() == [f"record {number}" for number in range(10, 100)]


CLOSING_ALL = """
import os, threading
from queue import SimpleQueue
from tests.support.fake_supervisor import ProcessBench
import taskloom.runners.process.connection as connection

bench = ProcessBench()
connection.launch = bench.launch
_, supervisor = bench.begun()
far = [supervisor.far_channel.fileno(), supervisor.far_control.fileno(), supervisor.far_stdout, supervisor.far_stderr]
ours = [number for number in range(3, 200) if number not in far]
for number in ours:
    try:
        os.close(number)
    except OSError:
        pass
files = [os.open("/dev/null", os.O_RDWR) for _ in range(30)]
bench.start()
end = bench.end()
second = bench.supervisor()
second.message()
second.begin()
second.leave()
bench.end(2)
still_open = [os.fstat(number) is not None for number in files]
assert bench.bugs == []
print([type(each).__name__ + " " + str(each.error) for each in bench.ends()], all(still_open), flush=True)
os._exit(0)
"""


def test_a_task_that_closes_all_descriptors_of_the_program_ends_the_runs_and_loses_no_file_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLOSING_ALL], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )

    assert done.stdout == (
        "['RunEnded a task has closed all descriptors of the program', "
        "'RunEnded its supervisor is gone: exit status 0'] True\n"
    ), done.stderr


CLOSING_SOME = """
import os, socket
from tests.support.fake_supervisor import ProcessBench
import taskloom.runners.process.connection as connection
import taskloom.runners.process.supervisor_watch as supervisor_watch

bench = ProcessBench()
connection.launch = bench.launch
supervisor_watch._KILL_SECONDS = 0.0
handle, supervisor = bench.begun()
numbers = [supervisor.channel.fileno(), supervisor.control.fileno(), supervisor.stdout, supervisor.stderr]
pairs = [socket.socketpair() for _ in numbers]
for number, (near, far) in zip(numbers, pairs):
    far.send(b"for the task")
    os.dup2(near.fileno(), number)
handle.kill()
end = bench.end()
result = (end.how.value, end.error.type, supervisor.was_killed.is_set(), [os.read(number, 99) for number in numbers])
print(*result, flush=True)
for number in numbers:
    os.close(number)
bench.begun()[1].exit()
bench.end(2)
print(bench.ends()[1].error, bench.bugs, flush=True)
os._exit(0)
"""


def test_a_run_whose_descriptors_a_task_has_taken_can_be_killed_and_reads_nothing_of_the_task() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLOSING_SOME], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )

    data = [b"for the task"] * 4
    assert done.stdout == f"killed ProcessKilled True {data}\nexit status 0 without a report []\n", done.stderr
