"""The timeline: where its bars are, what they lead to, and what it has of earlier starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.browser import Browser
from tests.support.web_program import WebProgram

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
