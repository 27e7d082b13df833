"""A real `taskloom run` in a child process, with tasks that misbehave."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.faked_clock import FakedClock, find_libfaketime
from tests.support.processes import all_processes, pipes_of, watcher_of

from taskloom.invariants.checker import check_events

# Reached only in failures: a test waits for a line or an end, never for a time.
PATIENCE_SECONDS = 30.0

# The exit codes of an orderly end, after which the event file is complete.
ORDERLY_ENDS = (0, 1, 3, 130)

TASKS = '''
import os, re, signal, sys, threading, time

from pydantic import SecretStr
from taskloom import PermanentFailure, Task

def polite(ctx):
    """Wait until asked to stop."""
    ctx.wait()

def deaf(ctx, seconds: float = 1000.0):
    """Block in C and never poll."""
    time.sleep(seconds)  # DEAF STANDS HERE

def gil(ctx):
    """Hold the GIL in C for ever."""
    os.write(1, b"holding")
    re.match(r"(a+)+$", "a" * 60 + "b")  # GIL IS HELD HERE

def last_hog(ctx):
    """Hold the GIL in C for ever, once asked to stop."""
    ctx.wait()
    gil(ctx)

def swallower(ctx):
    """Swallow every cancel."""
    while True:
        try:
            ctx.sleep(0.01)
        except BaseException:
            pass

def printer(ctx, text: str = "x"):
    """Print without end."""
    while not ctx.cancelled:
        print(text * 100)

def bad(ctx):
    """Fail."""
    raise ValueError("boom")

def leaver(ctx, code: int = 0):
    """Exit the interpreter, or try to."""
    sys.exit(code)

def leaker(ctx, daemon: bool = False):
    """Leave a thread behind."""
    threading.Thread(target=time.sleep, args=(1000,), name="leaked", daemon=daemon).start()

def silent_leaver(ctx):
    """Return at once."""

def flaky(ctx, failures: int = 1, stays: bool = False):
    """Fail this number of times in a row; then return, or stay until asked to stop."""
    if ctx.attempt <= failures:
        raise ValueError(f"attempt {ctx.attempt} fails")
    if stays:
        ctx.wait()

def hopeless(ctx):
    """Fail for a reason that no restart can fix."""
    raise PermanentFailure("no such device")

def sayer(ctx, text: str):
    """Say a word, and who it is; stay until asked to stop."""
    ctx.log.info("says %s, replica %s", text, ctx.replica)
    ctx.wait()

def stuck(ctx, until: str):
    """Neither poll nor wait until a file is there; a later attempt is polite."""
    while ctx.attempt == 1 and not os.path.exists(until):
        time.sleep(0.01)  # STUCK STANDS HERE
    if ctx.attempt > 1:
        ctx.wait()

def worker(ctx):
    """Work, and poll now and then."""
    while not ctx.cancelled:
        end = time.thread_time() + 0.7
        while time.thread_time() < end:
            pass

def secretive(ctx, word: SecretStr):
    """Have a secret; stay until asked to stop."""
    ctx.wait()

class Opening(Task):
    """Be ready once a file is there; stay until asked to stop."""

    announces_ready = True
    until: str = ""

    def run(self, ctx):
        while not ctx.wait(0.01):
            if os.path.exists(self.until):
                ctx.ready()
                ctx.wait()
'''

BROKEN = "import sys\nsys.exit(7)\n"
ENDLESS = "import time\ntime.sleep(1000)  # importing this takes its time\n"


@pytest.fixture(scope="session")
def toy_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with installed distributions: misbehaving tasks, one that exits at import, one that hangs."""
    folder = tmp_path_factory.mktemp("packages")
    names = [
        *("polite", "deaf", "gil", "swallower", "printer", "bad", "leaver", "leaker", "silent_leaver"),
        *("flaky", "hopeless", "last_hog", "sayer", "stuck", "worker", "secretive"),
    ]
    (folder / "misbehaving.py").write_text(TASKS)
    (folder / "broken_toy.py").write_text(BROKEN)
    (folder / "endless_toy.py").write_text(ENDLESS)
    tasks = [f"{name} = misbehaving:{name}" for name in names]
    _register(folder, "misbehaving", [*tasks, "opening = misbehaving:Opening"])
    _register(folder, "broken-toy", ["exits-at-import = broken_toy:anything"])
    _register(folder, "endless-toy", ["never-imported = endless_toy:anything"])
    return folder


def _register(folder: Path, name: str, lines: list[str]) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[taskloom.tasks]\n" + "\n".join(lines) + "\n")


