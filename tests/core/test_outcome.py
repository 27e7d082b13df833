from __future__ import annotations

from itertools import product

import pytest
from tests.support.every_case import every_case

from taskloom.core.inputs import RunEnded
from taskloom.core.model import ErrorInfo, How, Outcome, Reason, ReasonKind
from taskloom.core.outcome import decide_outcome

ERROR = ErrorInfo("ValueError", "bad", "Traceback")

ASKED = [kind for kind in ReasonKind if kind not in (ReasonKind.DEADLINE, ReasonKind.WATCHDOG)]


def report(how: How, was_woken: bool = False) -> RunEnded:
    has_error = how in (How.RAISED, How.PERMANENT, How.KILLED, How.LOST)
    return RunEnded("a#1", how, ERROR if has_error else None, was_requested=True, callback_ran=was_woken)


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        (How.RETURNED, Outcome.SUCCEEDED),
        (How.RAISED, Outcome.FAILED),
        (How.PERMANENT, Outcome.FAILED),
        (How.CANCELLED, Outcome.FAILED),
        (How.NOT_ENTERED, Outcome.CANCELLED),
        (How.KILLED, Outcome.FAILED),
        (How.LOST, Outcome.LOST),
    ],
)
def test_without_a_request_to_stop_the_body_decides(how: How, outcome: Outcome) -> None:
    assert decide_outcome(report(how), None)[0] is outcome


BY_ITSELF = [how for how in How if how not in (How.KILLED, How.LOST)]


@every_case(("kind", "how"), [*product(ASKED, BY_ITSELF)], ids=lambda value: value.value)
def test_after_a_request_to_stop_it_is_cancelled_unless_it_failed_by_itself(kind: ReasonKind, how: How) -> None:
    failed_alone = how in (How.RAISED, How.PERMANENT)

    outcome, error = decide_outcome(report(how), Reason(kind))

    assert outcome is (Outcome.FAILED if failed_alone else Outcome.CANCELLED)
    assert error is (ERROR if failed_alone else None)


@pytest.mark.parametrize("how", [How.RAISED, How.PERMANENT])
def test_an_error_that_the_wake_up_may_have_caused_is_kept_beside_cancelled(how: How) -> None:
    assert decide_outcome(report(how, was_woken=True), Reason(ReasonKind.USER)) == (Outcome.CANCELLED, ERROR)


@every_case("was_woken", [False, True], ids=["not woken", "woken"])
@every_case("how", [How.RETURNED, How.CANCELLED, How.RAISED, How.PERMANENT, How.KILLED])
def test_the_first_cause_decides_however_the_body_ended(how: How, was_woken: bool) -> None:
    ended = report(how, was_woken)

    assert decide_outcome(ended, Reason(ReasonKind.DEADLINE))[0] is Outcome.TIMED_OUT
    assert decide_outcome(ended, Reason(ReasonKind.WATCHDOG))[0] is Outcome.FAILED


@every_case("was_woken", [False, True], ids=["not woken", "woken"])
@every_case("kind", ASKED)
def test_a_run_that_the_stop_killed_is_cancelled_and_says_how(kind: ReasonKind, was_woken: bool) -> None:
    assert decide_outcome(report(How.KILLED, was_woken), Reason(kind)) == (Outcome.CANCELLED, ERROR)


@every_case("kind", [None, *ReasonKind])
def test_a_run_that_its_runner_lost_is_lost_whatever_was_requested(kind: ReasonKind | None) -> None:
    assert decide_outcome(report(How.LOST), Reason(kind) if kind else None) == (Outcome.LOST, ERROR)


@every_case("kind", [*ReasonKind])
def test_a_run_whose_body_was_not_called_is_cancelled_unless_it_was_stopped_for_a_limit(kind: ReasonKind) -> None:
    late = {ReasonKind.DEADLINE: Outcome.TIMED_OUT, ReasonKind.WATCHDOG: Outcome.FAILED}

    assert decide_outcome(report(How.NOT_ENTERED), Reason(kind)) == (late.get(kind, Outcome.CANCELLED), None)


def test_a_timeout_error_of_the_task_itself_is_a_failure_like_any_other() -> None:
    own = RunEnded(
        "a#1", How.RAISED, ErrorInfo("TimeoutError", "peer", "Traceback"), was_requested=False, callback_ran=False
    )

    assert decide_outcome(own, None) == (Outcome.FAILED, own.error)
