"""`taskloom why`: which jobs are asked about, and how their paragraphs are shown."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import h11
import pytest
from tests.support.fake_control import FakeControl, fake_program, reply

from taskloom.cli.entry import call

JOBS = ("db", "web.1", "web.2", "mail")
TEXTS = {
    "db": "db is running and ready: run db#1 began 4s ago, at 12:00:00. " + "It polled within the last second. " * 3,
    "web.1": "web.1 waits for db (ready).",
    "web.2": "web.2 waits for db (ready).",
    "mail": "mail is not running: \x1b[31mred.",
}

Called = Callable[..., tuple[int, str, str]]


def answer(target: str) -> bytes:
    """Return what a program with these jobs answers."""
    parts = urlsplit(target)
    if parts.path != "/v1/jobs":
        name = unquote(parts.path.split("/")[3])
        return reply({"start": "0" * 8, "seq": 1, "job": name, "text": TEXTS[name], "facts": {"state": "running"}})
    query = parse_qs(parts.query)
    wanted = dict.fromkeys(name for pattern in query.get("job", ["*"]) for name in matching(pattern))
    if not wanted:
        return refused("unknown-job", f"cannot find job {query['job'][0]!r}; did you mean 'db'?")
    if query.get("label", ["nightly"]) != ["nightly"]:
        return refused("unknown-label", "cannot find label 'daily'; did you mean 'nightly'?")
    return reply({"start": "0" * 8, "seq": 1, "jobs": [status(name) for name in wanted]})


def matching(pattern: str) -> list[str]:
    known: Mapping[str, list[str]] = {"*": list(JOBS), "web": ["web.1", "web.2"], "web*": ["web.1", "web.2"]}
    return [pattern] if pattern in JOBS else known.get(pattern, [])


def status(name: str) -> dict[str, Any]:
    return {"job": name, "labels": ["nightly"], "state": "running"}


def refused(code: str, message: str) -> bytes:
    return reply({"error": {"code": code, "message": message, "near": ["db"]}}, 404)


@pytest.fixture
def program() -> Iterator[FakeControl]:
    """A program with the four jobs."""

    def handle(connection: socket.socket, request: h11.Request) -> None:
        connection.sendall(answer(request.target.decode()))

    with fake_program(handle) as fake:
        yield fake


@pytest.fixture
def why(program: FakeControl, capsys: pytest.CaptureFixture[str]) -> Called:
    """Call the verb, and return its exit code and what it wrote to both streams."""

    def called(*arguments: str) -> tuple[int, str, str]:
        code = call(["why", "--socket", str(program.path), *arguments])
        output, errors = capsys.readouterr()
        return int(code), output, errors

    return called


def test_the_paragraph_is_one_line_for_a_program_that_reads_it(why: Called) -> None:
    assert why("db") == (0, TEXTS["db"] + "\n", "")


def test_there_is_a_paragraph_for_each_job(why: Called) -> None:
    code, output, _ = why("db", "web.1")

    assert code == 0
    assert output == f"{TEXTS['db']}\n\n{TEXTS['web.1']}\n"


@pytest.mark.parametrize("name", ["web", "web*", "web.1 web.2 web.1"], ids=["declared name", "glob", "twice"])
def test_all_replicas_are_meant_by_their_declared_name_or_a_glob(why: Called, name: str) -> None:
    assert why(*name.split())[1] == f"{TEXTS['web.1']}\n\n{TEXTS['web.2']}\n"


def test_a_label_selects_jobs(why: Called) -> None:
    assert why("-l", "nightly")[1].count("\n\n") == 3


def test_facts_are_in_the_json(why: Called) -> None:
    code, output, _ = why("db", "-o", "json")

    assert code == 0
    assert json.loads(output) == {"jobs": [{"job": "db", "text": TEXTS["db"], "facts": {"state": "running"}}]}


def test_control_characters_do_not_reach_the_terminal(why: Called) -> None:
    assert why("mail")[1] == "mail is not running: \\x1b[31mred.\n"


def test_a_terminal_gets_lines_of_its_width(why: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.cli.control.why.is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "60")

    lines = why("db")[1].splitlines()

    assert len(lines) > 2
    assert max(map(len, lines)) <= 60
    assert " ".join(lines) == TEXTS["db"].rstrip()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("dx",), 2, "taskloom: cannot find job 'dx'; did you mean 'db'?\n"),
        (("db", "-l", "daily"), 2, "taskloom: cannot find label 'daily'; did you mean 'nightly'?\n"),
    ],
    ids=["job", "label"],
)
def test_an_unknown_name_is_refused_with_a_near_one(
    why: Called, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert why(*arguments) == (code, "", message)


def test_no_job_is_a_mistake(why: Called) -> None:
    code, output, errors = why()

    assert (code, output) == (2, "")
    assert "cannot explain without a job; expected JOB... or -l LABEL" in errors


def test_a_program_that_is_not_there_cannot_be_asked(program: FakeControl, capsys: pytest.CaptureFixture[str]) -> None:
    code = call(["why", "--socket", str(program.path.with_name("none.sock")), "db"])

    assert code == 4
    assert capsys.readouterr().err.startswith("taskloom: cannot reach a program at ")
