"""The public names of the package: all there, and imported only when they are used."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from tests.support.every_case import every_case

import taskloom
from taskloom import EventName, JobState, Outcome, Reason, ReasonKind, Scheduler
from taskloom.core.model import Phase, WaitingFor
from taskloom.core.policies import Condition, Otherwise

ENUMS = [Outcome, JobState, ReasonKind, EventName, Phase, WaitingFor, Condition, Otherwise]


@every_case("name", taskloom.__all__)
def test_each_public_name_is_what_its_module_defines(name: str) -> None:
    assert getattr(taskloom, name).__name__ == name or name in ("Duration", "Signal", "param")
    assert name in dir(taskloom)


@pytest.mark.parametrize("name", ["Run", "JobHandle", "JobStatus", "Listener", "ErrorInfo", "Change"])
def test_what_the_scheduler_returns_is_public(name: str) -> None:
    assert name in taskloom.__all__
    assert isinstance(getattr(taskloom, name), type)


def test_the_import_of_the_package_imports_nothing_else_of_it() -> None:
    program = "import sys; before = set(sys.modules); import taskloom; print(sorted(set(sys.modules) - before))"

    answer = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)

    found = [name for name in eval(answer.stdout) if name.startswith("taskloom")]
    assert found == ["taskloom"]


# -- enums are texts


@every_case("owner", ENUMS, ids=lambda owner: owner.__name__)
def test_a_member_is_its_value(owner: Any) -> None:
    for member in owner:
        assert member == member.value
        assert str(member) == f"{member}" == member.value
        assert {member.value: 1}[member] == 1
        assert json.loads(json.dumps({member: member})) == {member.value: member.value}
        assert owner(member.value) is member
        assert pickle.loads(pickle.dumps(member)) is member
        assert repr(member) == f"<{owner.__name__}.{member.name}: {member.value!r}>"


def test_an_outcome_may_be_compared_with_its_text() -> None:
    outcome: Outcome | None = Outcome("cancelled")

    assert outcome == "cancelled"
    assert outcome != "failed"
    assert outcome in ("failed", "cancelled")
    assert str(Reason(ReasonKind.USER, "enough")) == "user: enough"


def test_the_kind_of_a_reason_may_be_its_text() -> None:
    scheduler = Scheduler()

    report = scheduler.stop(reason=Reason("signal", "TERM", 15))  # type: ignore[arg-type]

    assert report.reason.kind is ReasonKind.SIGNAL
    assert scheduler.stop_reason == Reason(ReasonKind.SIGNAL, "TERM", 15)


def test_a_reason_of_an_unknown_kind_is_refused_and_stops_nothing() -> None:
    with Scheduler() as scheduler:
        with pytest.raises(ValueError, match="'boredom' is not a valid ReasonKind"):
            scheduler.stop(reason=Reason("boredom"))  # type: ignore[arg-type]

        assert scheduler.stop_reason is None
