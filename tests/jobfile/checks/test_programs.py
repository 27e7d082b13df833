"""Jobs that start a program: variables in the text of a shell, files that are not there, programs of others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from taskloom.diagnostics import Problem
from taskloom.jobfile.loader import check

Read = Callable[..., tuple[Problem, ...]]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return the problems of a job `a` of task command; its params begin in line 4, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def problems(params: str, rest: str = "") -> tuple[Problem, ...]:
        text = f"jobs:\n  a:\n    task: command\n    params: {params}\n{rest}"
        Path("a.yaml").write_text(text, encoding="utf-8")
        return check("a.yaml", environ={"NAME": "x; rm -rf /", "PATH": os.environ["PATH"]}).problems

    return problems


def told(problems: tuple[Problem, ...]) -> list[str]:
    return [f"{problem.severity} {problem.place.line}:{problem.place.column} {problem.message}" for problem in problems]


INJECTION = "in the text of a shell, which would execute its value; give it by env, and write $NAME"


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ('{argv: "echo ${NAME}", shell: true}', "${NAME}"),
        ("\n      shell: true\n      argv: echo ${NAME}", "${NAME}"),
        ("{argv: 'echo \"${NAME}\"', shell: true}", "${NAME}"),
        ('{argv: "echo ${NAME:-x}", shell: true}', "${NAME}"),
        ('{argv: "echo $${HOME} ${NAME:?needed}", shell: true}', "${NAME}"),
        ('{argv: "echo \\x24{NAME}", shell: true}', "${NAME}"),
        ("{argv: '${file:script}', shell: true}", "${file:script}"),
        ("{shell: true, argv: '${NAME}'}", "${NAME}"),
    ],
)
def test_a_variable_in_the_text_of_a_shell_is_refused(read: Read, params: str, name: str) -> None:
    Path("script").write_text("echo hello")

    [problem] = read(params)

    assert problem.severity == "error"
    assert problem.message == f"cannot use {name} {INJECTION}"
    assert "rm -rf" not in str(problem)


def test_a_block_of_several_lines_is_searched(read: Read) -> None:
    problems = read("\n      shell: true\n      argv: |\n        echo one\n        echo ${NAME}\n")

    assert told(problems) == [f"error 6:13 cannot use ${{NAME}} {INJECTION}"]


@pytest.mark.parametrize(
    "params",
    [
        '{argv: "echo $NAME $${NAME} $${NAME:-x}", shell: true}',
        '{argv: "echo \\"$NAME\\"", shell: true, env: {NAME: "${NAME}"}}',
        '{argv: [echo, "${NAME}"]}',
        '{argv: [sh, "-c", "echo $1", "sh", "${NAME}"]}',
        '{argv: [echo, "-c", "${NAME}"]}',
    ],
)
def test_what_no_shell_executes_is_allowed(read: Read, params: str) -> None:
    assert told(read(params)) == []


@pytest.mark.parametrize("shell", ["sh, -c", "/bin/sh, -ec", "bash, --norc, -c", "env, -i, sh, -c"])
def test_a_shell_that_is_called_by_hand_causes_a_warning(read: Read, shell: str) -> None:
    [problem] = read(f'{{argv: [{shell}, "echo ${{NAME}}"]}}')

    assert problem.severity == "warning"
    assert problem.message == "the value of ${NAME} is executed by a shell: give it by env, and write $NAME"
    assert problem.hint == "$${NAME} is the shell's own ${NAME}"


def test_the_commands_beside_the_program_are_searched_too(read: Read) -> None:
    command = '[sh, -c, "echo ${NAME}"]'

    problems = read(f"{{argv: [sleep, '5'], stop_command: {command}, check: {{command: {command}}}}}")

    assert [problem.severity for problem in problems] == ["warning", "warning"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ("{argv: [slep]}", "warning 4:20 the program 'slep' cannot be started: it is not on the PATH"),
        ("{argv: [./nothing]}", "warning 4:20 the program './nothing' cannot be started: No such file or directory"),
        ("{argv: [./a.yaml]}", "warning 4:20 the program './a.yaml' cannot be started: it is not a program"),
        ("{argv: [./folder]}", "warning 4:20 the program './folder' cannot be started: it is not a file"),
        ("{argv: [./run.sh], cwd: folder}", None),
        ("{argv: [own-tool], env: {PATH: folder}}", None),
        ("{argv: [own-tool], env_file: path.env}", None),
        ("{argv: [sleep], cwd: nowhere}", "warning 4:34 the program cannot start before its folder exists: 'nowhere'"),
        ("{argv: [sleep], env_file: no.env}", "warning 4:39 the program cannot start before its env_file exists"),
        ("{argv: [sleep], env_file: bad.env}", "error 4:39 cannot use env_file 'bad.env': line 2: cannot read"),
        ("{argv: [sleep], env_file: [path.env, folder]}", "error 4:39 cannot read env_file 'folder': it is not"),
        ("{argv: [sleep], stop_command: [stp]}", "warning 4:43 the program 'stp' cannot be started"),
        ("{argv: [sleep], check: {command: [chk]}}", "warning 4:36 the program 'chk' cannot be started"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_when_the_file_is_read(read: Read, params: str, says: str | None) -> None:
    Path("folder").mkdir()
    for name in ("run.sh", "own-tool"):
        Path("folder", name).touch(mode=0o755)
    Path("path.env").write_text("PATH=folder\n")
    Path("bad.env").write_text("A=hunter2\nhunter2\n")

    found = told(read(params))

    assert len(found) == (says is not None)
    assert says is None or found[0].startswith(says)
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("params", ["{argv: [~/a]}", "{argv: [sleep], cwd: ~/a}", "{argv: [sleep], env_file: ~/a}"])
def test_a_tilde_is_not_replaced_and_that_is_said(read: Read, params: str) -> None:
    [problem] = read(params)

    assert problem.hint == "'~' is not replaced here: write ${HOME}"


def test_the_folder_of_the_runner_is_meant_as_well(read: Read) -> None:
    found = told(read("{argv: [sleep]}", "    runner: {process: {cwd: nowhere}}\n"))

    assert found == ["warning 5:29 the program cannot start before its folder exists: 'nowhere'"]


def test_a_watchdog_without_a_check_has_no_effect(read: Read) -> None:
    [problem] = read("{argv: [sleep]}", "    watchdog: 30s\n")

    assert problem.message == "watchdog has no effect: a program does not poll, and this one has no check"


@pytest.mark.parametrize("watchdog", ["", "    watchdog: {after: 30s, then: warn}\n"])
def test_checks_may_be_as_frequent_as_wanted(read: Read, watchdog: str) -> None:
    assert told(read("{argv: [sleep], check: {tcp: 'h:1', every: 100ms, failures: 1}}", watchdog)) == []


def test_a_job_that_is_switched_off_is_not_looked_at(read: Read) -> None:
    assert [problem.message for problem in read("{argv: [slep]}", "    enabled: false\n")] != []
    assert not any("slep" in problem.message for problem in read("{argv: [slep]}", "    enabled: false\n"))
