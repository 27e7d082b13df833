"""`taskloom ps`: each running program has a row, whether it answers or not."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import pytest
from tests.support.fake_control import fake_program, program_status, reply, until_gone

from taskloom.cli.control import ps as module
from taskloom.control.finding import Program

SINCE = 1_795_000_000.0  # 2026-11-18T11:06:40Z


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let these be the programs that run."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()

    def run(*found: Program) -> None:
        monkeypatch.setattr(module, "list_programs", lambda *, all_users: list(found))

    return run


def test_each_program_has_a_row(ask: Callable[..., Any], play: Callable[..., Any], programs: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip  # noqa: E501
    monkeypatch.setattr(module, "_SECONDS", 0.2)
    fine = play({"/v1/program": program_status("stopping", jobs={"total": 12, "wrong": 2})}).program
    garbled = play(reply({"jobs": 5})).program
    with fake_program(lambda connection, _: until_gone(connection)) as silent:
        programs(
            fine._replace(name="jobs-3f2a", pid=17, path="/srv/jobs\x1b", since=SINCE),
            garbled._replace(name="odd", since=SINCE),
            silent.program._replace(name="silent", pid=os.getpid(), since=SINCE),
            Program("missing", "/nowhere.sock", os.getpid(), os.geteuid(), "/srv/x", SINCE),
        )
        answer = ask(None, "ps")

    pid = os.getpid()
    assert answer.code == 0
    assert [line.split() for line in answer.out.splitlines()] == [
        ["NAME", "PID", "SINCE", "JOBS", "STATE", "PATH"],
        ["jobs", "17", "2026-11-18", "11:06:40", "12", "(2", "wrong)", "stopping", "/srv/jobs\\x1b"],
        ["odd", str(pid), "2026-11-18", "11:06:40", "-", "cannot", "be", "asked", "-"],
        ["silent", str(pid), "2026-11-18", "11:06:40", "-", "does", "not", "answer", "-"],
        ["missing", str(pid), "2026-11-18", "11:06:40", "-", "does", "not", "answer", "/srv/x"],
    ]
    assert [line.split(": ")[1] for line in answer.err.splitlines()] == ["odd", "silent", "missing"]


def test_as_json_each_program_has_its_error(
    ask: Callable[..., Any], play: Callable[..., Any], programs: Callable[..., None]
) -> None:
    fine = play({"/v1/program": program_status()}).program
    programs(fine._replace(since=SINCE), Program("missing", "/nowhere.sock", os.getpid(), 1000, "", 1e300))

    answer = ask(None, "ps", "-o", "json")

    first, second = json.loads(answer.out)["programs"]
    assert answer.err == ""
    assert (first["state"], first["since"], first["error"]) == ("running", "2026-11-18T11:06:40.000000Z", None)
    assert first["jobs"] == {"total": 2, "by_state": {}, "wrong": 0}
    assert second == {
        "name": "missing",
        "pid": os.getpid(),
        "uid": 1000,
        "since": None,
        "path": None,
        "socket": "/nowhere.sock",
        "state": "does not answer",
        "error": (
            f"pid {os.getpid()} does not answer: nothing listens at /nowhere.sock; a program makes its socket again "
            "within 10 s"
        ),
        "jobs": None,
        "version": None,
        "processes": [],
    }


def test_no_program_is_not_a_failure(ask: Callable[..., Any], programs: Callable[..., None]) -> None:
    programs()

    assert ask(None, "ps") == (0, "", "taskloom: no program is running\n")
    assert ask(None, "ps", "-o", "json") == (0, '{\n  "programs": []\n}\n', "")


def test_silent_programs_are_asked_at_the_same_time(
    ask: Callable[..., Any], programs: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.2)
    asked: list[str] = []
    arrived: list[int] = []

    def silent(connection: Any, _: Any) -> None:
        arrived.append(len(asked))
        until_gone(connection)
        asked.append("gone")

    with fake_program(silent) as fake:
        programs(*(fake.program._replace(name=f"p{number}") for number in range(5)))
        answer = ask(None, "ps")

    assert answer.out.count("does not answer") == 5
    assert arrived == [0] * 5


def test_a_program_is_asked_even_if_no_thread_can_be_started(
    ask: Callable[..., Any], play: Callable[..., Any], programs: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoThread:
        def __init__(self, **_: Any) -> None: ...

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    fake = play({"/v1/program": program_status()})
    programs(fake.program, fake.program)
    monkeypatch.setattr(module, "Thread", NoThread)

    assert ask(None, "ps").out.count(" running ") == 2


def test_the_programs_of_all_users_are_for_root(
    ask: Callable[..., Any], programs: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(Program("jobs-3f2a", "/nowhere.sock", 1, 1000, "/srv/jobs", SINCE))

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    refused = ask(None, "ps", "--all-users")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    listed = ask(None, "ps", "--all-users")

    assert refused.code == 2
    assert "cannot list the programs of all users; expected to be called by root" in refused.err
    assert listed.out == dedent("""\
        UID   NAME       PID  SINCE                JOBS  STATE            PATH
        1000  jobs-3f2a  1    2026-11-18 11:06:40  -     does not answer  /srv/jobs
        """)
