"""Why a job is, or is not, running: the answers about jobs that wait, to the letter."""

from __future__ import annotations

import json
from dataclasses import replace
from sys import setprofile

import pytest
from tests.support.why_scenes import (
    EVERY_5M,
    RETRIED,
    begun,
    declared,
    fail,
    fail_each,
    why,
)

from taskloom.core import inputs
from taskloom.core.model import How
from taskloom.core.policies import Condition, Dependency, RestartWhen, Schedule
from taskloom.core.why import gather
from taskloom.scheduler.why_words import named_again
from taskloom.testing import make_job

pytestmark = pytest.mark.usefixtures("in_utc")


def test_the_root_cause_is_told_not_only_the_first_link() -> None:
    core = declared(make_job("db", restart=RETRIED), make_job("api", after=["db"]), make_job("web", after=["api"]))
    core.start_all()
    fail(core, "db", 2, then=4)

    assert why(core, "web") == (
        "web waits for api (ready), which waits for db (ready). db failed 2 times, most recently 4s ago, at "
        "00:00:04: RuntimeError: boom; it is tried again in 4s, at 00:00:12 (attempt 3). A stop of web would end its "
        "wait at once."
    )
    assert why(core, "api") == (
        "api waits for db (ready). db failed 2 times, most recently 4s ago, at 00:00:04: RuntimeError: boom; it "
        "is tried again in 4s, at 00:00:12 (attempt 3). web waits for api. A stop of api would end its wait at "
        "once."
    )
    assert why(core, "db") == (
        "db failed 2 times, most recently 4s ago, at 00:00:04: RuntimeError: boom; it is tried again in 4s, at "
        "00:00:12 (attempt 3). It had 1 restart within 1m, and gives up when that would be more than 2. api waits "
        "for it. A stop would end this wait at once."
    )


def test_several_causes_are_told_and_further_ones_counted() -> None:
    core = declared(
        make_job("a", manual=True),
        make_job("b", delay=20.0),
        make_job("c", manual=True),
        make_job("d", manual=True),
        make_job("mid", after=["c"]),
        make_job("web", after=["a", "b", "mid", Dependency("d", Condition.SUCCEEDED)]),
    )
    core.start_all()
    core.advance(3)

    assert why(core, "web") == (
        "web waits for a (ready), b (ready), mid (ready) and 1 more. a is not running: it starts only when a user "
        "starts it (start: manual). b waits for its start delay of 20s, which is over in 17s, at 00:00:20. d is "
        "not running: it starts only when a user starts it (start: manual). 1 further job holds web up. A stop of web "
        "would end its wait at once."
    )


def test_each_cause_of_several_is_told_with_its_link() -> None:
    core = declared(
        make_job("a", manual=True),
        make_job("c", delay=9.0),
        make_job("mid", after=["c"]),
        make_job("web", after=["a", "mid"]),
    )
    core.start_all()

    assert why(core, "web") == (
        "web waits for a (ready) and mid (ready). a is not running: it starts only when a user starts it (start: "
        "manual). mid waits for c (ready). c waits for its start delay of 9s, which is over in 9s, at 00:00:09. A "
        "stop of web would end its wait at once."
    )


def test_manual_jobs_that_wait_for_each_other_are_told_in_order() -> None:
    core = declared(make_job("a", manual=True), make_job("b", manual=True, after=["a"]), make_job("web", after=["b"]))
    core.start_all()

    assert why(core, "web") == (
        "web waits for b (ready). b is not running: it starts only when a user starts it (start: manual), once a "
        "is ready. A stop of web would end its wait at once."
    )
    assert why(core, "b") == (
        "b is not running: it starts only when a user starts it (start: manual). `taskloom start b` starts it "
        "once a is ready. web waits for it."
    )


def test_a_long_chain_is_told_by_its_ends() -> None:
    core = declared(make_job("j0", manual=True), *(make_job(f"j{n}", after=[f"j{n - 1}"]) for n in range(1, 12)))
    core.start_all()

    assert why(core, "j11") == (
        "j11 waits for j10 (ready), which waits for j9 (ready), which waits for j8 (ready), which waits for j7 "
        "(ready), and so on over 6 more jobs to j0 (ready). j0 is not running: it starts only when a user starts "
        "it (start: manual). A stop of j11 would end its wait at once."
    )


