"""The streams of events and log lines: where they begin, what they tell about losses, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.asked_api import START, AskedApi, ListedLines, events_of

from taskloom.control.event_ring import EventRing
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.streams import EventStream, LogStream
from taskloom.core.events import Event, EventName, as_dict
from taskloom.scheduler import Scheduler


def put(ring: EventRing, *numbers: int, name: EventName = EventName.STARTED, job: str = "web") -> None:
    for seq in numbers:
        ring.put(Event(seq, 1000.0 + seq, float(seq), name, job))


def ids(events: list[ServerSentEvent]) -> list[str]:
    return [event.id.removeprefix(f"{START}.") or event.event for event in events]


@pytest.fixture
def ring() -> EventRing:
    return EventRing(most=10)


@pytest.fixture
def make_stream(ring: EventRing) -> Callable[..., EventStream]:
    def make(after: int | None = 0, wants: Callable[[Event], bool] = lambda _: True, position: int = 0) -> EventStream:
        return EventStream(ring, START, position, after=after, wants=wants, show=as_dict)

    return make


# -- the streams alone


def test_a_stream_gives_each_event_once(ring: EventRing, make_stream: Any) -> None:
    stream = make_stream()
    put(ring, 1, 2, 3)

    assert ids(events_of(stream, 2)) == ["1", "2"]
    assert ids(events_of(stream, 2)) == ["3"]
    assert events_of(stream) == []
    put(ring, 4)
    assert ids(events_of(stream)) == ["4"]


def test_an_event_has_its_name_its_id_and_its_data(ring: EventRing, make_stream: Any) -> None:
    put(ring, 1)

    [event] = events_of(make_stream())

    assert (event.event, event.id, event.data["job"]) == ("started", f"{START}.1", "web")


def test_a_stream_that_is_too_slow_is_told_what_it_has_lost(ring: EventRing, make_stream: Any) -> None:
    stream = make_stream()
    put(ring, 1, 2)
    events_of(stream)
    put(ring, *range(3, 21))

    gap, *rest = events_of(stream)

    assert (gap.event, gap.data) == ("gap", {"from": f"{START}.2", "to": f"{START}.11", "why": "lost"})
    assert ids(rest) == [str(seq) for seq in range(11, 21)]


def test_events_that_the_listener_has_dropped_are_a_gap(ring: EventRing, make_stream: Any) -> None:
    put(ring, 1, 2, 9)

    assert ids(events_of(make_stream())) == ["1", "2", "gap", "9"]


def test_a_gap_is_told_although_none_of_the_events_around_it_is_wanted(ring: EventRing, make_stream: Any) -> None:
    stream = make_stream(wants=lambda event: event.seq in (1, 7))
    put(ring, 1, 2, 5, 6, 7)

    assert ids(events_of(stream)) == ["1", "gap", "7"]


def test_events_before_the_place_of_a_stream_are_left_out(ring: EventRing, make_stream: Any) -> None:
    """A client acts and follows from the number in the reply, while the listener is still behind."""
    stream = make_stream(after=3)
    put(ring, 1, 2, 3, 4)

    assert ids(events_of(stream)) == ["4"]


def test_after_the_end_of_the_scheduler_comes_an_end(ring: EventRing, make_stream: Any) -> None:
    stream = make_stream()
    put(ring, 1)
    put(ring, 2, name=EventName.SCHEDULER_STOPPED)

    assert ids(events_of(stream)) == ["1", "2", "end"]
    assert stream.take(10) is None


def test_a_stream_that_begins_after_the_end_ends_at_once(ring: EventRing, make_stream: Any) -> None:
    put(ring, 1, name=EventName.SCHEDULER_STOPPED)

    assert ids(events_of(make_stream(after=1))) == ["end"]


def test_the_end_waits_for_the_events_before_it(ring: EventRing, make_stream: Any) -> None:
    stream = make_stream()
    put(ring, 1, 2)
    put(ring, 3, name=EventName.SCHEDULER_STOPPED)

    assert ids(events_of(stream, 1)) == ["1"]
    assert ids(events_of(stream, 1)) == ["2"]
    assert "end" in ids(events_of(stream, 1)) + ids(events_of(stream, 1))


def test_the_server_is_woken_once_for_many_events(ring: EventRing, make_stream: Any) -> None:
    stream, wakes = make_stream(), list[None]()
    put(ring, 1)
    stream.wake_with(lambda: wakes.append(None))
    assert len(wakes) == 1  # for what is there already

    events_of(stream)
    put(ring, 2, 3, 4)
    assert len(wakes) == 2
    events_of(stream)
    put(ring, 5)
    assert len(wakes) == 3


def test_the_server_is_woken_again_if_it_did_not_take_everything(ring: EventRing, make_stream: Any) -> None:
    stream, wakes = make_stream(), list[None]()
    stream.wake_with(lambda: wakes.append(None))
    events_of(stream)
    put(ring, 1, 2, 3)
    before = len(wakes)

    events_of(stream, 2)

    assert len(wakes) == before + 1


def test_an_event_that_comes_while_the_server_takes_wakes_it(ring: EventRing) -> None:
    """Schedule: 1. the server takes what is there; 2. meanwhile, another event comes; 3. the server has to know."""
    wakes: list[None] = []

    def show(event: Event) -> dict[str, Any]:
        if event.seq == 1:
            put(ring, 2)
        return as_dict(event)

    stream = EventStream(ring, START, 0, after=0, wants=lambda _: True, show=show)
    put(ring, 1)
    stream.wake_with(lambda: wakes.append(None))
    before = len(wakes)

    assert ids(events_of(stream)) == ["1"]

    assert len(wakes) > before
    assert ids(events_of(stream)) == ["2"]


def test_a_closed_stream_is_never_woken_and_has_nothing(ring: EventRing, make_stream: Any) -> None:
    stream, wakes = make_stream(), list[None]()
    stream.wake_with(lambda: wakes.append(None))
    events_of(stream)
    stream.close()
    stream.close()
    before = len(wakes)

    put(ring, 1)

    assert len(wakes) == before
    assert stream.take(10) is None


# -- log lines


@pytest.fixture
def lines() -> ListedLines:
    return ListedLines()


def follow(lines: ListedLines, ring: EventRing, number: int = 0, jobs: Any = None) -> LogStream:
    return LogStream(lines, START, number, jobs=jobs, wants=lambda line: line.text != "no", events=ring)


def test_lines_are_followed_by_job(lines: ListedLines, ring: EventRing) -> None:
    stream = follow(lines, ring, jobs=["web"])
    for text, job in [("a", "web"), ("b", "db"), ("no", "web"), ("c", "web")]:
        lines.add(text, job)

    events = events_of(stream)

    assert [(event.event, event.data["text"], event.id) for event in events] == [
        ("line", "a", f"{START}.1"),
        ("line", "c", f"{START}.4"),
    ]
    assert events_of(stream) == []


def test_lines_that_are_no_longer_kept_are_a_gap(lines: ListedLines, ring: EventRing) -> None:
    stream = follow(lines, ring, number=2)
    lines.number_lost = 5
    lines.add("six")

    gap, line = events_of(stream)

    assert gap.data == {"from": f"{START}.2", "to": f"{START}.5", "why": "lost"}
    assert line.data["seq"] == 6


def test_the_lines_end_with_the_scheduler(lines: ListedLines, ring: EventRing) -> None:
    stream, wakes = follow(lines, ring), list[None]()
    stream.wake_with(lambda: wakes.append(None))
    assert events_of(stream) == []
    before = len(wakes)
    lines.add("last")
    put(ring, 1, name=EventName.SCHEDULER_STOPPED)

    assert len(wakes) > before
    found = events_of(stream) + events_of(stream)
    assert [event.event for event in found] == ["line", "end"]
    assert stream.take(1) is None


def test_following_lines_wakes_the_server_for_no_event(lines: ListedLines, ring: EventRing) -> None:
    stream, wakes = follow(lines, ring), list[None]()
    stream.wake_with(lambda: wakes.append(None))
    events_of(stream)
    before = len(wakes)

    put(ring, 1, 2, 3)
    assert len(wakes) == before
    lines.add("a")
    assert len(wakes) == before + 1


# -- the routes


@pytest.fixture
def asked(lines: ListedLines) -> Any:
    with Scheduler(log=False) as scheduler:
        yield AskedApi(scheduler, logs=lines)


def fill(asked: AskedApi, *numbers: int, **fields: Any) -> None:
    put(asked.api.events, *numbers, **fields)


def test_a_stream_without_a_place_begins_now(asked: AskedApi) -> None:
    fill(asked, 1, 2)
    stream = asked.open_stream("/v1/events")
    assert events_of(stream) == []

    fill(asked, 3)
    assert ids(events_of(stream)) == ["3"]


def test_a_stream_may_begin_with_the_newest_events(asked: AskedApi) -> None:
    fill(asked, 1, 2, 3)
    fill(asked, 4, job="db")

    assert ids(events_of(asked.open_stream("/v1/events", {"count": "2"}))) == ["3", "4"]
    assert ids(events_of(asked.open_stream("/v1/events", {"count": "2", "job": "w*"}))) == ["2", "3"]


@pytest.mark.parametrize("header", [{}, {"last-event-id": f"{START}.2"}], ids=["since", "header"])
def test_a_stream_goes_on_after_an_id(asked: AskedApi, header: dict[str, str], monkeypatch: Any) -> None:
    monkeypatch.setattr(Scheduler, "last_seq", 3)
    fill(asked, 1, 2, 3)
    since = f"{START}.1" if header else f"{START}.2"

    stream = asked.open_stream("/v1/events", {"since": since}, headers=header)

    assert ids(events_of(stream)) == ["3"]


def test_a_stream_after_a_restart_begins_with_a_gap(asked: AskedApi) -> None:
    fill(asked, 1, 2)

    gap, *rest = events_of(asked.open_stream("/v1/events", {"since": "ffffffff.90"}))

    assert (gap.event, gap.data) == ("gap", {"from": "ffffffff.90", "to": f"{START}.1", "why": "restart"})
    assert ids(rest) == ["1", "2"]


def test_a_stream_may_begin_at_an_instant(asked: AskedApi) -> None:
    fill(asked, 1, 2, 3)  # at 00:16:41, 00:16:42 and 00:16:43

    for since in ("1970-01-01T00:16:42Z", "1970-01-01T00:16:42", "1970-01-01T02:16:42+02:00"):
        assert ids(events_of(asked.open_stream("/v1/events", {"since": since}))) == ["2", "3"]


def test_a_stream_from_an_instant_before_the_oldest_event_has_a_gap_if_there_were_earlier_ones(asked: AskedApi) -> None:
    fill(asked, 5, 6)

    assert ids(events_of(asked.open_stream("/v1/events", {"since": "1970-01-01T00:00:00Z"}))) == ["gap", "5", "6"]


def test_lines_may_be_followed_from_the_newest_ones_on(asked: AskedApi, lines: ListedLines) -> None:
    for text in "abc":
        lines.add(text)

    stream = asked.open_stream("/v1/logs", {"lines": "2"})
    assert [event.data["text"] for event in events_of(stream)] == ["b", "c"]
    lines.add("d")
    assert [event.data["text"] for event in events_of(stream)] == ["d"]


def test_lines_may_be_followed_after_an_id(asked: AskedApi, lines: ListedLines) -> None:
    for text in "abc":
        lines.add(text)

    stream = asked.open_stream("/v1/logs", {"since": f"{START}.1"})
    assert [event.data["text"] for event in events_of(stream)] == ["b", "c"]
    stream = asked.open_stream("/v1/logs", {"since": "ffffffff.7"})
    assert [event.event for event in events_of(stream)] == ["gap", "line", "line", "line"]
