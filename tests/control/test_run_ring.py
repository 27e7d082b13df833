"""The runs that the program keeps in memory: where a run executes that is elsewhere."""

from __future__ import annotations

from tests.support.history_events import EventMaker

from taskloom.control.run_ring import PastRun, RunRing
from taskloom.core.events import Event, EventName
from taskloom.core.run_reports import Whereabouts


def read(ring: RunRing, *events: Event) -> list[PastRun]:
    for event in events:
        ring.put(event)
    return ring.read(None, 0.0, 10)


def test_a_run_elsewhere_has_its_last_known_place_to_its_end_and_after_it() -> None:
    ring, events = RunRing(), EventMaker()

    def placed(host: str, worker: str, pid: int) -> Event:
        return events.make(EventName.PLACED, run="tick#1", data={"host": host, "worker": worker, "pid": pid})

    [first] = read(ring, *events.begun(), placed("node3", "w1", 0))
    [later] = read(ring, placed("node4", "w2", 7))
    [ended, here] = read(ring, events.ended(), *events.whole("tick#2"))

    assert first.whereabouts == Whereabouts("node3", "w1", 0)
    assert later.whereabouts == ended.whereabouts == Whereabouts("node4", "w2", 7)
    assert (later.ended, ended.outcome) == (None, "succeeded")
    assert here.whereabouts is None


def test_the_place_of_a_run_that_is_not_kept_is_left_alone() -> None:
    place = {"host": "node3", "worker": "w1", "pid": 0}

    assert read(RunRing(), EventMaker().make(EventName.PLACED, run="tick#1", data=place)) == []
