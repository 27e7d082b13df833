"""Options and exit codes that the verbs share: which program is meant, and what is said if it cannot be asked."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

import click
import pytest
from tests.support.fake_control import fake_program, job_status, program_status, reply, short_folder

from taskloom.cli.control import common
from taskloom.cli.control.common import ControlExit, require_jobs
from taskloom.control import finding
from taskloom.control.identity import Holder

VERBS = ["status", "next", "events", "stack"]
ANSWERS = {
    "/v1/program": program_status(),
    "/v1/jobs": {"jobs": [job_status("web")]},
    "/v1/next": {"firings": []},
    "/v1/events": {"events": []},
    "/v1/stacks": {"stacks": []},
}


def holder(name: str, pid: int = 1, path: str = "/srv/jobs", socket: str = "/none.sock") -> Holder:
    return Holder(name, pid, "0a1b2c3d", 1_795_000_000.0, path, socket)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let these be the programs that run."""

    def run(*holders: Holder) -> None:
        monkeypatch.setattr(finding, "running_programs", lambda **_: list(holders))
        monkeypatch.setattr(finding, "client_places", lambda: ["/run/user/1/taskloom", "/tmp/taskloom-1"])

    return run


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_program_each_verb_ends_with_4_and_says_where_it_looked(
    verb: str, ask: Callable[..., Any], running: Callable[..., None]
) -> None:
    running()

    answer = ask(None, verb)

    assert answer.code == 4
    assert answer.out == ""
    assert answer.err == (
        "taskloom: cannot find a running program; looked in /run/user/1/taskloom, /tmp/taskloom-1; "
        "start one with `taskloom run PATH`\n"
    )


@pytest.mark.parametrize("verb", VERBS)
def test_with_one_program_no_name_is_needed(
    verb: str, ask: Callable[..., Any], running: Callable[..., None], play: Callable[..., Any]
) -> None:
    fake = play(ANSWERS)
    running(holder("jobs-3f2a", socket=str(fake.path)))

    assert ask(None, verb).code == 0
    assert ask(None, verb, "--name", "jobs").code == 0


@pytest.mark.parametrize("verb", VERBS)
def test_with_several_programs_they_are_listed(
    verb: str, ask: Callable[..., Any], running: Callable[..., None]
) -> None:
    running(holder("jobs-3f2a", 4242, "/srv/jobs"), holder("test", 17, ""))

    answer = ask(None, verb)

    assert answer.code == 2
    assert answer.err == (
        "taskloom: cannot choose one of 2 running programs: add --name NAME\n"
        "NAME  PID   PATH\n"
        "jobs  4242  /srv/jobs\n"
        "test  17    -\n"
    )


def test_a_stem_of_two_programs_means_neither(ask: Callable[..., Any], running: Callable[..., None]) -> None:
    running(holder("jobs-3f2a", 1, "/a/jobs"), holder("jobs-77aa", 2, "/b/jobs"), holder("other-0000"))

    answer = ask(None, "status", "--name", "jobs")

    assert answer.code == 2
    assert answer.err == (
        "taskloom: cannot choose one of 2 running programs named 'jobs': add --name NAME\n"
        "NAME       PID  PATH\n"
        "jobs-3f2a  1    /a/jobs\n"
        "jobs-77aa  2    /b/jobs\n"
    )


def test_a_whole_name_comes_before_a_stem(
    ask: Callable[..., Any], running: Callable[..., None], play: Callable[..., Any]
) -> None:
    fake = play(ANSWERS)
    running(holder("jobs", socket=str(fake.path)), holder("jobs-3f2a"))

    assert ask(None, "status", "--name", "jobs").code == 0


def test_programs_of_one_name_are_told_apart_by_their_sockets(
    ask: Callable[..., Any], running: Callable[..., None]
) -> None:
    running(holder("jobs", 1, socket="/a/jobs.sock"), holder("jobs", 2, socket="/b/jobs.sock"))

    answer = ask(None, "status", "--name", "jobs")

    assert answer.err == (
        "taskloom: cannot choose one of 2 running programs named 'jobs': add --socket PATH\n"
        "NAME  PID  SOCKET\n"
        "jobs  1    /a/jobs.sock\n"
        "jobs  2    /b/jobs.sock\n"
    )


def test_an_unknown_name_has_a_near_match(ask: Callable[..., Any], running: Callable[..., None]) -> None:
    running(holder("jobs-3f2a"))

    answer = ask(None, "status", "--name", "jbos")

    assert answer.code == 4
    assert answer.err == ("taskloom: cannot find a running program 'jbos'; running: jobs-3f2a; did you mean 'jobs'?\n")


