"""The machine in a worker process: each rule by itself."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from taskloom.core.endings import Reason, ReasonKind
from taskloom.runners.dask.protocol.agent import Agent
from taskloom.runners.dask.protocol.agent_io import (
    Action,
    Begun,
    Closing,
    CommandChild,
    ExecutionGone,
    ExecutionReported,
    Forget,
    KillChild,
    Publish,
    ReleaseCaller,
    RenewChild,
    Requested,
    StartChild,
    Tick,
    Withdrawn,
)
from taskloom.runners.dask.protocol.messages import Command, CommandKind, Lease, Request

LEASE = Lease(ttl=20.0, grace=10.0, period=5.0, claim_wait=30.0)
CANCEL = Command(CommandKind.CANCEL, "e1", Reason(ReasonKind.USER, "enough"))
GRANT, DENY, KILL = (Command(kind, "e1") for kind in (CommandKind.GRANT, CommandKind.DENY, CommandKind.KILL))


class Driven:
    """An agent, and requests that are right unless a test says otherwise. Its clock begins at 1000."""

    def __init__(self) -> None:
        self.agent = Agent("s", "a1")
        self.seq = 0
        self.now = 1000.0

    def give(self, given: Any, at: float | None = None) -> list[Action]:
        self.now = self.now if at is None else at
        return self.agent.handle(given, self.now)

    def request(self, *commands: Command, **changed: Any) -> list[Action]:
        self.seq = changed.get("seq", self.seq + 1)
        at = changed.pop("at", self.now)
        request = Request("s", self.seq, "a1", at, LEASE, 0, ("e1",), commands)
        return self.give(Requested(request._replace(**changed)), at)

    def begin(self, execution: str = "e1") -> list[Action]:
        return self.give(Begun(execution, "r1", {"x": 1}, LEASE))

    def started(self) -> Driven:
        self.begin()
        self.request(GRANT)
        return self

    def entries(self) -> list[tuple[str, Any]]:
        return [(entry.kind, entry.data) for entry in self.agent.reply(self.now).entries]

    def phase(self) -> str | None:
        return self.agent.reply(self.now).executions.get("e1")


def test_an_execution_claims_its_run() -> None:
    driven = Driven()

    assert driven.begin() == [Publish()]
    assert driven.entries() == [("claim", {"run": "r1"})]
    assert driven.phase() == "claiming"
    assert driven.begin() == []


def test_a_grant_starts_an_execution_once() -> None:
    driven = Driven()
    driven.begin()

    assert driven.request(GRANT) == [StartChild("e1", {"x": 1}, 1020.0, 10.0)]
    assert driven.phase() == "starting"
    assert driven.request(GRANT, at=1001.0) == [RenewChild("e1", 1021.0, 10.0)]
    assert driven.agent.next_deadline() == 1021.0


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"stamp": None}, "no lease"),
        ({"stamp": 979.0}, "an old stamp"),
        ({"stamp": 980.0}, "a lease that ends now"),
        ({"agent": "a0"}, "another agent is meant"),
        ({"session": "t"}, "another session"),
    ],
)
def test_a_grant_without_a_lease_starts_nothing(changed: dict[str, Any], why: str) -> None:
    driven = Driven()
    driven.begin()

    assert driven.request(GRANT, **changed) == [], why
    assert driven.phase() == "claiming"


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (DENY, "denied"), (CANCEL, "cancelled"), (KILL, "cancelled"), (Withdrawn("e1"), "cancelled"),
        (Closing("retired"), "closing"),
    ],
)  # fmt: skip
def test_a_claim_that_is_refused_never_starts(given: Any, verdict: str) -> None:
    driven = Driven()
    driven.begin()

    actions = driven.request(given) if isinstance(given, Command) else driven.give(given)

    assert actions == [ReleaseCaller("e1", verdict), Publish()]
    assert driven.entries()[-1] == ("left", {"why": verdict})
    assert driven.phase() is None
    assert driven.request(GRANT) == []


def test_a_claim_that_is_not_answered_gives_its_slot_back() -> None:
    driven = Driven()
    driven.begin()

    assert driven.agent.next_deadline() == 1030.0
    assert driven.give(Tick(), 1029.9) == []
    assert driven.give(Tick(), 1030.0) == [ReleaseCaller("e1", "unclaimed"), Publish()]
    assert driven.request(GRANT) == []


@pytest.mark.parametrize("given", [DENY, Withdrawn("e1")])
def test_a_granted_execution_is_neither_denied_nor_withdrawn(given: Any) -> None:
    driven = Driven().started()

    actions = driven.request(given) if isinstance(given, Command) else driven.give(given)

    assert not any(isinstance(action, ReleaseCaller | KillChild) for action in actions)
    assert driven.phase() == "starting"


def test_reports_are_entries_and_the_caller_is_released_last() -> None:
    driven = Driven().started()

    assert driven.give(ExecutionReported("e1", {"started": True})) == [Publish()]
    assert driven.phase() == "running"
    assert driven.give(ExecutionReported("e1", {"ended": {}})) == [Publish()]
    assert driven.give(ExecutionGone("e1")) == [ReleaseCaller("e1", "ended"), Publish()]
    assert driven.entries()[1:] == [("report", {"started": True}), ("report", {"ended": {}}), ("gone", {})]
    assert driven.give(ExecutionReported("e1", {"log": {}})) == []
    assert driven.give(ExecutionGone("e1")) == []


def test_what_was_never_granted_cannot_report() -> None:
    driven = Driven()
    driven.begin()

    assert driven.give(ExecutionReported("e1", {"started": True})) == []
    assert driven.give(ExecutionGone("e1")) == []
    assert driven.phase() == "claiming"


def test_commands_are_passed_on() -> None:
    driven = Driven().started()
    commands = [CANCEL, *(Command(kind, "e1", None, 3.0) for kind in ("urgent", "poll_interval", "terminate", "stack"))]

    actions = driven.request(*commands, Command(CommandKind.URGENT, "e2"))

    assert actions == [CommandChild(command) for command in commands]
    assert driven.phase() == "ending"


def test_commands_that_are_repeated_are_passed_on_once() -> None:
    driven = Driven().started()
    once = [CANCEL, Command(CommandKind.URGENT, "e1"), Command(CommandKind.TERMINATE, "e1"), KILL]
    driven.request(*once)

    assert driven.request(*once, stamp=None) == []


def test_a_kill_kills() -> None:
    driven = Driven().started()

    assert driven.request(KILL, stamp=None) == [KillChild("e1", "")]
    assert driven.phase() == "ending"


def test_a_signal_arrives_once_whatever_the_network_does() -> None:
    driven = Driven().started()
    signal = Command(CommandKind.SIGNAL, "e1", None, 10.0)

    assert driven.request(seq=5, stamp=None) == []
    assert driven.request(signal, seq=4, stamp=None) == [CommandChild(signal)], "overtaken, but not repeated by another"
    assert driven.request(signal, seq=4, stamp=None) == []
    for seq in range(6, 100):
        driven.request(seq=seq, stamp=None)
    assert driven.request(signal, seq=4, stamp=None) == [], "too long ago to be known"


def test_an_overtaken_request_commands_and_stops_nothing() -> None:
    driven = Driven().started()
    driven.request(seq=9)

    assert driven.request(CANCEL, seq=8, expected=(), stamp=None) == []


def test_what_the_program_no_longer_expects_is_stopped() -> None:
    driven = Driven().started()
    why = "the program no longer expects it"

    actions = driven.request(at=1005.0, expected=("e2",))

    assert actions == [
        CommandChild(Command(CommandKind.CANCEL, "e1", Reason(ReasonKind.SHUTDOWN, why))),
        CommandChild(Command(CommandKind.URGENT, "e1")),
    ]
    assert driven.request(at=1010.0) == [], "it is not renewed, even if it is expected again"
    assert driven.give(Tick(), 1014.9) == []
    assert driven.give(Tick(), 1015.0) == [KillChild("e1", why)]


def test_a_request_that_does_not_say_what_is_expected_stops_nothing() -> None:
    assert Driven().started().request(expected=None, stamp=None) == []


def test_the_request_of_the_grant_itself_stops_nothing() -> None:
    driven = Driven()
    driven.begin()

    driven.request(GRANT, expected=())

    assert driven.phase() == "starting"


def test_a_claim_is_not_stopped_by_the_list() -> None:
    driven = Driven()
    driven.begin()
    driven.request(expected=())

    assert driven.phase() == "claiming"


def test_the_lease_ends_ttl_after_the_latest_stamp() -> None:
    driven = Driven().started()
    driven.request(at=1008.0, stamp=1006.0)
    driven.request(at=1009.0, stamp=1003.0)

    assert driven.give(Tick(), 1025.9) == []
    why = "the lease has ended: nothing was heard of the program for 20s"
    assert driven.give(Tick(), 1026.0) == [
        CommandChild(Command(CommandKind.CANCEL, "e1", Reason(ReasonKind.SHUTDOWN, why))),
        CommandChild(Command(CommandKind.URGENT, "e1")),
    ]
    assert driven.request(at=1027.0) == [], "a lease that comes later does not save it"
    assert driven.agent.next_deadline() == 1036.0
    assert driven.give(Tick(), 1036.0) == [KillChild("e1", why)]


def test_a_late_tick_kills_at_the_end_of_the_lease_and_the_grace() -> None:
    driven = Driven().started()

    driven.give(Tick(), 1025.0)

    assert driven.agent.next_deadline() == 1030.0
    assert [type(action) for action in driven.give(Tick(), 1030.0)] == [KillChild]


def test_a_request_after_the_end_of_the_lease_comes_too_late() -> None:
    driven = Driven().started()

    actions = driven.request(at=1021.0)

    assert [type(action) for action in actions] == [CommandChild, CommandChild]


def test_an_execution_that_the_program_has_cancelled_keeps_its_lease() -> None:
    driven = Driven().started()
    driven.request(CANCEL)

    assert driven.request(at=1005.0) == [RenewChild("e1", 1025.0, 10.0)]


def test_a_worker_that_closes_stops_all_and_takes_nothing_new() -> None:
    driven = Driven().started()

    actions = driven.give(Closing("retired"), 1004.0)

    reason = Reason(ReasonKind.SHUTDOWN, "the worker is closing: retired")
    assert actions == [
        CommandChild(Command(CommandKind.CANCEL, "e1", reason)), CommandChild(Command(CommandKind.URGENT, "e1")),
    ]  # fmt: skip
    assert driven.agent.next_deadline() == 1014.0
    assert driven.begin("e2") == [ReleaseCaller("e2", "closing")]
    assert driven.give(Closing(""), 1005.0) == []
    assert driven.agent.next_deadline() == 1014.0


def test_closing_does_not_extend_the_life_beyond_the_lease() -> None:
    driven = Driven().started()
    driven.give(Tick(), 1020.0)

    driven.give(Closing("retired"), 1024.0)

    assert driven.agent.next_deadline() == 1030.0


def test_an_agent_without_executions_is_forgotten_when_the_session_does_not_come_back() -> None:
    driven = Driven().started()
    driven.give(ExecutionGone("e1"), 1003.0)

    assert driven.give(Tick(), 1020.0) == []
    assert driven.agent.next_deadline() == 1020.0 + 40.0
    driven.request(at=1059.0)
    assert driven.give(Tick(), 1060.0) == []
    assert driven.give(Tick(), 1119.0) == [Forget()]
    assert driven.agent.next_deadline() == inf


def test_an_agent_is_not_forgotten_while_an_execution_is_left() -> None:
    driven = Driven().started()
    driven.give(Tick(), 1030.0)

    assert driven.give(Tick(), 2000.0) == []
    assert driven.give(ExecutionGone("e1"), 2001.0) == [ReleaseCaller("e1", "ended"), Publish()]


def test_a_claim_keeps_an_agent_from_being_forgotten() -> None:
    driven = Driven()
    driven.request(at=1000.0)
    driven.give(Begun("e1", "r1", {}, LEASE), 1050.0)

    assert driven.give(Tick(), 1070.0) == []
    assert driven.phase() == "claiming"


def test_publications_have_the_new_entries_only() -> None:
    driven = Driven().started()
    first = driven.agent.publication(1001.0)
    driven.give(ExecutionReported("e1", {"started": True}))
    second = driven.agent.publication(1002.0)

    assert first is not None
    assert second is not None
    assert [(reply.after, [entry.number for entry in reply.entries]) for reply in (first, second)] == [
        (0, [1]),
        (1, [2]),
    ]
    assert driven.agent.publication(1003.0) is None
    assert (second.session, second.agent, second.stamp, second.last) == ("s", "a1", 1002.0, 2)


def test_entries_come_again_until_they_are_acknowledged() -> None:
    driven = Driven().started()
    driven.give(ExecutionReported("e1", {"started": True}))

    driven.request(acknowledged=1)
    assert [entry.number for entry in driven.agent.reply(1000.0).entries] == [2]
    driven.request(acknowledged=0)
    assert driven.agent.reply(1000.0).after == 1
    driven.request(acknowledged=2)
    assert driven.agent.reply(1000.0).entries == ()
    driven.request(acknowledged=99)
    assert driven.agent.reply(1000.0).after == 2
