"""Checks the steps of a history: first the input, then each action, then what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskloom.core import actions, inputs
from taskloom.core.events import Event
from taskloom.invariants.history import Step
from taskloom.invariants.lifecycle.actions import ActionRules, WorkFinishedRule
from taskloom.invariants.lifecycle.changeovers import Changeovers
from taskloom.invariants.lifecycle.commands import Commands, check_refusal
from taskloom.invariants.lifecycle.holds import Holds
from taskloom.invariants.lifecycle.job_events import JobEvents
from taskloom.invariants.lifecycle.lost_runs import LostRuns
from taskloom.invariants.lifecycle.model import Model
from taskloom.invariants.lifecycle.records import Records
from taskloom.invariants.lifecycle.reloads import Reloads
from taskloom.invariants.lifecycle.restarts import Restarts
from taskloom.invariants.lifecycle.run_ends import RunEnds
from taskloom.invariants.lifecycle.run_limits import RunLimits
from taskloom.invariants.lifecycle.schedules import Schedules
from taskloom.invariants.lifecycle.starts import Starts
from taskloom.invariants.lifecycle.stops import Stops
from taskloom.text import duration

__all__ = ["LifecycleInvariants"]


class LifecycleInvariants:
    """Checks a history step by step.

    `lateness`: how many seconds a tick may be late. `stop_within`: seconds for the shutdown that follows the failure
    of an essential job.
    """

    def __init__(self, lateness: float = 0.0, stop_within: float = 30.0) -> None:
        model = self._model = Model(lateness, stop_within)
        self.event_rules = model.event_rules
        """The rules that are checked from the events alone."""
        self.violations = model.violations
        """The violations so far, without those of the event rules."""
        restarts = self._restarts = Restarts(model)
        run_ends = RunEnds(model, restarts)
        schedules = self._schedules = Schedules(model, run_ends.expect_essential_shutdown)
        starts = self._starts = Starts(model, schedules)
        run_limits = RunLimits(model)
        stops = self._stops = Stops(model)
        action_rules = self._action_rules = ActionRules(model)
        work_finished = self._work_finished = WorkFinishedRule(model)
        records = Records(model, schedules, restarts)
        commands = Commands(model, starts, schedules, restarts, records)
        holds = Holds(model, schedules, run_ends, records)
        changeovers = Changeovers(model, starts)
        reloads = self._reloads = Reloads(
            model, starts, schedules, run_limits, commands, run_ends, changeovers, restarts, holds
        )
        lost_runs = LostRuns(model, run_ends, changeovers)
        job_events = JobEvents(
            model,
            commands,
            starts,
            schedules,
            restarts,
            run_ends,
            run_limits,
            stops,
            action_rules,
            changeovers,
            records,
            lost_runs,
        )
        self._input_handlers: dict[type, Callable[[Any], None]] = {
            inputs.AddJob: commands.add,
            inputs.AddJobs: commands.add_all,
            inputs.StartAll: commands.start_all,
            inputs.StartJob: commands.start,
            inputs.ArmJob: commands.arm,
            inputs.RestartJob: commands.restart,
            inputs.ResetJob: commands.reset,
            inputs.PauseJob: holds.pause,
            inputs.ResumeJob: holds.resume,
            inputs.StopJob: commands.stop,
            inputs.Reload: reloads.reload,
            inputs.HurryShutdown: lambda command: stops.hurry_shutdown(command.within),
            inputs.Tick: self._begin_tick,
            inputs.RunUnresponsive: run_limits.expect_unresponsive,
            inputs.RunResponsive: run_limits.expect_responsive,
            inputs.RunPlaced: lost_runs.expect_placed,
            inputs.RunUnreachable: lost_runs.expect_unreachable,
            inputs.RunReachable: lost_runs.expect_reachable,
            inputs.RunEnded: lost_runs.note_end,
            inputs.StackCaptured: stops.expect_decision,
            inputs.InstantRecorded: records.answer,
        }
        self._action_handlers: dict[type, Callable[[Any], None]] = {
            Event: job_events.check,
            actions.StartRun: action_rules.check_start_run,
            actions.CancelRun: action_rules.check_cancel_run,
            actions.MarkUrgent: stops.check_mark_urgent,
            actions.TerminateRun: stops.check_terminate_run,
            actions.CaptureStack: stops.check_capture_stack,
            actions.KillRun: stops.check_kill_run,
            actions.ReportStopProgress: stops.check_progress_report,
            actions.ReleaseRun: action_rules.check_release_run,
            actions.ApplySpec: reloads.check_apply_spec,
            actions.ForgetJob: reloads.check_forget_job,
            actions.RecordInstant: records.check_action,
            actions.WorkFinished: work_finished.record,
            actions.ShutdownFinished: action_rules.check_shutdown_finished,
        }

    @property
    def waits_for_ever(self) -> bool:
        """Return whether a shutdown without a deadline waits for a run that may take for ever, which is legal."""
        return self._stops.waits_for_ever

    def check_step(self, step: Step) -> None:
        """Check the next step."""
        model, message = self._model, step.message
        model.begin(step)
        if step.error is not None:
            check_refusal(model, message, step.error)
            return
        self._schedules.close_windows()
        if model.deadlines.is_any_due(model.now - model.lateness):
            self._report_missed_deadlines()
        input_handler = self._input_handlers.get(type(message))
        if input_handler is not None:
            input_handler(message)
        handlers = self._action_handlers
        for action in step.actions:
            handlers[type(action)](action)
        self._check_missing()

    def check_end(self) -> None:
        """Check the rules about the end of a history; it must have gone on until nothing more was due."""
        self._report_missed_deadlines()
        self.event_rules.check_end()
        self._action_rules.check_end()

    def _begin_tick(self, command: inputs.Tick) -> None:
        self._starts.begin_tick()
        self._schedules.begin_tick(command)

    def _report_missed_deadlines(self) -> None:
        """Report the deadlines before now whose event has not come, and keep them, as the event may still come."""
        model = self._model
        late = list(model.deadlines.pop_until(model.now - model.lateness))
        for (event, subject), due in late:
            of = f" of {subject}" if subject else ""
            model.report("I7", f"{event}{of} was due at {duration(due)}, it is {duration(model.now)}")
            model.deadlines.set((event, subject), due)

    def _check_missing(self) -> None:
        """Check that the step brought everything that it had to."""
        model = self._model
        if model.is_tick:
            self._schedules.end_tick()
            self._restarts.end_tick()
        if model.dependents_waiting or self._starts.may_wake:
            self._starts.check_step()
        if model.expected:
            model.check_fulfilled()
        self._action_rules.check_step()
        if not model.may_start_runs:
            if type(model.message) is inputs.HurryShutdown:
                self._stops.check_all_urgent()
            self._stops.check_progress()
        self._work_finished.count_changes()
        if type(model.message) is inputs.Reload:
            self._reloads.end_step()
        self._work_finished.check_step()
        model.changed.clear()