def test_the_variables_are_used_and_flags_count_more(
    ask: Callable[..., Any], running: Callable[..., None], play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = play(ANSWERS)
    running(holder("one", socket=str(fake.path)), holder("two"))

    monkeypatch.setenv("TASKLOOM_SOCKET", str(fake.path))
    assert ask(None, "status").code == 0
    monkeypatch.setenv("TASKLOOM_SOCKET", "/nowhere.sock")
    assert ask(None, "status").code == 4
    assert ask(None, "status", "--name", "one").code == 0
    monkeypatch.setenv("TASKLOOM_NAME", "two")
    assert ask(fake, "status").code == 0


def test_a_name_and_a_socket_exclude_each_other(ask: Callable[..., Any]) -> None:
    answer = ask(None, "status", "--name", "jobs", "--socket", "/x.sock")

    assert answer.code == 2
    assert "cannot use both --name and --socket; expected one of them" in answer.err


@pytest.mark.parametrize("verb", VERBS)
def test_a_socket_without_a_program_is_told(verb: str, ask: Callable[..., Any], running: Callable[..., None]) -> None:
    running()
    with short_folder() as folder:
        path = folder / "gone.sock"
        with socket.socket(socket.AF_UNIX) as leftover:
            leftover.bind(str(path))

        answer = ask(None, verb, "--socket", str(path))

    assert (answer.code, answer.out) == (4, "")
    assert answer.err == f"taskloom: cannot reach a program at {path}: its program has ended, or it is not a socket\n"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("raw", [b"", b"\x00" * 100, reply(["x"]), reply({})[:-1]], ids=["end", "zeros", "list", "cut"])
def test_garbage_ends_each_verb_with_4_and_words(
    verb: str, raw: bytes, ask: Callable[..., Any], play: Callable[..., Any]
) -> None:
    answer = ask(play(raw), verb)

    assert answer.code == 4
    assert answer.err.startswith("taskloom: cannot read the ")
    assert answer.err.count("\n") == 1


WRONG_SHAPES: list[Any] = [
    {"jobs": 5, "firings": 5, "events": 5, "stacks": 5},
    {"jobs": [5], "firings": [5], "events": [5], "stacks": [5]},
    *({name: [{key: value}] for name in ("jobs", "firings", "events", "stacks")}
      for key in ("job", "at", "in", "run", "text", "marks", "event", "seconds")
      for value in ({"x": 1}, [[1]], 10**400, True)),
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_answers_of_another_shape_never_end_in_a_traceback(
    verb: str, ask: Callable[..., Any], play: Callable[..., Any]
) -> None:
    paths = ["/v1/jobs", "/v1/next", "/v1/events", "/v1/stacks"]
    fake = play({"/v1/program": program_status(), **{path: list(WRONG_SHAPES) for path in paths}})

    codes = set()
    for _ in WRONG_SHAPES:
        answer = ask(fake, verb)
        codes.add(answer.code)
        assert answer.code == 0 or answer.err.startswith("taskloom: cannot read the answer of ")

    assert 4 in codes


@pytest.mark.parametrize("verb", VERBS)
def test_a_refusal_ends_each_verb_with_1_and_an_unknown_job_with_2(
    verb: str, ask: Callable[..., Any], play: Callable[..., Any]
) -> None:
    refused = reply({"error": {"code": "busy", "message": "cannot do that now\x1b"}}, 409)
    unknown = reply({"error": {"code": "unknown-job", "message": "cannot find job 'wbe'; did you mean 'web'?"}}, 404)
    paths = ["/v1/program", "/v1/jobs", "/v1/next", "/v1/events", "/v1/stacks"]

    first = ask(play(dict.fromkeys(paths, refused)), verb)
    second = ask(play(dict.fromkeys(paths, unknown)), verb, "wbe")

    assert (first.code, first.err) == (1, "taskloom: cannot do that now\\x1b\n")
    assert (second.code, second.err) == (2, "taskloom: cannot find job 'wbe'; did you mean 'web'?\n")


@pytest.mark.parametrize("verb", [*VERBS, "ps"])
def test_the_help_of_each_verb_has_exit_codes_and_examples(verb: str, ask: Callable[..., Any]) -> None:
    answer = ask(None, verb, "-h")

    assert answer.code == 0
    assert re.search("Exit codes:\n    0 +done", answer.out)
    assert answer.out.count(f"    taskloom {verb}") == 2


def test_no_answer_ends_with_4(monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Any]) -> None:
    from tests.support.fake_control import until_gone

    from taskloom.control.client import Connection

    monkeypatch.setattr(common, "Connection", lambda program: Connection(program, 0.1))

    with fake_program(lambda connection, _: until_gone(connection)) as fake:
        answer = ask(fake, "status")

    assert answer.code == ControlExit.UNREACHABLE
    assert "does not answer: a task may be holding the GIL" in answer.err


# -- for the verbs that act


def test_an_acting_verb_needs_jobs_and_all_excludes_them() -> None:
    with pytest.raises(click.UsageError, match="cannot stop without a job; expected JOB"):
        require_jobs("stop", (), (), wants_all=False)
    for jobs, labels in ((("web",), ()), ((), ("night",))):
        with pytest.raises(click.UsageError, match="cannot stop all jobs and only some of them"):
            require_jobs("stop", jobs, labels, wants_all=True)
        require_jobs("stop", jobs, labels, wants_all=False)
    require_jobs("stop", (), (), wants_all=True)


@pytest.mark.parametrize(
    "verb",
    [*VERBS, "ps", "why", "logs", "start", "stop", "restart", "pause", "resume", "reset", "wait", "reload", "shutdown",
     "completion"],
)  # fmt: skip
def test_the_help_of_each_verb_fits_into_80_columns(
    verb: str, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    answer = ask(None, verb, "--help")

    assert answer.code == 0
    assert [line for line in answer.out.splitlines() if len(line) > 80] == []


def test_the_choices_of_a_missing_argument_are_readable(ask: Callable[..., Any]) -> None:
    assert ask(None, "completion").err.endswith("Choose from:\n  bash,\n  zsh,\n  fish\n")
