"""An input costs the same with ten times as many runs, and a machine that has nothing to do has no deadline."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import inf
from types import FrameType

from taskloom.core.endings import Reason, ReasonKind
from taskloom.runners.dask.protocol.agent import Agent
from taskloom.runners.dask.protocol.agent_io import Begun, ExecutionGone, ExecutionReported, Requested, StartChild
from taskloom.runners.dask.protocol.messages import Lease
from taskloom.runners.dask.protocol.placement import Placement
from taskloom.runners.dask.protocol.placement_io import (
    CancelRequested,
    Ended,
    FutureEnded,
    Input,
    PlaceRun,
    Replied,
    SendRequest,
    SubmitTask,
    Tick,
    Worker,
    WorkerJoined,
)

ADDRESS = "tcp://w1"


def count_calls(call: Callable[[], None]) -> int:
    """Return the number of Python and C functions that are called meanwhile."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    return count


class Cluster:
    """A placement and one agent on a network that loses nothing and takes no time."""

    def __init__(self) -> None:
        self.placement, self.agent = Placement("s", Lease()), Agent("s", "a1")
        self.ended = self.inputs = 0
        self.most_in_flight = self.in_flight = 0
        self.now = 0.0
        self.tell(WorkerJoined(Worker(ADDRESS, "w1", "host", 1, 10, frozenset({"work"}))))

    def tell(self, given: Input) -> None:
        self.inputs += 1
        self.now += 0.001
        for action in self.placement.handle(given, self.now):
            if isinstance(action, SubmitTask):
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                self.agent.handle(Begun(f"e-{action.run}", action.run, {}, Lease()), self.now)
                self.publish()
            elif isinstance(action, SendRequest):
                self.answer(action)
            elif isinstance(action, Ended):
                self.ended += 1
                self.in_flight -= 1

    def publish(self) -> None:
        reply = self.agent.publication(self.now)
        if reply is not None:
            self.tell(Replied(ADDRESS, 0, reply))

    def answer(self, sent: SendRequest) -> None:
        started = self.agent.handle(Requested(sent.request), self.now)
        self.tell(Replied(ADDRESS, sent.request.seq, self.agent.reply(self.now)))
        for action in started:
            if isinstance(action, StartChild):
                execution = action.execution
                self.agent.handle(ExecutionReported(execution, {"started": True}), self.now)
                self.agent.handle(ExecutionGone(execution), self.now)
                self.publish()
                self.tell(FutureEnded(execution.removeprefix("e-"), "ended"))


def play(runs: int) -> tuple[int, Cluster]:
    cluster = Cluster()

    def place_all() -> None:
        # All wait first: nothing ends while a worker that is full of other runs holds them up.
        for n in range(runs):
            cluster.tell(PlaceRun(f"r{n}", "job", "work", 1, {}))

    return count_calls(place_all), cluster


def test_a_thousand_runs_on_ten_slots_cost_ten_times_as_much_as_a_hundred() -> None:
    few, cluster = play(100)
    many, large = play(1000)

    assert (cluster.ended, large.ended) == (100, 1000)
    assert large.most_in_flight <= 10
    assert many / large.inputs < 1.2 * few / cluster.inputs


def test_an_input_costs_the_same_with_ten_thousand_runs_in_the_queue() -> None:
    def cost(waiting: int) -> int:
        placement = Placement("s", Lease())
        placement.handle(WorkerJoined(Worker(ADDRESS, "w1", "host", 1, 10, frozenset({"work"}))), 0.0)
        for n in range(waiting):
            placement.handle(PlaceRun(f"r{n}", "job", "work", 1, {}), 0.0)
        cancel = CancelRequested(f"r{waiting // 2}", Reason(ReasonKind.USER, "enough"))

        def some_inputs() -> None:
            placement.handle(cancel, 1.0)
            placement.handle(FutureEnded("r3", "unclaimed"), 1.0)
            placement.handle(PlaceRun("new", "job", "work", 1, {}), 1.0)
            placement.handle(Tick(), 2.0)

        return count_calls(some_inputs)

    assert cost(10_000) < 1.2 * cost(100)


def test_machines_with_nothing_to_do_have_no_deadline() -> None:
    _, cluster = play(50)
    while cluster.placement.next_deadline() < inf:
        cluster.now = max(cluster.now, cluster.placement.next_deadline())
        cluster.tell(Tick())
        assert cluster.placement.next_deadline() > cluster.now

    assert cluster.now < 11.0
    assert cluster.agent.next_deadline() < inf, "it waits for the session to come back, and is forgotten"
