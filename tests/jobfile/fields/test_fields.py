"""Each field of a job: the accepted values, their meaning, and the errors for all other values."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.given_catalog import GivenCatalog

from taskloom.core.model import JobSpec, JoinPolicy, Otherwise, RunnerSpec, StartMode, StartPolicy
from taskloom.core.policies import RestartPolicy
from taskloom.jobfile.fields.registry import FIELDS
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.jobfile.job_spec import job_spec, read_defaults
from taskloom.task import Context


def idle(ctx: Context, n: int = 1) -> None:
    """Do nothing."""


CATALOG = GivenCatalog({"idle": idle})


def spec(**fields: Any) -> JobSpec:
    return job_spec("tick", {"task": "idle", **fields}, CATALOG)


def mistakes(fields: dict[str, Any], name: str = "tick") -> list[tuple[Any, str, str, bool]]:
    with pytest.raises(JobErrors) as caught:
        job_spec(name, fields, CATALOG)
    return [tuple(each) for each in caught.value.errors]  # type: ignore[misc]


def test_the_defaults_are_those_of_the_table() -> None:
    assert spec() == JobSpec(
        name="tick",
        task="idle",
        params={"n": 1},
        daemon=False,
        poll_interval=1.0,
        join=JoinPolicy(10.0, Otherwise.EXIT),
        start=StartPolicy(),
        schedule=None,
        after=(),
        restart=RestartPolicy(),
        timeout=None,
        ready_within=None,
        watchdog=None,
        essential=False,
        replicas=1,
        runner=RunnerSpec(),
    )


@every_case("name", [name for name, field in FIELDS.items() if field.default and name != "params"])
def test_writing_the_default_changes_nothing(name: str) -> None:
    written = {"true": True, "false": False, "[]": [], "{}": {}, "1": 1}.get(FIELDS[name].default, FIELDS[name].default)

    assert spec(**{name: written}) == spec()


@every_case(
    "fields, expected",
    [
        ({"description": "all"}, {"description": "all"}),
        ({"labels": ["a", "b"]}, {"labels": ("a", "b")}),
        ({"enabled": False}, {"enabled": False}),
        ({"poll_interval": "250ms"}, {"poll_interval": 0.25}),
        ({"poll_interval": 2}, {"poll_interval": 2.0}),
        ({"join": "0s"}, {"join": JoinPolicy(0.0, Otherwise.EXIT)}),
        ({"join": 2.5}, {"join": JoinPolicy(2.5, Otherwise.EXIT)}),
        ({"join": "wait"}, {"join": JoinPolicy(math.inf, Otherwise.EXIT)}),
        ({"daemon": True}, {"daemon": True, "join": JoinPolicy(10.0, Otherwise.ABANDON)}),
        ({"daemon": True, "join": "5s"}, {"join": JoinPolicy(5.0, Otherwise.ABANDON)}),
        ({"daemon": True, "join": {"otherwise": "exit"}}, {"join": JoinPolicy(10.0, Otherwise.EXIT)}),
        (
            {"daemon": True, "join": {"within": "1m", "otherwise": "abandon"}},
            {"join": JoinPolicy(60.0, Otherwise.ABANDON)},
        ),
        ({"join": {"within": "wait", "otherwise": "exit"}}, {"join": JoinPolicy(math.inf, Otherwise.EXIT)}),
        ({"start": "manual"}, {"start": StartPolicy(StartMode.MANUAL)}),
        ({"start": {"delay": "5s"}}, {"start": StartPolicy(StartMode.AUTO, 5.0)}),
        ({"runner": {"thread": None}}, {"runner": RunnerSpec("thread")}),
        ({"runner": {"thread": {}}}, {"runner": RunnerSpec("thread")}),
        ({"runner": {"thread": {"reuse": False}}}, {"runner": RunnerSpec("thread")}),
        ({"daemon": True, "runner": {"thread": {"reuse": True}}}, {"runner": RunnerSpec("thread", {"reuse": True})}),
        ({"params": None}, {"params": {"n": 1}}),
        ({"params": {"n": 5}}, {"params": {"n": 5}}),
        ({"x-note": {"any": ["thing"]}}, {}),
    ],
)
def test_a_field_has_the_documented_meaning(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    found = spec(**fields)

    assert {name: getattr(found, name) for name in expected} == expected


INSTALLED = f"cannot find runner '{{}}'; installed: {', '.join(CATALOG.names('runner'))}"
REFUSED: list[tuple[dict[str, Any], tuple[Any, ...], str, str]] = [
    ({"daemon": "no"}, ("daemon",), "cannot use 'no' as daemon; expected true or false", "write true or false"),
    ({"daemon": 1}, ("daemon",), "cannot use 1 as daemon; expected true or false", "write true or false"),
    ({"enabled": None}, ("enabled",), "cannot use null as enabled; expected true or false", ""),
    ({"enabled": "maybe"}, ("enabled",), "cannot use 'maybe' as enabled; expected true or false", ""),
    (
        {"description": 3.1},
        ("description",),
        "cannot use 3.1 as description; expected text",
        "quote it to make it text",
    ),
    ({"labels": "a"}, ("labels",), "cannot use 'a' as labels; expected a list of texts", "write [a]"),
    ({"labels": ["a", 5]}, ("labels", 1), "cannot use 5 as a label; expected text", "quote it to make it text"),
    ({"labels": [""]}, ("labels", 0), "cannot use '' as a label; expected text", ""),
    ({"poll_interval": 0}, ("poll_interval",), "cannot use 0 as poll_interval; expected more than 0", ""),
    (
        {"poll_interval": "5 minutes"},
        ("poll_interval",),
        "cannot read '5 minutes' as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds",
        "",
    ),
    (
        {"poll_interval": -5},
        ("poll_interval",),
        "cannot use -5 as a duration; it must be between 0 and ten years",
        "",
    ),
    (
        {"poll_interval": math.inf},
        ("poll_interval",),
        "cannot use inf as a duration; it must be between 0 and ten years",
        "",
    ),
    (
        {"join": "forever"},
        ("join",),
        "cannot use 'forever' as join; expected a duration such as 10s, wait, or {within: 5s, otherwise: abandon}",
        "did you mean 'wait'?",
    ),
    (
        {"join": True},
        ("join",),
        "cannot use true as join; expected a duration such as 10s, wait, or {within: 5s, otherwise: abandon}",
        "",
    ),
    (
        {"join": {"within": "5x"}},
        ("join", "within"),
        "cannot read '5x' as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds",
        "",
    ),
    (
        {"join": {"withn": "5s"}},
        ("join", "withn"),
        "cannot find 'withn' in join; known: within, otherwise",
        "did you mean 'within'?",
    ),
    (
        {"join": {"otherwise": "abandn"}, "daemon": True},
        ("join", "otherwise"),
        "cannot use 'abandn' as join.otherwise; expected abandon, exit or kill",
        "did you mean 'abandon'?",
    ),
    (
        {"join": {"otherwise": "abandon"}},
        ("join", "otherwise"),
        "cannot abandon a job that is not a daemon: its thread would keep the process alive",
        "write daemon: true, or otherwise: exit",
    ),
    (
        {"start": "automatic"},
        ("start",),
        "cannot use 'automatic' as start; expected auto, manual or {delay: 5s}",
        "did you mean 'auto'?",
    ),
    ({"start": {}}, ("start",), "cannot use {} as start; expected auto, manual or {delay: 5s}", ""),
    ({"start": {"dely": 1}}, ("start", "dely"), "cannot find 'dely' in start; known: delay", "did you mean 'delay'?"),
    (
        {"start": {"delay": "x"}},
        ("start", "delay"),
        "cannot read 'x' as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds",
        "",
    ),
    ({"runner": "tread"}, ("runner",), INSTALLED.format("tread"), "did you mean 'thread'?"),
    ({"runner": {"flask": None}}, ("runner",), INSTALLED.format("flask"), "did you mean 'dask'?"),
    ({"runner": []}, ("runner",), "cannot use [] as runner; expected the name of a runner, such as thread", ""),
    (
        {"runner": {"thread": {"reuse": True}}},
        ("runner", "thread", "reuse"),
        "cannot reuse the threads of a job that is not a daemon: idle threads are daemon threads",
        "write daemon: true",
    ),
    (
        {"runner": {"thread": {"reuse": 1}}},
        ("runner", "thread", "reuse"),
        "cannot use 1 as runner.thread.reuse; expected true or false",
        "write true or false",
    ),
    (
        {"runner": {"thread": {"reus": True}}},
        ("runner", "thread", "reus"),
        "cannot find 'reus' in runner.thread; known: reuse",
        "did you mean 'reuse'?",
    ),
    (
        {"runner": {"thread": 5}},
        ("runner", "thread"),
        "cannot use 5 as runner; expected a mapping of the runner's options",
        "",
    ),
    (
        {"runner": {"fiber": {"stack": 5}}},
        ("runner",),
        INSTALLED.format("fiber"),
        "",
    ),
    ({"params": [1]}, ("params",), "cannot use [1] as params; expected a mapping of the task's parameters", ""),
    (
        {"params": {"m": 1}},
        ("params", "m"),
        "cannot find parameter 'm'; known: n",
        "",
    ),
    (
        {"deamon": True},
        ("deamon",),
        (
            "cannot find field 'deamon'; known: task, params, description, labels, enabled, daemon, poll_interval, "
            "join, start, schedule, after, restart, timeout, ready_within, watchdog, essential, log, replicas, runner"
        ),
        "did you mean 'daemon'?",
    ),
    ({"task": 5}, ("task",), "cannot use 5 as task; expected text", "quote it to make it text"),
    ({"task": "idel"}, ("task",), "cannot find task 'idel'; installed: idle", "did you mean 'idle'?"),
]


@every_case("fields, loc, message, hint", REFUSED, ids=[str(row[0]) for row in REFUSED])
def test_an_invalid_value_is_reported_with_the_legal_ones(
    fields: dict[str, Any], loc: tuple[Any, ...], message: str, hint: str
) -> None:
    [(found_loc, found_message, found_hint, _)] = mistakes({"task": "idle", **fields})

    assert (found_loc, found_message, found_hint) == (loc, message, hint)


def test_a_job_without_a_task_is_refused_with_the_installed_tasks() -> None:
    assert mistakes({}) == [(("task",), "cannot run a job without a task; installed: idle", "", True)]


@pytest.mark.parametrize("name", ["a", "A-1_b", "9lives", "x" * 63])
def test_a_name_is_letters_digits_and_dashes(name: str) -> None:
    assert job_spec(name, {"task": "idle"}, CATALOG).name == name


@every_case("name", ["", "-a", "_a", "a b", "a.b", "ä", "a\n", "x" * 64])
def test_any_other_name_is_refused(name: str) -> None:
    [(loc, message, _, at_key)] = mistakes({"task": "idle"}, name=name)

    assert (loc, at_key) == ((), True)
    assert message == (
        f"cannot use {name!r} as the name of a job; expected a letter or a digit, then letters, digits, '_', '-'"
    )


def test_a_value_of_the_job_replaces_the_whole_default() -> None:
    defaults = read_defaults({"join": {"within": "5s", "otherwise": "abandon"}, "daemon": True, "x-note": 1})

    changed = job_spec("a", {"task": "idle", "join": "3s"}, CATALOG, defaults=defaults)
    kept = job_spec("b", {"task": "idle"}, CATALOG, defaults=defaults)

    assert changed.join == JoinPolicy(3.0, Otherwise.ABANDON)
    assert kept.join == JoinPolicy(5.0, Otherwise.ABANDON)
    assert kept.daemon


@pytest.mark.parametrize("field", ["task", "params", "description", "after"])
def test_a_field_of_a_single_job_cannot_be_in_defaults(field: str) -> None:
    with pytest.raises(JobErrors) as caught:
        read_defaults({field: "x"})

    assert str(caught.value) == f"cannot set {field!r} in defaults; it belongs to each job"


def test_all_errors_of_a_job_are_raised_together() -> None:
    found = mistakes({"daemon": "no", "join": "x", "restart": "allways", "params": {"n": "1"}, "task": "idle"})

    assert [loc for loc, _, _, _ in found] == [("daemon",), ("join",), ("restart",), ("params", "n")]


def test_an_invalid_daemon_field_causes_no_error_in_the_join_policy() -> None:
    found = mistakes({"task": "idle", "daemon": "yes", "join": {"otherwise": "abandon"}})

    assert [loc for loc, _, _, _ in found] == [("daemon",)]
