"""What schedules remember: the fold of events into one row a job."""

from __future__ import annotations

from math import inf

from tests.support.history_events import START, EventMaker

from taskloom.core.events import EventName, format_wall
from taskloom.core.model import Reason, ReasonKind
from taskloom.core.remembered import RememberedJob
from taskloom.history.memory import MOST_RESTARTS, JobMemory, job_from_row
from taskloom.history.queue import Row


def instant(seconds: float) -> dict[str, str]:
    return {"instant": format_wall(seconds)}


def remembered(row: Row | None) -> RememberedJob:
    assert row is not None
    assert row.values is not None
    return job_from_row(row.values)


def test_a_declared_job_is_armed_with_its_fingerprint() -> None:
    [row] = JobMemory().add(EventMaker().added())

    assert row.key == ("jobs", "tick")
    assert remembered(row) == RememberedJob("f1", START + 1.0)


def test_without_a_history_in_the_scheduler_nothing_is_remembered_of_a_declaration() -> None:
    memory = JobMemory()

    assert memory.add(EventMaker().make(EventName.JOB_ADDED, data={"task": "demo"})) == []
    assert not memory.knows("tick")


def test_the_same_declaration_keeps_what_the_start_before_has_left() -> None:
    memory = JobMemory()
    old = RememberedJob("f1", 10.0, 20.0, 15.0, "maintenance", (5.0,), 2.0)
    memory.load({"tick": old})

    [row] = memory.add(EventMaker().added())

    assert remembered(row) == old


def test_another_declaration_forgets_its_last_instant_and_keeps_pause_and_restarts() -> None:
    memory = JobMemory()
    memory.load({"tick": RememberedJob("f1", 10.0, 20.0, 15.0, "maintenance", (5.0,), 2.0)})

    [row] = memory.add(EventMaker().added(fingerprint="f2"))

    assert remembered(row) == RememberedJob("f2", START + 1.0, None, 15.0, "maintenance", (5.0,), 2.0)


def test_a_reload_that_changes_the_declaration_forgets_the_last_instant() -> None:
    memory, events = JobMemory(), EventMaker()
    memory.add(events.added())
    memory.record("tick", START + 1.0)

    rows = memory.add(events.make(EventName.RELOADED, None, data={"fingerprints": {"tick": "f2", "new": "f3"}}))

    assert [(row.key[1], remembered(row)) for row in rows] == [
        ("tick", RememberedJob("f2", START + 2.0)),
        ("new", RememberedJob("f3", START + 2.0)),
    ]


def test_an_instant_that_was_recorded_before_the_event_of_the_declaration_came_is_kept() -> None:
    memory, events = JobMemory(), EventMaker()
    memory.add(events.added())
    reload = events.make(EventName.RELOADED, None, data={"fingerprints": {"tick": "f2"}})
    memory.record("tick", reload.at + 5.0)

    [row] = memory.add(reload)

    assert remembered(row).last_instant == reload.at + 5.0


def test_no_instant_is_recorded_for_a_job_whose_declaration_is_not_known() -> None:
    memory = JobMemory()
    memory.load({"tick": RememberedJob("f1", 10.0)})

    assert memory.record("tick", 20.0) is None


def test_the_latest_instant_stays_whatever_the_order() -> None:
    memory, events = JobMemory(), EventMaker()
    memory.add(events.added())

    rows = [
        memory.record("tick", START + 60.0),
        *memory.add(events.queued(data=instant(START + 60.0))),
        *memory.add(events.make(EventName.MISSED, data={**instant(START + 30.0), "count": 1, "why": "late"})),
        *memory.add(events.make(EventName.MISSED, data={**instant(START + 90.0), "count": 1, "why": "overlap"})),
    ]

    assert [remembered(row).last_instant for row in rows] == [START + each for each in (60.0, 60.0, 60.0, 90.0)]


def test_a_pause_is_remembered_until_the_job_is_resumed() -> None:
    memory, events = JobMemory(lambda text: text.replace("secret", "***")), EventMaker()

    [paused] = memory.add(events.paused("for a secret"))
    [resumed] = memory.add(events.make(EventName.RESUMED, reason=Reason(ReasonKind.USER, "resume")))

    assert (remembered(paused).paused_since, remembered(paused).paused_reason) == (START + 1.0, "for a ***")
    assert (remembered(resumed).paused_since, remembered(resumed).paused_reason) == (None, "")


