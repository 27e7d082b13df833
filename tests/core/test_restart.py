"""The follow-up of each end of a run under each restart policy: one table, of which every cell is executed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.support.every_case import every_case
from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core.events import EventName
from taskloom.core.model import How, JobState, WaitingFor
from taskloom.core.policies import Overlap, RestartPolicy, RestartWhen, Schedule, Watchdog, WatchdogThen
from taskloom.core.report import make_stop_report
from taskloom.testing import make_job

# The cells say what follows: `rest` nothing, `restart` another run after the delay, counted, `now` another run at
# once, not counted, `gave up` nothing though the policy asks for one. `!`: it failed for good, and the program's
# exit code is 1. `blocked`: nothing before the late exit of its abandoned thread.
TABLE = """
how it ended                                | outcome      | never     | on-failure | always
returned                                    | succeeded    | rest      | rest       | restart
raised                                      | failed       | rest !    | restart    | restart
raised PermanentFailure                     | failed       | rest !    | gave up !  | gave up !
could not be started                        | start_failed | rest !    | restart    | restart
timed out, returned                         | timed_out    | rest !    | restart    | restart
timed out, raised                           | timed_out    | rest !    | restart    | restart
timed out, raised PermanentFailure          | timed_out    | rest !    | gave up !  | gave up !
timed out before its body was entered       | timed_out    | rest !    | restart    | restart
had returned when its timeout came          | succeeded    | rest      | rest       | restart
not ready in time                           | failed       | rest !    | restart    | restart
warned by the watchdog, returned            | succeeded    | rest      | rest       | restart
stopped by the watchdog                     | failed       | rest !    | rest !     | rest !
restarted by the watchdog                   | failed       | restart   | restart    | restart
restarted by the watchdog, PermanentFailure | failed       | gave up ! | gave up !  | gave up !
had returned when the watchdog restarted it | succeeded    | rest      | rest       | restart
had raised when the watchdog restarted it   | failed       | rest !    | restart    | restart
stopped by a user, returned                 | cancelled    | rest      | rest       | rest
stopped by a user, raised                   | failed       | rest !    | rest !     | rest !
stopped by a user, raised when woken        | cancelled    | rest      | rest       | rest
had raised when a user stopped it           | failed       | rest !    | rest !     | rest !
had returned when a user stopped it         | succeeded    | rest      | rest       | rest
stopped by a user, could not be started     | start_failed | rest !    | rest !     | rest !
timed out, then stopped by a user           | timed_out    | rest !    | rest !     | rest !
stopped by a user after the watchdog        | failed       | rest !    | rest !     | rest !
run cancelled by a user, returned           | cancelled    | rest      | rest       | rest
run cancelled by a user, raised             | failed       | rest !    | rest !     | rest !
restarted by a user, returned               | cancelled    | now       | now        | now
restarted by a user, raised                 | failed       | now       | now        | now
restarted by a user, PermanentFailure       | failed       | now       | now        | now
stopped, then restarted by a user           | cancelled    | now       | now        | now
restarted, then stopped by a user           | cancelled    | rest      | rest       | rest
replaced by the next firing                 | cancelled    | now       | now        | now
replaced by the next firing, raised         | failed       | now       | now        | now
its params changed                          | cancelled    | now       | now        | now
disabled                                    | cancelled    | rest      | rest       | rest
abandoned after its timeout                 | abandoned    | blocked ! | blocked    | blocked
abandoned after its timeout, late exit      | abandoned    | rest !    | restart    | restart
abandoned unready, late exit                | abandoned    | rest !    | restart    | restart
abandoned by the watchdog's stop, late exit | abandoned    | rest !    | rest !     | rest !
abandoned by its restart, late exit         | abandoned    | restart   | restart    | restart
abandoned after a user's stop, late exit    | abandoned    | rest      | rest       | rest
abandoned after a cancel, late exit         | abandoned    | rest      | rest       | rest
abandoned after a restart, late exit        | abandoned    | now       | now        | now
abandoned, its pending restart stopped      | abandoned    | rest !    | rest       | rest
everything stops, returned                  | cancelled    | rest      | rest       | rest
everything stops, raised                    | failed       | rest !    | rest !     | rest !
everything stops, could not be started      | start_failed | rest !    | rest !     | rest !
timed out while everything stops            | timed_out    | rest !    | rest !     | rest !
abandoned as everything stops, late exit    | abandoned    | rest      | rest       | rest
everything stops while a restart is pending | failed       | rest !    | rest       | rest
stopped while a restart is pending          | failed       | rest !    | rest       | rest
"""

Play = Callable[[HandDrivenCore], object]
TIMEOUT: dict[str, Any] = {"timeout": 5.0}
UNREADY: dict[str, Any] = {"ready_within": 5.0}
EVERY: dict[str, Any] = {"schedule": Schedule(every=5.0, overlap=Overlap.REPLACE)}
DAEMON: dict[str, Any] = {"daemon": True, "within": 1.0}
WARN, STOP, RESTART = ({"watchdog": Watchdog(5.0, then)} for then in WatchdogThen)


def ends(how: How = How.RETURNED, **was: bool) -> Play:
    return lambda stage: stage.ended("a#1", how, **was)


def after(*first: Play) -> Play:
    """Play several scenes, one after another."""

    def play(stage: HandDrivenCore) -> None:
        for scene in first:
            scene(stage)

    return play


def passes(seconds: float) -> Play:
    return lambda stage: stage.advance(seconds)


def cannot_start(stage: HandDrivenCore) -> None:
    stage.start_failed("a#1")


def misses_polls(stage: HandDrivenCore) -> None:
    stage.unresponsive("a#1")


def is_stopped(stage: HandDrivenCore) -> None:
    stage.stop("a")


def is_cancelled(stage: HandDrivenCore) -> None:
    stage.stop("a", run="a#1")


def is_restarted(stage: HandDrivenCore) -> None:
    stage.restart("a")


def is_abandoned(stage: HandDrivenCore) -> None:
    stage.advance(1)
    stage.stack_captured("a#1")


def all_stops(stage: HandDrivenCore) -> None:
    stage.shutdown()


def params_change(stage: HandDrivenCore) -> None:
    stage.reload(replace(stage.lifecycle.jobs["a"].spec, params={"n": 1}))


def is_disabled(stage: HandDrivenCore) -> None:
    stage.reload(replace(stage.lifecycle.jobs["a"].spec, enabled=False))


PLAYS: dict[str, tuple[Play, dict[str, Any]]] = {
    "returned": (ends(), {}),
    "raised": (ends(How.RAISED), {}),
    "raised PermanentFailure": (ends(How.PERMANENT), {}),
    "could not be started": (cannot_start, {}),
    "timed out, returned": (after(passes(5), ends()), TIMEOUT),
    "timed out, raised": (after(passes(5), ends(How.RAISED)), TIMEOUT),
    "timed out, raised PermanentFailure": (after(passes(5), ends(How.PERMANENT)), TIMEOUT),
    "timed out before its body was entered": (after(passes(5), ends(How.NOT_ENTERED)), TIMEOUT),
    "had returned when its timeout came": (after(passes(5), ends(was_requested=False)), TIMEOUT),
    "not ready in time": (after(passes(5), ends()), UNREADY),
    "warned by the watchdog, returned": (after(misses_polls, ends()), WARN),
    "stopped by the watchdog": (after(misses_polls, ends()), STOP),
    "restarted by the watchdog": (after(misses_polls, ends()), RESTART),
    "restarted by the watchdog, PermanentFailure": (after(misses_polls, ends(How.PERMANENT)), RESTART),
    "had returned when the watchdog restarted it": (after(misses_polls, ends(was_requested=False)), RESTART),
    "had raised when the watchdog restarted it": (after(misses_polls, ends(How.RAISED, was_requested=False)), RESTART),
    "stopped by a user, returned": (after(is_stopped, ends()), {}),
    "stopped by a user, raised": (after(is_stopped, ends(How.RAISED)), {}),
    "stopped by a user, raised when woken": (after(is_stopped, ends(How.RAISED, callback_ran=True)), {}),
    "had raised when a user stopped it": (after(is_stopped, ends(How.RAISED, was_requested=False)), {}),
    "had returned when a user stopped it": (after(is_stopped, ends(was_requested=False)), {}),
    "stopped by a user, could not be started": (after(is_stopped, cannot_start), {}),
    "timed out, then stopped by a user": (after(passes(5), is_stopped, ends()), TIMEOUT),
    "stopped by a user after the watchdog": (after(misses_polls, is_stopped, ends()), RESTART),
    "run cancelled by a user, returned": (after(is_cancelled, ends()), {}),
    "run cancelled by a user, raised": (after(is_cancelled, ends(How.RAISED)), {}),
    "restarted by a user, returned": (after(is_restarted, ends()), {}),
    "restarted by a user, raised": (after(is_restarted, ends(How.RAISED)), {}),
    "restarted by a user, PermanentFailure": (after(is_restarted, ends(How.PERMANENT)), {}),
    "stopped, then restarted by a user": (after(is_stopped, is_restarted, ends()), {}),
    "restarted, then stopped by a user": (after(is_restarted, is_stopped, ends()), {}),
    "replaced by the next firing": (after(passes(5), ends()), EVERY),
    "replaced by the next firing, raised": (after(passes(5), ends(How.RAISED)), EVERY),
    "its params changed": (after(params_change, ends()), {}),
    "disabled": (after(is_disabled, ends()), {}),
    "abandoned after its timeout": (after(passes(5), is_abandoned), DAEMON | TIMEOUT),
    "abandoned after its timeout, late exit": (after(passes(5), is_abandoned, ends()), DAEMON | TIMEOUT),
    "abandoned unready, late exit": (after(passes(5), is_abandoned, ends()), DAEMON | UNREADY),
    "abandoned by the watchdog's stop, late exit": (after(misses_polls, is_abandoned, ends()), DAEMON | STOP),
    "abandoned by its restart, late exit": (after(misses_polls, is_abandoned, ends()), DAEMON | RESTART),
    "abandoned after a user's stop, late exit": (after(is_stopped, is_abandoned, ends(How.RAISED)), DAEMON),
    "abandoned after a cancel, late exit": (after(is_cancelled, is_abandoned, ends()), DAEMON),
    "abandoned after a restart, late exit": (after(is_restarted, is_abandoned, ends()), DAEMON),
    "abandoned, its pending restart stopped": (after(passes(5), is_abandoned, is_stopped, ends()), DAEMON | TIMEOUT),
    "everything stops, returned": (after(all_stops, ends()), {}),
    "everything stops, raised": (after(all_stops, ends(How.RAISED)), {}),
    "everything stops, could not be started": (after(all_stops, cannot_start), {}),
    "timed out while everything stops": (after(passes(5), all_stops, ends()), TIMEOUT),
    "abandoned as everything stops, late exit": (after(all_stops, is_abandoned, ends(How.RAISED)), DAEMON),
    "everything stops while a restart is pending": (after(ends(How.RAISED), all_stops), {}),
    "stopped while a restart is pending": (after(ends(How.RAISED), is_stopped), {}),
}


def rows() -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()[1:]]


def played(how: str, when: RestartWhen) -> HandDrivenCore:
    play, policies = PLAYS[how]
    stage = HandDrivenCore()
    stage.add(make_job("a", restart=RestartPolicy(when, jitter=0.0), **policies))
    run = stage.start("a")
    if "could not be started" not in how and "before its body" not in how:
        stage.started(run, is_ready="ready_within" not in policies)
    play(stage)
    return stage


def what_follows(stage: HandDrivenCore) -> str:
    """Let time pass, and return what followed in the words of the table."""
    job = stage.lifecycle.jobs["a"]
    gave_up = [event for event in stage.history.events if event.event is EventName.GAVE_UP]
    assert job.has_given_up == (len(gave_up) == 1)
    if job.state is JobState.BLOCKED:
        return "blocked"
    if job.state is JobState.RUNNING and job.run is not None and job.run.id == "a#2":
        assert (job.restarts, job.run.attempt) == (0, 1)
        return "now"
    if job.waiting_for is WaitingFor.BACKOFF:
        stage.advance(0.499)
        assert job.runs == 1
        stage.advance(0.001)
        assert job.run is not None
        assert (job.runs, job.restarts, job.run.attempt) == (2, 1, 2)
        return "restart"
    assert job.state in (JobState.FINISHED, JobState.DISABLED)
    stage.advance(3600)
    assert (job.runs, job.restarts) == (1, 0)
    return "gave up" if gave_up else "rest"


def exit_code(stage: HandDrivenCore) -> int:
    """Stop all jobs, and return the exit code."""
    stage.shutdown()
    for run in list(stage.lifecycle.runs):
        stage.ended(run)
    return int(make_stop_report(stage.lifecycle, stage.clock.now()).exit_code)


CELLS = [(row[0], when, row[2 + number]) for row in rows() for number, when in enumerate(RestartWhen)]


@every_case(("how", "when", "cell"), CELLS, ids=[f"{how} ({when.value})" for how, when, _ in CELLS])
def test_what_follows_is_what_the_table_says(how: str, when: RestartWhen, cell: str) -> None:
    has_failed = cell.endswith("!")

    assert played(how, when).lifecycle.jobs["a"].has_failed == has_failed
    assert what_follows(played(how, when)) == cell.removesuffix(" !")
    assert exit_code(played(how, when)) == (1 if has_failed else 0)


@every_case(("how", "outcome"), [(row[0], row[1]) for row in rows()], ids=[row[0] for row in rows()])
def test_the_policy_never_changes_the_outcome(how: str, outcome: str) -> None:
    for when in RestartWhen:
        stage = played(how, when)
        found = [event.outcome.value for event in stage.history.events if event.run == "a#1" and event.outcome]

        assert found == [outcome]


def test_every_row_has_a_scene_and_every_scene_has_a_row() -> None:
    assert [row[0] for row in rows()] == list(PLAYS)
    assert {len(row) for row in rows()} == {2 + len(RestartWhen)}
