"""One connection without a socket: what comes in, what goes out, and when it has to end. Time is a number."""

from __future__ import annotations

import json
from math import inf

import pytest
from tests.support.every_case import every_case

from taskloom.control.connection import (
    BODY_BYTES,
    HEAD_BYTES,
    IDLE_SECONDS,
    LINGER_SECONDS,
    REQUEST_SECONDS,
    STALL_SECONDS,
    STREAM_BYTES,
    Connection,
    Phase,
)
from taskloom.control.exchange import Caller, Reply, Request, ServerSentEvent

ME = Caller(1000, 4242)
GET = b"GET /v1 HTTP/1.1\r\nhost: x\r\n\r\n"


def connection(now: float = 0.0, **options: bool) -> Connection:
    return Connection(ME, now, **options)


def sent(one: Connection, now: float = 0.0) -> bytes:
    """Take all output."""
    data = b""
    while one.output_bytes:
        piece = bytes(one.pending())
        one.sent(len(piece), now)
        data += piece
    return data


def request_of(one: Connection, data: bytes, now: float = 0.0) -> Request | None:
    one.receive(data)
    return one.next_request(now)


def status_and_code(data: bytes) -> tuple[int, str]:
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def test_a_request_is_returned_once_it_is_complete() -> None:
    one = connection()
    post = b"POST /v1/jobs/a/stop?x=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 4\r\n\r\nbody"

    pieces = [request_of(one, post[i : i + 1]) for i in range(len(post))]

    assert pieces[:-1] == [None] * (len(post) - 1)
    headers = {"host": "h", "x-a": "2", "content-length": "4"}
    assert pieces[-1] == Request("POST", "/v1/jobs/a/stop", {"x": ("1",)}, headers, b"body", ME)


def test_a_chunked_body_is_put_together() -> None:
    one = connection()
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"

    request = request_of(one, head + b"2\r\nab\r\n3;ext=1\r\ncde\r\n0\r\ntrailer: 1\r\n\r\n")

    assert request is not None
    assert request.body == b"abcde"


def test_the_next_request_waits_until_the_reply_is_sent() -> None:
    one = connection()
    assert request_of(one, GET + GET.replace(b"v1", b"v2")) is not None

    assert one.next_request(0.0) is None
    one.reply(Reply(200, {}), 0.0)
    assert one.next_request(0.0) is None
    assert sent(one).endswith(b"\r\n\r\n{}\n")

    second = one.next_request(0.0)
    assert second is not None
    assert second.path == "/v2"


def test_a_client_that_pipelines_is_not_read_without_bound() -> None:
    one = connection()
    assert request_of(one, GET) is not None

    while one.wants_input:
        one.receive(GET * 100)

    assert one.phase is Phase.ANSWERING


def test_a_reply_to_head_has_no_body() -> None:
    one = connection()
    request = request_of(one, GET.replace(b"GET", b"HEAD"))
    assert request is not None
    assert request.method == "HEAD"

    one.reply(Reply(200, {"a": 1}), 0.0)

    assert sent(one).endswith(b"content-length: 9\r\n\r\n")
    assert one.phase is Phase.IDLE


def test_a_stream_for_head_ends_after_its_head() -> None:
    one = connection()
    request_of(one, GET.replace(b"GET", b"HEAD"))

    one.begin_stream(0.0)

    assert b"text/event-stream" in sent(one)
    assert one.phase is Phase.IDLE


def test_http_1_0_is_closed_after_the_reply() -> None:
    one = connection()
    assert request_of(one, b"GET /v1 HTTP/1.0\r\n\r\n") is not None

    one.reply(Reply(200, {}), 0.0)

    assert b"Connection: close" in sent(one)
    assert one.phase is Phase.CLOSED


def test_a_stream_to_http_1_0_is_not_chunked() -> None:
    one = connection()
    request_of(one, b"GET /v1 HTTP/1.0\r\n\r\n")

    one.begin_stream(0.0)
    one.send_events([ServerSentEvent("started", {"job": "a"}, "s.1"), ServerSentEvent("gap", {})], 0.0)
    one.end_stream(0.0)

    text = sent(one).partition(b"\r\n\r\n")[2]
    assert text == b'event: started\nid: s.1\ndata: {"job": "a"}\n\nevent: gap\ndata: {}\n\n'
    assert one.phase is Phase.CLOSED