def test_restarts_are_counted_and_a_reset_forgets_them() -> None:
    memory, events = JobMemory(), EventMaker()
    scheduled = events.make(EventName.RESTART_SCHEDULED, run="tick#1", seconds=0.7, data={"delay": 0.5})

    [waiting] = memory.add(scheduled)
    [again] = memory.add(events.queued("tick#2", attempt=2))
    [reset] = memory.add(events.make(EventName.RESET, reason=Reason(ReasonKind.USER, "reset")))

    assert remembered(waiting).restart_delay == 0.5
    assert remembered(again).restarts == (START + 2.0,)
    assert (remembered(reset).restarts, remembered(reset).restart_delay) == ((), 0.0)


def test_a_run_that_begins_because_of_a_reset_forgets_the_restarts() -> None:
    memory, events = JobMemory(), EventMaker()
    memory.add(events.make(EventName.RESTART_SCHEDULED, run="tick#1", seconds=0.7))
    memory.add(events.queued("tick#2", attempt=2))

    [row] = memory.add(events.queued("tick#3", data={"reset": True}))

    assert (remembered(row).restarts, remembered(row).restart_delay) == ((), 0.0)


def test_restarts_are_bounded() -> None:
    memory, events = JobMemory(), EventMaker()
    for number in range(MOST_RESTARTS + 5):
        [row] = memory.add(events.queued(f"tick#{number}", attempt=2))

    assert len(remembered(row).restarts) == MOST_RESTARTS
    assert remembered(row).restarts[-1] == events.at


def test_nothing_is_made_up_for_a_schedule_that_a_user_has_stopped() -> None:
    memory, events = JobMemory(), EventMaker()
    memory.add(events.added())

    [stopped] = memory.add(events.make(EventName.CANCEL_REQUESTED, run="tick#1", data={"disarmed": True}))
    [started] = memory.add(events.queued("tick#2"))
    [skipped] = memory.add(events.make(EventName.SKIPPED, data={"disarmed": True}))
    [resumed] = memory.add(events.make(EventName.RESUMED, reason=Reason(ReasonKind.USER, "resume")))

    armed = [remembered(row).armed_at for row in (stopped, started, skipped, resumed)]
    assert armed == [inf, START + 3.0, inf, START + 5.0]


def test_a_stop_by_a_user_ends_with_its_start_of_the_program() -> None:
    memory = JobMemory()
    memory.load({"tick": RememberedJob("f1", inf, 20.0)})

    [row] = memory.add(EventMaker().added())

    assert remembered(row) == RememberedJob("f1", START + 1.0, 20.0)


def test_a_removed_job_is_forgotten_and_may_come_again() -> None:
    memory, events = JobMemory(), EventMaker()
    memory.add(events.added())
    memory.add(events.paused())

    [gone] = memory.add(events.make(EventName.JOB_REMOVED))
    [again] = memory.add(events.added())

    assert (gone.key, gone.values) == (("jobs", "tick"), None)
    assert remembered(again) == RememberedJob("f1", START + 4.0)


def test_a_fresh_start_remembers_nothing_of_the_ones_before() -> None:
    memory = JobMemory(is_fresh=True)

    kept = memory.load({"tick": RememberedJob("f1", 10.0, 20.0, 15.0)})
    [row] = memory.add(EventMaker().added())

    assert kept == {}
    assert remembered(row) == RememberedJob("f1", START + 1.0)


def test_a_memory_that_is_loaded_late_undoes_nothing_and_loses_nothing() -> None:
    memory, events = JobMemory(), EventMaker()
    memory.add(events.added("tick"))
    memory.add(events.added("tock", fingerprint="f2"))
    memory.add(events.make(EventName.RESUMED, "tock", reason=Reason(ReasonKind.USER, "resume")))
    memory.record("tick", START + 30.0)

    memory.load(
        {
            "tick": RememberedJob("f1", 10.0, 20.0, 15.0, "maintenance", (5.0,), 2.0),
            "tock": RememberedJob("f1", 10.0, 20.0, 15.0, "maintenance"),
            "else": RememberedJob("f9", 10.0),
        }
    )

    assert memory.jobs == {
        "tick": RememberedJob("f1", 10.0, START + 30.0, 15.0, "maintenance", (5.0,), 2.0),
        "tock": RememberedJob("f2", START + 2.0),
        "else": RememberedJob("f9", 10.0),
    }
    assert len(memory.rows()) == 3
