"""The exit code of a whole shutdown."""

from __future__ import annotations

import signal

from tests.support.every_case import every_case
from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core.inputs import Shutdown
from taskloom.core.model import How, Reason, ReasonKind
from taskloom.core.report import ExitCode, StopReport, make_stop_report
from taskloom.testing import make_job

BY_INT = Reason(ReasonKind.SIGNAL, "INT", signal.SIGINT)


def stopped(reason: Reason, how: How = How.RETURNED) -> StopReport:
    """Run a job, let it end, and stop everything for this reason."""
    stage = HandDrivenCore()
    stage.add(make_job("a"))
    stage.run("a")
    stage.ended("a#1", how)
    stage.send(Shutdown(reason, 30.0))
    return make_stop_report(stage.lifecycle, stage.clock.now())


@every_case(
    ("reason", "code"),
    [
        (BY_INT, ExitCode.INTERRUPTED),
        (Reason(ReasonKind.SIGNAL, "Ctrl-C", signal.SIGINT), ExitCode.INTERRUPTED),
        (Reason(ReasonKind.SIGNAL, "TERM", signal.SIGTERM), ExitCode.FINE),
        (Reason(ReasonKind.SIGNAL, "INT"), ExitCode.FINE),
        (Reason(ReasonKind.SIGNAL, "PRINTER on fire"), ExitCode.FINE),
        (Reason(ReasonKind.SIGNAL, "SIGINT", signal.SIGTERM), ExitCode.FINE),
        (Reason(ReasonKind.SIGNAL, "", signal.SIGINT), ExitCode.INTERRUPTED),
        (Reason(ReasonKind.SHUTDOWN, "SIGINT", signal.SIGINT), ExitCode.FINE),
        (Reason(ReasonKind.USER, "INT"), ExitCode.FINE),
    ],
)
def test_the_number_of_the_signal_decides_whether_the_program_was_interrupted(reason: Reason, code: ExitCode) -> None:
    assert stopped(reason).exit_code is code


def test_a_failed_job_decides_the_exit_code_before_the_signal_does() -> None:
    assert stopped(BY_INT, How.RAISED).exit_code is ExitCode.FAILED


def test_the_number_of_the_signal_is_not_in_the_json_of_the_report() -> None:
    assert stopped(BY_INT).as_dict()["reason"] == {"kind": "signal", "text": "INT"}
