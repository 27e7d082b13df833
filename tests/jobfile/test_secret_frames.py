"""No secret is shown in the line of a job file that a problem points at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, Secret, SecretStr
from tests.support.given_catalog import GivenCatalog

from taskloom import Context
from taskloom.jobfile.loader import check
from taskloom.jobfile.render import render, render_all
from taskloom.task import Task

HIDDEN = "hunter2"


class Login(BaseModel):
    """Where to log in."""

    host: str = ""
    password: SecretStr


class Client(Task):
    """Has secrets."""

    port: int = 0
    password: SecretStr = SecretStr("")
    pin: Secret[int] = Secret[int](0)
    logins: list[Login] = []
    keys: list[SecretStr] = []

    def run(self, ctx: Context) -> None:
        """Do nothing."""


Shown = Callable[..., str]


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    def show(text: str, **environ: str) -> str:
        file = tmp_path / "a.yaml"
        file.write_text(text)
        result = check(file, environ=environ, catalog=GivenCatalog({"client": Client}))
        assert result.problems
        for problem in result.problems:
            rendered = render(problem)
            assert HIDDEN not in rendered
            column, length = problem.caret or (problem.place.column, problem.place.length)
            assert problem.source_line[column - 1 : column - 1 + length].strip() or not problem.source_line
        return render_all(result.problems)

    return show


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        (
            "jobs: {a: {task: client, params: {password: hunter2, port: x}}}",
            "jobs: {a: {task: client, params: {password: **********, port: x}}}",
        ),
        (
            "jobs: {a: {task: client, params: {port: x, password: hunter2}}}",
            "jobs: {a: {task: client, params: {port: x, password: **********}}}",
        ),
        (
            "jobs: {a: {task: client, params: {password: hunter2}, joins: 5}}",
            "jobs: {a: {task: client, params: {password: **********}, joins: 5}}",
        ),
        (
            "jobs: {a: {task: client, params: {pasword: hunter2}}}",
            "jobs: {a: {task: client, params: {pasword: **********}}}",
        ),
        (
            "jobs: {a: {task: client, params: {keys: [hunter2, 5]}}}",
            "jobs: {a: {task: client, params: {keys: [**********, **********]}}}",
        ),
        (
            "jobs: {a: {task: client, params: {logins: [{host: 5, password: hunter2}]}}}",
            "jobs: {a: {task: client, params: {logins: [{host: 5, password: **********}]}}}",
        ),
        (
            'jobs: {a: {task: client, params: {password: "${P:-hunter2}", port: x}}}',
            "jobs: {a: {task: client, params: {password: **********, port: x}}}",
        ),
        (
            'jobs: {a: {task: client, params: {password: "${P}", port: x}}}',
            'jobs: {a: {task: client, params: {password: "${P}", port: x}}}',
        ),
        (
            "x-p: {here: &p hunter2, port: 5}\njobs: {a: {task: client, params: {password: *p, port: x}}}",
            "jobs: {a: {task: client, params: {password: *p, port: x}}}",
        ),
        (
            "jobs: {a: {task: unknown, params: {password: hunter2, start: 3}}}",
            "jobs: {a: {task: unknown, params: {password: **********, start: 3}}}",
        ),
        (
            "jobs: {a: {params: {password: hunter2, api-token: hunter2}}, a: {}}",
            "jobs: {a: {params: {password: **********, api-token: **********}}, a: {}}",
        ),
        ("jobs: {a: {params: {password: 'hunter2' 'x'}}}", "jobs: {a: {params: {password: ********** 'x'}}}"),
        ("jobs: {a: {params: {my_secret: hunter2 ]}}}", "jobs: {a: {params: {my_secret: **********}}}"),
    ],
)
def test_a_secret_in_the_line_of_a_problem_is_masked(shown: Shown, text: str, frame: str) -> None:
    assert frame in shown(text, P="hunter2")


def test_the_caret_is_below_what_it_points_at(shown: Shown) -> None:
    lines = shown("jobs: {a: {task: client, params: {password: h, port: x}}}").splitlines()

    assert lines[1].index("x}}}") == lines[2].index("^")


def test_a_caret_at_a_secret_is_as_long_as_its_mask(shown: Shown) -> None:
    lines = shown("jobs: {a: {task: client, params: {pin: hunter2-hunter2-hunter2}}}").splitlines()

    assert lines[2].count("^") == lines[1].count("*")


def test_each_line_of_a_long_secret_is_masked(shown: Shown) -> None:
    text = 'jobs:\n  a:\n    task: client\n    params: {password: "hunter2\n      hunter2\n      hunter2", port: x}\n'

    assert "  **********, port: x}" in shown(text)


def test_a_number_is_not_quoted_in_the_hint(shown: Shown) -> None:
    text = shown('jobs: {a: {task: client, params: {pin: "1234567"}}}')

    assert "1234567" not in text


def test_a_secret_that_a_constructor_quotes_as_python_does_is_masked(tmp_path: Path) -> None:
    class Strict(Task):
        """Refuses its params."""

        password: SecretStr

        def __post_init__(self) -> None:
            raise ValueError(f"cannot use {self.password.get_secret_value()!r}")

        def run(self, ctx: Context) -> None:
            """Do nothing."""

    file = tmp_path / "a.yaml"
    file.write_text('jobs:\n  a:\n    task: strict\n    params:\n      password: "hunter2\\nhunter2"\n')

    result = check(file, environ={}, catalog=GivenCatalog({"strict": Strict}))

    assert "**********" in render_all(result.problems)
    assert "hunter2" not in render_all(result.problems)


@pytest.mark.parametrize(
    ("receivers", "line"),
    [
        ("[{webhook: 'https://a.example/T0/hunter2', secret: hunter2, on: [fialed]}]",
         "{webhook: 'https://a.example**********, secret: **********, on: [fialed]}]"),
        ("[{webhook: 'https://a.example?t=hunter2', on: 3}]", "[{webhook: 'https://a.example**********, on: 3}]"),
        ("[{webhook: a.example/hunter2}]", "[{webhook: a.example**********}]"),
        ("{webhook: 'https://a.example/hunter2'}", "{webhook: 'https://a.example**********}"),
        ("[{webhook: 'https://a.example', secret: [hunter2]}]",
         "[{webhook: 'https://a.example', secret: [**********]}]"),
        ("[{webhook: '${HOOK}', secret: '${file:key}', on: 3}]",
         "[{webhook: '${HOOK}', secret: '${file:key}', on: 3}]"),
    ],
)  # fmt: skip
def test_the_secret_and_the_path_of_a_receiver_are_masked(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receivers: str, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("key").write_text(HIDDEN)

    text = shown(f"taskloom:\n  notify: {receivers}\njobs: {{a: {{task: client}}}}\n", HOOK="https://a.example/x")

    assert line in text
