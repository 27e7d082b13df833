"""Runs that do not end, the stop of the program, its next start, and several tabs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.support.browser import Browser
from tests.support.web_program import WebProgram

pytestmark = pytest.mark.browser

DEAF = """\
defaults: {join: 300ms}
taskloom: {stop_within: 60s}
jobs:
  deaf:
    task: countdown
    params: {start: 100000, interval: 20ms, deaf: true}
  slow:
    task: countdown
    params: {start: 100000, interval: 20ms, deaf: true}
    join: 60s
  good: {task: countdown, params: {start: 86400}}
"""


def test_a_stuck_run_shows_where_it_is(browser: Browser, tmp_path: Path) -> None:
    with WebProgram(tmp_path, DEAF) as program, browser.page(program.link) as page:
        page.get_by_role("button", name="stop deaf").click()
        page.get_by_role("dialog").get_by_role("button", name="stop").click()
        program.wait_for("deaf", overdue=True)
        page.locator('tr[data-job="deaf"]').locator(".state-cell").get_by_text("stuck").wait_for()
        page.get_by_role("link", name="deaf", exact=True).click()
        page.get_by_role("heading", name="It is stuck here").wait_for()
        own = page.locator(".stack .own").first
        own.wait_for()
        assert own.inner_text().startswith(">")
        assert "countdown.py" in own.inner_text()
        page.locator(".why").get_by_text("deaf").wait_for()


def test_the_view_of_a_stop_shows_who_is_awaited_and_the_next_start_is_noticed(
    browser: Browser, tmp_path: Path
) -> None:
    with WebProgram(tmp_path, DEAF) as program, browser.page(program.link) as page:
        page.goto(f"{program.url}#/program")
        page.get_by_role("button", name="Stop the program").click()
        page.get_by_role("dialog").get_by_label("Reason").fill("for the test")
        page.get_by_role("dialog").get_by_role("button", name="Stop the program").click()
        stop = page.get_by_role("region", name="Stop of the program")
        stop.get_by_text("for the test").wait_for()
        stop.get_by_role("rowheader", name="slow").wait_for()
        stop.get_by_text("countdown.py").first.wait_for()
        assert stop.get_by_role("rowheader", name="good").count() == 0
        page.goto(f"{program.url}#/")
        page.locator('tr[data-job="good"]').wait_for()
        assert page.get_by_role("button", name="start good").is_disabled()
        assert page.locator("tr.job button:enabled").count() == 0
        program.process.send(signal.SIGKILL)
        program.process.end()
        page.get_by_text("The program does not answer").wait_for()
        with WebProgram(tmp_path, DEAF.replace("good", "better"), port=program.port):
            page.get_by_text("The program was restarted").wait_for()
            page.goto(f"{program.url}#/")
            page.get_by_role("rowheader", name="better").wait_for()
            page.get_by_text("healthy").wait_for()
            assert page.get_by_role("region", name="Stop of the program").count() == 0


def test_a_stop_to_its_end_leaves_its_report(browser: Browser, tmp_path: Path) -> None:
    jobs = "jobs: {good: {task: countdown, params: {start: 86400}}}\n"
    with WebProgram(tmp_path, jobs) as program, browser.page(program.link) as page:
        page.get_by_role("rowheader", name="good").wait_for()
        program.process.send(signal.SIGTERM)
        program.process.end()
        page.get_by_text("ended").first.wait_for()
        page.get_by_text("The page waits for its next start").wait_for()


def test_two_tabs_see_what_either_does_and_a_hidden_one_follows_nothing(browser: Browser, tmp_path: Path) -> None:
    jobs = "jobs: {good: {task: countdown, params: {start: 86400}}}\n"
    hide = """hidden => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    events = "import('/static/store.js').then(store => store.state.events)"
    with (
        WebProgram(tmp_path, jobs) as program,
        browser.page(program.link) as one,
        browser.page(program.link) as other,
    ):
        other.get_by_role("rowheader", name="good").wait_for()
        other.evaluate(hide, True)
        one.get_by_role("button", name="restart good").click()
        with one.expect_response("**/restart"):
            one.get_by_role("dialog").get_by_role("button", name="restart").click()
        other.evaluate(hide, False)
        other.get_by_role("group", name="last runs: 1 cancelled, 1 running").wait_for()

        hidden = "() => import('/static/api.js').then(() => performance.getEntriesByType('resource').length)"
        assert other.evaluate(hidden) > 0
        other.evaluate(hide, True)
        other.wait_for_timeout(3000)
        seen = other.evaluate(events)
        one.get_by_role("button", name="restart good").click()
        one.get_by_role("dialog").get_by_role("button", name="restart").click()
        one.get_by_role("group", name="last runs: 2 cancelled, 1 running").wait_for()
        assert other.evaluate(events) == seen
        other.evaluate(hide, False)
        other.get_by_role("group", name="last runs: 2 cancelled, 1 running").wait_for()
        assert other.evaluate("import('/static/store.js').then(store => store.state.lost)") == 0