def test_of_several_replicas_the_first_that_is_not_ready_is_told() -> None:
    core = declared(*make_job("db", replicas=3).replicated(), make_job("web", after=["db"]))
    core.start_all()
    core.started("db.1#1")
    core.advance(5)

    assert why(core, "web") == (
        "web waits for db (ready) in 2 of its replicas, first db.2. db.2 is being started: run db.2#1 was queued "
        "5s ago, at 00:00:00, and its thread has not begun it yet. A stop of web would end its wait at once."
    )
    assert why(core, "db.2") == (
        "db.2 is being started: run db.2#1 was queued 5s ago, at 00:00:00, and its thread has not begun it yet. "
        "web waits for it. A stop would ask it to end, and would wait up to 10s for it (join: 10s)."
    )


def test_a_job_that_runs_has_to_end_before_one_that_waits_for_its_success() -> None:
    core = begun(make_job("load"), make_job("web", after=[Dependency("load", Condition.SUCCEEDED)]))
    core.advance(5)

    assert why(core, "web") == (
        "web waits for load (succeeded). load is running and ready: run load#1 began 5s ago, at 00:00:00, and has "
        "to end first. A stop of web would end its wait at once."
    )


def test_the_schedule_of_another_job_may_be_the_cause() -> None:
    core = declared(
        make_job("load", schedule=EVERY_5M), make_job("web", after=[Dependency("load", Condition.SUCCEEDED)])
    )
    core.start_all()
    core.advance(5)

    assert why(core, "web") == (
        "web waits for load (succeeded). load waits for its schedule (every 5m), which fires next at 00:05:00, in "
        "4m55s. A stop of web would end its wait at once."
    )


def test_the_place_of_a_stuck_run_is_told_if_others_wait_for_its_end() -> None:
    core = begun(
        make_job("load", timeout=5.0, within=2.0, restart=RETRIED),
        make_job("web", after=[Dependency("load", Condition.SUCCEEDED)]),
    )
    core.advance(8)
    core.stack_captured("load#1")

    assert why(core, "web") == (
        "web waits for load (succeeded). load is overdue: run load#1 was asked to stop 3s ago, at 00:00:05 "
        "(longer than its timeout of 5s), and should have ended within 2s. load#1 is currently at task.py:7 in "
        "run. A stop of web would end its wait at once."
    )


def test_a_start_delay_is_told_with_its_end() -> None:
    core = declared(make_job("web", delay=30.0))
    core.start_all()
    core.advance(5)

    assert why(core, "web") == (
        "web waits for its start delay of 30s, which is over in 25s, at 00:00:30. A stop would end this wait at once."
    )


def test_a_schedule_begins_after_the_start_delay() -> None:
    core = declared(make_job("web", delay=30.0, schedule=EVERY_5M))
    core.start_all()
    core.advance(5)

    assert why(core, "web") == (
        "web waits for its start delay of 30s, which is over in 25s, at 00:00:30. Then it begins to wait for its "
        "schedule (every 5m). A stop would end this wait at once."
    )


def test_a_job_that_is_always_restarted_is_started_again_after_a_success() -> None:
    core = declared(make_job("web", restart=replace(RETRIED, when=RestartWhen.ALWAYS)))
    core.start_all()
    core.started("web#1")
    core.advance(3)
    core.ended("web#1")
    core.advance(1)

    assert why(core, "web") == (
        "web succeeded 1s ago, at 00:00:03, after 3s; it is started again in 3s, at 00:00:07 (attempt 2). It had "
        "0 restarts within 1m, and gives up when that would be more than 2. A stop would end this wait at once."
    )


def test_a_restart_may_wait_for_those_of_other_jobs() -> None:
    core = declared(*(make_job(f"j{n}", restart=replace(RETRIED, delay=0.0)) for n in range(30)))
    core.start_all()
    fail_each(core)
    core.send(inputs.Tick())

    assert why(core, "j29") == (
        "j29 failed just now, at 00:00:00: RuntimeError: boom; its restart (attempt 2) waits for those of other "
        "jobs: 200 begin a second. It had 0 restarts within 1m, and gives up when that would be more than 2. A "
        "stop would end this wait at once."
    )


def test_a_scheduled_job_is_told_with_its_next_firing_and_its_last_run() -> None:
    core = declared(make_job("web", schedule=EVERY_5M))
    core.start_all()
    core.advance(305)
    core.started("web#1")
    core.ended("web#1", How.RAISED)
    core.advance(20)

    assert why(core, "web") == (
        "web waits for its schedule (every 5m), which fires next at 00:10:00, in 4m35s. Its last run, web#1, "
        "failed 20s ago, at 00:05:05: RuntimeError: boom. A stop would end its schedule at once."
    )


