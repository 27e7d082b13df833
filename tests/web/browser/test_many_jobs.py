"""A thousand jobs and two hundred events a second: no event is lost, and the page stays usable."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.browser import Browser
from tests.support.web_program import WebProgram

pytestmark = pytest.mark.browser

JOBS = 1000
# Each firing has four events: queued, started, ready, ended.
EVENTS, SECONDS = 2000, 20
LONGEST_TASK_MS = 200
# Before the first script of the page.
WATCH = """
window.tasks = [];
new PerformanceObserver(list => {
    for (const entry of list.getEntries()) window.tasks.push([entry.startTime, entry.duration]);
}).observe({ type: "longtask", buffered: true });
"""
STATE = "import('/static/store.js').then(({ state }) => [state.events, state.seq, state.lost, performance.now()])"


def test_no_event_is_lost_and_no_task_is_long(browser: Browser, tmp_path: Path) -> None:
    job = "  job-{}: {{task: countdown, params: {{start: 0, message: ''}}, schedule: {{every: 20s, jitter: 20s}}}}\n"
    jobs = "jobs:\n" + "".join(job.format(number) for number in range(JOBS))
    with WebProgram(tmp_path, jobs, options=("--log-level", "warning")) as program:
        with browser.page(program.link, script=WATCH) as page:
            page.get_by_text(f"{JOBS:,} jobs").wait_for()
            page.wait_for_function("() => import('/static/store.js').then(({ state }) => state.events > 50)")
            events, seq, _, begin = page.evaluate(STATE)
            page.wait_for_function(f"count => import('/static/store.js').then(store => store.state.events > count + {EVENTS})", arg=events)
            after, last, lost, end = page.evaluate(STATE)
            assert (after - events, lost) == (last - seq, 0)

            for key in ("End", "Home", "2", "1"):
                page.keyboard.press(key)
                page.wait_for_timeout(300)
            page.get_by_label("Filter jobs").fill("job-77")
            page.get_by_text(f"11 of {JOBS:,} jobs").wait_for()
            long = [task for task in page.evaluate("window.tasks") if begin < task[0] and task[1] > LONGEST_TASK_MS]
            rate = (after - events) / (end - begin) * 1000
            print(f"{rate:.0f} events a second; longest tasks {sorted(page.evaluate('window.tasks'), key=lambda each: -each[1])[:5]}")
            assert long == []
            assert rate > 100
            assert page.locator("tr.job").count() < 60
