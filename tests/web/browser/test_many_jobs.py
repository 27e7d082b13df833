"""A thousand jobs and two hundred events a second: no event is lost, and the page stays usable."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.browser import Browser
from tests.support.web_program import WebProgram

pytestmark = pytest.mark.browser

JOBS = 1000
# Each firing has four events: queued, started, ready, ended.
EVENTS = 2000
LEAST_RATE = 100
# A click waits as long as a task of the page. On an idle machine none takes 200 ms; on a busy one a few may.
LONG_TASK_MS = 200
MOST_LONG_TASKS = 5
LONGEST_TASK_MS = 1000
# Before the first script of the page.
WATCH = """
window.tasks = [];
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) window.tasks.push([entry.startTime, entry.duration]);
}).observe({ type: "longtask", buffered: true });
"""
LOAD = "async () => { window.known = (await import('/static/store.js')).state; }"
STATE = "[known.events, known.seq, known.lost, performance.now()]"
HAS_EVENTS = "count => known.events > count"


def test_no_event_is_lost_and_no_task_is_long(browser: Browser, tmp_path: Path) -> None:
    job = "  job-{}: {{task: countdown, params: {{start: 0, message: ''}}, schedule: {{every: 20s, jitter: 19s}}}}\n"
    jobs = "defaults: {log: {level: error}}\njobs:\n" + "".join(job.format(number) for number in range(JOBS))
    with WebProgram(tmp_path, jobs) as program, browser.page(program.link, script=WATCH) as page:
        page.get_by_text(f"{JOBS:,} jobs").wait_for()
        page.evaluate(LOAD)
        page.wait_for_function(HAS_EVENTS, arg=50)
        events, seq, _, begin = page.evaluate(STATE)
        page.wait_for_function(HAS_EVENTS, arg=events + EVENTS)
        after, last, lost, end = page.evaluate(STATE)
        assert (after - events, lost) == (last - seq, 0)

        for key in ("End", "Home", "2", "1"):
            page.keyboard.press(key)
            page.wait_for_timeout(300)
        page.get_by_label("Filter jobs").fill("job-77")
        page.get_by_text(f"11 of {JOBS:,} jobs").wait_for()
        assert page.locator("tr.job").count() == 11
        tasks = [duration for start, duration in page.evaluate("window.tasks") if start > begin]
        assert max(tasks, default=0) <= LONGEST_TASK_MS
        assert sum(duration > LONG_TASK_MS for duration in tasks) <= MOST_LONG_TASKS
        assert (after - events) / (end - begin) * 1000 > LEAST_RATE
