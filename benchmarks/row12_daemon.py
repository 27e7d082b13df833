"""Row 12: a whole program with ten idle jobs: its memory, and how fast it ends after SIGTERM."""

from __future__ import annotations

import sys
from pathlib import Path

from harness import Case, Claim, Figures, Role, Row
from jobfiles import job_file
from programs import TASKLOOM, measure_program

JOBS = 10

RAW_THREADS = f"""
import signal, threading
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
threads = [threading.Thread(target=over.wait) for _ in range({JOBS})]
for thread in threads:
    thread.start()
print("up", flush=True)
for thread in threads:
    thread.join()
"""

TRIO = f"""
import signal, trio
async def main():
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            for _ in range({JOBS}):
                nursery.start_soon(trio.sleep_forever)
            print("up", flush=True)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break
trio.run(main)
"""

APSCHEDULER = f"""
import signal, sys, threading
from apscheduler.schedulers.background import BackgroundScheduler
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
scheduler = BackgroundScheduler()
for _ in range({JOBS}):
    scheduler.add_job(print, "interval", hours=1)
scheduler.start()
print("up", flush=True)
over.wait()
scheduler.shutdown()
"""

DRAMATIQ = """
import dramatiq
from dramatiq.brokers.stub import StubBroker
dramatiq.set_broker(StubBroker())
@dramatiq.actor
def idle():
    pass
"""


def taskloom(times: int) -> Figures:
    with job_file(JOBS) as path:
        figures = measure_program(times, [TASKLOOM, "run", path])
    if figures["threads"] <= JOBS:
        raise RuntimeError("not every job was running when it was measured")
    return figures


def _python(times: int, code: str) -> Figures:
    return measure_program(times, [sys.executable, "-c", code])


def raw_threads(times: int) -> Figures:
    return _python(times, RAW_THREADS)


def trio(times: int) -> Figures:
    return _python(times, TRIO)


def apscheduler(times: int) -> Figures:
    return _python(times, APSCHEDULER)


def dramatiq(times: int) -> Figures:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        (Path(folder) / "idle_actors.py").write_text(DRAMATIQ)
        command = [sys.executable, "-m", "dramatiq", "-p", "1", "-t", str(JOBS), "idle_actors"]
        return measure_program(times, command, cwd=Path(folder))


ROW = Row(
    number=12,
    title=f"a program with {JOBS} idle jobs: SIGTERM until gone, and memory of all its processes",
    cases=[
        Case("taskloom run", Role.PRODUCT, taskloom),
        Case("trio, ten tasks", Role.PEER, trio, needs="trio"),
        Case("APScheduler, ten schedules", Role.PEER, apscheduler, needs="apscheduler"),
        Case("dramatiq, ten threads", Role.PEER, dramatiq, needs="dramatiq"),
        Case("raw threads", Role.LIMIT, raw_threads),
    ],
    figures={"gone_ms": "ms", "mib": "MiB", "processes": "in all", "threads": "in all"},
    claims=[
        Claim("taskloom run", "gone_ms", "raw threads", hold=10.0, aim=3.0),
        Claim("taskloom run", "mib", "raw threads", hold=6.0, aim=4.0),
    ],
    full=5,
    quick=2,
    tiny=1,
)
