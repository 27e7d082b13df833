"""The client against programs that answer, refuse, send garbage, or do not answer: each ends in words, and in time."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import h11
import pytest
from tests.support.every_case import every_case
from tests.support.fake_control import FakeControl, fake_program, is_gone, reply, short_folder, until_gone

from taskloom.control.client import Connection, Refused, job_path
from taskloom.control.client_errors import BadReply, ConnectionLost, ControlError, NoAnswer, NoProgram
from taskloom.control.finding import Program
from taskloom.control.no_answer import no_answer

# Long enough for an answer under load; only programs that never answer take all of it.
SHORT_SECONDS = 0.2


def error_of(raw: bytes) -> ControlError:
    """Return the error for a program that answers with these bytes, and closes the connection."""
    with fake_program(raw) as fake, pytest.raises(ControlError) as caught:
        Connection(fake.program).get("/v1")
    return caught.value


def test_a_get_request_has_the_query_percent_encoded_and_returns_the_object() -> None:
    with fake_program(reply({"jobs": []})) as fake:
        answer = Connection(fake.program).get("/v1/jobs", job=["web*", "a b&c"], label=[], since=None, follow=False)

    assert answer == {"jobs": []}
    [(method, target, headers, body)] = fake.requests
    assert (method, target, body) == ("GET", "/v1/jobs?job=web%2A&job=a%20b%26c&follow=false", b"")
    assert "content-type" not in headers


def test_a_post_request_has_a_json_body_even_if_it_is_empty() -> None:
    with fake_program(reply({})) as fake:
        connection = Connection(fake.program)
        connection.post(job_path("a/b c", "stop"), {"text": "bye"})
        connection.post(job_path("web", "start"))

    assert [(target, headers["content-type"], body) for _, target, headers, body in fake.requests] == [
        ("/v1/jobs/a%2Fb%20c/stop", "application/json", b'{"text": "bye"}'),
        ("/v1/jobs/web/start", "application/json", b"{}"),
    ]


def test_a_refusal_has_the_words_of_the_program() -> None:
    error = {"code": "unknown-job", "message": "cannot find job 'wbe'; did you mean 'web'?", "near": ["web"]}
    with fake_program(reply({"error": error, "problems": []}, 404)) as fake, pytest.raises(Refused) as caught:
        Connection(fake.program).get("/v1/jobs", job="wbe")

    refused = caught.value
    assert str(refused) == "cannot find job 'wbe'; did you mean 'web'?"
    assert (refused.status, refused.code, refused.near) == (404, "unknown-job", ("web",))
    assert refused.body["problems"] == []


def test_a_refusal_that_comes_before_the_request_was_read_is_told() -> None:
    raw = reply({"error": {"code": "busy", "message": "too many connections"}}, 503)
    with early_answer(raw) as program, pytest.raises(Refused, match="too many connections"):
        Connection(program).post("/v1/reload", {"text": "x" * 3_000_000})


@contextlib.contextmanager
def early_answer(raw: bytes) -> Iterator[Program]:
    """A program that accepts one connection, answers at once, and reads nothing."""
    with short_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = folder / "full.sock"
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_RD)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Program("full", str(path), os.getpid(), os.geteuid())
        thread.join(30.0)


HEAD = b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n"
GARBAGE = {
    "a list": (reply([1]), "it is not a JSON object"),
    "not JSON": (reply(b'{"a": '), "it is not JSON: Expecting value at character 6"),
    "NaN": (reply(b'{"a": NaN}'), "it is not JSON: NaN is not a JSON number"),
    "deep": (reply(b"[" * 100_000), "it is nested too deeply"),
    "not UTF-8": (reply(b'{"a": "\xff"}'), "it is not UTF-8"),
    "another type": (
        reply(b"<html>", content_type="text/html"),
        "its type is 'text/html', expected 'application/json'",
    ),
    "no type": (b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{}", "its type is '', expected 'application/json'"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "it is not HTTP"),
    "an endless head": (b"HTTP/1.1 200 X\r\n" + b"X-Y: z\r\n" * 20_000, "its head has more than 65,536 bytes"),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "it is not HTTP"),
    "a bad chunk": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "it is not HTTP",
    ),
}


@every_case("name", GARBAGE)
def test_garbage_is_an_error_in_words(name: str) -> None:
    raw, why = GARBAGE[name]

    error = error_of(raw)

    assert isinstance(error, BadReply)
    assert str(error) == f"cannot read the answer of pid {os.getpid()}: {why}"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"error": []}, "error is [], expected an object"),
        ({"error": {"message": 5}}, "message is 5, expected a text"),
        ({"error": {"near": {}}}, "near is {}, expected a list"),
    ],
)
def test_a_refusal_of_another_shape_is_an_error_in_words(body: object, why: str) -> None:
    assert str(error_of(reply(body, 400))) == f"cannot read the answer of pid {os.getpid()}: {why}"


def test_a_refusal_without_words_has_its_status() -> None:
    assert str(error_of(reply({}, 418))) == f"pid {os.getpid()} answers with status 418"


CUT_OFF = {"nothing": b"", "half a head": HEAD, "half a body": reply({"jobs": []})[:-3]}


@pytest.mark.parametrize("name", CUT_OFF)
def test_an_answer_that_is_cut_off_is_told(name: str) -> None:
    error = error_of(CUT_OFF[name])

    assert isinstance(error, ConnectionLost)
    assert str(error) == f"cannot read the whole answer of pid {os.getpid()}: it closed the connection"


def silent(connection: socket.socket, _: h11.Request) -> None:
    until_gone(connection)


def half(connection: socket.socket, _: h11.Request) -> None:
    connection.sendall(reply({"jobs": []})[:-3])
    until_gone(connection)


def dripping_head(connection: socket.socket, _: h11.Request) -> None:
    connection.sendall(HEAD + b"X: ")
    while not is_gone(connection, 0.02):
        connection.sendall(b"x")


def dripping_body(connection: socket.socket, _: h11.Request) -> None:
    connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n")
    while not is_gone(connection, 0.02):
        connection.sendall(b" ")


def flooding(connection: socket.socket, _: h11.Request) -> None:
    """Send without end, so that no single read ever waits."""
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while not is_gone(connection, 0):
        connection.sendall(b"1\r\n \r\n")


@pytest.mark.parametrize(
    "handler", [silent, half, dripping_head, dripping_body, flooding], ids=lambda each: each.__name__
)
def test_one_deadline_holds_for_the_whole_call(handler: object) -> None:
    with fake_program(handler) as fake, pytest.raises(NoAnswer) as caught:  # type: ignore[arg-type]
        Connection(fake.program, SHORT_SECONDS).get("/v1")

    pid = os.getpid()
    assert caught.value.pid == pid
    assert str(caught.value).startswith(f"pid {pid} does not answer: a task may be holding the GIL; ")


def test_no_call_lasts_beyond_the_deadline_of_the_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.control.client._LEAST_SECONDS", SHORT_SECONDS)
    with fake_program(silent) as fake:
        connection = Connection(fake.program, 1e6, until=0.0)
        with pytest.raises(NoAnswer) as asked:
            connection.get("/v1/jobs")
        with pytest.raises(NoAnswer) as told:
            connection.post("/v1/jobs/web/stop")
        with pytest.raises(NoAnswer), connection.follow("/v1/events") as stream:
            stream.take()

    assert (asked.value.may_act_later, told.value.may_act_later) == (False, True)


def test_the_deadline_holds_where_no_connection_is_accepted() -> None:
    with short_folder() as folder, contextlib.ExitStack() as stack:
        path = folder / "full.sock"
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                one = stack.enter_context(socket.socket(socket.AF_UNIX))
                one.setblocking(False)
                one.connect(str(path))

        with pytest.raises(NoAnswer, match=f"pid {os.getpid()} does not answer: a task may be holding the GIL"):
            Connection(Program("full", str(path), os.getpid(), os.geteuid()), SHORT_SECONDS).get("/v1")


def test_a_large_request_to_a_program_that_reads_nothing_ends_at_the_deadline() -> None:
    with short_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = folder / "deaf.sock"
        listener.bind(str(path))
        listener.listen()

        with pytest.raises(NoAnswer):
            Connection(Program("deaf", str(path), 0, os.geteuid()), SHORT_SECONDS).post(
                "/v1", {"text": "x" * 3_000_000}
            )


def test_a_program_that_is_suspended_is_told_from_one_that_is_busy() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)

        assert str(no_answer(child.pid, "/x")) == (
            f"pid {child.pid} does not answer: it is suspended, by Ctrl-Z, a signal or a debugger; "
            f"`kill -CONT {child.pid}` continues it"
        )
    finally:
        child.kill()
        child.communicate()

    assert str(no_answer(child.pid, "/x")) == f"pid {child.pid} does not answer: it has just ended"
    assert str(no_answer(0, "/x")) == "the program at /x does not answer"


def test_a_signal_is_only_suggested_to_a_program_that_catches_it() -> None:
    pid, before = os.getpid(), signal.getsignal(signal.SIGQUIT)
    busy = f"pid {pid} does not answer: a task may be holding the GIL; `taskloom stack` cannot help"
    try:
        signal.signal(signal.SIGQUIT, lambda *_: None)
        caught = str(no_answer(pid, "/x"))
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        deadly = str(no_answer(pid, "/x"))
    finally:
        signal.signal(signal.SIGQUIT, before)

    assert caught == f"{busy}, `kill -QUIT {pid}` prints all stacks"
    assert deadly == f"{busy}, a debugger such as py-spy shows its stacks"


# -- connecting


def test_a_peer_of_another_user_is_left_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    from taskloom.control import unix_client
    from taskloom.control.exchange import Caller

    monkeypatch.setattr(unix_client, "peer_of", lambda _: Caller(uid=4711, pid=1))

    with fake_program(reply({})) as fake, pytest.raises(NoProgram) as caught:
        Connection(fake.program).post("/v1/shutdown")

    assert str(caught.value) == f"cannot trust the program at {fake.path}: it runs as uid 4711"
    assert fake.requests == []


def test_a_path_may_be_longer_than_the_kernel_takes() -> None:
    with short_folder() as short:
        folder = short / ("a long name " * 10) / ("another long name " * 10)
        folder.mkdir(parents=True)
        fake = FakeControl(folder / "x.sock", lambda connection, _: connection.sendall(reply({"a": 1})))
        try:
            assert Connection(fake.program).get("/v1") == {"a": 1}
        finally:
            fake.close()


def test_a_socket_without_a_listener_is_told() -> None:
    with short_folder() as folder:
        path = folder / "x.sock"
        missing = Program("x", str(path), 0, os.geteuid(), is_locked=False)
        with pytest.raises(NoProgram) as caught:
            Connection(missing).get("/v1")
        assert str(caught.value) == f"cannot reach a program at {path}: there is no such socket"

        with socket.socket(socket.AF_UNIX) as leftover:
            leftover.bind(str(path))
        with pytest.raises(NoProgram) as caught:
            Connection(missing).get("/v1")
        assert str(caught.value) == f"cannot reach a program at {path}: its program has ended, or it is not a socket"

        path.unlink()
        path.write_text("")
        with pytest.raises(NoProgram, match="its program has ended, or it is not a socket"):
            Connection(missing).get("/v1")


def test_a_program_that_runs_without_its_socket_is_told() -> None:
    with short_folder() as folder, pytest.raises(NoAnswer) as caught:
        Connection(Program("x", str(folder / "x.sock"), os.getpid(), os.geteuid())).get("/v1")

    assert str(caught.value) == (
        f"pid {os.getpid()} does not answer: nothing listens at {folder / 'x.sock'}; a program makes its socket again "
        "within 10 s"
    )


def test_a_program_that_has_just_ended_is_told() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    with short_folder() as folder, pytest.raises(NoProgram, match="there is no such socket"):
        Connection(Program("x", str(folder / "x.sock"), child.pid, os.geteuid())).get("/v1")


def test_a_lack_of_descriptors_here_is_not_taken_for_the_end_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("taskloom.control.client_call.connect", full)

    with pytest.raises(NoProgram) as caught:
        Connection(Program("x", "/x.sock", os.getpid(), os.geteuid())).get("/v1")
    assert str(caught.value) == "cannot reach a program at /x.sock: too many open files"


def test_an_interrupted_call_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    from taskloom.control.client_call import Call

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Call, "head", interrupted)
    closed = []

    def answer(connection: socket.socket, _: h11.Request) -> None:
        until_gone(connection)
        closed.append(True)

    with fake_program(answer) as fake:
        with pytest.raises(KeyboardInterrupt):
            Connection(fake.program).get("/v1")
        with pytest.raises(KeyboardInterrupt):
            Connection(fake.program).follow("/v1/events").take()

    assert closed == [True, True]


def test_a_long_path_in_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120) / "x.sock"

    with pytest.raises(NoProgram, match="there is no such socket"):
        Connection(Program("x", str(path), 0, os.geteuid(), is_locked=False)).get("/v1")
