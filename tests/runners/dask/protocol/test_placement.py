"""The machine in the program: each rule by itself. Its clock begins at 0, that of the workers at 1000."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from taskloom.core.endings import ErrorInfo, Reason, ReasonKind
from taskloom.runners.dask.protocol.messages import Command, CommandKind, Entry, Lease, Reply, Request
from taskloom.runners.dask.protocol.placement import Placement
from taskloom.runners.dask.protocol.placement_io import (
    Action,
    CancelRequested,
    ClusterBack,
    ClusterLost,
    CommandRequested,
    DropTask,
    Ended,
    FutureEnded,
    LinesDropped,
    Lost,
    Placed,
    PlaceRun,
    Reachable,
    Released,
    Replied,
    Reported,
    RequestFailed,
    SendRequest,
    SessionClosed,
    StartFailed,
    SubmitTask,
    Tick,
    Unreachable,
    WithdrawTask,
    Worker,
    WorkerJoined,
    WorkerLeft,
)

REASON = Reason(ReasonKind.USER, "enough")
KEY = "taskloom-s-job-1-r1"


def worker(name: str = "w1", slots: int = 2, tasks: str = "work") -> Worker:
    return Worker(f"tcp://{name}", name, "host", 7, slots, frozenset(tasks.split()))


class Driven:
    """A placement, with agents that answer as a test says."""

    def __init__(self, *workers: Worker) -> None:
        self.placement = Placement("s", Lease())
        self.now = 0.0
        self.last: dict[str, int] = {}
        for each in workers or (worker(),):
            self.give(WorkerJoined(each))

    def give(self, given: Any, at: float | None = None) -> list[Action]:
        self.now = self.now if at is None else at
        return self.placement.handle(given, self.now)

    def place(self, run: str = "r1", task: str = "work") -> list[Action]:
        return self.give(PlaceRun(run, "job", task, 1, {"x": 1}))

    def hear(self, *entries: tuple[str, str, Any], name: str = "w1", seq: int = 0, **changed: Any) -> list[Action]:
        """A reply or a publication of the agent, with these entries: kind, execution, data."""
        at = changed.pop("at", self.now)
        after = changed.get("after", self.last.get(name, 0))
        listed = tuple(Entry(after + n, *entry) for n, entry in enumerate(entries, 1))
        self.last[name] = after + len(entries)
        reply = Reply("s", f"a-{name}", 1000.0 + at, listed, {}, self.last[name], after)
        return self.give(Replied(f"tcp://{name}", seq, reply._replace(**changed)), at)

    def claim(self, run: str = "r1", execution: str = "e1", **changed: Any) -> list[Action]:
        return self.hear(("claim", execution, {"run": run}), **changed)

    def granted(self) -> Driven:
        self.place()
        self.claim()
        self.hear(seq=1, executions={"e1": "running"}, at=0.1)
        return self


def requests(actions: list[Action]) -> list[Request]:
    return [action.request for action in actions if isinstance(action, SendRequest)]


def others(actions: list[Action]) -> list[Action]:
    return [action for action in actions if not isinstance(action, SendRequest)]


def commands(actions: list[Action]) -> list[Command]:
    return [command for request in requests(actions) for command in request.commands]


def kinds(actions: list[Action]) -> list[str]:
    return [command.kind for command in commands(actions)]


def test_a_run_is_submitted_to_the_workers_that_have_its_task() -> None:
    driven = Driven(worker("w1"), worker("w2", tasks="other"), worker("w3", tasks="other work"))

    assert driven.place() == [SubmitTask("r1", KEY, {"x": 1}, ("tcp://w1", "tcp://w3"))]


def test_the_first_claim_is_granted_and_every_other_one_is_denied() -> None:
    driven = Driven(worker("w1"), worker("w2"))
    driven.place()

    actions = driven.claim()

    assert others(actions) == [Placed("r1", worker("w1"))]
    (request,) = requests(actions)
    assert request == Request("s", 1, "a-w1", 1000.0, Lease(), 1, ("e1",), (Command("grant", "e1"),))
    assert kinds(driven.claim(execution="e2", name="w2")) == ["deny"]
    assert driven.claim(execution="e1", after=0) == []


@pytest.mark.parametrize("given", [CancelRequested("r1", REASON), CommandRequested("r1", CommandKind.KILL)])
def test_a_run_that_waits_for_a_slot_ends_at_once(given: Any) -> None:
    driven = Driven(worker(slots=1))
    driven.place("r0")
    driven.place("r1")
    driven.place("r2")

    assert driven.give(given) == [Ended("r1", entered=False)]
    driven.give(CancelRequested("r0", REASON))
    assert driven.claim("r2") != []


def test_a_run_that_is_submitted_and_not_granted_ends_at_once() -> None:
    driven = Driven()
    driven.place()

    assert driven.give(CancelRequested("r1", REASON)) == [WithdrawTask(KEY), Ended("r1", entered=False)]
    assert kinds(driven.claim()) == ["deny"]


def test_commands_go_out_at_once_and_until_they_are_answered() -> None:
    driven = Driven().granted()

    (first,) = requests(driven.give(CancelRequested("r1", REASON), 0.2))
    assert first.commands == (Command("cancel", "e1", REASON),)
    assert driven.give(CancelRequested("r1", REASON)) == []
    (second,) = requests(driven.give(CommandRequested("r1", "poll_interval", 2.0)))
    assert second.commands == (Command("cancel", "e1", REASON), Command("poll_interval", "e1", None, 2.0))
    driven.hear(seq=first.seq, at=0.3, executions={"e1": "ending"})
    assert kinds(driven.give(CommandRequested("r1", "urgent"))) == ["poll_interval", "urgent"]


def test_the_latest_poll_interval_counts() -> None:
    driven = Driven().granted()
    (first,) = requests(driven.give(CommandRequested("r1", "poll_interval", 2.0)))
    driven.give(CommandRequested("r1", "poll_interval", 1.0))
    driven.hear(seq=first.seq, at=0.3, executions={"e1": "running"})

    sent = commands(driven.give(Tick(), 6.0))

    assert sent == [Command("poll_interval", "e1", None, 1.0)]


def test_a_signal_is_sent_once() -> None:
    driven = Driven().granted()

    assert kinds(driven.give(CommandRequested("r1", "signal", 10.0))) == ["signal"]
    assert kinds(driven.give(CommandRequested("r1", "urgent"))) == ["urgent"]


def test_commands_of_one_worker_share_requests_and_four_are_in_flight() -> None:
    driven = Driven(worker(slots=9))
    for n in range(9):
        driven.place(f"r{n}")
    sent = requests(driven.hear(*(("claim", f"e{n}", {"run": f"r{n}"}) for n in range(9))))
    assert [len(request.commands) for request in sent] == [9]
    driven.hear(seq=1, at=0.1, executions={f"e{n}": "running" for n in range(9)})

    sent = [request for n in range(9) for request in requests(driven.give(CancelRequested(f"r{n}", REASON)))]

    assert [len(request.commands) for request in sent] == [1, 2, 3, 4]
    (last,) = requests(driven.hear(seq=sent[0].seq, at=0.2, executions={f"e{n}": "ending" for n in range(9)}))
    assert len(last.commands) == 8


def test_requests_that_are_never_answered_do_not_block_a_worker_for_ever() -> None:
    driven = Driven().granted()
    for kind in ("urgent", "poll_interval", "terminate", "cancel", "kill"):
        driven.give(CommandRequested("r1", kind))
    assert requests(driven.give(Tick(), 5.3))[:0] == []

    assert len(requests(driven.give(Tick(), 10.7))) == 1


def test_commands_that_come_before_the_grant_are_kept() -> None:
    driven = Driven()
    driven.place()
    driven.give(CommandRequested("r1", "poll_interval", 3.0))
    driven.give(CommandRequested("r1", "stack", 1.0))

    assert commands(driven.claim()) == [Command("grant", "e1"), Command("poll_interval", "e1", None, 3.0)]


def test_a_grant_that_came_after_the_end_of_the_lease_is_repeated() -> None:
    driven = Driven()
    driven.place()
    driven.give(CommandRequested("r1", "urgent"))
    driven.claim()

    assert kinds(driven.hear(seq=1, at=0.1, executions={"e1": "claiming"})) == ["grant", "urgent"]
    assert driven.hear(seq=0, at=0.2, executions={"e1": "claiming"}) == [], "a publication may be older than the grant"


def test_a_grant_to_an_execution_that_had_left_is_taken_back() -> None:
    driven = Driven()
    driven.place()
    driven.claim()

    assert others(driven.hear(seq=1, at=0.1)) == [DropTask(KEY), SubmitTask("r1", f"{KEY}-1", {"x": 1}, ("tcp://w1",))]


def test_reports_come_once_and_in_order() -> None:
    driven = Driven().granted()
    started, ready = {"started": True}, {"ready": True}
    ended: dict[str, Any] = {"ended": {}}

    assert driven.hear(("report", "e1", started), ("report", "e1", ready)) == [
        Reported("r1", started), Reported("r1", ready),
    ]  # fmt: skip
    again = driven.hear(("report", "e1", ready), ("report", "e1", ended), ("gone", "e1", {}), after=2)
    assert others(again) == [Reported("r1", ended), DropTask(KEY), Ended("r1")]


def test_a_publication_that_was_lost_is_asked_for() -> None:
    driven = Driven().granted()

    (request,) = requests(driven.hear(("report", "e1", {"ready": True}), after=5))
    assert request.acknowledged == 1
    found = driven.hear(("report", "e1", {"started": True}), seq=request.seq, after=1, at=0.3, executions={"e1": ""})
    assert others(found) == [Reported("r1", {"started": True})]


def test_the_pid_completes_the_place() -> None:
    driven = Driven().granted()
    seen = {"process": {"pid": 44}}

    assert driven.hear(("report", "e1", seen)) == [Placed("r1", worker(), 44), Reported("r1", seen)]
    assert driven.hear(("report", "e1", seen)) == [Reported("r1", seen)]


def test_dropped_lines_are_counted() -> None:
    driven = Driven().granted()

    def line(number: int, n: int) -> list[Action]:
        reply = Reply("s", "a-w1", 1001.0 + n, (Entry(number, "log", "e1", {"log": {}}, n),), {}, number, number - 1)
        return driven.give(Replied("tcp://w1", 0, reply))

    assert line(2, 1) == [Reported("r1", {"log": {}})]
    assert line(3, 2) == [Reported("r1", {"log": {}})]
    assert line(4, 12) == [LinesDropped(worker(), 9), Reported("r1", {"log": {}})]


def test_an_agent_is_asked_each_period_while_it_has_something() -> None:
    driven = Driven().granted()

    (request,) = requests(driven.give(Tick(), 5.0))
    assert (request.expected, request.stamp) == (("e1",), 1000.1)
    driven.hear(("gone", "e1", {}), seq=request.seq, at=5.1)
    (request,) = requests(driven.give(Tick(), 10.0))
    assert (request.expected, request.acknowledged) == ((), 2)
    driven.hear(seq=request.seq, at=10.1)
    assert driven.placement.next_deadline() == inf


def test_entries_are_acknowledged_early_when_they_are_many() -> None:
    driven = Driven().granted()

    assert requests(driven.hear(*[("report", "e1", {"ready": True})] * 150)) == []
    assert requests(driven.hear(*[("report", "e1", {"ready": True})] * 50))[0].acknowledged == 201


def test_every_worker_is_asked_for_claims_when_events_are_stuck() -> None:
    driven = Driven(worker("w1"), worker("w2"))
    driven.place()

    assert driven.placement.next_deadline() == 5.0
    sent = requests(driven.give(Tick(), 5.0))
    assert [(request.agent, request.stamp) for request in sent] == [("", None), ("", None)]
    assert kinds(driven.claim(seq=2, name="w2", at=5.1)) == ["grant"]


def test_a_request_that_fails_is_repeated_soon_and_not_at_once() -> None:
    driven = Driven().granted()
    (request,) = requests(driven.give(CancelRequested("r1", REASON), 1.0))

    assert driven.give(RequestFailed("tcp://w1", request.seq, "no answer"), 1.2) == []
    assert driven.placement.next_deadline() == 1.7
    assert kinds(driven.give(Tick(), 1.7)) == ["cancel"]


def test_a_silent_worker_is_unreachable_and_then_lost() -> None:
    driven = Driven().granted()
    for at in (5.0, 10.0, 15.0):
        driven.give(Tick(), at)

    assert others(driven.give(Tick(), 20.0)) == []
    assert others(driven.give(Tick(), 20.1)) == [Unreachable("r1", 0.1)]
    assert others(driven.give(Tick(), 40.0)) == []
    why = "nothing was heard of its worker w1 on host for 40.0 s"
    assert others(driven.give(Tick(), 40.1)) == [DropTask(KEY), Lost("r1", why, 40.1)]


def test_a_run_that_is_lost_does_not_take_the_others_of_its_silent_worker_along() -> None:
    driven = Driven(worker("w1", slots=2)).granted()
    driven.place("r2")
    driven.claim("r2", "e2")
    driven.give(Tick(), 20.1)
    driven.give(CommandRequested("r1", "kill"), 21.0)

    assert [action.run for action in driven.give(Tick(), 23.0) if isinstance(action, Lost)] == ["r1"]
    assert others(driven.give(Tick(), 23.1)) == []
    assert others(driven.give(Tick(), 40.0)) == []
    assert [action.run for action in driven.give(Tick(), 40.1) if isinstance(action, Lost)] == ["r2"]


def test_a_worker_that_answers_again_is_reachable() -> None:
    driven = Driven().granted()
    driven.give(Tick(), 20.1)

    assert driven.hear(at=10.0, stamp=1000.1) == [], "nothing new"
    assert others(driven.hear(at=25.0)) == [Reachable("r1")]
    assert others(driven.hear(at=26.0)) == []
    driven.give(Tick(), 45.9)
    assert others(driven.give(Tick(), 46.0)) == [Unreachable("r1", 26.0)]


def test_a_run_that_waits_at_a_silent_worker_goes_to_another_one() -> None:
    """Dask keeps a task at a worker that is frozen or cut off, perhaps for minutes."""
    driven = Driven(worker("w1"), worker("w2"))
    assert driven.place() == [SubmitTask("r1", KEY, {"x": 1}, ("tcp://w1", "tcp://w2"))]
    for at in (5.0, 10.0, 15.0, 20.0):
        assert others(driven.give(Tick(), at)) == []
        driven.hear(name="w2", at=at + 1.0)

    found = others(driven.give(Tick(), 25.0))

    again = SubmitTask("r1", "taskloom-s-job-1-r1-1", {"x": 1}, ("tcp://w2",))
    assert found == [WithdrawTask(KEY), again]
    driven.hear(name="w1", at=26.0)
    assert [each.workers for each in driven.place("r2") if isinstance(each, SubmitTask)] == [("tcp://w2", "tcp://w1")]


def test_a_worker_whose_run_is_lost_gets_no_other_until_it_answers() -> None:
    driven = Driven(worker("w1", slots=1)).granted()
    driven.give(Tick(), 20.1)
    driven.give(Tick(), 40.1)

    assert driven.place("r2") == []
    assert [type(each) for each in others(driven.hear(at=50.0))] == [SubmitTask]


def test_the_runs_of_a_removed_worker_are_lost_with_a_bound() -> None:
    driven = Driven().granted()
    driven.hear(at=3.0)
    driven.give(CommandRequested("r1", "urgent"), 4.0)
    driven.hear(at=6.0)

    actions = driven.give(WorkerLeft("tcp://w1", "it has died"), 7.0)

    # The stamp of second 3 was sent back, that of second 6 was not.
    why = "the cluster has removed its worker w1 on host: it has died"
    assert actions == [DropTask(KEY), Lost("r1", why, 3.0 + 20.0 + 10.0 + 1.0)]
    assert driven.placement.next_deadline() == 34.0
    assert driven.give(Tick(), 34.0) == []
    assert driven.placement.next_deadline() == inf


def test_a_lost_run_is_released_when_it_is_gone() -> None:
    driven = Driven().granted()
    driven.give(WorkerLeft("tcp://w1", "it has died"), 1.0)

    assert driven.hear(("report", "e1", {"ended": {}}), ("gone", "e1", {})) == [Released("r1")]
    assert driven.give(Tick(), 5.0) == []
    assert driven.placement.next_deadline() == inf


def test_a_worker_that_comes_back_stops_what_is_lost() -> None:
    driven = Driven().granted()
    driven.give(WorkerLeft("tcp://w1", "cut off"), 1.0)

    (request,) = requests(driven.give(WorkerJoined(worker()), 2.0))

    assert (request.expected, request.agent) == ((), "a-w1")
    assert others(driven.hear(("gone", "e1", {}), seq=request.seq, at=2.1)) == [Released("r1")]


def test_the_run_of_an_agent_that_was_replaced_is_lost() -> None:
    driven = Driven().granted()
    (request,) = requests(driven.give(Tick(), 5.0))

    actions = driven.hear(seq=request.seq, at=5.1, agent="b", stamp=7.0, after=0, last=0)

    why = "the process of its worker w1 was replaced"
    assert others(actions) == [DropTask(KEY), Lost("r1", why, 0.1 + 31.0)]
    (request,) = requests(actions)
    assert (request.agent, request.stamp, request.acknowledged) == ("b", 7.0, 0)
    assert kinds(driven.claim("r9", "e9", at=6.0, agent="b", stamp=8.0, after=0, last=1)) == ["deny"]


def test_an_agent_that_was_replaced_takes_its_commands_along() -> None:
    driven = Driven().granted()
    assert kinds(driven.claim("r9", "e9")) == ["deny"]
    driven.give(RequestFailed("tcp://w1", 2, "no answer"))
    (request,) = requests(driven.give(Tick(), 5.0))
    assert request.commands == (Command("deny", "e9"),)

    (request,) = requests(driven.hear(seq=request.seq, at=5.1, agent="b", stamp=7.0, after=0, last=0))

    assert request.commands == ()


def test_a_worker_that_has_left_is_granted_nothing() -> None:
    driven = Driven(worker("w1"), worker("w2")).granted()
    driven.place("r2")
    driven.give(WorkerLeft("tcp://w1", "cut off"), 1.0)

    assert driven.claim("r2", "e2") == []
    assert others(driven.claim("r2", "e3", name="w2")) == [Placed("r2", worker("w2"))]
    assert kinds(driven.give(WorkerJoined(worker("w1")), 2.0)) == ["deny"]


def test_a_worker_that_left_without_runs_is_forgotten() -> None:
    driven = Driven()
    driven.place("r1")
    driven.claim("r9")
    driven.give(WorkerLeft("tcp://w1", "retired"))
    driven.give(WorkerJoined(worker()))

    assert [request.agent for request in requests(driven.give(Tick(), 5.0))] == [""]


def test_a_run_that_is_placed_again_is_not_marked() -> None:
    driven = Driven(worker("w1"), worker("w2"))
    driven.place()
    driven.claim(at=1.0)
    driven.give(Tick(), 21.0)

    found = others(driven.hear(("left", "e1", {"why": "unclaimed"}), stamp=1000.5, at=22.0))

    assert found[0] == Reachable("r1")
    assert isinstance(found[-1], SubmitTask)


def test_a_late_publication_of_an_agent_before_replaces_nothing() -> None:
    driven = Driven().granted()

    (request,) = requests(driven.hear(at=2.0, agent="b", after=0, last=0))
    assert request.agent == "a-w1"
    assert driven.hear(at=2.1, agent="b", after=0, last=0) == []
    assert others(driven.hear(at=2.2, seq=1, agent="b", after=0, last=0)) == [], "an answer to an old request"


@pytest.mark.parametrize("verdict", ["error", "lost"])
def test_a_task_that_fails_without_an_end_is_lost(verdict: str) -> None:
    driven = Driven().granted()

    found = others(driven.give(FutureEnded("r1", verdict, "it was killed"), 1.0))

    assert found == [DropTask(KEY), Lost("r1", "its Dask task has ended without a report: it was killed", 31.0)]


@pytest.mark.parametrize("verdict", ["ended", "denied", "unclaimed", "cancelled", "closing"])
def test_the_return_of_our_function_is_looked_into_at_once(verdict: str) -> None:
    driven = Driven().granted()

    actions = driven.give(FutureEnded("r1", verdict), 1.0)

    assert others(actions) == []
    assert len(requests(actions)) == 1


def test_a_run_that_has_ended_there_is_lost_without_a_wait() -> None:
    driven = Driven().granted()
    driven.give(FutureEnded("r1", "ended"), 1.0)

    found = others(driven.give(WorkerLeft("tcp://w1", "it has died"), 2.0))

    assert isinstance(found[1], Lost)
    assert found[1].stopped_by == 2.0
    assert driven.give(Tick(), 5.0) == []
    assert driven.placement.next_deadline() == inf


def test_a_killed_run_without_a_confirmation_is_lost_after_two_seconds() -> None:
    driven = Driven().granted()

    assert kinds(driven.give(CommandRequested("r1", "kill"), 1.0)) == ["kill"]
    driven.give(CommandRequested("r1", "kill"), 2.0)
    actions = driven.give(Tick(), 3.0)

    assert others(actions) == [DropTask(KEY), Lost("r1", "it was killed, and that was not confirmed within 2s", 31.1)]
    (request,) = requests(actions)
    assert (request.expected, request.commands) == ((), (Command("kill", "e1"),))


def test_a_task_that_cannot_be_executed_is_a_failed_start() -> None:
    driven = Driven()
    driven.place()

    actions = driven.give(FutureEnded("r1", "error", "no module named taskloom"))

    error = ErrorInfo("ClusterError", "no module named taskloom", "", is_explained=True)
    assert actions == [WithdrawTask(KEY), StartFailed("r1", error)]


def test_a_run_that_was_never_granted_is_submitted_again_and_again() -> None:
    driven = Driven()
    driven.place()
    keys, at = [], []
    for _ in range(7):
        found = driven.give(FutureEnded("r1", "lost"))
        while not any(isinstance(action, SubmitTask) for action in found):
            found = driven.give(Tick(), driven.placement.next_deadline())
        keys += [action.key for action in found if isinstance(action, SubmitTask)]
        at.append(driven.now)

    assert keys == [f"{KEY}-{n}" for n in range(1, 8)]
    assert at == [0.0, 1.0, 3.0, 7.0, 15.0, 30.0, 45.0]


def test_the_end_of_an_older_task_says_nothing() -> None:
    driven = Driven()
    driven.place()
    driven.give(FutureEnded("r1", "lost"))

    assert driven.give(FutureEnded("r1", "error", "old", KEY)) == []


def test_a_granted_execution_that_left_is_placed_again() -> None:
    driven = Driven()
    driven.place()
    driven.claim()

    found = others(driven.hear(("left", "e1", {"why": "unclaimed"})))

    assert found == [DropTask(KEY), SubmitTask("r1", f"{KEY}-1", {"x": 1}, ("tcp://w1",))]
    assert others(driven.claim(execution="e2")) == [Placed("r1", worker())]


@pytest.mark.parametrize("given", [CancelRequested("r1", REASON), CommandRequested("r1", CommandKind.KILL)])
def test_a_granted_execution_that_left_ends_a_cancelled_run(given: Any) -> None:
    driven = Driven()
    driven.place()
    driven.claim()
    driven.give(given)

    found = others(driven.hear(("left", "e1", {"why": "cancelled"})))

    assert found == [DropTask(KEY), Ended("r1", entered=False)]


def test_runs_wait_for_slots_in_order() -> None:
    driven = Driven(worker(slots=2))

    first = [action for n in range(5) for action in driven.place(f"r{n}")]
    second = driven.give(WorkerJoined(worker("w2", slots=1)))
    third = driven.give(CancelRequested("r1", REASON))

    assert [action.run for action in first if isinstance(action, SubmitTask)] == ["r0", "r1"]
    assert [action.run for action in second if isinstance(action, SubmitTask)] == ["r2"]
    assert [action.run for action in third if isinstance(action, SubmitTask)] == ["r3"]


def test_tasks_of_the_same_workers_share_their_slots() -> None:
    driven = Driven(worker(slots=1, tasks="work other"), worker("w2", slots=1, tasks="more"))

    assert len(driven.place("r1", "work")) == 1
    assert driven.place("r2", "other") == []
    assert len(driven.place("r3", "more")) == 1
    assert driven.place("r4", "nowhere") == []


def test_a_run_that_is_placed_again_is_first() -> None:
    driven = Driven(worker(slots=1))
    driven.place("r1")
    driven.place("r2")

    found = driven.give(FutureEnded("r1", "lost"))

    assert [action.run for action in found if isinstance(action, SubmitTask)] == ["r1"]


def test_a_task_whose_workers_have_all_left_is_submitted_to_others() -> None:
    driven = Driven(worker("w1"))
    driven.place()
    assert driven.give(WorkerLeft("tcp://w1", "retired")) == [WithdrawTask(KEY)]

    found = driven.give(WorkerJoined(worker("w2")))

    assert found == [SubmitTask("r1", f"{KEY}-1", {"x": 1}, ("tcp://w2",))]


def test_a_task_with_a_worker_left_stays_where_it_is() -> None:
    driven = Driven(worker("w1"), worker("w2"))
    driven.place()

    assert driven.give(WorkerLeft("tcp://w1", "retired")) == []


def test_nothing_is_sent_while_the_cluster_is_lost() -> None:
    driven = Driven().granted()
    driven.place("r2")

    assert driven.give(ClusterLost("refused"), 1.0) == [WithdrawTask("taskloom-s-job-1-r2")]
    assert driven.give(CancelRequested("r1", REASON)) == []
    assert driven.give(Tick(), 5.0) == []
    found = driven.give(ClusterBack(), 6.0)
    assert kinds(found) == ["cancel"]
    assert others(found) == [SubmitTask("r2", "taskloom-s-job-1-r2-1", {"x": 1}, ("tcp://w1",))]


def test_a_cluster_that_is_back_is_asked_at_once() -> None:
    driven = Driven().granted()
    driven.give(ClusterLost("refused"), 1.0)

    assert len(requests(driven.give(ClusterBack(), 2.0))) == 1


def test_a_run_is_unreachable_and_lost_while_the_cluster_is_lost() -> None:
    driven = Driven().granted()
    driven.give(ClusterLost("refused"), 1.0)

    assert driven.give(Tick(), 20.1) == [Unreachable("r1", 0.1)]
    assert isinstance(driven.give(Tick(), 60.1)[1], Lost)


def test_the_end_of_the_session_ends_all() -> None:
    driven = Driven(worker(slots=2))
    for run in ("r1", "r2", "r3"):
        driven.place(run)
    driven.claim()

    found = driven.give(SessionClosed())

    assert others(found) == [
        WithdrawTask("taskloom-s-job-1-r2"), Ended("r2", entered=False), Ended("r3", entered=False),
    ]  # fmt: skip
    assert [request.expected for request in requests(found)] == [()]
    assert driven.place("r4") == [Ended("r4", entered=False)]
    assert others(driven.hear(("gone", "e1", {}))) == [DropTask(KEY), Ended("r1")]


def test_an_execution_that_leaves_after_the_end_of_the_session_has_ended() -> None:
    driven = Driven()
    driven.place()
    driven.claim()
    driven.give(SessionClosed())

    assert others(driven.hear(("left", "e1", {"why": "closing"}))) == [DropTask(KEY), Ended("r1", entered=False)]


@pytest.mark.parametrize(
    "given",
    [
        CancelRequested("r9", REASON), CommandRequested("r9", "kill"), FutureEnded("r9", "ended"),
        WorkerLeft("tcp://w9", "gone"), RequestFailed("tcp://w9", 1, "no"), RequestFailed("tcp://w1", 9, "no"),
        Replied("tcp://w9", 0, Reply("s", "a", 1.0, (), {}, 0)),
        Replied("tcp://w1", 0, Reply("t", "a", 1.0, (), {}, 0)),
    ],
)  # fmt: skip
def test_what_is_unknown_changes_nothing(given: Any) -> None:
    driven = Driven()

    assert driven.give(given) == []
    assert driven.placement.next_deadline() == inf


def test_a_reply_of_another_session_says_nothing() -> None:
    assert Driven().granted().hear(("gone", "e1", {}), session="t") == []


def test_a_grant_is_not_taken_back_before_all_entries_are_read() -> None:
    driven = Driven()
    driven.place()
    driven.claim()

    assert others(driven.hear(seq=1, at=0.1, last=9)) == []


def test_a_worker_with_a_lost_run_is_asked_until_nothing_of_it_is_left() -> None:
    driven = Driven().granted()
    driven.give(CommandRequested("r1", "kill"), 1.0)
    (request,) = requests(driven.give(Tick(), 3.0))
    driven.hear(seq=request.seq, at=3.1, executions={"e1": "ending"})

    (request,) = requests(driven.give(Tick(), 8.0))

    assert request.commands == (), "the kill was confirmed"
    assert others(driven.hear(("gone", "e1", {}), seq=request.seq, at=8.1)) == [Released("r1")]


def test_the_commands_for_a_run_that_has_ended_are_dropped() -> None:
    driven = Driven().granted()
    driven.give(CancelRequested("r1", REASON), 0.2)
    driven.hear(("gone", "e1", {}), at=0.3)

    (request,) = requests(driven.give(Tick(), 5.2))

    assert (request.commands, request.acknowledged) == ((), 2)


def test_an_entry_that_no_request_would_acknowledge_is_acknowledged_after_a_period() -> None:
    driven = Driven()
    assert driven.hear(("report", "e9", {"ready": True}), at=1.0) == []

    assert driven.placement.next_deadline() == 6.0
    assert [request.acknowledged for request in requests(driven.give(Tick(), 6.0))] == [1]


def test_what_was_acknowledged_before_a_worker_was_forgotten_is_not_waited_for() -> None:
    driven = Driven()
    driven.claim("r8", "e8")
    driven.claim("r9", "e9")
    driven.give(WorkerLeft("tcp://w1", "cut off"), 1.0)
    driven.give(WorkerJoined(worker()))
    driven.place()
    (request,) = requests(driven.claim("r8", "e8", after=0, at=2.0))  # a publication from before comes late

    found = others(driven.claim(seq=request.seq, after=2, at=2.1))

    assert found == [Placed("r1", worker())]
