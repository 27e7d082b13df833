"""`taskloom signal`, and what the other verbs show of runs in processes, against a scripted program."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.scripted_program import START, Scripted, job_status, scripted_program

from taskloom.cli.completion.answer import VARIABLE, answer
from taskloom.cli.control import ps as ps_module
from taskloom.cli.control.event_lines import EventLines
from taskloom.cli.entry import _taskloom, call
from taskloom.control.finding import Program
from taskloom.control.reply_fields import Fields
from taskloom.observe.log_format import LogFormat
from taskloom.observe.name_column import NameColumn

PROCESS = {"pid": 4242, "processes": 2, "memory": 38 << 20, "cpu": 1.25, "state": "sleeping"}


@pytest.fixture
def script() -> Scripted:
    """A program with a run in a process and one in a thread."""
    return Scripted(
        job_status("web", "running", run="web#1", runner="process", process=PROCESS, family="web"),
        job_status("tick", "running", run="tick#1", runner="thread", process=None, labels=["public"]),
    )


@pytest.fixture
def socket(script: Scripted) -> Iterator[str]:
    with scripted_program(script) as fake:
        yield str(fake.path)


@pytest.fixture
def taskloom(socket: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def taskloom(*arguments: str) -> tuple[int, str, str]:
        code = call([arguments[0], "--socket", socket, *arguments[1:]])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return taskloom


def refused(message: str, code: str) -> tuple[int, dict[str, Any]]:
    return 409, {"error": {"code": code, "message": message}}


NO_PROCESS = refused(
    "cannot signal job 'tick': run tick#1 is not in a process of its own (runner: thread); it can be if the job has "
    "runner: process",
    "no-process",
)


@pytest.mark.parametrize("written", ["HUP", "SIGHUP", "sighup", "1"])
def test_a_signal_is_sent_by_its_name(script: Scripted, taskloom: Any, written: str) -> None:
    assert taskloom("signal", "web", written) == (0, "web: sent SIGHUP to pid 4242\n", "")
    assert script.posts == [("/v1/jobs/web/signal", {"signal": "SIGHUP"})]


def test_a_job_that_is_named_and_refused_fails_and_the_others_get_it(script: Scripted, taskloom: Any) -> None:
    script.after["/v1/jobs/tick/signal"] = NO_PROCESS

    code, out, err = taskloom("signal", "tick", "web", "USR1")

    assert (code, out) == (1, "web: sent SIGUSR1 to pid 4242\n")
    assert err == (
        "tick: cannot signal: run tick#1 is not in a process of its own (runner: thread); it can be if the job has "
        "runner: process\n"
    )


def test_all_jobs_are_those_with_a_process(script: Scripted, taskloom: Any) -> None:
    script.after["/v1/jobs/tick/signal"] = NO_PROCESS

    assert taskloom("signal", "--all", "HUP") == (
        0,
        "web: sent SIGHUP to pid 4242\n1 job without a process: tick\n",
        "",
    )


def test_as_json(script: Scripted, taskloom: Any) -> None:
    script.after["/v1/jobs/tick/signal"] = refused("cannot signal job 'tick': it has no run (finished)", "no-run")

    code, out, _ = taskloom("signal", "--all", "HUP", "-o", "json")

    data = json.loads(out)
    assert (code, data["exit_code"]) == (0, 0)
    assert [(job["job"], job["state"], job["run"]) for job in data["jobs"]] == [
        ("tick", "no run", None),
        ("web", "signalled", "web#1"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["web", "HPU"],
            "cannot use 'HPU' as a signal; expected a name such as HUP or SIGTERM, or a number; did you mean",
        ),
        (["HUP", "web"], "the signal comes last: taskloom signal web HUP"),
        (["web", "0"], "cannot use '0' as a signal"),
        (["HUP"], "cannot signal without a job; expected JOB..., -l LABEL or --all"),
        ([], "Missing argument 'SIGNAL'"),
        (["--all", "web", "HUP"], "cannot signal all jobs and only some of them"),
    ],
    ids=["misspelt", "turned round", "zero", "no job", "nothing", "all and one"],
)
def test_wrong_usage_sends_nothing(script: Scripted, taskloom: Any, arguments: list[str], message: str) -> None:
    code, out, err = taskloom("signal", *arguments)

    assert (code, out) == (2, "")
    assert message in err
    assert script.posts == []


@pytest.mark.parametrize(
    ("line", "offered"),
    [("signal {} w", ["web"]), ("signal {} web H", ["HUP"]), ("signal {} --all TE", ["TERM"]), ("signal {} H", [])],
    ids=["a job", "a signal", "of all", "no job yet"],
)
def test_completion(socket: str, line: str, offered: list[str]) -> None:
    environ = {VARIABLE: "fish_complete", "TASKLOOM_LINE": f"taskloom {line.format(f'--socket {socket!r}')}"}

    code, text = answer(_taskloom, environ)

    assert (code, [row.split("\t")[1] for row in text.splitlines()]) == (0, offered)


# -- the other verbs


def test_status_has_columns_for_processes_if_there_are_some(script: Scripted, taskloom: Any) -> None:
    script.jobs["web"] |= {"runs": 1, "process": {**PROCESS, "state": "stopped"}}

    head, web, tick = taskloom("status")[1].splitlines()

    assert head.split() == ["JOB", "STATE", "LAST", "RUNS", "TIME", "RUNNER", "PID", "MEM", "CPU", "NOTE"]
    assert "process  4242  38 MiB  1.25s  its process is stopped by a signal" in web
    assert "thread   -     -       -" in tick
    script.jobs["web"]["process"] = None
    assert "RUNNER" not in taskloom("status")[1]


def test_start_names_the_process(script: Scripted, taskloom: Any) -> None:
    status = job_status("web", "running", run="web#2", runner="process", process=None)
    script.jobs["web"] = {**status, "process": PROCESS, "marks": ["ready"]}
    script.after["/v1/jobs/web/start"] = (200, {"start": START, "seq": 100, "run": "web#2", "job": status})
    script.events = [
        (name, {"event": name, "job": "web", "run": "web#2", "mono": mono})
        for mono, name in ((1.0, "queued"), (1.1, "started"), (1.5, "ready"))
    ]

    assert taskloom("start", "web") == (0, "web: ready, in process 4242\n", "")


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_a_late_run_is_awaited_if_it_is_killed(script: Scripted, taskloom: Any, verb: str) -> None:
    status = job_status("web", "stopping", run="web#1", runner="process", otherwise="kill")
    script.after[f"/v1/jobs/web/{verb}"] = (200, {"start": START, "seq": 100, "run": "web#1", "job": status})
    error = {"type": "ProcessKilled", "message": "SIGKILL after 10.0 s", "traceback": ""}
    script.events = [
        ("x", {"event": "cancel_requested", "job": "web", "run": "web#1", "mono": 0.0}),
        ("x", {"event": "stop_overdue", "job": "web", "run": "web#1", "mono": 10.0, "where": "deaf.py:3 in run"}),
        ("x", {"event": "ended", "job": "web", "run": "web#1", "mono": 10.0, "outcome": "cancelled", "error": error}),
        ("x", {"event": "queued", "job": "web", "run": "web#2", "mono": 10.0}),
        ("x", {"event": "ready", "job": "web", "run": "web#2", "mono": 10.0}),
    ]
    if verb == "restart":
        script.jobs["web"] = job_status(
            "web", "running", run="web#2", runner="process", process=PROCESS, marks=["ready"]
        )

    code, out, err = taskloom(verb, "web")

    text = {"stop": "stopped after 10.0 s, cancelled: SIGKILL after 10.0 s", "restart": "ready, in process 4242"}[verb]
    assert (code, out.replace(" after 0.0 s,", ","), err) == (0, f"web: {text}\n", "")


def test_stack_names_the_process(script: Scripted, taskloom: Any) -> None:
    tree = "  pid 4242, sleeping in do_epoll_wait: nginx -g daemon off;\n    pid 4243, running: nginx: worker\n"
    where = "nginx (pid 4242), sleeping in do_epoll_wait"
    script.stacks = [
        {"job": "web", "run": "web#1", "where": where, "poll_age": None, "runner": "process", "pid": 4242, "text": tree}
    ]

    assert taskloom("stack", "web")[1] == (
        f"web#1: at {where}, in process 4242 (runner: process)\n"
        "    pid 4242, sleeping in do_epoll_wait: nginx -g daemon off;\n"
        "      pid 4243, running: nginx: worker\n"
    )


def test_ps_lists_the_processes_of_runs(
    script: Scripted, taskloom: Any, socket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {"job": "web", "run": "web#1", "runner": "process", **PROCESS}
    script.gets["/v1/processes"] = 200, {"processes": [run]}
    program = Program("jobs-3f2a", socket, 17, 0, "/srv/jobs")
    monkeypatch.setattr(ps_module, "list_programs", lambda *, all_users: [program])

    assert call(["ps"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert call(["ps", "-o", "json"]) == 0
    data = json.loads(capsys.readouterr().out)

    assert lines[2:] == [
        "",
        "JOB  RUNNER   PID   PROCESSES  MEM     CPU    STATE",
        "web  process  4242  2          38 MiB  1.25s  sleeping",
    ]
    assert data["programs"][0]["processes"] == [run]


@pytest.mark.parametrize("other", ["unknown-route", "busy"])
def test_ps_lists_a_program_that_does_not_list_processes(
    script: Scripted, socket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    script.gets["/v1/processes"] = refused("cannot find route '/v1/processes'", other)
    monkeypatch.setattr(ps_module, "list_programs", lambda *, all_users: [Program("jobs", socket, 17, 0, "/srv/jobs")])

    assert call(["ps"]) == 0

    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("kind", "message", "outcome", "text"),
    [
        ("ProcessKilled", "SIGKILL after 10.0 s", "cancelled", "cancelled after 12.0 s: SIGKILL after 10.0 s"),
        ("ProcessDied", "SIGSEGV", "failed", "failed after 12.0 s: SIGSEGV"),
        ("ProgramFailed", "exit code 3", "failed", "failed after 12.0 s: exit code 3"),
        ("ValueError", "boom", "failed", "failed after 12.0 s: ValueError: boom"),
    ],
)
def test_events_say_how_a_process_ended_in_its_own_words(kind: str, message: str, outcome: str, text: str) -> None:
    error = {"type": kind, "message": message, "traceback": f"{kind}: {message}\n"}
    ended = {"event": "ended", "seq": 7, "job": "web", "run": "web#1", "outcome": outcome, "seconds": 12.0}
    lines = EventLines(LogFormat.FULL, NameColumn())

    line = lines.render(Fields({**ended, "error": error}))

    assert line.endswith(f"{text}\n")
