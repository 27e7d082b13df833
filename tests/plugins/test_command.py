"""The params of the task `command`, and the program that they describe."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom import Check, Program
from taskloom.catalog.params import ParamErrors, inspect_task
from taskloom.jobfile.loader import CheckResult, check
from taskloom.jobfile.render import render_all
from taskloom_plugins.command import Command


def program_of(**params: Any) -> Program:
    binding = inspect_task(Command).bind(params)[1]
    assert binding.program is not None
    return binding.program()


def refusals(**params: Any) -> list[str]:
    with pytest.raises(ParamErrors) as caught:
        inspect_task(Command).bind(params)
    return [error.message for error in caught.value.errors]


def test_a_list_is_run_without_a_shell() -> None:
    assert program_of(argv=["echo", "$HOME; rm -rf /"]) == Program(argv=("echo", "$HOME; rm -rf /"))


def test_a_text_is_run_by_the_shell_if_that_is_wanted() -> None:
    program = program_of(argv="a | b", shell=True)  # noqa: S604 - nothing is executed

    assert (program.argv, program.shell) == (("/bin/sh", "-c", "a | b"), True)


def test_every_param_arrives() -> None:
    program = program_of(
        argv=["serve"],
        env={"A": "b"},
        env_file="a.env",
        cwd="/srv",
        stop_signal="QUIT",
        stop_command=["stop"],
        reload_signal=1,
        success_codes=[0, 3],
        stdin="é",
        ready={"line": "up"},
        check={"command": ["ask", "it"], "every": "2s", "failures": 5, "timeout": "500ms"},
    )

    assert program == Program(
        argv=("serve",),
        env={"A": "b"},
        env_files=("a.env",),
        cwd="/srv",
        stop_signal=signal.SIGQUIT,
        stop_command=("stop",),
        reload_signal=signal.SIGHUP,
        success_codes=frozenset({0, 3}),
        stdin="é".encode(),
        ready_line="up",
        check=Check(command=("ask", "it"), every=2.0, failures=5, timeout=0.5),
    )


@every_case(
    ("ready", "line", "address"),
    [
        ("listening on", "listening on", None),
        ("tcp://127.0.0.1:1", None, "tcp://127.0.0.1:1"),
        ("HTTP://127.0.0.1:1/", None, "HTTP://127.0.0.1:1/"),
        ("unix:///run/a.sock", None, "unix:///run/a.sock"),
        ("at tcp://", "at tcp://", None),
        ("port:80", "port:80", None),
        ({"line": "localhost:80"}, "localhost:80", None),
        ({"line": "tcp://"}, "tcp://", None),
        ({"address": "tcp://h:1"}, None, "tcp://h:1"),
    ],
    ids=str,
)
def test_ready_is_a_line_or_an_address(ready: Any, line: str | None, address: str | None) -> None:
    program = program_of(argv=["a"], ready=ready)
    binding = inspect_task(Command).bind({"argv": ["a"], "ready": ready})[1]

    assert (program.ready_line, program.ready_address) == (line, address)
    assert binding.announces_ready


def test_without_ready_it_is_ready_at_once() -> None:
    assert not inspect_task(Command).bind({"argv": ["a"]})[1].announces_ready


@every_case(
    ("params", "says"),
    [
        ({}, "cannot do without parameter 'argv'"),
        ({"argv": []}, "cannot use argv without a program"),
        ({"argv": " ", "shell": True}, "cannot use an empty argv"),
        (
            {"argv": "sleep 5"},
            "cannot use 'sleep 5' as argv; expected a list of the program and its arguments, or shell: true",
        ),
        ({"argv": ["a"], "shell": True}, "cannot use a list as argv with shell: true"),
        ({"argv": ["a", "b", "c"], "shell": True}, "cannot use a list as argv with shell: true"),
        ({"argv": ["sleep", 5]}, "cannot use 5 as argv[1]; expected text"),
        ({"argv": 5}, "cannot use 5 as argv; expected a list or text"),
        ({"argv": ["a"], "stop_signal": "TREM"}, "did you mean 'TERM'?"),
        ({"argv": ["a"], "env": {"A": 5}}, "cannot use 5 as env.A; expected text"),
        ({"argv": ["a"], "env": {"A": True}}, "cannot use true as env.A; expected text"),
        ({"argv": ["a"], "ready": {}}, "write one of line and address"),
        ({"argv": ["a"], "ready": {"line": "a", "address": "tcp://h:1"}}, "write one of line and address"),
        ({"argv": ["a"], "ready": "https://h"}, "cannot use an address of the kind https:// here"),
        ({"argv": ["a"], "ready": "udp://h:1"}, "cannot use an address of the kind udp:// here"),
        ({"argv": ["a"], "ready": "localhost:80"}, "cannot read 'localhost:80' as an address; write tcp://HOST:PORT"),
        ({"argv": ["a"], "ready": "127.0.0.1:80"}, "cannot read '127.0.0.1:80' as an address; write tcp://HOST:PORT"),
        ({"argv": ["a"], "ready": {"line": "("}}, "as a regular expression"),
        ({"argv": ["a"], "env": {"TASKLOOM_RUN": "x"}}, "cannot set TASKLOOM_RUN: it is set for each run, to its own"),
        ({"argv": ["a"], "check": {"tcp": "h"}}, "cannot read 'tcp://h' as an address"),
        ({"argv": ["a"], "check": {"tcp": "h:1", "evry": 1}}, "cannot find 'evry' in check; known: command, tcp, http"),
        ({"argv": ["a"], "check": "tcp://h:1"}, "cannot use 'tcp://h:1' as check; expected a mapping"),
        ({"argv": ["a"], "success_codes": []}, "expected at least 1 items"),
    ],
    ids=str,
)
def test_a_wrong_param_is_one_error(params: dict[str, Any], says: str) -> None:
    [found] = refusals(**params)

    assert says in found


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("argv: sleep 5", "sleep 5"),
        ("argv: []", "[]"),
        ("{argv: [a], shell: true}", "[a]"),
        ("{argv: [a], env: {A: b, '=': c}}", "c"),
        ("{argv: [a], stop_command: ['']}", "['']"),
        ("{argv: [a], success_codes: [256]}", "[256]"),
        ("{argv: [a], env_file: [x, '']}", "[x, '']"),
        ("{argv: [a], ready: (}", "(}"),
        ("{argv: [a], ready: {line: '('}}", "'('"),
        ("{argv: [a], ready: {address: 'h:1'}}", "'h:1'"),
        ("{argv: [a], check: {tcp: h}}", "h}"),
        ("{argv: [a], check: {http: 'https://h/'}}", "'https://h/'"),
        ("{argv: [a], check: {tcp: 'h:1', every: 0}}", "0"),
        ("{argv: [a], check: {tcp: 'h:1', failures: 0}}", "0"),
    ],
)
def test_what_the_program_refuses_has_its_own_place(tmp_path: Path, written: str, wrong: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"jobs:\n  a:\n    task: command\n    params:\n      {written}\n")

    [found] = check(path).errors

    assert (found.place.line, found.place.column) == (5, 7 + written.rindex(wrong))
    assert found.message.count("cannot") == 1


def test_all_wrong_params_are_reported_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("jobs:\n  a:\n    task: command\n    params:\n      argv: [sleep, 5]\n      stop_signal: HOP\n")

    found = check(path).errors

    assert [(problem.place.line, problem.place.column) for problem in found] == [(5, 21), (6, 20)]
    assert found[0].hint == "quote it to make it text"


def checked(tmp_path: Path, text: str) -> CheckResult:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    return check(path, with_origins=True)


def test_secret_variables_of_a_program_are_masked_as_those_of_a_runner(tmp_path: Path) -> None:
    job = "jobs:\n  a: {{task: command, params: {{argv: [sleep, '1'], env: {{API_TOKEN: {}, LEVEL: debug}}}}}}\n"

    good = checked(tmp_path, job.format("hunter33"))
    [wrong] = checked(tmp_path, job.format("33333333")).problems

    assert good.secrets == {"hunter33"}
    assert "env: {API_TOKEN: **********, LEVEL: debug}" in good.origins["a"]["params"].written
    assert "33333333" not in render_all([wrong])


LEVELS = """\
jobs:
  a:
    task: command
    user: nobody
    stop_signal: INT
    params: {argv: [sleep, '1'], memory_limit: 64MiB, restart: always, argvv: 5}
"""


def test_a_key_at_the_wrong_level_is_told_where_it_belongs(tmp_path: Path) -> None:
    problems = checked(tmp_path, LEVELS).problems

    assert [problem.hint for problem in problems] == [
        "write runner: {process: {user: ...}}",
        "write it below params: stop_signal is a parameter of the task",
        "write runner: {process: {memory_limit: ...}}",
        "write it beside params: restart is a field of the job",
        "did you mean 'argv'?",
    ]
