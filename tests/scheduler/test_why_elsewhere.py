"""Why a job is, or is not, running: the answers about runs that execute elsewhere, to the letter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore
from tests.support.random_jobs import in_process
from tests.support.why_scenes import why

from taskloom.core.model import CLUSTER, RunnerSpec
from taskloom.core.policies import Overlap, RestartPolicy, RestartWhen, Schedule
from taskloom.core.why import gather
from taskloom.core.why_facts import ProcessFacts
from taskloom.scheduler.why_text import explain
from taskloom.testing import make_job
from taskloom.testing.clock import VirtualClock

pytestmark = pytest.mark.usefixtures("in_utc")

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, delay=8.0, jitter=0.0)
STOP = "A stop would ask it to end, and would wait up to 10s for it (join: 10s); then its processes are killed."


def queued(options: Mapping[str, object] = MappingProxyType({}), **policies: object) -> HandDrivenCore:
    stage = HandDrivenCore(VirtualClock(0, 0))
    spec = in_process(make_job("train", **policies))  # type: ignore[arg-type]
    stage.add(replace(spec, runner=RunnerSpec(CLUSTER, dict(options))))
    stage.start("train")
    return stage


def executing(**policies: object) -> HandDrivenCore:
    stage = queued(**policies)  # type: ignore[arg-type]
    stage.started("train#1")
    stage.placed("train#1", 7)
    stage.advance(20)
    return stage


def test_a_run_that_no_worker_has_accepted_waits_for_a_slot() -> None:
    assert why(queued(), "train") == (
        "train is being started: run train#1 was queued just now, at 00:00:00, and waits for a slot of the cluster. "
        f"{STOP}"
    )


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"workers": ("a", "b")}, " on a or b"),
        ({"resources": {"GPU": 1}}, " with {GPU: 1}"),
        ({"workers": ("a",), "resources": {"GPU": 0.5, "DISK": 2}}, " on a with {GPU: 0.5, DISK: 2}"),
    ],
)
def test_a_run_that_waits_for_a_slot_names_the_workers_that_it_may_use(options: dict[str, object], where: str) -> None:
    assert f"and waits for a slot of the cluster{where}. " in why(queued(options), "train")


def test_a_run_that_a_worker_has_accepted_begins_there() -> None:
    stage = queued()
    stage.placed("train#1")

    assert why(stage, "train") == (
        "train is being started: run train#1 was queued just now, at 00:00:00, and its process on node1 has not begun "
        f"it yet. It is placed on node1 (worker w1). {STOP}"
    )


def test_a_run_has_its_host_its_worker_and_its_process() -> None:
    assert why(executing(), "train") == (
        "train is running and ready: run train#1 began 20s ago, at 00:00:00. It runs on node1 (worker w1, process 7). "
        f"{STOP}"
    )


def told_with_its_processes(stage: HandDrivenCore, **values: Any) -> str:
    """Return the answer once the worker has reported the processes of the run."""
    found = ProcessFacts(**{"pid": 7, "processes": 1, "memory": 38 << 20, "cpu": 61.0, "state": "sleeping", **values})
    return explain(replace(gather(stage.lifecycle, "train", stage.clock.now()), processes={"train#1": found}))


def test_its_processes_are_told_with_its_host_and_only_once() -> None:
    assert told_with_its_processes(executing(), processes=3) == (
        "train is running and ready: run train#1 began 20s ago, at 00:00:00. It runs on node1 (worker w1, process 7 "
        f"and 2 more), with 38 MiB of memory, and 1m1s of processor time so far. {STOP}"
    )


def test_what_an_unreachable_run_uses_is_from_before_and_says_so() -> None:
    stage = executing()
    stage.unreachable("train#1", seconds=5)

    assert (
        "It runs on node1 (worker w1, process 7), with 38 MiB of memory, and 1m1s of processor time when last heard "
        "of. Its runner waits for its worker, and takes it as lost if nothing is heard for too long. "
    ) in told_with_its_processes(stage)


def test_a_process_elsewhere_that_a_signal_has_stopped_is_named_with_the_way_out() -> None:
    answer = told_with_its_processes(executing(), state="stopped")

    assert "That process is stopped by a signal: `taskloom signal train CONT` lets it go on." in answer


def test_an_unreachable_run_may_still_be_executing_and_it_says_what_happens_next() -> None:
    stage = executing()
    stage.unreachable("train#1", seconds=5)
    stage.advance(3)

    assert why(stage, "train") == (
        "train has been unreachable for 8s, and may still be executing: run train#1 began 23s ago, at 00:00:00. It "
        "runs on node1 (worker w1, process 7). Its runner waits for its worker, and takes it as lost if nothing is "
        f"heard for too long. {STOP}"
    )


def test_a_job_that_a_lost_run_blocks_says_for_how_long_and_what_follows() -> None:
    stage = executing(restart=ON_FAILURE)
    stage.lost("train#1", 30)
    stage.advance(2)

    assert why(stage, "train") == (
        "train cannot run: its run train#1 may still be executing on node1, for 28s more at most; it was lost 2s ago, "
        "at 00:00:20, after 20s: RuntimeError: boom. It was executing on node1 (worker w1, process 7). No other run "
        "begins before its time is over, or its end is confirmed. A restart follows then, or when its restart delay is "
        "over, if that is later."
    )
    assert gather(stage.lifecycle, "train", stage.clock.now()).job.as_dict()["last_run"]["lost_left"] == 28


def test_a_firing_that_is_missed_while_a_lost_run_blocks_its_job_says_so() -> None:
    stage = executing(schedule=Schedule(every=15.0, text="every 15s", overlap=Overlap.QUEUE))
    stage.lost("train#1", 30)
    stage.advance(11)

    text = why(stage, "train")

    assert "was missed: an abandoned or lost run might still be executing." in text
    assert "Then another run starts, because its schedule has fired meanwhile." in text


def test_after_the_release_a_job_is_described_as_any_other() -> None:
    stage = executing()
    stage.lost("train#1", 30)
    stage.advance(30)

    assert why(stage, "train").startswith(
        "train is not running: its last run, train#1, was lost 30s ago, at 00:00:20, after 20s: RuntimeError: boom."
    )