class Program:
    """One running `taskloom run`. Its events are checked against the invariants after its end."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path, events: str, **streams: Any) -> None:
        self.folder = folder
        self.events_path = folder / events
        self._is_checked = False
        self._pipes_to_watcher: set[str] = set()
        self._lines: list[str] = []
        self._changed = threading.Condition()
        streams.setdefault("stdin", subprocess.DEVNULL)
        streams.setdefault("stdout", subprocess.DEVNULL)
        # In a session of its own, so that processes it leaves behind can be found.
        self.process = subprocess.Popen(
            [*command, "--events", str(self.events_path)],
            cwd=folder,
            env=env,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **streams,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._lines.append("")
            self._changed.notify_all()

    @property
    def stderr(self) -> str:
        """The text on stderr so far."""
        with self._changed:
            return "".join(self._lines)

    def wait_for(self, text: str) -> None:
        """Wait until stderr has this text."""
        with self._changed:
            found = self._changed.wait_for(lambda: text in "".join(self._lines), PATIENCE_SECONDS)
        assert found, f"{text!r} never came:\n{self.stderr}"

    def send(self, number: int) -> float:
        """Send a signal; return the monotonic second of it."""
        self.process.send_signal(number)
        return time.monotonic()

    def end(self) -> int:
        """Wait for the end and return the exit code; negative for a signal."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        self.check()
        return code

    def reload(self, jobs: str) -> None:
        """Replace the job file and send SIGHUP."""
        (self.folder / "jobs.yaml").write_text(jobs)
        self.send(signal.SIGHUP)

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the events in its file so far: all, or those with one of the names."""
        *lines, _ = self.events_path.read_text().split("\n")  # the text after the last line break is an incomplete line
        found = [json.loads(line) for line in lines]
        return [event for event in found if event["event"] in names] if names else found

    def told(self, *names: str) -> list[str]:
        """Return `event job` of the events of these names, in order; an end with its outcome."""
        found = self.events(*names)
        return [" ".join([e["event"], e.get("job", ""), e.get("outcome", "")]).strip() for e in found]

    def wait_for_event(self, name: str, job: str | None = None, count: int = 1) -> dict[str, Any]:
        """Wait until its file has `count` such events, and return the last of them."""
        bound = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < bound:
            found = []
            if self.events_path.exists():
                found = [event for event in self.events(name) if job in (None, event.get("job"))]
            if len(found) >= count:
                return found[count - 1]
            self.pass_time(0.02)
        raise AssertionError(f"{name} of {job or 'any job'} did not come {count} times:\n{self.stderr}")

    def pass_time(self, seconds: float) -> None:
        """Let time pass; fail if the program ends meanwhile."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise AssertionError(f"it ended with {self.process.returncode}:\n{self.stderr}")

    def check(self) -> None:
        """Check its events against the invariants; after an orderly end also against those of a complete history."""
        if self._is_checked or not self.events_path.exists() or self.events_path.is_fifo():
            return
        self._is_checked = True
        if "has closed all descriptors of the program" in self.stderr:
            return  # that of this file as well: what was to be written at that moment is lost
        # Incomplete if it was killed, exited at a third signal, or reported that the disk was too slow.
        is_whole = self.process.returncode in ORDERLY_ENDS and "could not be delivered" not in self.stderr
        events = self.events()
        violations = check_events(events, is_whole=is_whole and bool(events))
        assert violations == [], f"its events break the rules, {violations}:\n{self.told()}"

    def watcher(self, program: int | None = None) -> int:
        """Wait for the watcher of the program, and return its pid. `program`: its pid, if it is not the child."""
        while True:
            found = watcher_of(self.process.pid if program is None else program)
            if found is not None:
                self._pipes_to_watcher |= pipes_of(found)
                return found
            self.pass_time(0.002)

    def relatives(self) -> list[int]:
        """Return the live processes of its session, and its watcher once `watcher` has been called."""
        return [
            seen.pid
            for seen in all_processes()
            if seen.state != "Z" and (seen.session == self.process.pid or self._pipes_to_watcher & pipes_of(seen.pid))
        ]

    def kill(self) -> None:
        """Kill all processes of its session."""
        poller = select.poll()
        handles = [os.pidfd_open(number) for number in self.relatives()]
        for handle in handles:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        for handle in handles:
            poller.register(handle, select.POLLIN)
            poller.poll(PATIENCE_SECONDS * 1000)
            poller.unregister(handle)
            os.close(handle)
        self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        if self.process.stderr is not None:
            self.process.stderr.close()


@pytest.fixture
def start_program(child_env: dict[str, str], toy_packages: Path, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start `taskloom run` with the text of a job file; no process may outlive the test."""
    programs: list[Program] = []

    def start(
        jobs: str, *options: str, env: dict[str, str] | None = None, prefix: Sequence[str] = (), **streams: Any
    ) -> Program:
        (tmp_path / "jobs.yaml").write_text(jobs)
        command = [*prefix, sys.executable, "-m", "taskloom", "run", "jobs.yaml", *options]
        variables = child_env | {"PYTHONPATH": str(toy_packages)} | (env or {})
        program = Program(command, variables, tmp_path, f"events{len(programs) or ''}.jsonl", **streams)
        programs.append(program)
        return program

    yield start

    left = [number for program in programs if program.process.poll() is not None for number in program.relatives()]
    for program in programs:
        program.kill()
    assert not left, f"processes outlived the program: {left}"
    for program in programs:
        program.check()


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: (master, slave)."""
    master, slave = pty.openpty()
    yield master, slave
    for descriptor in (master, slave):
        try:
            os.close(descriptor)
        except OSError:
            pass  # the test closed it


@pytest.fixture
def faked_clock(tmp_path: Path) -> FakedClock:
    """Return a wall clock that the test sets, for a program with its `env`; skipped, loudly, without libfaketime."""
    library = find_libfaketime()
    if library is None and os.environ.get("CI"):
        pytest.fail("cannot find libfaketime, and under CI nothing may be missing")
    if library is None:
        pytest.skip("LOUD: cannot find libfaketime; install the package faketime to run this test")
    return FakedClock(library, tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB. Only root may mount one; without it the test is skipped, loudly."""
    place = tmp_path / "small-disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"LOUD: cannot mount a disk of 1 MiB, so a full disk is not tested: {mounted.stderr.strip()}")

    yield place

    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=True)
