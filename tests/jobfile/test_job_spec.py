"""Jobs declared in code give the same specs as jobs in files."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from tests.support.given_catalog import GivenCatalog

from taskloom.core.model import JoinPolicy, Otherwise
from taskloom.core.policies import Dependency
from taskloom.errors import InvalidJob
from taskloom.job import Job
from taskloom.jobfile.job_spec import job_spec, spec_of
from taskloom.task import Context, Duration, Task, param


class Tick(Task):
    n: int = param(default=1, ge=1)
    every: Duration = param(default="1s")

    def run(self, ctx: Context) -> None:
        """Do nothing."""


def idle(ctx: Context) -> None:
    """Do nothing."""


def spoiled(ctx: Context, n: int = "x") -> None:  # type: ignore[assignment]
    """Do nothing."""


CATALOG = GivenCatalog({"tick": Tick, "spoiled": spoiled})

FIELDS: dict[str, Any] = {
    "params": {"n": 2, "every": "10ms"},
    "description": "d",
    "labels": ["a"],
    "enabled": False,
    "daemon": True,
    "poll_interval": "2s",
    "join": {"within": "5s"},
    "start": {"delay": "1s"},
    "schedule": {"every": "5m", "jitter": "10s"},
    "after": ["b", {"c": "finished"}],
    "restart": {"delay": "1s", "limit": {"times": 3, "within": "1m"}},
    "timeout": "1m",
    "ready_within": 5,
    "watchdog": {"after": "30s", "then": "restart"},
    "essential": True,
    "replicas": 2,
    "runner": {"thread": {"reuse": True}},
}


def test_a_job_in_code_means_what_the_same_fields_mean_in_a_file() -> None:
    in_code = spec_of(Job(name="a", task="tick", **FIELDS), CATALOG)

    assert in_code == job_spec("a", {"task": "tick", **FIELDS}, CATALOG)


@pytest.mark.parametrize(
    "task, name",
    [("tick", "tick"), (Tick, "Tick"), (Tick(n=1), "Tick"), (idle, "idle"), (lambda ctx: None, "<lambda>")],
)
def test_a_task_is_a_name_a_class_an_instance_or_a_function(task: object, name: str) -> None:
    spec = spec_of(Job(name="a", task=task), CATALOG)

    assert spec.task == name
    assert callable(spec.binding.make().run)
    assert spec.join == JoinPolicy(10.0, Otherwise.EXIT)


def test_labels_may_be_a_tuple() -> None:
    assert spec_of(Job(name="a", task=idle, labels=("x", "y")), CATALOG).labels == ("x", "y")


@pytest.mark.parametrize("after", ["b", ("b",), ["b"], {"b": "ready"}, ({"b": "ready"},)])
def test_dependencies_may_be_written_in_each_form(after: Any) -> None:
    assert spec_of(Job(name="a", task=idle, after=after), CATALOG).after == (Dependency("b"),)


def test_contradictory_fields_of_a_job_in_code_are_reported() -> None:
    job = Job(
        name="a",
        task=idle,
        after={"a": "started"},
        schedule={"every": "5m"},
        restart="always",
        runner={"thread": {"reuse": True}},
    )

    with pytest.raises(InvalidJob) as caught:
        spec_of(job, CATALOG)

    assert caught.value.reasons == (
        "cannot start after itself",
        (
            "cannot reuse the threads of a job that is not a daemon: idle threads are daemon threads "
            "(write daemon: true)"
        ),
        (
            "cannot use restart: always with a schedule, which decides when the next run starts "
            "(write restart: on-failure, or leave it out)"
        ),
    )


def test_all_errors_of_a_job_in_code_are_raised_together() -> None:
    job = Job(name="no good", task="tock", daemon="no", labels="x", params={"n": 1})  # type: ignore[arg-type]

    with pytest.raises(InvalidJob) as caught:
        spec_of(job, CATALOG)

    assert caught.value.name == "no good"
    assert caught.value.reasons == (
        "cannot use 'x' as labels; expected a list of texts (write [x])",
        "cannot use 'no' as daemon; expected true or false (write true or false)",
        "cannot use 'no good' as the name of a job; expected a letter or a digit, then letters, digits, '_', '-'",
        "cannot find task 'tock'; installed: spoiled, tick (did you mean 'tick'?)",
    )


def test_a_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(InvalidJob, match="cannot use 5 as the name of a job"):
        spec_of(Job(name=5, task=idle), CATALOG)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "task, reason",
    [
        (5, "cannot use task 'int' of this program: int 5 is neither a Task class nor a function"),
        (int, "cannot use task 'int' of this program: class int is not a task; derive it from taskloom.Task"),
        (Tick(n=0), "cannot use 0 as n; expected at least 1"),
    ],
)
def test_an_invalid_task_is_reported_by_name(task: object, reason: str) -> None:
    with pytest.raises(InvalidJob) as caught:
        spec_of(Job(name="a", task=task), CATALOG)

    assert caught.value.reasons == (reason,)


def test_a_task_with_an_invalid_default_is_reported_by_name() -> None:
    with pytest.raises(InvalidJob) as caught:
        spec_of(Job(name="a", task=spoiled), CATALOG)

    [reason] = caught.value.reasons
    assert reason == (
        "cannot use task 'spoiled' of this program: default of parameter 'n': cannot use 'x' as n; expected an integer"
    )


class Unknowable:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
        raise RuntimeError("no schema today")


def odd(ctx: Context, what: Unknowable) -> None:
    """Do nothing."""


def test_a_type_that_pydantic_cannot_check_is_reported_with_its_task() -> None:
    with pytest.raises(InvalidJob) as caught:
        spec_of(Job(name="a", task=odd, params={"what": 5}), CATALOG)

    [reason] = caught.value.reasons
    assert reason.startswith("cannot use the task at ")
    assert reason.endswith(":odd: cannot check parameter 'what' of type Unknowable: RuntimeError: no schema today")


def test_a_job_of_plain_values_imports_neither_pydantic_nor_yaml_nor_stevedore() -> None:
    program = """
import sys
from taskloom.catalog.entry_points import Catalog
from taskloom.job import Job
from taskloom.jobfile.job_spec import spec_of
spec_of(Job(name="a", task=lambda ctx, n=1: None, params={}, join="5s", daemon=True), Catalog())
print(sorted({"pydantic", "yaml", "stevedore", "importlib.metadata"} & set(sys.modules)))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert answer.stdout == "[]\n"