def test_firings_that_were_missed_are_told_with_the_cause() -> None:
    core = declared(make_job("web", schedule=Schedule(every=5.0, text="every 5s")))
    core.start_all()
    core.advance(5)
    core.started("web#1")
    core.advance(11)
    core.ended("web#1")
    core.advance(1)

    assert why(core, "web") == (
        "web waits for its schedule (every 5s), which fires next at 00:00:20, in 3s. Its last run, web#1, "
        "succeeded 1s ago, at 00:00:16, after 11s. 2 of its firings were missed, the last at 00:00:15: the "
        "previous run was still running. A stop would end its schedule at once."
    )


def test_a_manual_job_that_was_never_started_says_how() -> None:
    core = declared(make_job("web", manual=True))
    core.start_all()

    assert why(core, "web") == (
        "web is not running: it starts only when a user starts it (start: manual). `taskloom start web` starts it."
    )


def test_a_job_that_nothing_has_started_yet_says_so() -> None:
    core = declared(make_job("web"))

    assert why(core, "web") == (
        "web is not running: it has been declared, and nothing has started it yet. `taskloom start web` starts it."
    )


def test_a_job_that_a_reload_added_waits_for_the_run_that_it_replaces() -> None:
    core = begun(make_job("web"))
    core.advance(5)
    core.reload(make_job("site"))
    core.advance(1)

    assert why(core, "site") == (
        "site waits for the end of web#1, which a reload has stopped. A stop would end this wait at once."
    )


def test_a_schedule_goes_on_after_the_job_gave_up() -> None:
    core = declared(make_job("web", schedule=replace(EVERY_5M, immediately=True), restart=RETRIED))
    core.start_all()
    fail(core, "web", 3, then=9)

    assert why(core, "web") == (
        "web waits for its schedule (every 5m), which fires next at 00:05:00, in 4m33s. Its last run, web#3, "
        "failed 9s ago, at 00:00:18: RuntimeError: boom. It gave up restarting (more than 2 restarts within 1m), "
        "but its schedule goes on. 2 of its 3 runs failed before this one. A stop would end its schedule at once."
    )


def test_a_chain_of_any_length_is_followed_as_far_as_the_scheduler_has_time_for_it() -> None:
    core = declared(make_job("j0", manual=True), *(make_job(f"j{n}", after=[f"j{n - 1}"]) for n in range(1, 3000)))
    core.start_all()

    assert why(core, "j2999").endswith(
        "and so on over 995 more jobs to j1999 (ready). j1999 waits for j1998 (ready). "
        "A stop of j2999 would end its wait at once."
    )


def test_a_name_that_no_job_has_is_told_once() -> None:
    core = declared(
        make_job("a", after=["ghost"]), make_job("b", after=["ghost"]), make_job("c", after=["a", "ghost"]),
        make_job("web", after=["a", "b", "c"]),
    )  # fmt: skip
    core.start_all()

    assert why(core, "web").count("There is no job 'ghost'.") == 1


def test_of_a_layer_of_jobs_with_the_same_dependencies_one_is_followed() -> None:
    below, above = [f"b{number}" for number in range(300)], [f"a{number}" for number in range(300)]
    core = declared(
        *(make_job(name, manual=True) for name in below),
        *(make_job(name, after=below) for name in above),
        make_job("web", after=above),
    )
    core.start_all()
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    setprofile(count)
    try:
        facts = gather(core.lifecycle, "web", core.clock.now())
    finally:
        setprofile(None)

    assert len(facts.blockers) + facts.more_blockers == len(below)
    assert steps < 300 * len(below)  # following each of them takes some 10,000 times as many as there are


def test_of_thousands_of_causes_a_few_are_told() -> None:
    names = [f"j{number}" for number in range(3000)]
    core = declared(*(make_job(name, manual=True) for name in names), make_job("web", after=names))
    core.start_all()

    text = why(core, "web")
    facts = gather(core.lifecycle, "web", core.clock.now()).as_dict()

    assert text.startswith("web waits for j0 (ready), j1 (ready), j2 (ready) and 2,997 more. j0 is not running: ")
    assert "2,997 further jobs hold web up." in text
    assert len(json.dumps(facts)) < 20_000


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("It had 1 restart", "it-x had 1 restart"),
        ("Its last run, it-x#1, failed: its own text", "it-x's last run, it-x#1, failed: its own text"),
        ("Then it begins to wait", "Then it-x begins to wait"),
        ("1,234 of its firings were missed", "1,234 of it-x's firings were missed"),
        ("a and it-y wait for it", "a and it-y wait for it-x"),
        ("`taskloom start it-x` starts it", "`taskloom start it-x` starts it"),
    ],
)
def test_a_job_is_named_again_where_a_sentence_has_it(text: str, named: str) -> None:
    assert next(named_again("it-x", [text, "It goes on"])) == named
