"""A program whose jobs are all threads pays nothing for the runner of processes."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading
from taskloom import Job, Scheduler

started = threading.Event()

def run(ctx):
    started.set()
    ctx.wait()

with Scheduler() as scheduler:
    scheduler.add(Job(name="a", task=run)).start()
    assert started.wait(20)
    threads = sorted(thread.name for thread in threading.enumerate() if "process" in thread.name)
imported = [name for name in sys.modules if name.startswith(("taskloom.runners.process", "taskloom.runners.wire"))]
print(threads, imported, "subprocess" in sys.modules)
"""


def test_nothing_of_it_is_imported_and_no_thread_is_started() -> None:
    output = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout

    assert output == "[] [] False\n"
