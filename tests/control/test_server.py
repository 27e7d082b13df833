"""The control server with real sockets: every client is answered or dropped, and none is in the way of another."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_server import PATIENCE_SECONDS, Client, Served, caller, echo, get, serving, wanted

from taskloom.clock import mono
from taskloom.control import connection, endpoint_keeper, server
from taskloom.control.endpoint import Endpoint
from taskloom.control.exchange import Answer, Caller, Deferred, Reply, Request, ServerSentEvent
from taskloom.control.peer import peer_of
from taskloom.sync.latch import Latch


class Counter:
    """A stream of numbers up to `last`, which the test lets grow; it ends once it is told to."""

    def __init__(self, last: int = 0) -> None:
        self.last, self.taken = last, 0
        self.is_over = False
        self.wake: Callable[[], object] = lambda: None
        self.is_followed, self.is_closed = Latch(), Latch()

    def take(self, most: int) -> Iterable[ServerSentEvent] | None:
        first, self.taken = self.taken, min(self.last, self.taken + most)
        if first == self.taken and self.is_over:
            return None
        return [ServerSentEvent("number", {"n": number}, f"s.{number}") for number in range(first, self.taken)]

    def wake_with(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.is_followed.open()

    def close(self) -> None:
        self.is_closed.open()


@pytest.fixture
def serve(own_runtime_folder: str) -> Iterator[Callable[..., Served]]:
    """Serve with an answer until the end of the test."""
    managers: list[Any] = []

    def begin(answer: Callable[[Request], Answer] = echo, **options: Any) -> Served:
        managers.append(serving(answer, own_runtime_folder, **options))
        served: Served = managers[-1].__enter__()
        return served

    yield begin

    for manager in reversed(managers):
        manager.__exit__(None, None, None)


Serve = Callable[..., Served]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for an effect that no event announces."""
    poller = select.poll()
    for _ in range(int(PATIENCE_SECONDS * 200)):
        if condition():
            return
        poller.poll(5)
    raise AssertionError("it never came true")


def test_a_request_is_answered(serve: Serve) -> None:
    served = serve()

    status, body = served.request(get("/v1/jobs"))

    assert (status, body) == (200, {"method": "GET", "path": "/v1/jobs", "body": ""})


def test_the_caller_is_named_by_the_kernel(serve: Serve) -> None:
    served = serve(lambda request: Reply(200, {"uid": request.caller.uid, "pid": request.caller.pid}))

    assert served.request(get()) == (200, {"uid": os.geteuid(), "pid": os.getpid()})


def test_a_connection_takes_many_requests(serve: Serve) -> None:
    with serve().client() as client:
        assert [client.request(get(f"/{number}"))[1]["path"] for number in range(3)] == ["/0", "/1", "/2"]


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    with serve().client() as client:
        data = client.send(b"".join(get(f"/{number}") for number in range(100))).half_close().read_all()

    assert [data.find(f'"path": "/{number}"'.encode()) > 0 for number in range(100)] == [True] * 100
    assert data.count(b"HTTP/1.1 200") == 100


def test_a_reply_of_many_megabytes_arrives_whole(serve: Serve) -> None:
    served = serve(lambda _: Reply(200, {"text": "x" * (5 << 20)}))

    assert len(served.request(get())[1]["text"]) == 5 << 20


@pytest.mark.parametrize("uid", [os.geteuid() + 1, 65_534, 4_294_967_295])
def test_another_user_is_closed_before_a_byte_is_read(serve: Serve, uid: int) -> None:
    requests: list[Request] = []

    def answer(request: Request) -> Answer:
        requests.append(request)
        return echo(request)

    served = serve(answer, peers=caller(uid))

    for _ in range(2):
        with served.client() as client:
            assert client.read_all() == b""

    assert requests == []
    assert served.log == [("WARNING", f"refused a control connection of uid {uid}, pid 4242: another user")]


