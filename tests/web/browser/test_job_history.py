"""The history of a job: a run that was elsewhere has its place, in the columns of `taskloom history`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.browser import Browser
from tests.support.flooded_history import database_at, run_row, start_row, write_runs, write_starts
from tests.support.web_program import WebProgram

from taskloom.clock import wall

pytestmark = pytest.mark.browser

JOBS = "jobs: {here: {task: countdown, params: {start: 0}}, long: {task: countdown, params: {start: 86400}}}\n"
COLUMNS = ["Run", "Planned for", "Began", "Took", "Late by", "Outcome", "Attempt"]
STREAM = {"Content-Type": "text/event-stream"}
NONE = "\N{EN DASH}"
WITH_PLACES = [*COLUMNS[:-2], "Host", "Worker", "PID", *COLUMNS[-2:]]


def test_runs_elsewhere_have_their_places_and_other_jobs_no_columns_for_them(browser: Browser, tmp_path: Path) -> None:
    with WebProgram(tmp_path, JOBS) as program:
        program.wait_for("here", outcome="succeeded")
        program.process.end_by(15)
    (file,) = (tmp_path / "state" / "taskloom").glob("*.sqlite")
    begin = wall() - 3600
    placed = run_row("long", 8, begin, start="old", host="node3", worker="w1", pid=7)
    waited = run_row("long", 9, begin + 60, start="old", host="node4", worker="w2")
    with database_at(file, file.stem) as database:
        write_starts(database, start_row("old", begin, how="ended", ended_at=begin + 600))
        write_runs(database, [placed, waited], first_seq=None)

    with WebProgram(tmp_path, JOBS) as program, browser.page(program.link) as page:
        program.wait_for("here", outcome="succeeded")
        recorded = program.get("/v1/runs?history=true&job=long")["runs"]
        page.goto(f"{program.url}#/job/long/history")
        page.locator("table.runs").get_by_text("node3").wait_for()
        head = page.locator("table.runs th[scope=col]").all_text_contents()
        rows = [row.locator("td").all_text_contents() for row in page.locator("table.runs tbody tr").all()]
        page.goto(f"{program.url}#/job/here/history")
        page.locator("table.runs").get_by_text("here#1").first.wait_for()
        head_of_here = page.locator("table.runs th[scope=col]").all_text_contents()

    assert [head, head_of_here] == [WITH_PLACES, COLUMNS]
    # Newest first: the run of now, that of the first start, and the two that were elsewhere.
    assert [row[4:7] for row in rows] == [[NONE] * 3, [NONE] * 3, ["node4", "w2", NONE], ["node3", "w1", "7"]]
    assert [run["whereabouts"] for run in recorded if run["start"] == "old"] == [
        {"host": "node3", "worker": "w1", "pid": 7},
        {"host": "node4", "worker": "w2", "pid": 0},
    ]


def test_a_run_that_is_placed_while_its_job_is_shown_has_its_place(browser: Browser, program: WebProgram) -> None:
    run = program.wait_for("counter", state="running")["run"]
    event = {"event": "placed", "seq": 1, "job": "counter", "run": run, "host": "node3", "worker": "w1", "pid": 7}
    stream = f"event: placed\ndata: {json.dumps(event)}\n\n"

    with browser.page(program.link) as page:
        page.route("**/v1/events?*follow=true*", lambda route: route.fulfill(body=stream, headers=STREAM))
        page.goto(f"{program.url}#/job/counter/history")
        page.reload()
        page.locator("table.runs").get_by_text("node3").wait_for()
        row = page.locator("table.runs tbody tr").first.locator("td").all_text_contents()
        page.unroute_all(behavior="wait")

    assert row[4:7] == ["node3", "w1", "7"]
