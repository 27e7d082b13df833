"""Following a stream: it goes on where it was, over lost connections and restarts of the program."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import h11
import pytest
from tests.support.fake_control import STREAM, FakeControl, event_text, fake_program, reply, short_folder, until_gone

from taskloom.control.client import Connection, Refused
from taskloom.control.client_errors import BadReply, ConnectionLost, ControlError, NoAnswer, NoProgram
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.follower import Follower

PATIENCE_SECONDS = 30.0


def scripted(*answers: bytes, stays: bool = False) -> Callable[[socket.socket, h11.Request], None]:
    """Answer each request with the next of these; the last one `stays` open."""
    left = list(answers)

    def answer(connection: socket.socket, _: h11.Request) -> None:
        connection.sendall(left.pop(0) if left else b"")
        if stays and not left:
            until_gone(connection)

    return answer


def stream_of(*numbers: int, end: bool = False, start: str = "aa") -> bytes:
    events = [event_text("tick", {"n": number}, f"{start}.{number}") for number in numbers]
    return STREAM + b"".join(events) + (event_text("end", {}) if end else b"")


def follow(fake: FakeControl, **options: Any) -> Follower:
    stream = Connection(fake.program).follow("/v1/events", since="aa.0", job=["web"], count=None)
    vars(stream).update(options)
    return stream


def until_end(stream: Follower) -> list[ServerSentEvent]:
    """Return the events up to `end`."""
    found = []
    with stream:
        for event in stream:
            found.append(event)
            if event.event == "end":
                break
    return found


def pausing(stream: Follower) -> list[float]:
    """Let the stream pause without waiting; return the list of its pauses."""
    pauses: list[float] = []
    stream._pause = pauses.append
    return pauses


def test_a_stream_is_asked_for_from_the_given_place() -> None:
    with fake_program(scripted(stream_of(1, 2, end=True))) as fake:
        found = until_end(follow(fake))

    assert [(each.event, each.id) for each in found] == [("tick", "aa.1"), ("tick", "aa.2"), ("end", "")]
    [(method, target, headers, _)] = fake.requests
    assert (method, target) == ("GET", "/v1/events?job=web&follow=true&since=aa.0")
    assert headers["accept"] == "text/event-stream"
    assert "last-event-id" not in headers


def test_after_a_lost_connection_it_goes_on_after_the_last_event() -> None:
    told: list[str] = []
    with fake_program(scripted(stream_of(1, 2), b"", stream_of(3, end=True))) as fake:
        stream = follow(fake)
        pauses = pausing(stream)
        stream.on_lost = lambda error: told.append(f"lost: {type(error).__name__}")
        stream.on_found = lambda: told.append("found")

        found = until_end(stream)

    assert [each.id for each in found] == ["aa.1", "aa.2", "aa.3", ""]
    assert [headers.get("last-event-id") for _, _, headers, _ in fake.requests] == [None, "aa.2", "aa.2"]
    assert fake.requests[1][1] == "/v1/events?job=web&follow=true"
    assert told == ["lost: ConnectionLost", "found"]
    assert len(pauses) == 2
    assert pauses[0] <= 0.1
    assert pauses[1] <= 0.2


def test_before_the_first_event_it_goes_on_at_the_given_place() -> None:
    with fake_program(scripted(STREAM, stream_of(1, end=True))) as fake:
        stream = follow(fake)
        pausing(stream)

        until_end(stream)

    assert [target for _, target, _, _ in fake.requests] == ["/v1/events?job=web&follow=true&since=aa.0"] * 2


def test_an_event_that_was_cut_off_is_taken_from_the_next_connection() -> None:
    with fake_program(scripted(stream_of(1, 2)[:-5], stream_of(2, end=True))) as fake:
        stream = follow(fake)
        pausing(stream)

        assert [each.id for each in until_end(stream)] == ["aa.1", "aa.2", ""]


def test_it_finds_the_program_after_a_restart() -> None:
    with short_folder() as folder:
        first = FakeControl(folder / "jobs.sock", scripted(stream_of(1), stays=True))
        second: list[FakeControl] = []
        stream = follow(first)

        def restart(_: float) -> None:
            if not second:
                gap = event_text("gap", {"from": "aa.1", "to": "bb.1", "why": "restart"})
                answer = STREAM + gap + stream_of(1, end=True, start="bb").removeprefix(STREAM)
                second.append(FakeControl(folder / "jobs.sock", scripted(answer)))

        stream._pause = restart
        first_event = stream.take(PATIENCE_SECONDS)
        first.close()
        found = until_end(stream)
        second[0].close()

    assert first_event is not None
    assert [each.event for each in found] == ["gap", "tick", "end"]
    assert second[0].requests[0][2]["last-event-id"] == "aa.1"


def test_after_its_patience_it_gives_up() -> None:
    with fake_program(scripted(stream_of(1))) as fake:
        stream = follow(fake, _patience=0.0)
        pausing(stream)
        assert stream.take(PATIENCE_SECONDS) is not None

        with pytest.raises(ConnectionLost):
            stream.take(PATIENCE_SECONDS)
        assert stream.is_lost


def test_its_pauses_grow_up_to_a_bound() -> None:
    with fake_program(scripted(stream_of(1), *[b""] * 9, stream_of(2, end=True))) as fake:
        stream = follow(fake)
        pauses = pausing(stream)

        until_end(stream)

    assert len(pauses) == 10
    bounds = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert all(pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert max(pauses) > 1.0


def test_a_program_that_accepts_and_drops_each_stream_is_not_asked_all_the_time() -> None:
    with fake_program(scripted(stream_of(1), *[STREAM] * 6, stream_of(2, end=True))) as fake:
        stream = follow(fake)
        pauses = pausing(stream)

        until_end(stream)

    assert max(pauses) > 1.0


def test_the_first_attempt_fails_at_once() -> None:
    with fake_program(b"") as fake:
        program = fake.program._replace(is_locked=False)
        with pytest.raises(ConnectionLost):
            Connection(program).follow("/v1/events").take()
    with pytest.raises(NoProgram):
        Connection(program).follow("/v1/events").open()


def test_a_refusal_is_raised_and_one_for_too_many_connections_is_waited_out() -> None:
    busy = reply({"error": {"code": "busy", "message": "too many"}}, 503)
    gone = reply({"error": {"code": "unknown-job", "message": "cannot find job 'web'"}}, 404)
    with fake_program(scripted(stream_of(1), busy, gone)) as fake:
        stream = follow(fake)
        pauses = pausing(stream)
        assert stream.take(PATIENCE_SECONDS) is not None

        with pytest.raises(Refused, match="cannot find job 'web'"):
            stream.take(PATIENCE_SECONDS)

    assert len(pauses) == 2


def test_take_returns_none_at_its_timeout() -> None:
    with fake_program(scripted(STREAM, stays=True)) as fake, follow(fake) as stream:
        assert stream.take(0.02) is None
        assert stream.take(0) is None


def test_take_returns_none_at_its_timeout_while_the_program_is_away() -> None:
    with fake_program(scripted(stream_of(1))) as fake, follow(fake) as stream:
        pauses = pausing(stream)
        assert stream.take(PATIENCE_SECONDS) is not None

        assert stream.take(0.0) is None
        assert stream.is_lost
        assert stream.take(0.0) is None

    assert pauses == [0.0]


def test_a_stream_that_does_not_begin_ends_by_the_deadline() -> None:
    with fake_program(scripted(b"HTTP/1.1 200 X\r\n", stays=True)) as fake, pytest.raises(NoAnswer):
        Connection(fake.program, 0.1).follow("/v1/events").take()


BAD = {
    "another type": (reply({}), "its type is 'application/json', expected 'text/event-stream'"),
    "a list": (STREAM + b"data: []\n\n", "it is not a JSON object"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_stream_that_cannot_be_read_is_an_error_in_words(name: str) -> None:
    raw, why = BAD[name]
    with fake_program(raw) as fake, pytest.raises(BadReply, match=f"cannot read the answer of pid .*: {why}"):
        Connection(fake.program).follow("/v1/events").take()


def test_all_errors_of_a_stream_are_errors_of_a_client() -> None:
    assert all(issubclass(each, ControlError) for each in (BadReply, ConnectionLost, NoAnswer, NoProgram, Refused))
