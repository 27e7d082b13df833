"""The commands whose output the page shows."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.control.refusals import Refusal
from taskloom.web.verbs import Verbs, history_arguments, task_arguments


def test_the_history_of_a_program_is_read_by_its_name_and_place() -> None:
    found = history_arguments("jobs", "/tmp/x.sqlite", {"job": ["a", "b"], "since": ["12h"], "count": ["5"]})

    assert found == [
        "history", "--name", "jobs", "--history", "/tmp/x.sqlite", "--last", "5", "--since", "12h", "a", "b",
    ]  # fmt: skip
    assert history_arguments("jobs", "", {"until": ["1m"], "blocks": ["840"], "count": ["9"]}) == [
        "history", "--name", "jobs", "--last", "9", "--until", "1m", "--blocks", "840",
    ]  # fmt: skip
    assert history_arguments("jobs", "", {}) == ["history", "--name", "jobs", "--last", "1000"]


@every_case(
    "query",
    [{"count": ["0"]}, {"count": ["x"]}, {"count": ["999999999999"]}, {"job": ["--name"]}, {"since": ["-1"]},
     {"job": ["a\0"]}, {"job": [""]}, {"since": ["x" * 300]}, {"until": ["--x"]}, {"blocks": ["-1"]}, {"jobs": ["a"]}],
)  # fmt: skip
def test_a_query_becomes_no_option(query: dict[str, list[str]]) -> None:
    with pytest.raises(Refusal) as info:
        history_arguments("jobs", "", query)

    assert (info.value.status, info.value.code) == (400, "invalid-query")


def test_a_task_is_not_an_option() -> None:
    assert task_arguments(None) == ["tasks"]
    assert task_arguments("countdown") == ["tasks", "countdown"]
    with pytest.raises(Refusal):
        task_arguments("-o")


def test_a_verb_that_is_cancelled_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def cancelled() -> None:
        begun = asyncio.Event()

        async def start(*_: str, **options: Any) -> asyncio.subprocess.Process:
            started.append(await create(sys.executable, "-c", "import time; time.sleep(600)", **options))
            begun.set()
            return started[0]

        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
        task = asyncio.ensure_future(Verbs().data(["tasks"]))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())

    assert started[0].returncode == -signal.SIGKILL
