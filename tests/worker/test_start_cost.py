"""A worker imports next to nothing: its start is most of the cost of a run in a process."""

from __future__ import annotations

import importlib.util
import marshal
import subprocess
import sys

import pytest
from tests.support import light_task
from tests.support.driven_worker import DrivenWorker, spec_for

import taskloom.sync.latch
from taskloom.runners.process.compiled import WORKER_MODULES, worker_code
from taskloom.runners.wire import Ended
from taskloom.worker.__main__ import SentModules

HEAVY = {
    "asyncio", "click", "logging", "pydantic", "queue", "rich", "select", "stevedore", "subprocess", "taskloom.catalog",
    "taskloom.core.model", "taskloom.core.policies", "taskloom.jobfile", "taskloom.scheduler", "traceback", "yaml",
}  # fmt: skip


def test_a_worker_imports_nothing_heavy_and_is_sent_all_its_modules(child_env: dict[str, str]) -> None:
    program = "import sys, taskloom.task, taskloom.worker.worker; print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], env=child_env, capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 0
    modules = set(done.stdout.split())
    assert HEAVY & modules == set()
    assert sorted(name for name in modules if name.startswith("taskloom.")) == sorted(WORKER_MODULES)


def test_a_module_that_was_sent_is_the_one_of_the_file_and_is_found_there_again() -> None:
    sent = SentModules(worker_code())

    found = sent.find_spec("taskloom.sync.latch")

    assert found is not None
    assert found.loader is not None
    assert found.origin == taskloom.sync.latch.__file__
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert vars(module).keys() >= {"Latch", "__file__", "__cached__"}
    assert sent.find_spec("taskloom.sync.latch") is None
    found.loader.exec_module(module)  # from its file
    package = sent.find_spec("taskloom.sync")
    assert package is not None
    assert package.submodule_search_locations == list(taskloom.sync.__path__)
    assert sent.find_spec("json") is None


def test_a_worker_without_sent_modules_imports_them_itself() -> None:
    assert SentModules(b"").find_spec("taskloom.sync.latch") is None
    assert marshal.loads(worker_code()).keys() == set(WORKER_MODULES)


@pytest.mark.long
def test_neither_does_its_run(child_env: dict[str, str]) -> None:
    with DrivenWorker(child_env, spec_for(light_task.prints_modules, values={})) as worker:
        assert len(worker.all(Ended)) == 1
        out, err, _ = worker.output()

    assert err == ""
    assert HEAVY & set(out.split()) == set()
