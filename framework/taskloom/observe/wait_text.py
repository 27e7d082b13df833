"""The waits of jobs as log lines, for `taskloom run --verbose`."""

from __future__ import annotations

from math import isclose

from taskloom.core.model import Hold, JobState, WaitingFor
from taskloom.core.policies import RestartLimit, RestartPolicy
from taskloom.core.records import FollowUp
from taskloom.core.waits import RestartWait, Wait
from taskloom.observe.local_time import local_time
from taskloom.scheduler.failure_text import LogLine
from taskloom.text import duration, first_of, plural, printable

__all__ = ["WaitDescriber"]

# More conditions than these make a log line too long to read.
_MOST_CONDITIONS = 8
# Two readings of one deadline differ by less.
_SAME_SECONDS = 0.001
# An instant that is nearer has milliseconds.
_SOON_SECONDS = 10.0
# A firing that is nearer is told once in this time: some schedules fire ten times a second.
_FAST_SECONDS = 1.0
_FOLLOW_UPS = {
    FollowUp.FIRING: "its schedule has fired: the next run starts when this one has ended",
    FollowUp.RESTART: "it is restarted: the next run starts when this one has ended",
    FollowUp.REMOVAL: "it is removed when this run has ended",
}


class WaitDescriber:
    """Turns each wait into lines about what is new in it. Not thread-safe."""

    def __init__(self) -> None:
        # By job: what was told last.
        self._told: dict[str, Wait] = {}
        # By job: when its next firing was told last, in monotonic seconds.
        self._firing_told_at: dict[str, float] = {}

    def describe(self, wait: Wait) -> list[LogLine]:
        """Return the lines about a job, none if it waits for the same things as before."""
        before = self._told.get(wait.job)
        self._told[wait.job] = wait
        lines = [] if before is not None and _is_same(before, wait) else _state_lines(wait)
        if wait.hold is not (before.hold if before is not None else None):
            lines = [*_hold_lines(wait), *lines]
        fires_at = wait.fires_at
        is_new = fires_at is not None and not _is_close(fires_at, before.fires_at if before is not None else None)
        if fires_at is not None and is_new and not self._is_too_fast(wait, fires_at):
            self._firing_told_at[wait.job] = wait.at.mono
            instant, left = _due(wait, fires_at)
            lines.append(_line(f"next firing at {instant}, in {left} ({wait.schedule})", "firings were set"))
        return lines

    def forget(self, job: str) -> None:
        """Forget a job that was removed."""
        self._told.pop(job, None)
        self._firing_told_at.pop(job, None)

    def _is_too_fast(self, wait: Wait, fires_at: float) -> bool:
        told_at = self._firing_told_at.get(wait.job, float("-inf"))
        return fires_at - wait.at.mono < _FAST_SECONDS and wait.at.mono - told_at < _FAST_SECONDS


def _line(message: str, kind: str) -> LogLine:
    return LogLine(printable(message), "DEBUG", kind)


def _is_same(before: Wait, now: Wait) -> bool:
    """Return whether both say the same, apart from the next firing."""
    return _is_close(before.due_at, now.due_at) and _facts(before) == _facts(now)


def _facts(wait: Wait) -> tuple[object, ...]:
    is_at_gate = wait.due_at is not None and wait.due_at <= wait.at.mono
    return wait.state, wait.waiting_for, wait.conditions, wait.restart, _follow_up(wait), is_at_gate


def _is_close(a: float | None, b: float | None) -> bool:
    return a is b or (a is not None and b is not None and isclose(a, b, rel_tol=0.0, abs_tol=_SAME_SECONDS))


def _state_lines(wait: Wait) -> list[LogLine]:
    if wait.state is JobState.DISABLED:
        return [_line("does not start: it is disabled", "jobs were disabled")]
    follow_up = _follow_up(wait)
    if follow_up:
        return [_line(follow_up, "runs waited for the one before")]
    if wait.waiting_for is WaitingFor.START and wait.is_manual:
        return [_line("waiting to be started: its start is manual", "jobs waited to be started")]
    if wait.waiting_for is WaitingFor.REMOVAL:
        return [_line("waiting for the end of the runs that the reload stopped", "jobs waited for removed ones")]
    if wait.waiting_for is WaitingFor.RECORD:
        return [_line("waiting until the history has recorded its firing", "jobs waited for a record")]
    if wait.waiting_for is WaitingFor.DEPENDENCY and wait.conditions:
        conditions = first_of(wait.conditions, _MOST_CONDITIONS)
        return [_line(f"waiting for {conditions}", "jobs waited for others")]
    if wait.due_at is None:
        return []
    instant, left = _due(wait, wait.due_at)
    if wait.waiting_for is WaitingFor.DELAY:
        return [_line(f"waiting for its start delay: starts at {instant}, in {left}", "jobs waited for a delay")]
    if wait.due_at <= wait.at.mono:
        return [_line("its restart waits for those of other jobs: 200 begin per second", "restarts waited for others")]
    if wait.restart is not None:
        head = f"waiting to restart: attempt {wait.restart.attempt} at {instant}, in {left}"
        return [_line(f"{head} ({_why(wait.restart, wait.due_at - wait.at.mono)})", "jobs waited to restart")]
    return []


def _hold_lines(wait: Wait) -> list[LogLine]:
    if wait.hold is Hold.STOPPED:
        return [_line("stopped by a user: nothing starts it until it is started or resumed", "jobs were held")]
    if wait.hold is Hold.PAUSED:
        return [_line("paused: each firing is missed until it is resumed", "jobs were held")]
    return []


def _follow_up(wait: Wait) -> str:
    return _FOLLOW_UPS.get(wait.follow_up, "") if wait.state in (JobState.RUNNING, JobState.STOPPING) else ""


def _why(restart: RestartWait, seconds: float) -> str:
    """Return how the delay came about, and how many restarts there were in the window of the limit."""
    parts = [f"delay {duration(restart.delay, is_rounded=True)}{_growth(restart.policy)}"]
    jitter = seconds - restart.delay
    if jitter > _SAME_SECONDS:
        parts.append(f"jitter {duration(jitter, is_rounded=True)}")
    if restart.policy.limit is not None:
        parts.append(_window(restart.recent, restart.policy.limit))
    return "; ".join(parts)


def _growth(policy: RestartPolicy) -> str:
    is_constant = policy.factor == 1.0 or policy.delay >= policy.max_delay
    return "" if is_constant else f", growing to {duration(policy.max_delay)}"


def _window(recent: int, limit: RestartLimit) -> str:
    return f"{plural(recent, 'restart')} within {duration(limit.within)} so far, at most {limit.times}"


def _due(wait: Wait, mono: float) -> tuple[str, str]:
    """Return a monotonic second as local time, and how long it is until then."""
    left = max(0.0, mono - wait.at.mono)
    is_soon = left < _SOON_SECONDS
    return local_time(wait.at.wall + left, wait.at.wall, is_exact=is_soon), duration(left, is_rounded=True)
