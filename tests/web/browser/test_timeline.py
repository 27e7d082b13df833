"""The timeline: where its bars are, what they lead to, and what it has of earlier starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.browser import Browser
from tests.support.flooded_history import database_at, run_row, start_row, write_runs, write_starts
from tests.support.web_program import WebProgram

from taskloom.clock import wall

pytestmark = pytest.mark.browser

# A minute is 60 pixels wide, and the middle of it is now.
PLACE = "{ begin: 0, width: 60, now: 30000, scale: 0.001, x: at => at / 1000 }"
LANE = f"""async runs => {{
    const lanes = await import("/static/lanes.js");
    const instant = second => second === null ? null : new Date(second * 1000).toISOString();
    const given = runs.map(([due, started, ended, outcome], at) => ({{
        run: `job#${{at}}`, queued: instant(started), due: instant(due), started: instant(started),
        ended: instant(ended), outcome,
    }}));
    return lanes.blocks(given, {PLACE}).map(bar => [bar.x, bar.width, bar.kind, bar.lateWidth, bar.count, bar.failed]);
}}"""
MARKS = f"""async () => {{
    const lanes = await import("/static/lanes.js");
    const firings = [20, 35, 38, 50, 58].map(second => ({{ at: new Date(second * 1000).toISOString() }}));
    return lanes.marksOf({{ next_firing: null }}, firings, {PLACE}).map(mark => mark.x);
}}"""


def test_bars_are_where_the_runs_were(browser: Browser, program: WebProgram) -> None:
    with browser.page(program.link) as page:
        late_and_alive = [[5, 8, 18, "succeeded"], [None, 20, None, None]]
        assert page.evaluate(LANE, late_and_alive) == [[8, 10, "good", 3, 1, 0], [20, 10, "alive", 0, 1, 0]]
        close_together = [[None, 10, 10.1, "succeeded"], [None, 11, 11.1, "failed"], [None, 12, 12.1, "succeeded"]]
        assert page.evaluate(LANE, close_together) == [[10, 3, "bad", 0, 3, 1]]
        assert page.evaluate(MARKS) == [35, 50]


def test_a_failure_among_many_runs_stays_where_it_was(browser: Browser, program: WebProgram) -> None:
    """A pixel is a second: 50 short runs, of which the 30th has failed."""
    runs = [[None, at, at + 0.1, "failed" if at == 30 else "succeeded"] for at in range(50)]

    with browser.page(program.link) as page:
        bars = page.evaluate(LANE, runs)

    assert sum(bar[4] for bar in bars) == 50
    assert [bar[:2] for bar in bars if bar[2] == "bad"] == [[30, 3]]


def test_a_bar_leads_to_its_run_by_mouse_and_by_keyboard(browser: Browser, program: WebProgram) -> None:
    program.wait_for("nightly", state="waiting")
    with browser.page(program.link) as page:
        page.goto(f"{program.url}#/timeline")
        lane = page.get_by_role("group", name="Runs of nightly")
        lane.locator("a").first.click()
        page.locator("table.runs .chosen").wait_for()

        page.goto(f"{program.url}#/timeline")
        page.get_by_role("button", name="day").click()
        page.get_by_role("button", name="by label").click()
        page.locator(".lane.group").get_by_text("night").wait_for()
        lane.locator(".planned").first.wait_for()
        lane.locator("a").last.focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        page.locator("table.runs .chosen").wait_for()


def test_runs_of_earlier_starts_come_from_the_history(browser: Browser, tmp_path: Path) -> None:
    jobs = "jobs: {short: {task: countdown, params: {start: 0}}, long: {task: countdown, params: {start: 86400}}}\n"
    with WebProgram(tmp_path, jobs) as program:
        program.wait_for("short", outcome="succeeded")
        program.process.end_by(15)
    with WebProgram(tmp_path, jobs) as program, browser.page(program.link) as page:
        page.goto(f"{program.url}#/timeline")
        page.get_by_role("button", name="day").click()
        page.get_by_role("group", name="Runs of long").locator("a.calm").wait_for()
        page.get_by_role("group", name="Runs of long").locator("a.alive").wait_for()
        page.get_by_role("group", name="Runs of long").locator("a.calm").focus()
        page.keyboard.press("Enter")
        page.locator("table.runs .chosen").get_by_text("cancelled").wait_for()
        page.locator("table.runs").get_by_text("cancelled").wait_for()
        assert page.locator("table.runs tbody tr").count() == 2


@pytest.mark.parametrize(
    ("failing", "words", "retry_ms"),
    [
        ("**/v1/runs?since=*", "the program does not answer", 20_000),
        ("**/v1/history?since=*", "Without the history: the program does not answer", 60_000),
    ],
    ids=["runs", "history"],
)
def test_a_request_that_fails_is_repeated_and_its_words_go_with_it(
    browser: Browser, tmp_path: Path, failing: str, words: str, retry_ms: int
) -> None:
    """The clock of the page is moved forward, so the test does not wait for the next try."""
    jobs = "jobs: {long: {task: countdown, params: {start: 86400}}}\n"
    with WebProgram(tmp_path, jobs) as program:
        program.wait_for("long", state="running")
        program.process.end_by(15)
    with WebProgram(tmp_path, jobs) as program, browser.page(program.link) as page:
        program.wait_for("long", state="running")
        page.clock.install()
        page.route(failing, lambda route: route.abort())
        page.goto(f"{program.url}#/timeline")
        page.reload()
        page.get_by_role("button", name="day").click()
        status, earlier = page.get_by_role("status"), page.get_by_role("group", name="Runs of long").locator("a.calm")
        status.get_by_text(words, exact=True).wait_for()
        is_shown = earlier.count()

        page.unroute(failing)
        page.clock.fast_forward(retry_ms)
        earlier.wait_for()
        status.get_by_text(words).wait_for(state="detached")

    assert is_shown == 0


def test_a_week_of_a_job_that_runs_every_minute_is_shown_whole(browser: Browser, tmp_path: Path) -> None:
    jobs = "jobs: {busy: {task: countdown, params: {start: 0}}, long: {task: countdown, params: {start: 86400}}}\n"
    with WebProgram(tmp_path, jobs) as program:
        program.wait_for("busy", outcome="succeeded")
        program.process.end_by(15)
    (file,) = (tmp_path / "state" / "taskloom").glob("*.sqlite")
    begin = wall() - 6.9 * 86400
    rows = [run_row("busy", number, begin + 60 * number, start="old") for number in range(2, 9000)]
    rows[4000]["outcome"] = "failed"
    with database_at(file, file.stem) as database:
        write_starts(database, start_row("old", begin, how="ended", ended_at=begin + 600_000))
        write_runs(database, rows, first_seq=None)

    with WebProgram(tmp_path, jobs) as program, browser.page(program.link) as page:
        program.wait_for("busy", outcome="succeeded")
        page.goto(f"{program.url}#/timeline")
        page.get_by_role("button", name="week").click()
        lane = page.get_by_role("group", name="Runs of busy")
        lane.locator("a.bad").wait_for()
        titles = lane.locator("a > title").all_text_contents()

    counts = [int(found[1].replace(",", "")) if (found := re.match(r"([\d,]+) runs", title)) else 1 for title in titles]
    # And one run of each start of the program.
    assert sum(counts) == len(rows) + 2
    assert len(titles) < 150
