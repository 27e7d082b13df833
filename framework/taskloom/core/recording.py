"""The wait for the record of an instant, before the run of a schedule that catches up starts.

If the program is killed, its next start makes up for the instants that are not recorded. So that no instant starts two
runs, it is recorded first. A record that does not come within RECORD_SECONDS, or fails, delays the run no longer: it
starts, and is marked `unrecorded`, because after a crash its instant may start another one.

A job that is stopped during the wait gets no run. Nor does an instant that is no longer wanted: it is missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from taskloom.core.actions import RecordInstant
from taskloom.core.deadlines import DeadlineKind
from taskloom.core.events import format_wall
from taskloom.core.inputs import InstantRecorded
from taskloom.core.model import THREAD, JobSpec, WaitingFor
from taskloom.core.records import DueInstant, FollowUp, JobRecord, Recording
from taskloom.core.store import JobStore
from taskloom.core.transitions import Decision

__all__ = ["RECORD_SECONDS", "InstantRecords", "drop_recording", "firing_data", "queued_data"]

# A commit takes milliseconds; one that takes longer than this may never come.
RECORD_SECONDS = 1.0


class _Queue(Protocol):
    def __call__(self, job: JobRecord, due: DueInstant, *, is_recorded: bool) -> None:
        """Queue a run of the job for an instant."""


class InstantRecords:
    """All jobs that wait for the record of an instant. `queue` begins a run."""

    def __init__(self, store: JobStore, queue: _Queue) -> None:
        self._store = store
        self._queue = queue
        self._late = DeadlineKind(
            lambda job: self._end(job, is_recorded=False),
            lambda when, job: job.recording is None or job.recording.until != when,
        )

    def begin(self, job: JobRecord, due: DueInstant) -> None:
        """Have the instant recorded. The job has no run."""
        store, until = self._store, self._store.now.mono + RECORD_SECONDS
        store.move(job, Decision.WAIT, WaitingFor.RECORD)
        store.set_follow_up(job, FollowUp.POLICY)
        job.reason, job.recording = None, Recording(due, until)
        store.deadlines.add(until, self._late, job)
        store.actions.append(RecordInstant(job.spec.name, due.wall))

    def answer(self, report: InstantRecorded) -> None:
        """Begin the run that waited for this record. An answer that comes late, or again, is dropped."""
        job = self._store.jobs.get(report.job)
        if job is not None and job.recording is not None and job.recording.due.wall == report.instant:
            self._end(job, is_recorded=report.is_recorded)

    def _end(self, job: JobRecord, *, is_recorded: bool) -> None:
        recording, job.recording = job.recording, None
        if recording is not None:
            self._queue(job, recording.due, is_recorded=is_recorded)


def drop_recording(store: JobStore, job: JobRecord, why: str) -> None:
    """Miss the instant whose record a job waits for, if it waits for one. The caller moves the job on."""
    recording, job.recording = job.recording, None
    if recording is not None:
        store.report_missed(job, recording.due.wall, 1, why)


def firing_data(due: DueInstant, *, is_recorded: bool = True) -> Mapping[str, Any]:
    """Return the data of the event of a run that starts for an instant."""
    data: dict[str, Any] = {"instant": format_wall(due.wall)}
    if due.is_made_up:
        data["made_up"] = True
    if not is_recorded:
        data["unrecorded"] = True
    return data


def queued_data(spec: JobSpec, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data of the event with what of the declaration holds for this run only: a reload may change it."""
    if spec.declared:
        data = {**data, "replica": spec.replica}
    return data if spec.runner.name == THREAD else {**data, "runner": spec.runner.name}
