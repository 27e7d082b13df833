"""The declaration of a job as JSON data and in words, for the verbs that show it and for the control API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from taskloom.core.model import JobSpec, Moment, StartMode
from taskloom.core.policies import Condition, Dependency, RestartPolicy, RestartWhen, Schedule
from taskloom.diagnostics import MASK
from taskloom.text import duration, finite

__all__ = ["format_restart", "format_start", "job_as_json", "schedule_lines"]

_INSTANTS = 3
_CONDITIONS = {
    Condition.STARTED: "has started",
    Condition.READY: "is ready",
    Condition.SUCCEEDED: "has succeeded",
    Condition.FINISHED: "has finished",
}
_WHEN = {RestartWhen.NEVER: "never", RestartWhen.ON_FAILURE: "on failure", RestartWhen.ALWAYS: "always"}


def job_as_json(job: JobSpec, now: Moment | None = None) -> dict[str, Any]:
    """Return a job as JSON data, durations in seconds. Values that may be secret are left out, such as its params.

    `now`: also describe its schedule in words, and give its next instants. That imports the code for it.
    """
    place = {} if job.place is None else {"path": job.place.path, "line": job.place.line}
    return {
        "name": job.name,
        "task": job.task,
        "description": job.description,
        "labels": list(job.labels),
        "enabled": job.enabled,
        "daemon": job.daemon,
        "poll_interval": job.poll_interval,
        "join": {"within": finite(job.join.within), "otherwise": job.join.otherwise.value},
        "start": {"mode": job.start.mode.value, "delay": job.start.delay_seconds},
        "schedule": None
        if job.schedule is None
        else {**_schedule_as_json(job.schedule), **_in_words(job.schedule, now)},
        "after": [{"job": dependency.job, "condition": dependency.condition.value} for dependency in job.after],
        "restart": _restart_as_json(job.restart),
        "timeout": job.timeout,
        "ready_within": job.ready_within,
        "watchdog": None if job.watchdog is None else {"after": job.watchdog.after, "then": job.watchdog.then.value},
        "essential": job.essential,
        "log": {"level": None if job.log.level is None else job.log.level.value, "file": _log_file(job)},
        "replicas": job.replicas,
        "runner": job.runner.name,
        "runner_options": _shown_options(job.runner.options),
        **place,
    }


def _shown_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a runner. Of environment variables only the names are shown."""
    env = options.get("env")
    return {**options, "env": dict.fromkeys(env, MASK)} if isinstance(env, Mapping) else dict(options)


def _log_file(job: JobSpec) -> str | bool | None:
    """Return the path of its log file; None for the one of the program, False for no file, as a job file has it."""
    return False if job.log.file is None else job.log.file or None


def _schedule_as_json(schedule: Schedule) -> dict[str, Any]:
    return {
        "text": schedule.text,
        "every": schedule.every,
        "timezone": getattr(schedule.calendar, "timezone", None),
        "jitter": schedule.jitter,
        "overlap": schedule.overlap.value,
        "missed": schedule.missed.value,
        "grace": schedule.grace,
        "immediately": schedule.immediately,
    }


def _in_words(schedule: Schedule, now: Moment | None) -> dict[str, Any]:
    if now is None:
        return {}
    from taskloom.calendars import describe_schedule, next_instants
    from taskloom.core.events import format_wall

    return {
        "words": describe_schedule(schedule),
        "next": [format_wall(instant) for instant in next_instants(schedule, now, _INSTANTS)],
    }


def _restart_as_json(restart: RestartPolicy) -> dict[str, Any]:
    limit = restart.limit
    return {
        "when": restart.when.value,
        "delay": restart.delay,
        "factor": restart.factor,
        "max_delay": restart.max_delay,
        "jitter": restart.jitter,
        "limit": None if limit is None else {"times": limit.times, "within": limit.within},
    }


def schedule_lines(job: JobSpec, now: Moment) -> Iterator[str]:
    """Yield the schedule of a job in words and its next start times; nothing for a job without a schedule."""
    if job.schedule is None:
        return
    from taskloom.calendars import describe_schedule, format_instant, fraction_digits, next_instants

    zone, digits = getattr(job.schedule.calendar, "timezone", None), fraction_digits(job.schedule)
    instants = [format_instant(instant, zone, digits) for instant in next_instants(job.schedule, now, _INSTANTS)]
    yield f"{job.name}: {describe_schedule(job.schedule)}"
    yield f"  next: {', '.join(instants) or 'never again'}"


def format_start(job: JobSpec) -> str:
    """Return when a job starts: `when db is ready, 5s later, then every 5m, drift-free; overlap skipped`."""
    delay = duration(job.start.delay_seconds) if job.start.delay_seconds else ""
    parts = []
    if job.start.mode is StartMode.MANUAL:
        parts.append("when it is started by hand")
    elif job.after:
        parts += [f"when {_all_of(job.after)}", *([f"{delay} later"] if delay else [])]
    elif delay:
        parts.append(f"{delay} after the start")
    if job.schedule is not None:
        from taskloom.calendars import describe_schedule

        parts.append(f"then {describe_schedule(job.schedule)}" if parts else describe_schedule(job.schedule))
    return ", ".join(parts) or "at the start"


def _all_of(dependencies: tuple[Dependency, ...]) -> str:
    *most, last = (f"{dependency.job} {_CONDITIONS[dependency.condition]}" for dependency in dependencies)
    return f"{', '.join(most)} and {last}" if most else last


def format_restart(restart: RestartPolicy) -> str:
    """Return a restart policy in words: `on failure, after 500ms, growing to 30s; at most 5 in 1m`."""
    if restart.when is RestartWhen.NEVER:
        return "never"
    text = f"{_WHEN[restart.when]}, after {duration(restart.delay)}"
    if restart.factor > 1 and restart.max_delay > restart.delay:
        text += f", growing to {duration(restart.max_delay)}"
    if restart.limit is not None:
        text += f"; at most {restart.limit.times} in {duration(restart.limit.within)}"
    return text
