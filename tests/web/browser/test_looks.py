"""Both widths and both schemes of every view: all fits, axe finds nothing serious; and the keyboard alone is enough."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from tests.support.browser import DESKTOP, PHONE, Browser, Page
from tests.support.web_program import WebProgram

pytestmark = pytest.mark.browser

VIEWS = {
    "": "table.jobs",
    "timeline": ".lane .bar",
    "job/counter": ".log .line",
    "job/nightly/history": "table.runs",
    "job/counter/stack": ".stack .own",
    "job/nightly/declaration": ".fields",
    "tasks/countdown": ".params",
    "program": ".events td",
}
AXE = """async () => (await axe.run()).violations
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => `${each.id}: ${each.nodes.map(node => node.html).join(" | ")}`)"""


def check(page: Page, size: tuple[int, int]) -> None:
    """Check what is shown."""
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate(AXE) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_view_fits_and_is_accessible(
    browser: Browser, program: WebProgram, size: tuple[int, int], scheme: str
) -> None:
    package = importlib.import_module("axe_playwright_python").__file__
    assert package is not None
    axe = (Path(package).parent / "axe.min.js").read_text(encoding="utf-8")
    with browser.page(program.link, size, scheme, script=axe) as page:
        for view, shown in VIEWS.items():
            page.goto(f"{program.url}#/{view}")
            page.locator(shown).first.wait_for()
            check(page, size)
        page.goto(f"{program.url}#/")
        page.get_by_role("button", name="restart counter").click()
        page.get_by_role("dialog").wait_for()
        check(page, size)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Keys").click()
        page.get_by_role("heading", name="Keys").wait_for()
        check(page, size)
        page.keyboard.press("Escape")


def brightness(page: Page) -> float:
    """Return the brightness of the ground, from 0 to 255."""
    colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    parts = [float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(parts) / 3


def test_the_scheme_follows_the_system_until_the_user_chooses(browser: Browser, program: WebProgram) -> None:
    with browser.page(program.link, scheme="dark") as page:
        page.locator("table.jobs").wait_for()
        assert brightness(page) < 60
        page.emulate_media(color_scheme="light")
        assert brightness(page) > 200
        page.get_by_role("button", name="Colours").click()
        page.get_by_role("button", name="Colours: light").click()
        page.get_by_role("button", name="Colours: dark").wait_for()
        assert brightness(page) < 60
        page.reload()
        page.locator("table.jobs").wait_for()
        assert brightness(page) < 60


def test_the_keyboard_alone_is_enough(browser: Browser, program: WebProgram) -> None:
    with browser.page(program.link) as page:
        page.locator("table.jobs").wait_for()
        page.keyboard.press("/")
        page.keyboard.type("counter")
        page.get_by_text("1 of 5 jobs").wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowDown")
        page.wait_for_function("() => document.activeElement.textContent === 'counter'")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        before = program.job("counter")["run"]
        page.keyboard.press("r")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="hidden")
        assert program.job("counter")["run"] == before
        page.keyboard.press("r")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Enter")
        page.get_by_role("dialog").wait_for(state="hidden")
        while program.wait_for("counter", state="running")["run"] == before:
            pass
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="counter").wait_for()
        for key, tab in (("t", "stack"), ("h", "history"), ("d", "declaration"), ("l", "log")):
            page.keyboard.press(key)
            page.get_by_role("tab", name=tab, selected=True).wait_for()
        page.keyboard.press("/")
        page.keyboard.type("no such line")
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        page.locator(".lane").first.wait_for()
        page.keyboard.press("?")
        page.get_by_role("heading", name="Keys").wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.locator("table.jobs").wait_for()
