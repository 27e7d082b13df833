"""No route imports anything, except for that of metrics.

The installed package may be replaced, or no descriptor left, while the program runs.
"""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import threading
from taskloom import Job, Scheduler
from taskloom.control.api import Api
from taskloom.control.preload import import_for_answers
from taskloom.control.exchange import Caller, Deferred, Reply, Request
from taskloom.control.program_info import ProgramInfo
from taskloom.control.routes import ROUTES
from taskloom.text import to_json

import taskloom.runners.logs  # runs import it

import_for_answers()
with Scheduler(log=False) as scheduler:
    api = Api(scheduler, program=ProgramInfo("jobs"))
    listener = scheduler.listen(api.put)
    web = Job(name="web", task="countdown", params={"start": 1000})
    nightly = Job(name="nightly", task="countdown", schedule={"cron": "0 3 * * *"})
    scheduler.add_all([web, nightly])
    scheduler.start()
    before = set(sys.modules)
    answered = 0
    for route in [each for each in ROUTES if each.path != "/metrics"]:
        for job in ("web", "nightly", "nope"):
            path = route.path.replace("{job}", job)
            for query in ({}, {"follow": ("true",)}, {"since": ("2026-01-01T00:00:00Z",)}, {"job": ("w*",)}):
                answer = api.answer(Request(route.method, path, query, {}, b"", Caller(0, 1)))
                if isinstance(answer, Deferred) and route.path != "/v1/stop":
                    changed = threading.Event()
                    answer.on_change = changed.set
                    assert answer.reply or changed.wait(20)
                    answer = answer.reply
                if isinstance(answer, Reply):
                    to_json(dict(answer.body))
                    answered += answer.status < 400
                elif hasattr(answer, "take"):
                    list(answer.take(100))
                    answer.close()
    assert api.flush_log(20)
    print(answered > 30, sorted(set(sys.modules) - before))
"""


def test_no_route_but_that_of_metrics_imports_anything() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "True []\n", "")
