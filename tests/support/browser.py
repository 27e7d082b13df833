"""Debian's Chromium, driven by Playwright: pages that note every error of theirs, and every request to another host."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

__all__ = ["DESKTOP", "PHONE", "Browser", "Page", "chromium"]

Page = Any
"""A page of Playwright. Its types would make Playwright part of what every check of types needs."""

DESKTOP, PHONE = (1280, 800), (390, 844)
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that a foreign site makes lead to this machine.
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",
)
_PATIENCE_MS = 40_000
# The browser writes this for each reply with an error, also for those that the page expects.
_EXPECTED = "Failed to load resource"


def _missing(what: str) -> None:
    """Skip the tests, in words; in CI nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(f"cannot test the page in a browser: {what} is missing")
    pytest.skip(f"THE PAGE IS NOT TESTED IN A BROWSER: {what} is missing")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser; skip the tests if it, or Playwright, is missing."""
    program = shutil.which("chromium")
    if program is None:
        _missing("chromium (apt install chromium)")
    try:
        api: Any = importlib.import_module("playwright.sync_api")
    except ModuleNotFoundError:
        _missing("playwright (pip install 'taskloom[test-browser]')")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield Browser(browser)
        finally:
            browser.close()


class Browser:
    """Opens pages, each with a storage of its own."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    def context(self) -> Any:
        """Return a new storage for pages of which nothing is expected; the caller closes it."""
        return self._browser.new_context()

    @contextmanager
    def page(
        self, url: str, size: tuple[int, int] = DESKTOP, scheme: str = "light", *, script: str = ""
    ) -> Iterator[Page]:
        """Open a page. At the end it must have had no error, and no request to another host.

        `script` is run in the page before anything of it.
        """
        width, height = size
        context = self._browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        context.set_default_timeout(_PATIENCE_MS)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        errors: list[str] = []
        hosts: set[str] = set()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if _is_error(line) else None)
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        try:
            page.goto(url)
            yield page
        finally:
            context.close()
        assert errors == []
        assert hosts - {urlsplit(url).netloc, ""} == set()


def _is_error(line: Any) -> bool:
    return line.type in ("error", "warning") and not line.text.startswith(_EXPECTED)
