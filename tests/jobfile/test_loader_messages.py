"""The exact reports of mistakes in job files. Each row: the mistake, the file, the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.given_catalog import GivenCatalog

from taskloom.jobfile import check
from taskloom.jobfile.render import render_all
from taskloom.task import Context, Duration, Task, param


class Countdown(Task):
    start: int = param(default=5, ge=0, description="where to begin")
    interval: Duration = param(default="1s")
    message: str = "liftoff"

    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Reader(Task):
    listen: str = param(description="the address")
    framing: str = "line"

    def __post_init__(self) -> None:
        if "://" not in self.listen:
            raise ValueError(f"cannot read {self.listen!r} as an address; write tcp://HOST:PORT")

    def run(self, ctx: Context) -> None:
        """Do nothing."""


CATALOG = GivenCatalog({"countdown": Countdown, "socket-reader": Reader})

ROWS = [
    (
        "a task that is misspelt",
        """\
jobs:
  tick:
    task: countdwon
""",
        """\
a.yaml:3:11: error: job 'tick': cannot find task 'countdwon'; installed: countdown, socket-reader
  3 |     task: countdwon
    |           ^^^^^^^^^ did you mean 'countdown'?""",
    ),
    (
        "no and 1 are not booleans, and a quoted number is not a number",
        """\
jobs:
  tick:
    task: countdown
    daemon: no
    enabled: 1
    params: {start: "5"}
""",
        """\
a.yaml:4:13: error: job 'tick': cannot use 'no' as daemon; expected true or false
  4 |     daemon: no
    |             ^^ write true or false
a.yaml:5:14: error: job 'tick': cannot use 1 as enabled; expected true or false
  5 |     enabled: 1
    |              ^ write true or false
a.yaml:6:21: error: job 'tick': cannot use "5" as start; expected an integer
  6 |     params: {start: "5"}
    |                     ^^^ write 5 without quotes""",
    ),
    (
        "a version number that YAML reads as a number",
        """\
jobs:
  tick:
    task: countdown
    params:
      message: 3.10
""",
        """\
a.yaml:5:16: error: job 'tick': cannot use 3.10 as message; expected text
  5 |       message: 3.10
    |                ^^^^ quote it to make it text""",
    ),
    (
        "a parameter that is missing is shown at the params, one that is unknown at its key",
        """\
jobs:
  in:
    task: socket-reader
    params:
      listne: tcp://localhost:1
""",
        """\
a.yaml:4:5: error: job 'in': cannot do without parameter 'listen'
  4 |     params:
    |     ^^^^^^ the address
a.yaml:5:7: error: job 'in': cannot find parameter 'listne'; known: listen, framing
  5 |       listne: tcp://localhost:1
    |       ^^^^^^ did you mean 'listen'?""",
    ),
    (
        "what the task's own constructor refuses",
        """\
jobs:
  in:
    task: socket-reader
    params: {listen: here}
""",
        """\
a.yaml:4:5: error: job 'in': cannot make Reader of these params: cannot read 'here' as an address; write tcp://HOST:PORT
  4 |     params: {listen: here}
    |     ^^^^^^""",
    ),
    (
        "a field of another tool, and a word that is misspelt",
        """\
jobs:
  tick:
    task: countdown
    interval: 5s
    restart: allways
""",
        """\
a.yaml:4:5: error: job 'tick': cannot find field 'interval'; known: task, params, description, labels, enabled, \
daemon, poll_interval, join, start, schedule, after, restart, timeout, ready_within, watchdog, essential, log, \
replicas, runner
  4 |     interval: 5s
    |     ^^^^^^^^ did you mean 'poll_interval'?
a.yaml:5:14: error: job 'tick': cannot use 'allways' as restart; expected never, on-failure, always or \
{when: on-failure, delay: 1s}
  5 |     restart: allways
    |              ^^^^^^^ did you mean 'always'?""",
    ),
    (
        "jobs that stand at the top",
        """\
tick:
  task: countdown
""",
        """\
a.yaml:1:1: error: cannot find key 'tick'; known: taskloom, defaults, jobs, and x-... for notes
  1 | tick:
    | ^^^^ put the job under 'jobs:'""",
    ),
    (
        "no jobs at all",
        "defaults: {daemon: true}\n",
        """\
a.yaml:1:1: error: cannot find 'jobs'; a job file contains its jobs under that key
  1 | defaults: {daemon: true}
    | ^""",
    ),
    (
        "jobs that hold nothing",
        "jobs:\n",
        """\
a.yaml:1:1: error: cannot find a job under 'jobs'
  1 | jobs:
    | ^^^^""",
    ),
    (
        "jobs that are a list",
        "jobs:\n  - task: countdown\n",
        """\
a.yaml:2:3: error: cannot use this as jobs; expected a mapping of names to jobs
  2 |   - task: countdown
    |   ^""",
    ),
    (
        "a job that is not a mapping",
        "jobs:\n  tick:\n  tock: countdown\n",
        """\
a.yaml:2:3: error: job 'tick': cannot use null as a job; expected a mapping of its fields
  2 |   tick:
    |   ^^^^
a.yaml:3:3: error: job 'tock': cannot use 'countdown' as a job; expected a mapping of its fields
  3 |   tock: countdown
    |   ^^^^""",
    ),
    (
        "a job without a task, and a bad name",
        "jobs:\n  a b:\n    daemon: true\n",
        """\
a.yaml:2:3: error: job 'a b': cannot run a job without a task; installed: countdown, socket-reader
  2 |   a b:
    |   ^^^
a.yaml:2:3: error: job 'a b': cannot use 'a b' as the name of a job; \
expected a letter or a digit, then letters, digits, '_', '-'
  2 |   a b:
    |   ^^^""",
    ),
    (
        "defaults that belong to one job, or are not a mapping",
        "defaults: {task: countdown, daemn: true}\njobs:\n  a: {task: countdown}\n",
        """\
a.yaml:1:12: error: cannot set 'task' in defaults; it belongs to each job
  1 | defaults: {task: countdown, daemn: true}
    |            ^^^^
a.yaml:1:29: error: cannot find field 'daemn'; known: task, params, description, labels, enabled, daemon, \
poll_interval, join, start, schedule, after, restart, timeout, ready_within, watchdog, essential, log, replicas, runner
  1 | defaults: {task: countdown, daemn: true}
    |                             ^^^^^ did you mean 'daemon'?""",
    ),
    (
        "defaults that are a list",
        "defaults: [daemon]\njobs:\n  a: {task: countdown}\n",
        """\
a.yaml:1:11: error: cannot use this as defaults; expected a mapping of fields
  1 | defaults: [daemon]
    |           ^""",
    ),
    (
        "an error in an anchored text points at it and says where it was used",
        """\
x-slow: &slow
  within: 5x
jobs:
  tick:
    task: countdown
    join: *slow
""",
        """\
a.yaml:2:11: error: job 'tick': cannot read '5x' as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds
  2 |   within: 5x
    |           ^^
a.yaml:6:11: note: used here through alias 'slow'""",
    ),
]


@pytest.mark.parametrize("summary, text, said", ROWS, ids=[row[0] for row in ROWS])
def test_a_mistake_is_reported_at_its_place(
    summary: str, text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(text, encoding="utf-8")

    result = check("a.yaml", catalog=CATALOG, environ={})

    assert render_all(result.problems) == said
