"""The jobs that need attention: `taskloom status --check` fails for these."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.running_job import RUNNING

from taskloom.control.job_view import is_wrong
from taskloom.core.model import JobState, Reason, ReasonKind
from taskloom.scheduler import JobStatus


def wrong(**fields: Any) -> bool:
    return is_wrong(JobStatus(replace(RUNNING, **fields), 0.0, 0.0, True, {}, None))


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.BLOCKED])
def test_a_state_alone_is_fine(state: JobState) -> None:
    assert not wrong(state=state)


@pytest.mark.parametrize("flag", ["has_failed", "has_given_up", "is_overdue", "is_flapping", "is_unresponsive"])
def test_each_of_these_needs_attention(flag: str) -> None:
    assert wrong(**{flag: True})


def test_a_blocked_job_needs_attention() -> None:
    assert wrong(state=JobState.BLOCKED)


@every_case("kind", ReasonKind)
def test_a_skipped_job_needs_attention_if_it_is_for_a_dependency(kind: ReasonKind) -> None:
    assert wrong(state=JobState.SKIPPED, reason=Reason(kind)) is (kind is ReasonKind.DEPENDENCY)
    assert not wrong(state=JobState.FINISHED, reason=Reason(kind))
