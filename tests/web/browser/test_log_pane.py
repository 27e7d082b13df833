"""The live log: lines as they come, the search in the server, the place of a reader, the download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.browser import Browser, Page
from tests.support.web_program import WebProgram

pytestmark = pytest.mark.browser

JOBS = """\
jobs:
  talker:
    task: command
    params: {argv: [sh, -c, "i=0; while :; do i=$((i+1)); echo line $i of Talk; sleep 0.02; done"]}
"""


@pytest.fixture(scope="module")
def talk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProgram]:
    """A program that logs fifty lines a second."""
    with WebProgram(tmp_path_factory.mktemp("talk"), JOBS) as found:
        yield found


@pytest.fixture
def page(browser: Browser, talk: WebProgram) -> Iterator[Page]:
    """The log of its job, which follows, and is longer than its pane."""
    with browser.page(talk.link) as found:
        found.goto(f"{talk.url}#/job/talker")
        found.wait_for_function("() => document.querySelectorAll('.log .line').length > 100")
        yield found


AT_END = "(box => box.scrollHeight - box.scrollTop - box.clientHeight < 8)(document.querySelector('.log'))"
ALL_MATCH = "() => [...document.querySelectorAll('.log .text')].every(each => /7 of Talk/.test(each.textContent))"


def lines(page: Page) -> list[str]:
    """Return the texts of the lines that are shown."""
    found: list[str] = page.locator(".log .text").all_inner_texts()
    return found


def test_lines_come_in_order_and_the_end_is_seen(page: Page) -> None:
    first = len(lines(page))
    page.wait_for_function("count => document.querySelectorAll('.log .line').length > count + 20", arg=first)
    numbers = [int(line.split()[1]) for line in lines(page) if line.endswith("of Talk")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert page.evaluate(AT_END)


def test_a_reader_further_up_keeps_the_place_until_it_jumps_to_the_end(page: Page) -> None:
    page.locator(".log").hover()
    page.mouse.wheel(0, -300)
    page.get_by_role("button", name="new)").wait_for()
    seen = "[document.querySelector('.log').scrollTop, document.querySelectorAll('.log .line').length]"
    place = page.evaluate(seen)
    page.wait_for_function("() => /\\((\\d{2,}) new/.test(document.querySelector('.jump').textContent)")
    assert page.evaluate(seen) == place
    page.get_by_role("button", name="Jump to end").click()
    page.get_by_role("button", name="Following").wait_for()
    numbers = [int(line.split()[1]) for line in lines(page) if line.endswith("of Talk")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_the_server_searches_and_the_matches_are_marked(page: Page) -> None:
    page.get_by_label("Search in the log").fill("7 of talk")
    page.wait_for_function(ALL_MATCH)
    page.locator(".log mark").first.wait_for()
    assert {line.split()[1][-1] for line in lines(page)} == {"7"}
    page.get_by_label("Least level").select_option("error")
    page.wait_for_function("() => !document.querySelector('.log .line')")


def test_the_log_is_downloaded_as_text(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.startswith("talker-")
    file = tmp_path / "talker.log"
    download.value.save_as(file)
    text = file.read_text(encoding="utf-8")
    assert "talker#1 line 1 of Talk\n" in text
    assert text.count("\n") > 100


def test_the_settings_of_the_log_stay_and_a_slash_recalls_the_search(page: Page) -> None:
    page.get_by_label("Least level").select_option("warning")
    page.locator('.log[data-empty="No such line."]').wait_for()
    page.get_by_label("Lines at first").select_option("5000")
    page.reload()
    page.get_by_label("Least level").wait_for()
    assert page.get_by_label("Least level").input_value() == "warning"
    assert page.get_by_label("Lines at first").input_value() == "5000"
    page.get_by_label("Least level").select_option("")
    page.get_by_label("Search in the log").fill("7 of Talk")
    page.locator(".log mark").first.wait_for()
    page.reload()
    page.locator(".log .line").first.wait_for()
    assert page.locator(".log mark").count() == 0
    page.keyboard.press("/")
    page.locator(".log mark").first.wait_for()
    assert page.get_by_label("Search in the log").input_value() == "7 of Talk"
