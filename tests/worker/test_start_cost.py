"""A worker imports next to nothing: its start is most of the cost of a run in a process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support import light_task
from tests.support.driven_worker import DrivenWorker, spec_for

from taskloom.runners.wire import Ended

HEAVY = {
    "asyncio", "click", "logging", "pydantic", "queue", "rich", "select", "stevedore", "subprocess", "taskloom.catalog",
    "taskloom.core.model", "taskloom.core.policies", "taskloom.jobfile", "taskloom.scheduler", "traceback", "yaml",
}  # fmt: skip


def test_a_worker_imports_nothing_heavy(child_env: dict[str, str]) -> None:
    program = "import sys, taskloom.task, taskloom.worker.worker; print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], env=child_env, capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 0
    assert HEAVY & set(done.stdout.split()) == set()


@pytest.mark.long
def test_neither_does_its_run(child_env: dict[str, str]) -> None:
    with DrivenWorker(child_env, spec_for(light_task.prints_modules, values={})) as worker:
        assert len(worker.all(Ended)) == 1
        out, err, _ = worker.output()

    assert err == ""
    assert HEAVY & set(out.split()) == set()
