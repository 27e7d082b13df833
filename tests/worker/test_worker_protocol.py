"""A program that breaks the protocol, and a task that breaks it from inside: the worker ends, and says why."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.support import worker_tasks as tasks
from tests.support.driven_worker import REASON, DrivenWorker, spec_for

from taskloom.core.endings import How
from taskloom.runners.wire import LONGEST_LINE, Ended, Logged, ProtocolError, Started

pytestmark = pytest.mark.long

Start = Callable[..., DrivenWorker]

BROKEN = {
    "no JSON": (b"hello\n", "it sent a line that is not JSON: b'hello'"),
    "no message": (b'{"hello": 1}\n', "it sent 'hello', which is not a message"),
    "wrong type": (b'{"poll_interval": "1s"}\n', "'poll_interval' is '1s'; expected a number"),
    "no UTF-8": (b"\xff\n", "it sent a line that is not UTF-8: b'\\xff'"),
    "too long": (b"x" * (LONGEST_LINE + 1), "it sent a line that is longer than 1,048,576 bytes"),
    "a second spec": (None, "it sent a second spec"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_program_that_breaks_the_protocol_stops_the_run(start_worker: Start, kind: str) -> None:
    data, text = BROKEN[kind]
    worker = start_worker(tasks.Reporter)
    worker.until(Logged)

    if data is None:
        worker.send(spec_for(tasks.Reporter))
    else:
        worker.control.sendall(data)

    assert worker.all(Ended) == [Ended(How.RETURNED, None, True, False)]
    assert worker.all(Logged)[-1].message == f"stopped: shutdown: the program broke the protocol: {text} False"


def test_half_a_line_and_then_the_end_stop_the_run(start_worker: Start) -> None:
    worker = start_worker(tasks.Reporter)
    worker.until(Logged)

    worker.control.sendall(b'{"cancel":')
    worker.control.shutdown(1)

    assert worker.all(Ended) == [Ended(How.RETURNED, None, True, False)]
    assert "the program that started it has ended" in worker.all(Logged)[-1].message


def test_a_message_in_pieces_is_read(start_worker: Start) -> None:
    worker = start_worker(tasks.Reporter)
    worker.until(Logged)

    for byte in json.dumps({"cancel": {"kind": "user", "text": REASON.text, "signal": None}}) + "\n":
        worker.control.sendall(byte.encode())

    assert worker.all(Ended) == [Ended(How.RETURNED, None, True, False)]
    assert worker.all(Logged)[-1].message == "stopped: user: the test False"


FIRST = {
    "nothing": b"",
    "half": b"no spec",
    "list": b"[]\n",
    "empty": b"{}\n",
    "other": b'{"urgent":true}\n',
}


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_without_a_spec_the_worker_ends_by_itself(child_env: dict[str, str], first: bytes) -> None:
    with DrivenWorker(child_env, first) as worker:
        worker.control.shutdown(1)

        assert worker.all(Ended) == worker.all(Started) == []
        out, err, code = worker.output()
        assert (out, code) == ("", 1)
        is_line = first.endswith(b"\n")
        assert err == ("the program broke the protocol: its first message is not a spec\n" if is_line else "")


def test_a_spec_without_its_fields_is_refused(child_env: dict[str, str]) -> None:
    with DrivenWorker(child_env, json.dumps({"spec": {"sys_path": sys.path}}).encode() + b"\n") as worker:
        assert worker.receive() is None
        assert worker.output() == ("", "the program broke the protocol: 'spec' has no 'version'\n", 1)


def test_a_worker_that_is_started_by_hand_says_that_it_cannot(child_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "taskloom.worker"],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == "cannot be started by hand: a program with runner process starts it\n"


def test_what_a_task_writes_to_the_control_socket_is_refused_by_the_reader(start_worker: Start) -> None:
    worker = start_worker(tasks.writes_to_control, params={"text": "half a line, "})
    worker.until(Started)

    with pytest.raises(ProtocolError, match="it sent a line that is not JSON"):
        worker.all(Ended)


def test_the_spec_may_be_as_long_as_a_line(start_worker: Start) -> None:
    worker = start_worker(tasks.with_params, params={"numbers": [], "name": "x" * 1_000_000})

    (record,) = worker.all(Logged)

    assert record.message.startswith("[] 'xxx")
