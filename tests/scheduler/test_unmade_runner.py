"""A runner that is installed and cannot be made: the run says why, not that there is no such runner."""

from __future__ import annotations

import pytest

from taskloom import Job, Scheduler
from taskloom.core.model import Outcome
from taskloom.runners.process import ProcessRunner

SOON = 20.0


def test_a_run_says_why_its_runner_could_not_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: ProcessRunner) -> None:
        raise OSError("no connection to the cluster")

    monkeypatch.setattr(ProcessRunner, "__init__", refuse)
    with Scheduler(log=False) as scheduler:
        job = scheduler.add(Job(name="a", task="countdown", runner="process"))
        run = job.start()
        assert run.join(SOON)

    assert run.outcome is Outcome.START_FAILED
    assert str(run.error) == "OSError: no connection to the cluster"
