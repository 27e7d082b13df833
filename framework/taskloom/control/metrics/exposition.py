"""The text of the metrics, made of one snapshot at each scrape. Nothing is kept between two scrapes."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from taskloom import __version__
from taskloom.control.action_record import HistoryStatus
from taskloom.control.metrics.names import METRICS, Described
from taskloom.control.program_info import ProgramInfo
from taskloom.control.readiness import readiness
from taskloom.control.totals import Totals
from taskloom.core.model import JobState, Outcome, Phase
from taskloom.scheduler.handles import JobStatus
from taskloom.scheduler.snapshots import Snapshot
from taskloom.sync.gc_pause import paused_gc

__all__ = ["CONTENT_TYPE", "exposition"]

# Not the library's newest one: version 1.0.0 is what all scrapers know.
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_PYTHON = platform.python_version()
_SUFFIXES = {"counter": "_total", "info": "_info"}
_STATES = tuple(state.value for state in JobState)
_OUTCOMES = tuple(outcome.value for outcome in Outcome)

_Value = tuple[tuple[str, ...], float]


def exposition(
    snapshot: Snapshot,
    totals: Totals,
    program: ProgramInfo,
    history: HistoryStatus,
    *,
    receivers: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return all metrics as OpenMetrics. The snapshot has to have all jobs.

    `receivers`: how it goes with each receiver of notifications.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_AtOnce(snapshot, totals, program, history, receivers=receivers))
    with paused_gc():  # many new objects, and none is garbage
        generate: Callable[[CollectorRegistry], bytes] = generate_latest  # the library has no types for it
        return generate(registry).decode()


class _AtOnce(Collector):
    """The metrics of one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        totals: Totals,
        program: ProgramInfo,
        history: HistoryStatus,
        *,
        receivers: Sequence[Mapping[str, Any]],
    ) -> None:
        self._snapshot = snapshot
        self._totals = totals
        self._program = program
        self._history = history
        self._receivers = receivers

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the registry need not know the names beforehand, and must not collect for them."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield each family that has samples."""
        families = {name: _family(each) for name, each in METRICS.items()}
        for name, labels, value in self._values():
            _add(families[name], METRICS[name], labels, value)
        for status in self._snapshot.jobs:
            self._add_duration(families["taskloom_run_duration_seconds"], status)
        yield from (family for family in families.values() if family.samples)

    def _values(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        yield from self._program_values()
        for status in self._snapshot.jobs:
            report = status.report
            job = (report.job, report.task)
            for name, value in self._job_values(status).items():
                if value is not None and isfinite(value):
                    yield name, job, value
            for state in _STATES:
                yield "taskloom_job_state", (*job, state), report.state.value == state
            outcomes = report.outcomes or {}
            for outcome in _OUTCOMES:  # also those that never came: the first one is an increase, then
                yield "taskloom_job_runs", (*job, outcome), outcomes.get(outcome, 0)

    def _program_values(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        snapshot, history = self._snapshot, self._history
        yield "taskloom_build", (__version__, _PYTHON), 1
        yield "taskloom_start_time_seconds", (), self._program.since
        yield "taskloom_ready", (), readiness(snapshot).is_ready
        yield "taskloom_stopping", (), snapshot.phase is not Phase.OPEN
        states = [status.report.state.value for status in snapshot.jobs]
        for state in _STATES:
            yield "taskloom_jobs", (state,), states.count(state)
        yield "taskloom_events", (), snapshot.seq
        yield "taskloom_events_lost", (), self._totals.lost
        if history.state != "off":
            yield "taskloom_history_degraded", (), history.state == "degraded"
            yield "taskloom_history_rows_lost", (), history.dropped
        # Two receivers may have one name, such as that of their host.
        sums: dict[tuple[str, str], int] = {}
        for each in self._receivers:
            for name in ("sent", "queued", "lost"):
                sums[name, each["name"]] = sums.get((name, each["name"]), 0) + each[name]
        for (name, receiver), value in sums.items():
            yield f"taskloom_notifications_{name}", (receiver,), value

    def _job_values(self, status: JobStatus) -> dict[str, float | None]:
        report, totals = status.report, self._totals.of(status.report.job)
        progress = status.progress
        total = progress.total if progress is not None else None
        return {
            "taskloom_job_ready": report.is_ready,
            "taskloom_job_failed": report.has_failed,
            "taskloom_job_gave_up": report.has_given_up,
            "taskloom_job_flapping": report.is_flapping,
            "taskloom_job_unresponsive": report.is_unresponsive,
            "taskloom_job_stop_overdue": report.is_overdue,
            "taskloom_job_paused": report.is_paused,
            "taskloom_job_restarts": report.restarts,
            "taskloom_job_missed_firings": report.missed,
            "taskloom_stop_timeouts": totals.stop_timeouts,
            "taskloom_job_last_success_timestamp_seconds": totals.last_success,
            "taskloom_schedule_lag_seconds": totals.lag,
            "taskloom_job_next_firing_timestamp_seconds": report.next_firing,
            "taskloom_job_poll_age_seconds": status.poll_age,
            "taskloom_job_progress_ratio": progress.done / total if progress is not None and total else None,
        }

    def _add_duration(self, family: Metric, status: JobStatus) -> None:
        totals = self._totals.of(status.report.job)
        labels = {"job": status.report.job, "task": status.report.task}
        family.samples.append(Sample(f"{family.name}_count", labels, totals.runs))
        family.samples.append(Sample(f"{family.name}_sum", labels, totals.seconds))


def _family(described: Described) -> Metric:
    return Metric(described.name, described.meaning, described.kind, described.unit)


def _add(family: Metric, described: Described, labels: tuple[str, ...], value: float) -> None:
    name = f"{family.name}{_SUFFIXES.get(described.kind, '')}"
    family.samples.append(Sample(name, dict(zip(described.labels, labels, strict=True)), value))
