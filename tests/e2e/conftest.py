"""A real `taskloom run` in a child process, with tasks that misbehave in every way."""

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Bounds failures alone: a test waits for a line or an end, never for a time.
PATIENCE_SECONDS = 30.0

TASKS = '''
import os, re, signal, sys, threading, time

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
'''

BROKEN = "import sys\nsys.exit(7)\n"


@pytest.fixture(scope="session")
def toy_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two installed distributions: tasks that misbehave, and one that exits when imported."""
    folder = tmp_path_factory.mktemp("packages")
    names = ["polite", "deaf", "gil", "swallower", "printer", "bad", "leaver", "leaker", "silent_leaver"]
    (folder / "misbehaving.py").write_text(TASKS)
    (folder / "broken_toy.py").write_text(BROKEN)
    _register(folder, "misbehaving", [f"{name} = misbehaving:{name}" for name in names])
    _register(folder, "broken-toy", ["exits-at-import = broken_toy:anything"])
    return folder


def _register(folder: Path, name: str, lines: list[str]) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[taskloom.tasks]\n" + "\n".join(lines) + "\n")


class Program:
    """One running `taskloom run`."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path, **streams: Any) -> None:
        self.events_path = folder / "events.jsonl"
        self._lines: list[str] = []
        self._changed = threading.Condition()
        streams.setdefault("stdin", subprocess.DEVNULL)
        streams.setdefault("stdout", subprocess.DEVNULL)
        # A session of its own: whoever is left of it afterwards is ours.
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
        """What it has said so far."""
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
        return code

    def events(self) -> list[dict[str, Any]]:
        """What it wrote to its event file."""
        return [json.loads(line) for line in self.events_path.read_text().splitlines()]

    def relatives(self) -> list[int]:
        """Return the processes of its session that live."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid and fields[0] != "Z":
                    found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """End whatever is left of it."""
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
    """Start `taskloom run` on the text of a job file; nothing of it may be left when the test ends."""
    programs: list[Program] = []

    def start(jobs: str, *options: str, **streams: Any) -> Program:
        (tmp_path / "jobs.yaml").write_text(jobs)
        command = [sys.executable, "-m", "taskloom", "run", "jobs.yaml", *options]
        program = Program(command, child_env | {"PYTHONPATH": str(toy_packages)}, tmp_path, **streams)
        programs.append(program)
        return program

    yield start

    left = [number for program in programs if program.process.poll() is not None for number in program.relatives()]
    for program in programs:
        program.kill()
    assert not left, f"processes outlived the program: {left}"


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