def test_the_body_is_asked_for_where_the_client_waits_for_that() -> None:
    one = connection()
    one.receive(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
    assert one.next_request(0.0) is None
    assert sent(one) == b"HTTP/1.1 100 \r\n\r\n"

    request = request_of(one, b"{}")

    assert request is not None
    assert request.body == b"{}"
    one.reply(Reply(200, {}), 0.0)
    assert sent(one).startswith(b"HTTP/1.1 200")


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_read() -> None:
    one = connection()
    head = f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {BODY_BYTES + 1}\r\nexpect: 100-continue\r\n\r\n".encode()

    assert request_of(one, head) is None

    assert status_and_code(sent(one)) == (413, "too-large")


def test_an_upgrade_is_not_done_but_the_request_is_answered() -> None:
    one = connection()
    request = request_of(one, b"GET /v1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    assert request is not None

    one.reply(Reply(200, {}), 0.0)

    sent(one)
    assert one.phase is Phase.IDLE
    assert request_of(one, GET) is not None


BIG = b"x" * 70_000
TOO_LARGE_HEAD = b"GET / HTTP/1.1\r\nhost: x\r\nbig: " + BIG + b"\r\n\r\n"


@every_case(
    ("data", "refused"),
    [
        pytest.param(TOO_LARGE_HEAD, (431, "too-large-head"), id="head"),
        pytest.param(b"GET /" + BIG + b" HTTP/1.1\r\n", (431, "too-large-head"), id="target"),
        pytest.param(b"\0" * 200, (400, "bad-request"), id="garbage"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400, "bad-request"), id="tls"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", (400, "bad-request"), id="no-host"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", (400, "bad-request"), id="two-hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\na\0b: 1\r\n\r\n", (400, "bad-request"), id="nul"),
        pytest.param(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", (400, "bad-request"), id="negative"),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            (400, "bad-request"),
            id="length-and-chunks",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            (501, "not-implemented"),
            id="coding",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            (400, "bad-request"),
            id="two-lengths",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n", (413, "too-large"), id="huge"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", (501, "not-implemented"), id="gzip"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", (400, "bad-request"), id="chunk"
        ),
        pytest.param(b"GET /%zz HTTP/1.1\r\nhost: x\r\n\r\n", (400, "bad-target"), id="escape"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", (400, "bad-target"), id="asterisk"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n\r\n", (400, "bad-target"), id="connect"),
    ],
)
def test_what_is_not_a_request_is_refused(data: bytes, refused: tuple[int, str]) -> None:
    one = connection()

    assert request_of(one, data) is None

    assert status_and_code(sent(one)) == refused


@pytest.mark.parametrize("line", [b"a\0b: 1", b"transfer-encoding : chunked", b": 1"], ids=["nul", "blank", "nameless"])
def test_a_refused_line_is_not_sent_back_as_python_writes_it(line: bytes) -> None:
    one = connection()
    request_of(one, b"GET / HTTP/1.1\r\nhost: x\r\n" + line + b"\r\n\r\n")

    assert b'"cannot read the request: illegal header line"' in sent(one)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /a HTTP/1.1\nhost: x\ncontent-length: 2\n\n",
        b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length:\r\n 2\r\n\r\n",
    ],
    ids=["bare-lf", "folded"],
)
def test_old_forms_of_a_head_are_one_request_and_never_two(head: bytes) -> None:
    one = connection()
    request = request_of(one, head + b"{}" + GET)

    assert request is not None
    assert (request.path, request.body) == ("/a", b"{}")
    one.reply(Reply(200, {}), 0.0)
    sent(one)
    following = one.next_request(0.0)
    assert following is not None
    assert following.path == "/v1"


def test_a_head_may_have_exactly_16_kib() -> None:
    start, end = b"GET / HTTP/1.1\r\nhost: x\r\nbig: ", b"\r\n\r\n"
    fitting = start + b"x" * (HEAD_BYTES - len(start) - len(end)) + end
    assert len(fitting) == HEAD_BYTES

    assert request_of(connection(), fitting) is not None
    assert request_of(connection(), fitting.replace(b"big: x", b"big: xx")) is None


def test_a_body_of_very_many_chunks_leaves_others_their_turn() -> None:
    one = connection()
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    request = request_of(one, head + b"1\r\na\r\n" * 1200 + b"0\r\n\r\n")
    turns = 1

    while request is None and one.has_more:
        request, turns = one.next_request(0.0), turns + 1

    assert request is not None
    assert request.body == b"a" * 1200
    assert (turns, one.has_more) == (3, False)


def test_a_body_may_have_exactly_1_mib_in_chunks() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    one = connection()
    request = request_of(one, head + chunk * 16 + b"0\r\n\r\n")
    assert request is not None
    assert len(request.body) == BODY_BYTES

    other = connection()
    assert request_of(other, head + chunk * 16 + b"1\r\nx\r\n") is None
    assert status_and_code(sent(other)) == (413, "too-large")


