"""The threads that ask a program, against one at the other end of a socket whose answers are written here."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h11
import pytest
from tests.support.fake_control import (
    STREAM,
    FakeControl,
    event_text,
    fake_program,
    job_status,
    program_status,
    reply,
    routes,
    until_gone,
)

from taskloom.clock import mono
from taskloom.control.client import Connection
from taskloom.control.reply_fields import Fields
from taskloom.top.feed import Feed
from taskloom.top.inbox import Inbox, Look, Notice, Taken
from taskloom.top.job_row import job_row
from taskloom.top.log_buffer import LogLine
from taskloom.top.poller import Poller
from taskloom.top.run_book import Kept, past_run
from taskloom.top.styled import text_of
from taskloom.top.usage import UsageMeter

PATIENCE_SECONDS = 30.0
ANSWERS: dict[str, Any] = {
    "/v1/program": program_status(),
    "/v1/jobs": {"jobs": [job_status("web"), job_status("db", "waiting", waiting_for="backoff", due_in=4.0)]},
    "/v1/runs": {"runs": [{"job": "web", "run": "web#1", "queued": "2026-01-31T12:00:00Z", "outcome": None}]},
    "/v1/next": {"firings": [{"job": "db", "at": "2026-01-31T12:10:00Z", "in": 1.0, "paused": False}]},
}


@contextlib.contextmanager
def feeding(fake: FakeControl) -> Iterator[Feed]:
    """Ask this program, and let all threads end at the end of the test."""
    with Feed(Connection(fake.program)) as feed:
        yield feed
    left = [each.name for each in threading.enumerate() if each.name.startswith("taskloom-top")]
    assert left == []


def take_until(feed: Feed, is_there: Callable[[Taken], object]) -> Taken:
    """Take until something is there."""
    end = mono() + PATIENCE_SECONDS
    pause = threading.Event()
    while mono() < end:
        taken = feed.take()
        if is_there(taken):
            return taken
        pause.wait(0.01)
    raise AssertionError("it has not come")


def waits_for_end(connection: socket.socket, _: h11.Request) -> None:
    until_gone(connection)


def answering(answers: dict[str, Any], **special: Callable[[socket.socket, h11.Request], None]) -> Any:
    """Answer by `special` where the path ends with its name, and else by `answers`; a stop report comes never."""
    known = routes(answers)
    special = {"stop": waits_for_end, **special}

    def answer(connection: socket.socket, request: h11.Request) -> None:
        path = request.target.decode().partition("?")[0]
        special.get(path.rpartition("/")[2], known)(connection, request)

    return answer


def test_the_program_its_jobs_runs_and_firings_are_read() -> None:
    with fake_program(answering(ANSWERS)) as fake, feeding(fake) as feed:
        taken = take_until(feed, lambda each: each.snapshot)

    assert taken.snapshot is not None
    assert taken.snapshot.program.title == "jobs"
    assert [(each.name, each.state, each.due_in) for each in taken.snapshot.jobs] == [
        ("web", "running", None),
        ("db", "waiting", 4.0),
    ]
    assert [each.run for each in taken.runs] == ["web#1"]
    assert [each.job for each in taken.snapshot.firings] == ["db"]
    assert taken.trouble == ""


def test_a_run_elsewhere_is_read_with_its_place_and_one_of_an_older_program_without() -> None:
    plain = {"job": "web", "run": "web#1", "queued": "2026-01-31T12:00:00Z"}
    known = {"host": "node3", "worker": "w1", "pid": 7}

    def place(**fields: Any) -> str:
        return past_run(Fields(plain | fields)).place

    assert place(whereabouts=known) == "node3 (worker w1, process 7)"
    assert place(whereabouts=known | {"pid": 0}) == "node3 (worker w1)"
    assert (place(whereabouts=None), place()) == ("", "")


def test_only_new_runs_are_asked_for_after_the_first_time() -> None:
    with fake_program(answering(ANSWERS)) as fake, feeding(fake) as feed:
        take_until(feed, lambda each: each.snapshot)
        feed.hurry()
        take_until(feed, lambda each: each.snapshot)
        asked = [target for _, target, _, _ in fake.requests if target.startswith("/v1/runs")]

    assert "since" not in asked[0]
    assert "history=true" in asked[0]
    assert all("since=" in target and "history" not in target for target in asked[1:])


def test_the_runs_of_the_history_are_asked_for_again_if_it_could_not_be_read() -> None:
    answer = {**ANSWERS["/v1/runs"], "from": "2026-01-31T11:00:00Z", "history": "unread"}

    with fake_program(answering(ANSWERS | {"/v1/runs": answer})) as fake:
        inbox = Inbox()
        poller = Poller(Connection(fake.program), inbox, on_found=lambda: None)
        poller.poll()
        poller.poll()
        poller._firings_due = 0.0
        poller.poll()
        asked = ["history=true" in target for _, target, _, _ in fake.requests if target.startswith("/v1/runs")]

    snapshot = inbox.take().snapshot
    assert snapshot is not None
    assert (snapshot.kept.history, snapshot.kept.since) == ("unread", 1769857200.0)
    assert asked == [True, False, True]


def test_a_program_that_does_not_know_the_history_is_asked_without() -> None:
    def runs(connection: socket.socket, request: h11.Request) -> None:
        if b"history" in request.target:
            error = {"code": "unknown-query-field", "message": "cannot find 'history'", "near": []}
            connection.sendall(reply({"error": error}, 400))
        else:
            routes(ANSWERS)(connection, request)

    with fake_program(answering(ANSWERS, runs=runs)) as fake, feeding(fake) as feed:
        taken = take_until(feed, lambda each: each.snapshot)

    assert taken.snapshot is not None
    assert [each.run for each in taken.runs] == ["web#1"]
    assert taken.snapshot.kept == Kept()


def test_an_older_program_without_the_routes_for_views_is_shown_without_them() -> None:
    known = {path: ANSWERS[path] for path in ("/v1/program", "/v1/jobs")}

    with fake_program(answering(known)) as fake, feeding(fake) as feed:
        taken = take_until(feed, lambda each: each.snapshot)

    assert taken.snapshot is not None
    assert (len(taken.snapshot.jobs), taken.snapshot.firings) == (2, [])


def test_a_program_that_was_started_again_is_noticed() -> None:
    starts = [program_status(), program_status(start="ffff")]

    with fake_program(answering(ANSWERS | {"/v1/program": starts})) as fake, feeding(fake) as feed:
        first = take_until(feed, lambda each: each.snapshot)
        feed.hurry()
        second = take_until(feed, lambda each: each.is_restarted)

    assert not first.is_restarted
    assert second.snapshot is not None
    assert second.snapshot.program.start == "ffff"


def test_an_answer_that_cannot_be_read_is_trouble_in_words() -> None:
    with fake_program(answering(ANSWERS | {"/v1/jobs": {"jobs": 7}})) as fake, feeding(fake) as feed:
        taken = take_until(feed, lambda each: each.trouble)

    assert taken.trouble is not None
    assert "jobs is 7, expected a list" in taken.trouble


def test_an_action_is_requested_and_what_becomes_of_it_is_said() -> None:
    refused = reply({"error": {"code": "job-stopping", "message": "cannot start 'db': it is stopping"}}, 409)
    answers = ANSWERS | {"/v1/jobs/web/stop": {}, "/v1/jobs/db/start": refused}
    found: list[Notice] = []

    # The path ends with /stop as that of the report does.
    with fake_program(answering(answers, stop=stop_or_wait(answers))) as fake, feeding(fake) as feed:
        for verb, job in (("stop", "web"), ("start", "db")):
            feed.act(verb, job)
            found += take_until(feed, lambda each: each.notices).notices

    assert [each.text for each in found] == ["stop web: requested", "start db: cannot start 'db': it is stopping"]
    assert [each.is_bad for each in found] == [False, True]
    assert [(method, body) for method, _, _, body in fake.requests if method == "POST"] == [("POST", b"{}")] * 2


def stop_or_wait(answers: dict[str, Any]) -> Any:
    known = routes(answers)
    return lambda connection, request: (known if request.method == b"POST" else waits_for_end)(connection, request)


def test_the_log_of_the_chosen_job_comes_line_by_line_and_gaps_are_said() -> None:
    def log(connection: socket.socket, _: h11.Request) -> None:
        data = {"at": "2026-01-31T12:00:00Z", "level": "info", "job": "web", "text": "one\ntwo"}
        connection.sendall(STREAM + event_text("line", data, "0a1b.1") + event_text("gap", {"why": "lost"}, "0a1b.5"))
        until_gone(connection)

    found: list[LogLine] = []
    with fake_program(answering(ANSWERS, logs=log)) as fake, feeding(fake) as feed:
        feed.choose_log("web")
        while len(found) < 3:
            found += take_until(feed, lambda each: each.lines).lines
        asked = [target for _, target, _, _ in fake.requests if target.startswith("/v1/logs")]

    assert [each.text for each in found] == ["one", "two", "-- lines are missing here --"]
    assert asked == ["/v1/logs?job=web&lines=500&follow=true"]


def test_a_program_without_log_lines_says_so_once() -> None:
    refused = reply({"error": {"code": "no-logs", "message": "this program keeps no log lines"}}, 409)

    with fake_program(answering(ANSWERS | {"follow /v1/logs": refused})) as fake, feeding(fake) as feed:
        feed.choose_log("web")
        taken = take_until(feed, lambda each: each.lines)

    assert [each.text for each in taken.lines] == ["-- this program keeps no log lines --"]


def test_lines_of_a_log_that_is_not_wanted_any_more_are_dropped() -> None:
    inbox = Inbox()
    old = inbox.begin_log()
    new = inbox.begin_log()

    inbox.put_line(old, LogLine("", "", "", "old"))
    inbox.put_line(new, LogLine("", "", "", "new"))

    assert [each.text for each in inbox.take().lines] == ["new"]


def test_lines_that_come_faster_than_they_are_taken_are_dropped_and_counted() -> None:
    inbox = Inbox(most_lines=100)
    log = inbox.begin_log()

    for number in range(250):
        inbox.put_line(log, LogLine("", "", "", str(number)))

    taken = inbox.take()
    assert (len(taken.lines), taken.dropped, taken.lines[0].text) == (100, 150, "150")
    assert inbox.take().dropped == 0


def test_a_stack_is_read_again_each_second_until_it_is_not_wanted() -> None:
    stacks = [{"stacks": [{"job": "web", "run": f"web#{number}", "where": "a.py:3", "text": ""}]} for number in (1, 2)]
    look = Look("stack", "web")

    with fake_program(answering(ANSWERS | {"/v1/stacks": stacks})) as fake, feeding(fake) as feed:
        feed.watch(look)
        first = take_until(feed, lambda each: look in each.looks).looks[look]
        second = take_until(feed, lambda each: look in each.looks).looks[look]

    assert [text_of(each) for each in (*first, *second)] == ["web#1: at a.py:3", "web#2: at a.py:3"]


def test_the_details_are_the_answer_to_why_and_the_declaration() -> None:
    answers = ANSWERS | {
        "/v1/jobs/web": {"job": job_status("web", error="KeyError: 'a'\nin b", outcomes={"failed": 2})},
        "/v1/jobs/web/why": {"text": "web is running since 12:00."},
        "/v1/jobs/web/declaration": {"declaration": {"name": "web", "task": "t", "params": {"port": 80}}},
    }
    look = Look("details", "web")

    with fake_program(answering(answers)) as fake, feeding(fake) as feed:
        feed.watch(look)
        lines = take_until(feed, lambda each: look in each.looks).looks[look]

    shown = "\n".join(text_of(each).rstrip() for each in lines)
    assert shown.startswith("web is running since 12:00.")
    for words in ("1 (failed 2)", "KeyError: 'a'", "in b", "params.port         80"):
        assert words in shown


def test_the_report_of_the_stop_is_waited_for_from_the_beginning() -> None:
    report = {"exit_code": 0, "reason": {"kind": "user", "text": ""}, "jobs": [job_status("web", "finished")]}

    def stop(connection: socket.socket, _: h11.Request) -> None:
        connection.sendall(reply(report))

    with fake_program(answering(ANSWERS, stop=stop)) as fake, feeding(fake) as feed:
        taken = take_until(feed, lambda each: each.report)
        asked = [target for _, target, _, _ in fake.requests if target.startswith("/v1/stop")]

    assert taken.report is not None
    assert [each.name for each in taken.report.jobs] == ["web"]
    assert asked == ["/v1/stop?wait=true"]


def test_the_report_is_asked_for_again_if_the_program_was_only_busy() -> None:
    report = {"exit_code": 0, "reason": {"kind": "user", "text": ""}, "jobs": []}
    busy = reply({"error": {"code": "busy", "message": "the program is busy"}}, 503)
    answers = [busy, reply(report)]

    def stop(connection: socket.socket, _: h11.Request) -> None:
        connection.sendall(answers.pop(0) if len(answers) > 1 else answers[0])

    with fake_program(answering(ANSWERS, stop=stop)) as fake, feeding(fake) as feed:
        taken = take_until(feed, lambda each: each.report)

    assert taken.report is not None


def test_whole_numbers_of_progress_have_all_their_digits() -> None:
    progress = {"done": 3009, "total": 1_000_000, "unit": "rows"}

    row = job_row(Fields(job_status("web", progress=progress)), 0.0)

    assert (row.note, row.progress) == ("3009/1000000 rows", 0.003009)


def test_the_usage_of_a_process_is_read_if_it_is_the_program_and_not_another_one(tmp_path: Path) -> None:
    process = tmp_path / "7"
    process.mkdir()
    ticks, pages = os.sysconf("SC_CLK_TCK"), 512
    (process / "cmdline").write_bytes(b"python\0-m\0taskloom\0")
    meter = UsageMeter(str(tmp_path))

    def read(seconds: int, now: float, *command: str) -> Any:
        fields = ["S", *["0"] * 10, str(seconds * ticks), "0", *["0"] * 8, str(pages), "0"]
        (process / "stat").write_text(f"7 (a) b) {' '.join(fields)}")
        return meter.read(7, command, now)

    assert read(1, 10.0, "other") is None
    assert read(1, 10.0, "python", "-m", "taskloom") == (None, pages * os.sysconf("SC_PAGE_SIZE"))
    assert read(2, 14.0, "python", "-m", "taskloom").cpu == pytest.approx(25.0)
    assert meter.read(8, ["python"], 15.0) is None
