"""One browser for all tests, and one program for those that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.browser import Browser, chromium
from tests.support.web_program import WebProgram

JOBS = """\
defaults: {join: 2s}
jobs:
  counter:
    description: Counts for a day.
    task: countdown
    params: {start: 86400, interval: 1s}
    labels: [web]
  nightly:
    description: Fires every hour.
    task: countdown
    params: {start: 2, interval: 10ms, message: done}
    schedule: {every: 1h, immediately: true}
    labels: [night]
  failing:
    task: countdown
    params: {start: 1, interval: 10ms, failures: 1000}
    restart: {when: on-failure, delay: 2s, max_delay: 60s}
  waiting:
    task: countdown
    params: {start: 1}
    after: {failing: succeeded}
  program:
    task: command
    params: {argv: [sh, -c, "trap 'echo got the signal' HUP; while :; do sleep 0.05; done"]}
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def program(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProgram]:
    """A program whose jobs run on."""
    with WebProgram(tmp_path_factory.mktemp("program"), JOBS) as found:
        yield found
