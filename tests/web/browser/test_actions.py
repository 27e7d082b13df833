"""Every action of the page, in a real browser: nothing happens before the question is answered."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.browser import Browser, Page
from tests.support.web_program import WebProgram
from tests.web.browser.conftest import JOBS

pytestmark = pytest.mark.browser


def ask(page: Page, verb: str, job: str) -> None:
    """Click on the button of a verb."""
    page.get_by_role("button", name=f"{verb} {job}", exact=True).click()


def confirm(page: Page, button: str, reason: str = "") -> None:
    """Answer the question, and wait until it has gone."""
    dialog = page.get_by_role("dialog")
    if reason:
        dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=button, exact=True).click()
    dialog.wait_for(state="hidden")


def row(page: Page, job: str, word: str = "") -> Page:
    """Return the row of a job; with `word`, the state in it that says so."""
    found = page.locator(f'tr[data-job="{job}"]')
    return found.locator(".state-cell").get_by_text(word) if word else found


def test_a_run_is_stopped_and_started_from_the_table(browser: Browser, program: WebProgram) -> None:
    with browser.page(program.link) as page:
        before = program.wait_for("counter", state="running")["run"]
        ask(page, "stop", "counter")
        confirm(page, "Cancel")
        assert program.job("counter")["run"] == before
        assert program.job("counter")["state"] == "running"

        ask(page, "stop", "counter")
        confirm(page, "stop", "too loud")
        assert "too loud" in program.wait_for("counter", state="finished")["held"]
        row(page, "counter", "cancelled").wait_for()

        ask(page, "start", "counter")
        confirm(page, "start")
        after = program.wait_for("counter", state="running")["run"]
        row(page, "counter", "running").wait_for()
        assert after != before

        ask(page, "restart", "counter")
        confirm(page, "restart")
        while program.wait_for("counter", state="running")["run"] == after:
            pass


def test_a_schedule_is_paused_and_resumed(browser: Browser, program: WebProgram) -> None:
    with browser.page(program.link) as page:
        ask(page, "pause", "nightly")
        confirm(page, "pause")
        program.wait_for("nightly", paused=True)
        next_firing = page.locator('tr[data-job="nightly"] .next-cell')
        next_firing.get_by_text("paused", exact=True).wait_for()
        assert next_firing.get_by_text("in ").count() == 0
        ask(page, "resume", "nightly")
        confirm(page, "resume")
        program.wait_for("nightly", paused=False)
        row(page, "nightly", "for next firing").wait_for()


def test_the_page_of_a_job_resets_signals_and_runs_again(browser: Browser, program: WebProgram) -> None:
    with browser.page(program.link) as page:
        row(page, "failing").get_by_role("link", name="failing", exact=True).click()
        page.get_by_role("heading", name="failing").wait_for()
        before = program.job("failing")["runs"]
        ask(page, "reset", "failing")
        confirm(page, "reset")
        while program.job("failing")["runs"] == before:
            pass

        page.goto(f"{program.url}#/job/program")
        ask(page, "signal", "program")
        page.get_by_role("textbox", name="Signal").fill("HUP")
        confirm(page, "signal")
        page.get_by_role("log").get_by_text("got the signal").wait_for()

        page.goto(f"{program.url}#/job/nightly/history")
        page.locator("table.runs").get_by_text("succeeded").first.wait_for()
        before = program.job("nightly")["runs"]
        page.locator(".history").get_by_role("button", name="run again nightly").click()
        confirm(page, "start")
        while program.job("nightly")["runs"] == before:
            pass
        page.locator("table.runs").get_by_role("link", name=f"nightly#{before + 1}", exact=True).wait_for()


def test_a_job_starts_although_it_waits_for_another(browser: Browser, program: WebProgram) -> None:
    with browser.page(program.link) as page:
        ask(page, "start", "waiting")
        page.get_by_label("Now, although").check()
        confirm(page, "start")
        program.wait_for("waiting", state="finished", outcome="succeeded")
        row(page, "waiting", "succeeded").wait_for()


def test_the_words_of_a_refusal_are_shown_in_the_question(browser: Browser, program: WebProgram) -> None:
    with browser.page(f"{program.link}") as page:
        page.goto(f"{program.url}#/job/program")
        ask(page, "signal", "program")
        page.get_by_role("textbox", name="Signal").fill("SIGNOTHING")
        page.get_by_role("dialog").get_by_role("button", name="signal").click()
        page.get_by_role("dialog").get_by_role("alert").get_by_text("SIGNOTHING").wait_for()


def test_all_shown_jobs_are_stopped_and_the_files_are_read_again(browser: Browser, tmp_path: Path) -> None:
    with WebProgram(tmp_path, JOBS) as program, browser.page(program.link) as page:
        page.get_by_role("button", name="web", exact=True).click()
        page.get_by_text("1 of 5 jobs").wait_for()
        page.get_by_label("Act on all jobs that are shown").select_option("restart")
        before = program.job("counter")["run"]
        confirm(page, "restart")
        while program.wait_for("counter", state="running")["run"] == before:
            pass

        program.write(JOBS + "  added: {task: countdown, params: {start: 86400}}\n")
        page.get_by_role("link", name="Program").first.click()
        page.get_by_role("button", name="Reload").click()
        page.get_by_role("dialog").locator(".changes").get_by_text("added").first.wait_for()
        confirm(page, "Reload")
        page.goto(f"{program.url}#/")
        page.get_by_role("button", name="web", exact=True).click()
        row(page, "added", "running").wait_for()


def test_the_read_only_token_shows_everything_and_offers_nothing(browser: Browser, program: WebProgram) -> None:
    with browser.page(f"{program.url}#token={program.read_token}") as page:
        page.get_by_text("read-only").wait_for()
        row(page, "counter").wait_for()
        assert page.get_by_role("button", name="stop counter").count() == 0
        page.goto(f"{program.url}#/program")
        page.get_by_role("heading", name="Last events").wait_for()
        assert page.get_by_role("button", name="Stop the program").count() == 0


def test_the_page_asks_for_its_token_and_keeps_it_for_the_tab_alone(browser: Browser, program: WebProgram) -> None:
    with browser.page(program.url) as page:
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Open").click()
        page.get_by_role("alert").get_by_text("token").wait_for()
        page.get_by_label("Token").fill(program.link)
        page.get_by_role("button", name="Open").click()
        row(page, "counter").wait_for()
        assert program.token not in page.url
        assert page.evaluate("sessionStorage.getItem('taskloom-token')") == program.token
        assert program.token not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
    with browser.page(program.link) as page:
        row(page, "counter").wait_for()
        assert page.url in {program.url, f"{program.url}#/"}
