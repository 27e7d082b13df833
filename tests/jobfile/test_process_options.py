"""The options of runner `process`: their values, and the words for all others."""

from __future__ import annotations

import json
import os
import pwd
import resource
import sys
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.given_catalog import GivenCatalog

from taskloom.core.model import JobSpec, RunnerSpec
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.jobfile.job_spec import job_spec
from taskloom.task import Context

MIB = 1 << 20


def idle(ctx: Context) -> None:
    """Do nothing."""


CATALOG = GivenCatalog({"idle": idle})


def spec(**fields: Any) -> JobSpec:
    return job_spec("a", {"task": "idle", **fields}, CATALOG)


def errors(**fields: Any) -> list[tuple[Any, str, str]]:
    with pytest.raises(JobErrors) as caught:
        spec(**fields)
    return [error[:3] for error in caught.value.errors]


@every_case(
    "written, options",
    [
        ("process", {}),
        ({"process": None}, {}),
        ({"process": {}}, {}),
        ({"process": {"env": {"A": "1", "B": ""}}}, {"env": {"A": "1", "B": ""}}),
        ({"process": {"cwd": "sub/folder"}}, {"cwd": "sub/folder"}),
        ({"process": {"nice": 5}}, {"nice": 5}),
        ({"process": {"memory_limit": "512MiB"}}, {"memory_limit": 512 * MIB}),
        ({"process": {"memory_limit": "1.5GiB"}}, {"memory_limit": 1536 * MIB}),
        ({"process": {"memory_limit": "0.1GB"}}, {"memory_limit": 100_000_000}),
        ({"process": {"memory_limit": "20000kB"}}, {"memory_limit": 20_000_000}),
        ({"process": {"memory_limit": 16 * MIB}}, {"memory_limit": 16 * MIB}),
        ({"process": {"user": f"{os.geteuid()}:{os.getegid()}"}}, {"user": f"{os.geteuid()}:{os.getegid()}"}),
    ],
    ids=str,
)
def test_the_options_of_process_are_plain_data(written: Any, options: dict[str, Any]) -> None:
    found = spec(runner=written).runner

    assert found == RunnerSpec("process", options)
    assert json.loads(json.dumps(found.options)) == options


