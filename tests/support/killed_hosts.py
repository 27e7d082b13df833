"""Host programs with a scheduler and a history that are killed; a program of its own that forks them.

python -m tests.support.killed_hosts DATABASE ACKNOWLEDGED

Forking makes the start of a host cheap: all is imported already, and no thread runs in the parent. For each line of its
input one host is started and killed: `start 0.2` is 0.2 seconds after its start, `first 0.2` after its first action was
acknowledged. Then one line is printed: the second of the kill, on the monotonic clock, and the process id.

A host writes to the file ACKNOWLEDGED after the commit of each row that it was promised, and before it puts each event:
lines of `instant JOB SECONDS`, `action TEXT`, `event PID SEQ MONO`.
"""

from __future__ import annotations

import itertools
import os
import select
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable

from taskloom import Context, Job, Scheduler
from taskloom.core.events import Event
from taskloom.history.location import parse_target
from taskloom.history.model import ActionRow, StartInfo
from taskloom.history.recorder import Recorder

NAME = "hosts"
# Reached only when a test fails.
PATIENCE_SECONDS = 60.0


class Acknowledged:
    """The file of what was promised. Each line is one write, which a kill does not take back."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: object) -> None:
        """Append a line; any thread may call it."""
        os.write(self._descriptor, (" ".join(map(str, words)) + "\n").encode())


class AcknowledgingMemory:
    """Writes down each instant when its record is promised."""

    def __init__(self, recorder: Recorder, acknowledged: Acknowledged) -> None:
        self._recorder, self._acknowledged = recorder, acknowledged

    def record_instant(self, job: str, instant: float, done: Callable[[bool], None]) -> None:
        """Record it, and write it down before the scheduler hears of it."""

        def written(is_recorded: bool) -> None:
            if is_recorded:
                self._acknowledged.write("instant", job, repr(instant))
            done(is_recorded)

        self._recorder.record_instant(job, instant, written)


def tick(ctx: Context) -> None:
    """Poll until cancelled."""
    while not ctx.wait(0.01):
        ctx.count("ticks")


def fail(ctx: Context) -> None:
    """Fail."""
    raise OSError(f"attempt {ctx.attempt} finds no device")


def brief(_: Context) -> None:
    """Return at once."""


def jobs() -> list[Job]:
    """Return one job of each kind."""
    return [
        Job(name="ticking", task=tick, daemon=True),
        Job(name="flaky", task=fail, restart={"when": "on-failure", "delay": "20ms", "max_delay": "60ms"}),
        Job(name="often", task=brief, schedule={"every": "15ms"}),
        Job(name="caught", task=brief, schedule={"cron": "* * * * * *", "missed": "catch-up", "grace": "1h"}),
        Job(name="regular", task=brief, schedule={"every": "100ms", "missed": "catch-up", "grace": "1h"}),
        Job(name="late", task=brief, after="often2"),
        Job(name="often2", task=tick, start={"delay": "30ms"}),
    ]


def host(database: str, path: str, first: int) -> None:
    """Run the jobs with a history until killed. `first`: a descriptor to close once an action was acknowledged."""
    acknowledged = Acknowledged(path)
    info = StartInfo(start=uuid.uuid4().hex[:12], since=time.time(), pid=os.getpid())
    recorder = Recorder(
        parse_target(database), name=NAME, start=info, keep=30 * 86400.0, size=256 << 20,
        mask=lambda text: text, log=lambda *_: None, tail_of=lambda run: (f"the last line of {run}", 0), polls=dict,
    )  # fmt: skip
    opened = recorder.open()
    scheduler = Scheduler(memory=AcknowledgingMemory(recorder, acknowledged), log=False)

    def put(event: Event) -> None:
        acknowledged.write("event", os.getpid(), event.seq, f"{time.monotonic():.4f}")
        recorder.put(event)

    scheduler.listen(put)
    scheduler.add_all(jobs(), remembered=opened.remembered)
    scheduler.start()
    for number in itertools.count():
        text = f"{info.start}/{number}"
        is_done = threading.Event()

        def done(is_recorded: bool, text: str = text, is_done: threading.Event = is_done) -> None:
            if is_recorded:
                acknowledged.write("action", text)
            is_done.set()

        recorder.put_action(ActionRow(time.time(), "start", ("brief",), {"pid": os.getpid()}, text, "started"), done)
        is_done.wait()
        if number == 0:
            os.close(first)


def main(database: str, acknowledged: str) -> None:
    """Fork a host for each line of the input, and kill it."""
    for line in sys.stdin:
        since, seconds = line.split()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                host(database, acknowledged, writing)
            finally:
                os._exit(9)
        os.close(writing)
        handle = os.pidfd_open(pid)
        if since == "first":
            select.select([reading], [], [], PATIENCE_SECONDS)
        ended_early, _, _ = select.select([handle], [], [], float(seconds))
        os.close(reading)
        os.close(handle)
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        print(f"{killed:.4f}", pid, "early" if ended_early else "killed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