# -- deadlines


def test_a_request_that_arrives_byte_by_byte_has_one_deadline() -> None:
    one = connection()
    for second in range(10):
        assert request_of(one, GET[second : second + 1], second) is None
        assert one.deadline == REQUEST_SECONDS

    one.expire(REQUEST_SECONDS)

    assert status_and_code(sent(one, REQUEST_SECONDS)) == (408, "too-slow")


def test_the_body_has_no_further_time_after_the_head() -> None:
    one = connection()
    request_of(one, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n", 9.0)

    assert one.deadline == REQUEST_SECONDS


def test_a_client_that_sends_nothing_is_dropped_without_a_word() -> None:
    one = connection()
    one.expire(REQUEST_SECONDS - 0.1)
    assert one.phase is Phase.READING

    one.expire(REQUEST_SECONDS)

    assert (one.phase, one.output_bytes) == (Phase.CLOSED, 0)


def test_an_idle_connection_ends_after_a_minute_and_a_further_request_has_its_own_deadline() -> None:
    one = connection()
    request_of(one, GET, 1.0)
    one.reply(Reply(200, {}), 2.0)
    sent(one, 3.0)
    assert one.can_give_way
    assert one.idle_since == 3.0
    assert one.deadline == 3.0 + IDLE_SECONDS

    request_of(one, GET[:5], 20.0)

    assert not one.can_give_way
    assert one.deadline == 20.0 + REQUEST_SECONDS


def test_an_answer_may_take_for_ever_and_so_may_a_stream() -> None:
    one = connection()
    request_of(one, GET)
    assert one.deadline == inf

    one.begin_stream(100.0)
    sent(one, 100.0)

    assert one.deadline == inf


def test_a_client_that_does_not_read_is_dropped() -> None:
    one = connection()
    request_of(one, GET)
    one.begin_stream(50.0)
    assert one.deadline == 50.0 + STALL_SECONDS
    one.sent(1, 55.0)
    assert one.deadline == 55.0 + STALL_SECONDS

    one.expire(65.0)

    assert one.phase is Phase.CLOSED


def test_a_stream_wants_no_events_while_many_bytes_wait() -> None:
    one = connection()
    request_of(one, GET)
    one.begin_stream(0.0)
    assert one.wants_events

    one.send_events([ServerSentEvent("line", {"text": "x" * STREAM_BYTES})], 0.0)

    assert not one.wants_events
    sent(one)
    assert one.wants_events


def test_the_rest_of_a_refused_request_is_thrown_away_for_a_moment() -> None:
    one = connection()
    request_of(one, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n")
    sent(one)
    assert one.wants_input

    one.receive(b"x" * 60_000)
    assert (one.phase, one.deadline) == (Phase.LINGERING, LINGER_SECONDS)
    one.receive(b"")

    assert (one.phase, one.deadline) == (Phase.CLOSED, inf)


# -- the end of the client


def test_a_half_closed_client_gets_its_reply() -> None:
    one = connection()
    assert request_of(one, GET) is not None
    one.receive(b"")
    assert not one.wants_input

    one.reply(Reply(200, {}), 0.0)

    assert sent(one).startswith(b"HTTP/1.1 200")
    assert one.next_request(0.0) is None
    assert one.phase is Phase.CLOSED


@pytest.mark.parametrize("length", [1, 20, len(GET) - 1])
def test_half_a_request_is_refused_at_the_end(length: int) -> None:
    one = connection()
    request_of(one, GET[:length])

    assert request_of(one, b"") is None

    assert status_and_code(sent(one))[0] == 400
    assert one.phase is Phase.CLOSED


def test_a_client_that_only_connects_is_closed() -> None:
    one = connection()

    assert request_of(one, b"") is None

    assert (one.phase, one.output_bytes) == (Phase.CLOSED, 0)


def test_the_last_reply_of_a_connection_says_so() -> None:
    one = connection(is_last=True)
    request_of(one, GET + GET)

    one.reply(Reply(200, {}), 0.0)

    assert b"connection: close" in sent(one)
    assert one.phase is Phase.CLOSED


def test_a_reply_that_json_does_not_have_changes_nothing() -> None:
    one = connection()
    request_of(one, GET)

    with pytest.raises(TypeError):
        one.reply(Reply(200, {"a": object()}), 0.0)

    one.reply(Reply(500, {}), 0.0)
    assert sent(one).startswith(b"HTTP/1.1 500")
