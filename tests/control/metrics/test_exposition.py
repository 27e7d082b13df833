"""The text of the metrics, read back by the parser of the library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from tests.support.every_case import every_case
from tests.support.metrics import families_of
from tests.support.running_job import RUNNING

from taskloom.control.action_record import HistoryStatus
from taskloom.control.metrics.exposition import Format, exposition
from taskloom.control.metrics.names import METRICS
from taskloom.control.program_info import ProgramInfo
from taskloom.control.totals import Totals
from taskloom.core.events import Event, EventName, format_wall
from taskloom.core.model import Hold, JobState, Outcome, Phase, Reason, ReasonKind
from taskloom.core.report import JobReport
from taskloom.runners.gauges import Progress
from taskloom.scheduler import JobStatus
from taskloom.scheduler.snapshots import Snapshot

PROGRAM = ProgramInfo("jobs", since=1_700_000_000.0)
REPORT = replace(RUNNING, task="server", runs=3, run="web#3")


def status_of(report: JobReport = REPORT, **fields: Any) -> JobStatus:
    values: dict[str, Any] = {"poll_age": None, "worst_gap": 0.0, "is_wakeable": True, "counts": {}, "progress": None}
    return JobStatus(report, **(values | fields))


HOOK = {"name": "webhook example.com", "reason": "", "sent": 3, "queued": 1, "lost": 2}


def text_of(
    *jobs: JobStatus,
    phase: Phase = Phase.OPEN,
    totals: Totals | None = None,
    history: HistoryStatus | None = None,
    receivers: Sequence[dict[str, Any]] = (),
    written_as: Format = Format.OPENMETRICS,
) -> str:
    snapshot = Snapshot(17, phase, None, list(jobs))
    status = history or HistoryStatus()
    return exposition(snapshot, totals or Totals(), PROGRAM, status, receivers=receivers, written_as=written_as)


def samples_of(text: str) -> dict[tuple[str, ...], float]:
    """Return each sample, by its name and the values of its labels but those of job and task."""
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name not in ("job", "task"))): (
            sample.value
        )
        for family in families_of(text).values()
        for sample in family.samples
    }


def with_everything() -> tuple[JobStatus, Totals]:
    """Return a job and totals for which every metric has a sample."""
    report = replace(
        REPORT,
        outcomes={"succeeded": 2, "failed": 1},
        restarts=4,
        missed=5,
        next_firing=1_700_000_500.0,
        has_failed=True,
        has_given_up=True,
        is_ready=True,
        is_flapping=True,
        is_unresponsive=True,
        is_overdue=True,
        holds={Hold.PAUSED: Reason(ReasonKind.USER)},
    )
    totals = Totals()
    job: dict[str, Any] = {"job": "web", "mono": 0.0}
    for event in (
        Event(1, 1010.0, event=EventName.QUEUED, data={"instant": format_wall(1008.0)}, **job),
        Event(2, 1010.5, event=EventName.STARTED, **job),
        Event(3, 1011.0, event=EventName.STOP_OVERDUE, **job),
        Event(5, 1012.0, event=EventName.ENDED, outcome=Outcome.SUCCEEDED, seconds=1.5, **job),
    ):
        totals.put(event)
    return status_of(report, poll_age=2.0, progress=Progress(1.0, 4.0, "files")), totals


def test_each_value_has_its_sample() -> None:
    job, totals = with_everything()

    samples = samples_of(text_of(job, totals=totals, history=HistoryStatus("degraded", dropped=9)))

    assert samples.pop(next(key for key in samples if key[0] == "taskloom_build_info")) == 1.0
    by_state = {key: value for key, value in samples.items() if "state" in key[0] or key[0] == "taskloom_jobs"}
    assert {key: value for key, value in by_state.items() if value} == {
        ("taskloom_jobs", "running"): 1.0,
        ("taskloom_job_state", "running"): 1.0,
    }
    assert len(by_state) == 2 * len(JobState)
    rest = {key: value for key, value in samples.items() if key not in by_state}
    expected: dict[tuple[str, ...], float] = {
        ("taskloom_start_time_seconds",): 1_700_000_000.0,
        ("taskloom_ready",): 1.0,
        ("taskloom_stopping",): 0.0,
        ("taskloom_events_total",): 17.0,
        ("taskloom_events_lost_total",): 1.0,
        ("taskloom_history_degraded",): 1.0,
        ("taskloom_history_rows_lost_total",): 9.0,
        ("taskloom_job_ready",): 1.0,
        ("taskloom_job_failed",): 1.0,
        ("taskloom_job_gave_up",): 1.0,
        ("taskloom_job_flapping",): 1.0,
        ("taskloom_job_unresponsive",): 1.0,
        ("taskloom_job_stop_overdue",): 1.0,
        ("taskloom_job_paused",): 1.0,
        ("taskloom_job_restarts_total",): 4.0,
        ("taskloom_job_missed_firings_total",): 5.0,
        ("taskloom_stop_timeouts_total",): 1.0,
        ("taskloom_run_duration_seconds_count",): 1.0,
        ("taskloom_run_duration_seconds_sum",): 1.5,
        ("taskloom_job_last_success_timestamp_seconds",): 1012.0,
        ("taskloom_schedule_lag_seconds",): 2.5,
        ("taskloom_job_next_firing_timestamp_seconds",): 1_700_000_500.0,
        ("taskloom_job_poll_age_seconds",): 2.0,
        ("taskloom_job_progress_ratio",): 0.25,
        **{("taskloom_job_runs_total", outcome.value): 0.0 for outcome in Outcome},
        ("taskloom_job_runs_total", "succeeded"): 2.0,
        ("taskloom_job_runs_total", "failed"): 1.0,
    }
    assert rest == expected


def test_the_families_are_those_of_the_table() -> None:
    job, totals = with_everything()

    families = families_of(text_of(job, totals=totals, history=HistoryStatus("on"), receivers=[HOOK]))

    assert list(families) == list(METRICS)
    for name, family in families.items():
        described = METRICS[name]
        assert (family.type, family.documentation, family.unit) == (described.kind, described.meaning, described.unit)
        assert {tuple(sorted(sample.labels)) for sample in family.samples} == {tuple(sorted(described.labels))}


def test_what_is_not_known_has_no_sample() -> None:
    families = families_of(
        text_of(status_of(), status_of(replace(REPORT, job="db"), progress=Progress(3.0, None, "lines")))
    )

    assert set(METRICS) - set(families) == {
        "taskloom_history_degraded",
        "taskloom_history_rows_lost",
        "taskloom_notifications_sent",
        "taskloom_notifications_queued",
        "taskloom_notifications_lost",
        "taskloom_job_last_success_timestamp_seconds",
        "taskloom_schedule_lag_seconds",
        "taskloom_job_next_firing_timestamp_seconds",
        "taskloom_job_poll_age_seconds",
        "taskloom_job_progress_ratio",
    }


def test_two_receivers_of_one_name_are_one_series() -> None:
    samples = samples_of(text_of(receivers=[HOOK, HOOK, {**HOOK, "name": "command tell"}]))

    assert {key[1:]: value for key, value in samples.items() if key[0] == "taskloom_notifications_lost_total"} == {
        ("webhook example.com",): 4.0,
        ("command tell",): 2.0,
    }


def test_no_run_is_a_label_and_no_series_says_when_it_was_created() -> None:
    job, totals = with_everything()
    text = text_of(job, totals=totals)

    assert "web#3" not in text
    assert "_created" not in text


@pytest.mark.parametrize("task", ['a "quoted" one', "back\\slash", "new\nline", "<lambda>", "é 😀", "} 1\n# EOF", ""])
def test_a_task_may_have_any_name(task: str) -> None:
    families = families_of(text_of(status_of(replace(REPORT, task=task))))

    assert {sample.labels["task"] for sample in families["taskloom_job_ready"].samples} == {task}


def written_by_the_library(text: str, generate: Callable[[CollectorRegistry], bytes]) -> str:
    """Return what a function of the library writes for the families that it reads in an OpenMetrics text."""

    class AsRead(Collector):
        def describe(self) -> Iterable[Metric]:
            return ()

        def collect(self) -> Iterable[Metric]:
            return families_of(text).values()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(AsRead())
    return generate(registry).decode()


@every_case("value", [0.0, -0.0, 1e-7, 0.1 + 0.2, 3e5, 1e6, 1234567.25, 1.5e21, 1.7e308])
def test_the_text_is_the_one_that_the_library_writes(value: float) -> None:
    job, totals = with_everything()
    hostile = status_of(
        replace(REPORT, job="b", task='" back\\slash\nnew line é 😀', next_firing=value),
        poll_age=value,
        progress=Progress(value, 3.0, "files"),
    )
    text, older = (
        text_of(job, hostile, totals=totals, history=HistoryStatus("on"), receivers=[HOOK], written_as=each)
        for each in Format
    )

    assert written_by_the_library(text, openmetrics.generate_latest) == text
    assert written_by_the_library(text, prometheus_client.generate_latest) == older


def test_a_program_without_jobs_and_one_that_stops() -> None:
    assert samples_of(text_of())[("taskloom_ready",)] == 1.0
    stopping = samples_of(text_of(phase=Phase.STOPPING))
    assert (stopping[("taskloom_ready",)], stopping[("taskloom_stopping",)]) == (0.0, 1.0)


def test_a_thousand_jobs() -> None:
    def jobs() -> Iterator[JobStatus]:
        for number in range(1000):
            yield status_of(replace(REPORT, job=f"job-{number}"), poll_age=0.0)

    families = families_of(text_of(*jobs()))

    assert len({sample.labels["job"] for sample in families["taskloom_job_state"].samples}) == 1000
    assert len(families["taskloom_job_runs"].samples) == 1000 * len(Outcome)


def test_the_content_types_are_ones_that_every_scraper_knows() -> None:
    assert [each.value for each in Format] == [
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "text/plain; version=0.0.4; charset=utf-8",
    ]
