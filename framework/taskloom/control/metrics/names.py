"""The metrics, by name: what each measures, and its labels. The exposition and the docs are made from this table.

A run id is never a label: each run would begin a time series that never ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["METRICS", "Described"]


class Described(NamedTuple):
    """One metric family. `name`: as OpenMetrics has it, so that a counter's samples end with `_total`."""

    name: str
    kind: str
    """`counter`, `gauge`, `info` or `summary`."""
    meaning: str
    labels: tuple[str, ...] = ()
    unit: str = ""


_JOB = ("job", "task")

METRICS: Mapping[str, Described] = {
    each.name: each
    for each in (
        Described("taskloom_build", "info", "The versions of Taskloom and Python.", ("version", "python")),
        Described(
            "taskloom_start_time_seconds",
            "gauge",
            "When the program started, in seconds since the epoch.",
            (),
            "seconds",
        ),
        Described("taskloom_ready", "gauge", "Whether the program is ready, as /readyz says."),
        Described("taskloom_stopping", "gauge", "Whether the program is being stopped."),
        Described("taskloom_jobs", "gauge", "How many jobs are in each state.", ("state",)),
        Described("taskloom_events", "counter", "How many events there were."),
        Described("taskloom_events_lost", "counter", "How many events were lost because they came too fast."),
        Described("taskloom_history_degraded", "gauge", "Whether the history cannot be written; the jobs run on."),
        Described("taskloom_history_rows_lost", "counter", "How many rows of the history were lost."),
        Described("taskloom_notifications_sent", "counter", "How many messages a receiver has taken.", ("receiver",)),
        Described("taskloom_notifications_queued", "gauge", "How many notifications wait for it.", ("receiver",)),
        Described("taskloom_notifications_lost", "counter", "How many could not be sent to it.", ("receiver",)),
        Described(
            "taskloom_job_state", "gauge", "1 for the state that the job has, 0 for the others.", (*_JOB, "state")
        ),
        Described("taskloom_job_ready", "gauge", "Whether the job has a run that is ready.", _JOB),
        Described("taskloom_job_failed", "gauge", "Whether the job failed for good: no restart is pending.", _JOB),
        Described(
            "taskloom_job_gave_up", "gauge", "Whether the job was restarted too often, and is not any more.", _JOB
        ),
        Described("taskloom_job_flapping", "gauge", "Whether the job restarts so often that something is wrong.", _JOB),
        Described(
            "taskloom_job_unresponsive", "gauge", "Whether its run has not polled for longer than allowed.", _JOB
        ),
        Described("taskloom_job_stop_overdue", "gauge", "Whether its run has outlived its join policy.", _JOB),
        Described("taskloom_job_paused", "gauge", "Whether a user has paused its schedule.", _JOB),
        Described("taskloom_job_runs", "counter", "How many runs have ended, by outcome.", (*_JOB, "outcome")),
        Described("taskloom_job_restarts", "counter", "How often its policy restarted the job.", _JOB),
        Described("taskloom_job_missed_firings", "counter", "How many instants of its schedule had no run.", _JOB),
        Described("taskloom_stop_timeouts", "counter", "How many runs outlived their join policy.", _JOB),
        Described(
            "taskloom_run_duration_seconds", "summary", "How long the runs took that have ended.", _JOB, "seconds"
        ),
        Described(
            "taskloom_job_last_success_timestamp_seconds",
            "gauge",
            "When the last run that succeeded ended; absent before the first since the start of the program.",
            _JOB,
            "seconds",
        ),
        Described(
            "taskloom_schedule_lag_seconds",
            "gauge",
            "How long after its instant the last firing started its run; absent before the first.",
            _JOB,
            "seconds",
        ),
        Described(
            "taskloom_job_next_firing_timestamp_seconds",
            "gauge",
            "When its schedule fires next; absent if it is not armed.",
            _JOB,
            "seconds",
        ),
        Described(
            "taskloom_job_poll_age_seconds",
            "gauge",
            "How long ago its run polled, to one second; absent without a run, or if that is unknown.",
            _JOB,
            "seconds",
        ),
        Described(
            "taskloom_job_progress_ratio",
            "gauge",
            "The share of its work that its run has done; absent if it does not report a total.",
            _JOB,
            "ratio",
        ),
    )
}
