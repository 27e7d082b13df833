"""I9: a command is refused only for its own reason."""

from __future__ import annotations

from taskloom.core import inputs
from taskloom.errors import DependencyUnmet, SchedulerStopped, UsageError
from taskloom.invariants.lifecycle.dependencies import SATISFIED, dependency_state
from taskloom.invariants.lifecycle.model import Model

__all__ = ["check_refusal"]


def check_refusal(model: Model, command: inputs.Input, error: UsageError) -> None:
    """Report a command that was refused without a reason."""
    if isinstance(error, SchedulerStopped) and model.may_start_runs:
        model.report("I9", f"refused because the scheduler was stopped, but it was not: {command}")
    if not model.may_start_runs or not isinstance(command, inputs.StartJob | inputs.ArmJob | inputs.RestartJob):
        return
    job = model.jobs.get(command.job)
    if job is None or not job.spec.enabled or job.end_state == "disabled":
        return
    if isinstance(error, DependencyUnmet):
        is_patient = isinstance(command, inputs.StartJob) and not command.is_now
        if not is_patient or dependency_state(model, job) == SATISFIED:
            model.report("I11", f"a start was refused without a reason: {error}")
    elif job.run is None or (isinstance(command, inputs.RestartJob) and not job.is_blocked):
        model.report("I9", f"a start was refused without a reason: {error}")