@every_case(
    "options, loc, message, hint",
    [
        ({"env": {"A": 8080}}, "env.A", "cannot use 8080 as runner.process.env.A; expected text", "write it in quotes"),
        ({"env": {"A": True}}, "env.A", "cannot use true as runner.process.env.A; expected text", "write it in quotes"),
        ({"env": {"A": None}}, "env.A", "cannot use null as runner.process.env.A; expected text", "write '' for an"),
        ({"env": {"A": ["x"]}}, "env.A", "cannot use ['x'] as runner.process.env.A; expected text", ""),
        (
            {"env": {"MY_TOKEN": 5}},
            "env.MY_TOKEN",
            "cannot use this value as runner.process.env.MY_TOKEN; exp",
            "write",
        ),
        (
            {"env": {"A=B": "x"}},
            "env.A=B",
            "cannot use 'A=B' as the name of an environment variable; expected text",
            "",
        ),
        ({"env": {"": "x"}}, "env.", "cannot use '' as the name of an environment variable; expected text without", ""),
        ({"env": {5: "x"}}, "env.5", "cannot use 5 as the name of an environment variable; expected text without", ""),
        ({"env": {"A": "\0"}}, "env.A", "cannot use '\\x00' as runner.process.env.A; expected text without NUL", ""),
        ({"env": {"TASKLOOM_JOB": "x"}}, "env.TASKLOOM_JOB", "cannot set TASKLOOM_JOB: it is set for each run", ""),
        ({"env": ["A=1"]}, "env", "cannot use ['A=1'] as runner.process.env; expected a mapping of names", "write {N"),
        ({"cwd": ""}, "cwd", "cannot use '' as runner.process.cwd; expected the path of a folder", ""),
        ({"cwd": "~/x"}, "cwd", "cannot use '~/x' as runner.process.cwd; expected the path of a folder", "'~' is not"),
        ({"nice": 20}, "nice", "cannot use 20 as runner.process.nice; expected an integer from -20 to 19", ""),
        ({"nice": "5"}, "nice", "cannot use '5' as runner.process.nice; expected an integer from -20 to 19", ""),
        ({"user": "a:b:c"}, "user", "cannot use 'a:b:c' as runner.process.user; expected the name or the number", ""),
        ({"user": True}, "user", "cannot use true as runner.process.user; expected the name or the number of", ""),
        ({"memory_limit": "512M"}, "memory_limit", "cannot use '512M' as runner.process.memory_limit;", "write 512MiB"),
        ({"memory_limit": "1 gib"}, "memory_limit", "cannot use '1 gib' as runner.process.memory_limit;", "write 1GiB"),
        ({"memory_limit": "5mb"}, "memory_limit", "cannot use '5mb' as runner.process.memory_limit;", "write 5MB"),
        (
            {"memory_limit": "much"},
            "memory_limit",
            "cannot use 'much' as runner.process.memory_limit; expected a size",
            "",
        ),
        (
            {"memory_limit": 512},
            "memory_limit",
            "cannot use 512 as runner.process.memory_limit; expected at least 16MiB",
            "",
        ),
        (
            {"memory_limit": "15MiB"},
            "memory_limit",
            "cannot use '15MiB' as runner.process.memory_limit; expected at",
            "",
        ),
        (
            {"memory_limit": "9999TiB"},
            "memory_limit",
            "cannot use '9999TiB' as runner.process.memory_limit; expected at",
            "",
        ),
        ({"memory_limit": True}, "memory_limit", "cannot use true as runner.process.memory_limit; expected a size", ""),
        ({"reuse": True}, "reuse", "cannot reuse processes: each run has a new one", "leave it out"),
        (
            {"memory": 5},
            "memory",
            "cannot find 'memory' in runner.process; known: env, cwd, nice, user, memory_limit",
            "",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_an_invalid_option_is_refused_at_its_place(options: dict[Any, Any], loc: str, message: str, hint: str) -> None:
    [(found_loc, found, found_hint)] = errors(runner={"process": options})

    assert ".".join(map(str, found_loc)) == f"runner.process.{loc}"
    assert found.startswith(message)
    assert found_hint.startswith(hint)


def test_all_options_are_checked_at_once() -> None:
    found = errors(runner={"process": {"reuse": True, "nice": 99, "env": {"A": 1, "": ""}, "cwd": 5}})

    assert [loc[2:] for loc, _, _ in found] == [("reuse",), ("env", "A"), ("env", ""), ("cwd",), ("nice",)]


@pytest.mark.parametrize(
    "user, why",
    [
        ("zqzqzq", "there is no user 'zqzqzq' here"),
        ("roott", "there is no user 'roott' here; did you mean 'root'?"),
        ("root:zqzqzq", "there is no group 'zqzqzq' here"),
        (4_000_000_000, "user 4000000000 has no entry in the user database: write `4000000000:GROUP`"),
        ("99999999999", "there is no user '99999999999' here"),
    ],
)
def test_an_unknown_user_and_an_unknown_group_are_refused(user: Any, why: str) -> None:
    [(loc, message, _)] = errors(runner={"process": {"user": user}})

    assert loc == ("runner", "process", "user")
    assert message == f"cannot run as user '{user}': {why}"


def test_another_user_and_a_lower_niceness_need_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
    monkeypatch.setattr(os, "getegid", lambda: pwd.getpwnam("nobody").pw_gid)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (22, 40))

    found = errors(runner={"process": {"user": "root", "nice": -3}})

    assert [(loc[-1], message) for loc, message, _ in found] == [
        ("user", "cannot run as user 'root': only root may, and this is user 'nobody'"),
        ("nice", "cannot use -3 as runner.process.nice: only root may go below 0"),
    ]
    assert spec(runner={"process": {"user": "nobody", "nice": -2}}).runner.options["nice"] == -2


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert errors(runner="process") == [(("runner",), "cannot use runner process on darwin: it needs Linux", "")]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("frozen", True, "'/usr/bin/python3' is a frozen program"),
        ("executable", "", "sys.executable is empty"),
        ("executable", None, "sys.executable is empty"),
    ],
)
def test_a_program_without_an_interpreter_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, why: str
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.setattr(sys, name, value, raising=False)

    message = f"cannot use runner process without a Python interpreter to start: {why}"
    assert errors(runner="process") == [(("runner",), message, "")]