def test_root_is_always_served(serve: Serve) -> None:
    assert serve(peers=caller(0)).request(get())[0] == 200


def test_a_peer_that_cannot_be_named_is_refused(serve: Serve) -> None:
    def fail(_: object) -> Caller:
        raise OSError("gone")

    with serve(peers=fail).client() as client:
        assert client.read_all() == b""


def test_a_body_that_is_too_large_is_refused_while_the_client_still_sends_it(serve: Serve) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2097152\r\n\r\n"

    assert serve().request(head + b"x" * (2 << 20))[0] == 413


def test_a_client_that_goes_away_at_any_moment_does_no_harm(serve: Serve) -> None:
    served = serve()
    request = get("/v1/jobs")

    for length in range(0, len(request) + 1, 3):
        with served.client() as client:
            client.send(request[:length])

    assert served.request(request)[0] == 200
    assert served.log == []


def test_a_slow_client_is_dropped_and_others_are_served_meanwhile(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.1)
    served = serve()
    with served.client() as slow, served.client() as silent:
        slow.send(b"GET /")
        assert served.request(get())[0] == 200

        assert slow.read_all().startswith(b"HTTP/1.1 408")
        assert silent.read_all() == b""


def test_a_client_that_reads_nothing_is_dropped(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALL_SECONDS", 0.3)
    stream = Counter(10_000_000)
    served = serve(lambda request: stream if request.path == "/stream" else echo(request))
    with served.client() as client:
        client.send(get("/stream"))

        assert stream.is_closed.wait(PATIENCE_SECONDS)
        assert stream.taken < stream.last
        assert served.request(get())[0] == 200


# -- later answers and streams


def test_a_deferred_reply_comes_when_it_is_complete_and_others_are_served_meanwhile(serve: Serve) -> None:
    deferred = Deferred()
    is_asked = Latch()

    def answer(request: Request) -> Answer:
        if request.path != "/later":
            return echo(request)
        is_asked.open()
        return deferred

    served = serve(answer)
    with served.client() as client:
        client.send(get("/later")).half_close()
        assert is_asked.wait(PATIENCE_SECONDS)
        assert served.request(get())[0] == 200

        deferred.complete(Reply(200, {"done": True}))

        assert client.read_all().endswith(b'{"done": true}\n')


def test_a_deferred_reply_may_be_complete_already(serve: Serve) -> None:
    deferred = Deferred()
    deferred.complete(Reply(409, {}))

    assert serve(lambda _: deferred).request(get())[0] == 409


def test_a_deferred_reply_with_a_deadline_comes_then_at_the_latest(serve: Serve) -> None:
    """The deadline is set while the server waits, by another thread."""
    deferred, is_asked = Deferred(), Latch()

    def answer(request: Request) -> Answer:
        if request.path != "/later":
            return echo(request)
        is_asked.open()
        return deferred

    served = serve(answer)
    with served.client() as client:
        client.send(get("/later")).half_close()
        assert is_asked.wait(PATIENCE_SECONDS)
        assert served.request(get())[0] == 200
        deferred.complete_by(mono() + 0.02, Reply(200, {"is": "late"}))

        assert client.read_all().endswith(b'{"is": "late"}\n')
    deferred.complete(Reply(200, {"is": "too late"}))


def test_a_deferred_reply_with_a_deadline_may_have_it_already(serve: Serve) -> None:
    deferred = Deferred()
    deferred.complete_by(mono() + 0.02, Reply(202, {}))

    assert serve(lambda _: deferred).request(get())[0] == 202


def test_a_stream_follows_and_ends(serve: Serve) -> None:
    stream = Counter(1000)
    with serve(lambda request: stream if request.path == "/stream" else echo(request)).client() as client:
        client.send(get("/stream"))
        first = client.read_until(b'data: {"n": 999}\n\n')
        stream.last = 1001
        stream.wake()
        client.read_until(b'id: s.1000\ndata: {"n": 1000}\n\n')
        stream.is_over = True
        stream.wake()
        rest = client.read_until(b"0\r\n\r\n")

        assert first.count(b"event: number\n") == 1000
        assert b"event: number\n" not in rest
        assert stream.is_closed.is_open
        assert client.request(get())[0] == 200


def test_a_stream_whose_client_has_gone_is_closed(serve: Serve) -> None:
    stream = Counter(1)
    with serve(lambda _: stream).client() as client:
        client.send(get()).read_until(b"data")

    assert stream.is_closed.wait(PATIENCE_SECONDS)


def test_a_busy_stream_leaves_others_their_turn(serve: Serve) -> None:
    stream = Counter(50_000_000)
    served = serve(lambda request: stream if request.path == "/stream" else echo(request))
    with served.client() as busy:
        busy.send(get("/stream"))
        reader = threading.Thread(target=busy.read_all)
        reader.start()
        stream.is_followed.wait(PATIENCE_SECONDS)

        assert served.request(get())[0] == 200

        stream.last, stream.is_over = 0, True
        busy.socket.shutdown(socket.SHUT_RDWR)
        reader.join()


# -- too many of something


def test_the_65th_client_is_refused_in_words(serve: Serve) -> None:
    served = serve(lambda _: Counter())
    clients = [served.client().send(get()) for _ in range(server.CLIENTS)]
    for client in clients:
        client.read_until(b"\r\n\r\n")

    with served.client() as last:
        data = last.read_all()

    assert data.startswith(b"HTTP/1.1 503")
    assert json.loads(data.partition(b"\r\n\r\n")[2])["error"]["code"] == "too-many-connections"
    for client in clients:
        client.socket.close()


def test_an_idle_client_makes_room(serve: Serve) -> None:
    served = serve()
    clients = [served.client() for _ in range(server.CLIENTS)]
    for client in clients:
        assert client.request(get())[0] == 200

    with served.client() as last:
        assert last.request(get())[0] == 200

    assert clients[0].read_all() == b""
    assert clients[1].request(get())[0] == 200
    for client in clients:
        client.socket.close()


class _Refusing:
    """The listener, whose accept finds no free descriptor for the first few times."""

    def __init__(self, listener: Any, times: int, number: int) -> None:
        self._listener, self.times, self._number = listener, times, number
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def _accept(self) -> Any:
        self.calls += 1
        if self.times:
            self.times -= 1
            raise OSError(self._number, os.strerror(self._number))
        return self._listener._accept()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_without_a_descriptor_the_reserve_serves_a_client(serve: Serve, number: int) -> None:
    served = serve()
    assert served.endpoint._socket is not None
    served.endpoint._socket.listener = _Refusing(served.endpoint.listener, 1, number)  # type: ignore[assignment]

    with served.client() as client:
        data = client.send(get() + get()).read_all()

    assert data.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in data
    wait_until(lambda: len(served.server._reserve) == 3)


@pytest.mark.parametrize(
    "number",
    [
        errno.EMFILE,
        pytest.param(errno.EPERM, marks=pytest.mark.long),
        pytest.param(errno.EINVAL, marks=pytest.mark.long),
    ],
)
def test_an_accept_that_always_fails_does_not_spin(serve: Serve, number: int) -> None:
    served = serve()
    assert served.endpoint._socket is not None
    refusing = _Refusing(served.endpoint.listener, 10_000, number)
    served.endpoint._socket.listener = refusing  # type: ignore[assignment]
    with served.client() as client:
        client.send(get())
        wait_until(lambda: refusing.calls > 8)
        wakeups = served.server.wakeups

        assert wakeups < 20
        refusing.times = 0
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")


# -- failures


def test_a_bug_in_an_answer_is_a_500_and_is_logged_once(serve: Serve) -> None:
    def fail(request: Request) -> Answer:
        if request.path == "/":
            return echo(request)
        raise (MemoryError if request.path == "/memory" else KeyError)(request.path)

    served = serve(fail)
    with served.client() as client:
        answers = [client.request(get(path))[0] for path in ("/bug", "/bug", "/memory", "/")]

    assert answers == [500, 500, 500, 200]
    assert [line.split(",")[0].split(":")[0] for _, line in served.log] == [
        "GET /bug failed",
        "GET /memory failed",
    ]
    assert "KeyError: '/bug'" in served.log[0][1]


def test_a_reply_that_cannot_be_written_is_a_500(serve: Serve) -> None:
    assert serve(lambda _: Reply(200, {"a": object()})).request(get())[0] == 500


def test_a_stream_that_raises_is_closed(serve: Serve) -> None:
    class Broken(Counter):
        def take(self, most: int) -> Iterable[ServerSentEvent] | None:
            raise RuntimeError("broken")

    stream = Broken()
    served = serve(lambda request: stream if request.path == "/stream" else echo(request))
    with served.client() as client:
        client.send(get("/stream")).read_all()

    assert stream.is_closed.is_open
    assert served.request(get())[0] == 200


def test_an_exception_in_the_server_itself_costs_one_client(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve()
    with served.client() as first:
        assert first.request(get())[0] == 200
        [session] = served.server._sessions.values()
        monkeypatch.setattr(session, "handle", lambda *_: 1 // 0)
        first.send(get())

        assert first.read_all() == b""

    assert served.request(get())[0] == 200
    assert "ZeroDivisionError" in served.log[0][1]


def test_a_default_timeout_of_sockets_does_not_let_it_wait(serve: Serve) -> None:
    socket.setdefaulttimeout(1000.0)
    try:
        served = serve()
        with Client(served.path) as slow:
            slow.send(b"GET")
            assert served.request(get())[0] == 200
    finally:
        socket.setdefaulttimeout(None)


def test_a_patched_socket_module_does_no_harm(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve()
    with served.client() as client:
        monkeypatch.setattr(socket, "socket", None)

        assert client.request(get())[0] == 200


# -- the socket file


def test_a_removed_socket_file_is_made_anew_without_a_request(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_keeper, "CHECK_SECONDS", 0.05)
    served = serve()
    os.unlink(served.path)  # noqa: PTH108

    wait_until(lambda: bool(served.log))

    assert served.request(get())[0] == 200
    assert served.log == [("WARNING", f"the control socket was removed, and made again: {served.path}")]


@pytest.mark.parametrize("kind", [".lock"])
def test_what_a_task_closes_is_made_anew(serve: Serve, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """As `os.closerange` does. The number may belong to a file of the task afterwards, which is left alone."""
    monkeypatch.setattr("taskloom.control.endpoint_keeper.CHECK_SECONDS", 0.0)
    served = serve()
    endpoint = served.endpoint
    assert endpoint.watch is not None
    numbers = {
        "socket:": [endpoint.listener.fileno()],
        ".lock": [claim._own.number for _, claim in endpoint._claims if claim._own],
        "inotify": [endpoint.watch.fileno()],
    }
    for number in numbers[kind]:
        os.close(number)

    for _ in range(500):
        if answers(served.path) and all(claim.is_in(folder.descriptor) for folder, claim in endpoint._claims):
            break
        select.poll().poll(10)  # the client that ends the wait is lost

    assert answers(served.path)
    assert all(claim.is_in(folder.descriptor) for folder, claim in endpoint._claims)


def answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        try:
            client.connect(path)
            client.sendall(get())
            return client.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def test_without_a_watch_it_looks_now_and_then(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EMFILE, "no inotify instance left")

    monkeypatch.setattr("taskloom.control.endpoint.FolderWatch", refuse)
    monkeypatch.setattr(endpoint_keeper, "RETRY_SECONDS", 0.05)
    served = serve()
    os.unlink(served.path)  # noqa: PTH108

    wait_until(lambda: bool(served.log))

    assert served.request(get())[0] == 200


def test_it_sleeps_for_ever_without_a_client(serve: Serve) -> None:
    served = serve()
    assert served.request(get())[0] == 200
    wait_until(lambda: not served.server._sessions)

    assert served.server._timeout() is None


# -- the end


def test_a_reply_that_is_complete_is_sent_before_the_end(own_runtime_folder: str) -> None:
    deferred, is_asked = Deferred(), Latch()

    def answer(_: Request) -> Answer:
        is_asked.open()
        return deferred

    with serving(answer, own_runtime_folder) as served:
        client = served.client().send(get())
        assert is_asked.wait(PATIENCE_SECONDS)
        deferred.complete(Reply(200, {"exit_code": 0}))
    assert client.read_all().endswith(b'{"exit_code": 0}\n')
    client.socket.close()
    assert not Path(served.path).exists()


def test_a_reply_that_is_promised_is_sent_at_the_end(own_runtime_folder: str) -> None:
    """A client that has requested the stop gets its reply, also if its action cannot be recorded any more."""
    deferred, is_asked = Deferred(), Latch()
    deferred.complete_by(mono() + 1000.0, Reply(202, {"recorded": False}))

    def answer(_: Request) -> Answer:
        is_asked.open()
        return deferred

    served = Served(answer, own_runtime_folder, peer_of, None, lambda _: False)
    client = served.client().send(get())
    assert is_asked.wait(PATIENCE_SECONDS)
    served.server.close(0.05)

    assert client.read_all().endswith(b'{"recorded": false}\n')
    client.socket.close()
    assert served.server.close(PATIENCE_SECONDS)


def test_clients_that_wait_for_nothing_do_not_hold_the_end(own_runtime_folder: str) -> None:
    stream = Counter()
    with serving(lambda request: stream if request.path == "/s" else Deferred(), own_runtime_folder) as served:
        clients = [served.client().send(get(path)) for path in ("/s", "/later")]
        assert stream.is_followed.wait(PATIENCE_SECONDS)
        clients.append(served.client())
    for client in clients:
        client.read_all()
        client.socket.close()
    assert stream.is_closed.is_open


def test_an_answer_that_takes_for_ever_does_not_hold_the_end(own_runtime_folder: str) -> None:
    is_asked, goes_on = Latch(), Latch()

    def answer(_: Request) -> Answer:
        is_asked.open()
        goes_on.wait()
        return Reply(200, {})

    with serving(answer, own_runtime_folder) as served:
        client = served.client().send(get())
        assert is_asked.wait(PATIENCE_SECONDS)

        assert not served.server.close(0.05)

        assert not Path(served.path).exists()
        goes_on.open()
    client.read_all()
    client.socket.close()


def test_a_server_that_was_never_started_is_closed_at_once(own_runtime_folder: str) -> None:
    endpoint = Endpoint(wanted(), {"XDG_RUNTIME_DIR": own_runtime_folder})
    one = server.Server(echo, endpoint, log=lambda *_: None)

    assert one.close(PATIENCE_SECONDS)

    assert not Path(endpoint.path).exists()


def test_a_stream_that_holds_the_reserve_gives_way(serve: Serve) -> None:
    """Without a descriptor, one who follows the events must not keep the next one out."""
    stream = Counter()
    served = serve(lambda request: stream if request.path == "/stream" else echo(request))
    assert served.endpoint._socket is not None
    refusing = _Refusing(served.endpoint.listener, 0, errno.EMFILE)
    served.endpoint._socket.listener = refusing  # type: ignore[assignment]
    streams = []
    for _ in range(3):
        refusing.times = 1
        streams.append(served.client())
        streams[-1].send(get("/stream")).read_until(b"\r\n\r\n")
    wait_until(lambda: len(served.server._reserve) == 0)

    refusing.times = 1
    with served.client() as client:
        assert client.request(get())[0] == 200

    assert streams[0].read_all() == b""
    for each in streams:
        each.socket.close()
