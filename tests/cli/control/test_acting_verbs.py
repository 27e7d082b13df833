"""The verbs that act on jobs, against a scripted program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.support.fake_control import fake_program, until_gone
from tests.support.scripted_program import START, Scripted, job_status, scripted_program

from taskloom.cli.completion.answer import VARIABLE, answer
from taskloom.cli.entry import _taskloom, call
from taskloom.control.client import Connection, NoAnswer, NoProgram

WHERE = "tick.py:3 in wait"


class Said(NamedTuple):
    """What a verb has written, and its exit code."""

    code: int
    out: str
    err: str


class Taskloom:
    """Calls verbs with the socket of a scripted program."""

    def __init__(self, socket: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.socket = socket
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Said:
        code = call([arguments[0], "--socket", self.socket, *arguments[1:]])
        return Said(code, *self._capsys.readouterr())


@pytest.fixture
def script() -> Scripted:
    """A program with a running and a finished job."""
    return Scripted(job_status("web", "running", run="web#1"), job_status("other", "finished", run="other#1"))


@pytest.fixture
def taskloom(script: Scripted, capsys: pytest.CaptureFixture[str]) -> Iterator[Taskloom]:
    with scripted_program(script) as fake:
        yield Taskloom(str(fake.path), capsys)


def happens(name: str, job: str = "web", run: str = "", mono: float = 0.0, **fields: Any) -> tuple[str, dict[str, Any]]:
    return name, {"event": name, "job": job, "run": run or f"{job}#1", "mono": mono, **fields}


def acted(job: str, state: str, run: str | None, **fields: Any) -> tuple[int, dict[str, Any]]:
    status = job_status(job, state, run=run, **fields)
    return 200, {"start": START, "seq": 100, "run": run, "job": status}


def refused(message: str, code: str = "already-running") -> tuple[int, dict[str, Any]]:
    return 409, {"error": {"code": code, "message": message}}


# -- start


@pytest.mark.parametrize("verb", ["start", "restart", "stop", "pause", "resume", "reset"])
def test_the_reason_is_sent(verb: str, script: Scripted, taskloom: Taskloom) -> None:
    script.after[f"/v1/jobs/other/{verb}"] = acted("other", "running", "other#2")

    taskloom(
        verb, "other", "--reason", "the disk is full", *(["--no-wait"] if verb in ("start", "restart", "stop") else [])
    )

    [(path, body)] = script.posts
    assert (path, body["text"]) == (f"/v1/jobs/other/{verb}", "the disk is full")


def test_a_reason_that_is_too_long_is_refused_before_anything_is_asked(script: Scripted, taskloom: Taskloom) -> None:
    said = taskloom("stop", "other", "--reason", "x" * 1001)

    assert said.code == 2
    assert said.err.endswith("Invalid value for '--reason': cannot use 1,001 characters; expected at most 1,000\n")
    assert script.posts == []


def test_start_waits_until_the_run_is_ready(script: Scripted, taskloom: Taskloom) -> None:
    script.after["/v1/jobs/other/start"] = acted("other", "running", "other#2")
    script.events = [
        happens("queued", "other", "other#2", 1.0),
        happens("started", "other", "other#2", 1.1),
        happens("ready", "other", "other#2", 1.5),
    ]

    assert taskloom("start", "other") == (0, "other: ready after 0.5 s\n", "")
    assert script.posts == [("/v1/jobs/other/start", {"now": False})]
    assert ("/v1/events", {"since": [f"{START}.100"], "follow": ["true"], "job": ["other"]}) in [
        (path, dict(query)) for path, query in script.queries
    ]


def test_start_fails_with_the_run(script: Scripted, taskloom: Taskloom) -> None:
    script.after["/v1/jobs/other/start"] = acted("other", "running", "other#2")
    error = {"type": "ValueError", "message": "boom", "traceback": ""}
    script.events = [happens("ended", "other", "other#2", outcome="failed", error=error)]

    assert taskloom("start", "other", "--now") == (1, "", "other: failed: ValueError: boom\n")
    assert script.posts[0][1] == {"now": True}


def test_a_refused_start_is_one_line_and_the_others_are_started(script: Scripted, taskloom: Taskloom) -> None:
    script.after["/v1/jobs/web/start"] = refused("cannot start job 'web': run web#1 is still running")
    script.after["/v1/jobs/other/start"] = acted("other", "running", "other#2", marks=["ready"])

    said = taskloom("start", "--all")

    said = said._replace(out=said.out.partition(" after")[0])
    assert said == (1, "other: ready", "web: cannot start: run web#1 is still running\n")


def test_all_jobs_are_acted_on_before_any_is_waited_for(script: Scripted, taskloom: Taskloom) -> None:
    for job in ("web", "other"):
        script.after[f"/v1/jobs/{job}/restart"] = acted(job, "running", f"{job}#2")
    script.jobs["web"] = job_status("web", "finished")
    script.events = [
        happens(name, job, f"{job}#2", mono)
        for job in ("other", "web")
        for mono, name in ((1.0, "started"), (2.0, "ready"))
    ]

    assert taskloom("restart", "web", "other").out == "other: ready\nweb: ready\n"
    assert [path for path, _ in script.posts] == ["/v1/jobs/web/restart", "/v1/jobs/other/restart"]
    assert [path for path, _ in script.queries] == ["/v1/jobs", "/v1/events"]


def test_no_wait_returns_at_once(script: Scripted, taskloom: Taskloom) -> None:
    script.after["/v1/jobs/web/stop"] = acted("web", "stopping", "web#1")

    assert taskloom("stop", "web", "--no-wait") == (0, "web: stop requested; stopping\n", "")
    assert [path for path, _ in script.queries] == ["/v1/jobs"]


def test_start_at_its_deadline_says_where_the_run_is(script: Scripted, taskloom: Taskloom) -> None:
    script.after["/v1/jobs/web/start"] = acted("web", "running", "web#1")
    script.stacks = [{"job": "web", "run": "web#1", "where": WHERE, "poll_age": 1.0, "text": ""}]

    said = taskloom("start", "web", "--timeout", "0s")

    assert said.code == 1
    assert said.err.startswith("web: not ready after 0.")
    assert said.err.endswith(f"s: running, at {WHERE}\n")


# -- stop


def test_stop_says_how_long_it_took(script: Scripted, taskloom: Taskloom) -> None:
    script.after["/v1/jobs/web/stop"] = acted("web", "stopping", "web#1")
    script.events = [happens("cancel_requested", mono=1.0), happens("ended", mono=1.4, outcome="succeeded")]

    assert taskloom("stop", "web") == (0, "web: stopped after 0.4 s, succeeded\n", "")


def test_stop_of_a_stopped_job_is_fine(taskloom: Taskloom) -> None:
    assert taskloom("stop", "other") == (0, "other: was not running (finished)\n", "")


def test_stop_of_a_deaf_run_is_3_and_says_where_it_is(script: Scripted, taskloom: Taskloom) -> None:
    script.after["/v1/jobs/web/stop"] = acted("web", "stopping", "web#1")
    script.events = [happens("cancel_requested", mono=1.0), happens("stop_overdue", mono=11.0, where=WHERE)]

    assert taskloom("stop", "web") == (3, "", f"web: still running after 10.0 s of stopping, at {WHERE}\n")


def test_a_job_that_is_named_twice_is_acted_on_once(script: Scripted, taskloom: Taskloom) -> None:
    taskloom("stop", "other", "other")

    assert [path for path, _ in script.posts] == ["/v1/jobs/other/stop"]


def test_the_results_as_json(script: Scripted, taskloom: Taskloom) -> None:
    script.after["/v1/jobs/web/stop"] = acted("web", "stopping", "web#1")
    script.events = [happens("stop_overdue", where=WHERE)]

    said = taskloom("stop", "--all", "-o", "json")

    data = json.loads(said.out)
    assert (said.code, said.err, data["exit_code"]) == (3, "", 3)
    assert {job["job"]: (job["state"], job["where"]) for job in data["jobs"]} == {
        "other": ("not running", None),
        "web": ("still stopping", WHERE),
    }


def test_a_stop_goes_on_over_a_broken_connection(script: Scripted, taskloom: Taskloom) -> None:
    script.after["/v1/jobs/web/stop"] = acted("web", "stopping", "web#1")
    script.events = [happens("gap", why="lost")]
    script.gets["/v1/jobs/web"] = acted("web", "finished", "web#1", outcome="cancelled")

    assert taskloom("stop", "web") == (0, "web: stopped, cancelled\n", "")


@pytest.mark.parametrize(
    ("events", "code", "text"),
    [
        ([("end", {})], 0, "stopped with the whole program"),
        ([("gap", {"why": "restart"})], 4, "cannot wait any longer: the program was restarted"),
        ([happens("ended", outcome="cancelled"), ("end", {})], 0, "stopped, cancelled"),
    ],
    ids=["stopped", "restarted", "ended before"],
)
def test_the_end_of_the_program_ends_a_stop(
    events: list[tuple[str, dict[str, Any]]], code: int, text: str, script: Scripted, taskloom: Taskloom
) -> None:
    script.after["/v1/jobs/web/stop"] = acted("web", "stopping", "web#1")
    script.events = list(events)

    said = taskloom("stop", "web")

    assert (said.code, said.out + said.err) == (code, f"web: {text}\n")


def test_a_stop_that_ends_the_program_is_done_though_no_answer_comes_any_more(
    script: Scripted, taskloom: Taskloom, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Connection.post

    def post_until_the_end(connection: Connection, path: str, body: Any = None) -> dict[str, Any]:
        if "/other/" in path:
            raise NoProgram("cannot reach it")
        return post(connection, path, body)

    script.after["/v1/jobs/web/stop"] = acted("web", "stopping", "web#1")
    monkeypatch.setattr(Connection, "post", post_until_the_end)
    monkeypatch.setattr(Connection, "follow", lambda *_, **__: Gone())
    for module in ("acting", "follow_waits"):
        monkeypatch.setattr(f"taskloom.cli.control.{module}.is_gone", lambda *_: True)

    assert taskloom("stop", "--all") == (
        0,
        "other: was not running (finished)\nweb: stopped with the whole program\n",
        "",
    )


@pytest.mark.parametrize(
    ("verb", "result"),
    [
        ("start", (4, "web: not known after 0.0 s: the program does not answer")),
        ("stop", (3, "web: still running after 0.0 s of stopping")),
        ("restart", (3, "web: its old run is still running after 0.0 s of stopping; the new one follows its end")),
    ],
)
def test_a_program_that_does_not_answer_at_the_deadline_is_told(
    verb: str, result: tuple[int, str], script: Scripted, taskloom: Taskloom, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Connection.get

    def get_until_the_deadline(connection: Connection, path: str, **query: Any) -> dict[str, Any]:
        if path == "/v1/jobs/web":
            raise NoAnswer(7, "/a.sock", "a task may be holding the GIL")
        return get(connection, path, **query)

    script.after[f"/v1/jobs/web/{verb}"] = acted("web", "running" if verb == "start" else "stopping", "web#1")
    monkeypatch.setattr(Connection, "get", get_until_the_deadline)
    monkeypatch.setattr("taskloom.cli.control.follow_waits.mono", lambda: 5.0)
    monkeypatch.setattr("taskloom.cli.control.start.mono", lambda: 5.0)
    monkeypatch.setattr("taskloom.cli.control.stop.mono", lambda: 5.0)

    said = taskloom(verb, "web", "--timeout", "0s")

    code, line = result
    assert said == (code, "", f"{line}\ntaskloom: pid 7 does not answer: a task may be holding the GIL\n")


class Gone:
    """A stream of a program that has ended before a client followed it."""

    is_lost = False

    def __enter__(self) -> Gone:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def take(self, _: float) -> None:
        raise NoProgram("cannot reach it")


@pytest.mark.parametrize(
    ("left", "is_told"),
    [
        (job_status("other", "finished"), True),
        (job_status("other", "running", daemon=True), True),
        (job_status("other", "waiting", waiting_for="start", start="manual"), True),
        (job_status("other", "waiting", waiting_for="next firing"), False),
        (job_status("other", "running"), False),
    ],
)
def test_a_stop_says_that_the_program_ends_with_its_last_job(
    left: dict[str, Any], is_told: bool, script: Scripted, taskloom: Taskloom, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.jobs = {"web": job_status("web", "finished", run="web#1", outcome="cancelled"), "other": left}
    script.gets["/v1/program"] = (
        200,
        {
            "state": "running",
            "paths": ["jobs.yaml"],
            "jobs": {"total": 2, "by_state": {"finished": 1, left["state"]: 1, "queued": 0}},
        },
    )
    monkeypatch.setattr("taskloom.cli.control.stop.is_gone", lambda *_: True)

    said = taskloom("stop", "web")

    assert said.code == 0
    assert said.err.endswith("has ended: no job is left that keeps it running\n") is is_told


def test_ctrl_c_leaves_the_action_under_way(
    script: Scripted, taskloom: Taskloom, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    script.after["/v1/jobs/web/stop"] = acted("web", "stopping", "web#1")
    monkeypatch.setattr("taskloom.cli.control.acting.wait_until_over", interrupted)

    said = taskloom("stop", "web")

    assert said == (130, "", "taskloom: interrupted; the program goes on with the stop: web\n")


def test_ctrl_c_while_the_program_is_asked_names_what_it_was_asked(
    script: Scripted, taskloom: Taskloom, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("taskloom.control.client.Connection.post", interrupted)

    said = taskloom("stop", "web", "other")

    assert said == (130, "", "taskloom: interrupted; the program goes on with the stop: web\n")


# -- usage


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "pause", "resume", "reset", "wait"])
def test_a_verb_without_a_job_is_a_usage_error_that_asks_no_program(
    verb: str, script: Scripted, taskloom: Taskloom
) -> None:
    more = ("--for", "ready") if verb == "wait" else ()

    nothing, both = taskloom(verb, *more), taskloom(verb, "web", "--all", *more)

    assert (nothing.code, both.code) == (2, 2)
    assert "--all" in nothing.err
    assert "-l LABEL" in nothing.err
    assert (script.posts, script.queries) == ([], [])


def test_an_unknown_job_is_a_usage_error_and_nothing_is_done(script: Scripted, taskloom: Taskloom) -> None:
    said = taskloom("stop", "wbe")

    assert (said.code, said.err, script.posts) == (2, "taskloom: cannot find job\n", [])


def test_wait_needs_a_goal(taskloom: Taskloom) -> None:
    said = taskloom("wait", "web")

    assert said.code == 2
    assert "--for ready or --for finished" in said.err


# -- wait


def test_wait_follows_the_states(script: Scripted, taskloom: Taskloom) -> None:
    script.events = [happens("ended", outcome="failed")]
    script.gets["/v1/jobs/web"] = acted("web", "finished", "web#1", outcome="failed", failed=True, error="OSError: x")

    said = taskloom("wait", "web", "--for", "finished")

    assert (said.code, said.err) == (1, "web: finished, failed: OSError: x\n")


def test_wait_for_what_is_so_already_follows_nothing(script: Scripted, taskloom: Taskloom) -> None:
    script.jobs["web"]["marks"] = ["ready"]

    assert taskloom("wait", "web", "--for", "ready") == (0, "web: ready\n", "")
    assert "/v1/events" not in [path for path, _ in script.queries]


# -- pause, resume, reset


@pytest.mark.parametrize(
    ("verb", "after", "line"),
    [
        ("pause", acted("web", "running", "web#1"),
         "paused; its firings are missed until it is resumed; its run goes on"),
        ("resume", acted("web", "waiting", None, next_firing="2001-11-29T05:00:00"),
         "resumed; its next firing is in 0s, at 2001-11-29 05:00:00"),
        ("reset", acted("web", "waiting", None, waiting_for="backoff", due_in=2.5),
         "reset; waiting for backoff (2.5s)"),
    ],
)  # fmt: skip
def test_what_changes_a_schedule_is_said(
    verb: str, after: tuple[int, dict[str, Any]], line: str, script: Scripted, taskloom: Taskloom
) -> None:
    script.after[f"/v1/jobs/web/{verb}"] = after

    assert taskloom(verb, "web") == (0, f"web: {line}\n", "")


def test_a_job_without_a_schedule_cannot_be_paused(script: Scripted, taskloom: Taskloom) -> None:
    script.after["/v1/jobs/web/pause"] = refused("cannot pause job 'web': it has no schedule", "no-schedule")

    assert taskloom("pause", "web") == (1, "", "web: cannot pause: it has no schedule\n")


# -- completion


def test_the_jobs_of_the_running_program_are_offered(script: Scripted, taskloom: Taskloom) -> None:
    script.jobs = {name: job_status(name, "running", family="crew", labels=["night"]) for name in ("crew.1", "crew.2")}

    def words(line: str) -> list[str]:
        environ = {VARIABLE: "zsh_complete", "TASKLOOM_LINE": line.replace("SOCKET", f"'{taskloom.socket}'")}
        return [row.split("\t")[1] for row in answer(_taskloom, environ)[1].splitlines()]

    assert words("taskloom stop --socket SOCKET ") == ["crew.1", "crew.2", "crew"]
    assert words("taskloom stop --socket SOCKET crew.1 crew.") == ["crew.2"]
    assert words("taskloom wait --socket SOCKET --for finished -l n") == ["night"]
    assert words("taskloom wait --socket SOCKET --for ") == ["ready", "finished"]


def test_a_program_that_does_not_answer_has_no_jobs_to_offer(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_program(lambda connection, _: until_gone(connection)) as fake:
        environ = {VARIABLE: "bash_complete", "TASKLOOM_LINE": f"taskloom stop --socket '{fake.path}' "}

        assert answer(_taskloom, environ) == (0, "")
    assert capsys.readouterr() == ("", "")


def test_the_names_of_jobs_are_offered_without_importing_what_reads_or_runs_jobs(
    script: Scripted, taskloom: Taskloom
) -> None:
    program = f"""
import sys
from taskloom.cli import entry
from taskloom.cli.completion.answer import answer
line = "taskloom stop --socket '{taskloom.socket}' "
print(answer(entry._taskloom, {{"_TASKLOOM_COMPLETE": "fish_complete", "TASKLOOM_LINE": line}}))
heavy = "pydantic", "yaml", "stevedore", "rich", "taskloom.scheduler", "taskloom.jobfile", "taskloom.catalog"
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "(0, 'plain\\tweb\\t\\nplain\\tother\\t\\n')\n[]\n"


def test_a_program_that_is_gone_has_no_jobs_to_offer(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {VARIABLE: "bash_complete", "TASKLOOM_LINE": "taskloom stop --socket /nowhere/x.sock "}

    assert answer(_taskloom, environ) == (0, "")
    assert capsys.readouterr() == ("", "")
