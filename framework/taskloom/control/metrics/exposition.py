"""The text of the metrics, made of one snapshot at each scrape. Nothing is kept between two scrapes.

It is the text that the two `generate_latest` of prometheus-client make of the same samples, which a test compares. We
write it ourselves, as those functions look at each letter of each name again: for a thousand jobs it took ten times as
long.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from math import isfinite
from typing import Any

from prometheus_client.utils import floatToGoString

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

__all__ = ["Format", "exposition"]


class Format(Enum):
    """The formats; the value is the content type."""

    # Not the library's newest one: version 1.0.0 is what scrapers know.
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    """The older format of Prometheus, for scrapers that know no other."""


_PYTHON = platform.python_version()
_SUFFIXES = {"counter": "_total", "info": "_info"}
_STATES = tuple(state.value for state in JobState)
_OUTCOMES = tuple(outcome.value for outcome in Outcome)
_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

_write: Callable[[float], str] = floatToGoString  # the library has no types for it
# Most values are 0, 1 or a count that other jobs have, too. Small texts, so that the cache has some 200 KB at most.
_known = lru_cache(maxsize=2048)(_write)


def exposition(
    snapshot: Snapshot,
    totals: Totals,
    program: ProgramInfo,
    history: HistoryStatus,
    *,
    receivers: Sequence[Mapping[str, Any]] = (),
    written_as: Format = Format.OPENMETRICS,
) -> str:
    """Return all metrics. The snapshot has to have all jobs.

    `receivers`: how it goes with each receiver of notifications.
    """
    with paused_gc():  # many new objects, and none is garbage
        families = {name: _Family(each, written_as) for name, each in METRICS.items()}
        for name, labels, value in _program_values(snapshot, totals, program, history, receivers):
            families[name].add(labels, value)
        for status in snapshot.jobs:
            _add_job(families, status, totals)
        pieces = [piece for family in families.values() if family.lines for piece in (family.head, *family.lines)]
        return "".join([*pieces, "# EOF\n"] if written_as is Format.OPENMETRICS else pieces)


class _Family:
    """One metric family, as its lines."""

    def __init__(self, described: Described, written_as: Format) -> None:
        name, kind = described.name, described.kind
        unit = f"# UNIT {name} {described.unit}\n" if described.unit else ""
        self.sample = f"{name}{_SUFFIXES.get(kind, '')}"
        if written_as is Format.TEXT:  # it knows no units and no `info`, and names a family as its samples
            name, kind, unit = self.sample, "gauge" if kind == "info" else kind, ""
        self.head = f"# HELP {name} {described.meaning.translate(_ESCAPED)}\n# TYPE {name} {kind}\n{unit}"
        self.lines: list[str] = []
        self._labels = described.labels

    def add(self, values: tuple[str, ...], value: float) -> None:
        """Add a sample with the values of its labels, in the order of the table."""
        labels = ",".join(sorted(f'{name}="{_escaped(text)}"' for name, text in zip(self._labels, values, strict=True)))
        self.lines.append(
            f"{self.sample}{{{labels}}} {_number(value)}\n" if labels else f"{self.sample} {_number(value)}\n"
        )


def _add_job(families: Mapping[str, _Family], status: JobStatus, totals: Totals) -> None:
    """Add the samples of one job. Its labels are written once, and in the order of their names, as the library does."""
    report, own = status.report, totals.of(status.report.job)
    job, task = f'{{job="{_escaped(report.job)}"', f'task="{_escaped(report.task)}"}}'
    both = f"{job},{task}"
    for name, value in _job_values(status, totals).items():
        if value is not None and isfinite(value):
            family = families[name]
            family.lines.append(f"{family.sample}{both} {_number(value)}\n")
    states, state = families["taskloom_job_state"], report.state.value
    states.lines += [
        f'{states.sample}{job},state="{each}",{task} {"1.0" if each == state else "0.0"}\n' for each in _STATES
    ]
    runs, outcomes = families["taskloom_job_runs"], report.outcomes or {}
    runs.lines += [  # also those that never came: the first one is an increase, then
        f'{runs.sample}{job},outcome="{each}",{task} {_number(outcomes.get(each, 0))}\n' for each in _OUTCOMES
    ]
    durations = families["taskloom_run_duration_seconds"]
    durations.lines += [
        f"{durations.sample}_count{both} {_number(own.runs)}\n",
        f"{durations.sample}_sum{both} {_number(own.seconds)}\n",
    ]


def _program_values(
    snapshot: Snapshot,
    totals: Totals,
    program: ProgramInfo,
    history: HistoryStatus,
    receivers: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, tuple[str, ...], float]]:
    yield "taskloom_build", (__version__, _PYTHON), 1
    yield "taskloom_start_time_seconds", (), program.since
    yield "taskloom_ready", (), readiness(snapshot).is_ready
    yield "taskloom_stopping", (), snapshot.phase is not Phase.OPEN
    states = [status.report.state.value for status in snapshot.jobs]
    for state in _STATES:
        yield "taskloom_jobs", (state,), states.count(state)
    yield "taskloom_events", (), snapshot.seq
    yield "taskloom_events_lost", (), totals.lost
    if history.state != "off":
        yield "taskloom_history_degraded", (), history.state == "degraded"
        yield "taskloom_history_rows_lost", (), history.dropped
    # Two receivers may have one name, such as that of their host.
    sums: dict[tuple[str, str], int] = {}
    for each in receivers:
        for name in ("sent", "queued", "lost"):
            sums[name, each["name"]] = sums.get((name, each["name"]), 0) + each[name]
    for (name, receiver), value in sums.items():
        yield f"taskloom_notifications_{name}", (receiver,), value


def _job_values(status: JobStatus, all_totals: Totals) -> dict[str, float | None]:
    report, totals = status.report, all_totals.of(status.report.job)
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


def _number(value: float) -> str:
    return _known(value + 0.0)  # -0.0 is the same key as 0.0, and must not become the text of both


def _escaped(text: str) -> str:
    return text if text.isalnum() else text.translate(_ESCAPED)
