"""The parts of the supervisor that need no run: its channel, its texts, its modules."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.every_case import every_case

import taskloom.worker.supervision as package
from taskloom.runners.process.launch_spec import supervisor_code
from taskloom.worker.supervision.channel import Channel
from taskloom.worker.supervision.child import why_not_started
from taskloom.worker.supervision.spec import Spec

FOLDER = Path(next(iter(package.__path__)))
# Each is built in, or takes less than a millisecond to import.
CHEAP = {"_ctypes", "_signal", "marshal", "posix", "resource", "select", "sys", "time"}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_supervisor_gets_all_its_modules_each_after_those_that_it_imports() -> None:
    names = [name for name, _ in supervisor_code()]
    known: set[str] = set()

    for name in names:
        path = FOLDER / f"{name.rpartition('.')[2]}.py"
        assert {one for one in imports_of(path) if "." in one} <= known, name
        known.add(name)
    assert len(names) == len(list(FOLDER.glob("*.py"))) - 1  # all but __init__


def test_the_supervisor_imports_nothing_that_takes_long() -> None:
    files = [*FOLDER.glob("*.py"), FOLDER.parent / "supervisor.py"]

    found = {one for path in files for one in imports_of(path) if not one.startswith("taskloom.worker.supervision.")}
    assert found <= CHEAP


class Pair:
    """A channel and the parent's end of it."""

    def __init__(self) -> None:
        self.parent, other = socket.socketpair()
        self.channel = Channel(other.detach())
        self.parent.setblocking(False)

    def received(self) -> bytes:
        """Return all that has arrived."""
        parts = []
        while True:
            try:
                parts.append(self.parent.recv(1 << 20))
            except BlockingIOError:
                return b"".join(parts)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.channel.close()
    pair.parent.close()


def test_orders_are_read_by_line_whatever_arrives_together(pair: Pair) -> None:
    assert pair.channel.orders() == []

    pair.parent.send(b"kill\nsignal 1\n\ngro")
    assert pair.channel.orders() == [[b"kill"], [b"signal", b"1"]]
    pair.parent.send(b"up 15\n")
    assert pair.channel.orders() == [[b"group", b"15"]]
    assert pair.channel.is_open


def test_the_end_of_file_closes_the_channel_also_after_half_a_line(pair: Pair) -> None:
    pair.parent.send(b"kil")
    pair.parent.close()

    assert pair.channel.orders() == []
    assert pair.channel.orders() == []
    assert not pair.channel.is_open
    pair.channel.say(b"done")
    assert pair.channel.flush()


def test_a_line_without_an_end_closes_the_channel(pair: Pair) -> None:
    for _ in range(40):
        if pair.channel.is_open:
            pair.parent.send(b"x" * 4096)
            assert pair.channel.orders() == []

    assert not pair.channel.is_open


def test_what_the_parent_does_not_read_is_kept_but_news_is_dropped(pair: Pair) -> None:
    sent = 0
    while pair.channel.flush():
        pair.channel.say(b"stopped 19" + b" " * 1000)
        sent += 1
    for _ in range(10):
        pair.channel.say(b"continued", is_droppable=True)
    pair.channel.say(b"done")

    lines = b""
    while not lines.endswith(b"done\n"):
        lines += pair.received()
        pair.channel.flush()
    assert lines.count(b"\n") == sent + 1
    assert b"continued" not in lines


def test_a_parent_that_has_gone_closes_the_channel(pair: Pair) -> None:
    pair.parent.close()

    pair.channel.say(b"started 1")

    assert not pair.channel.is_open


def spec(**changed: object) -> Spec:
    fields = {
        "argv": [b"web server", b"-x"], "env": {}, "cwd": b"/a b", "nice": -5, "account": (33, 33, [33]),
        "no_file_limit": 99, "memory_limit": None, "control": False, "stdin": None, "grace": 2.0, "linger": 0.2,
        "lease": None, "parent": 1, **changed,
    }  # fmt: skip
    return Spec(**fields)  # type: ignore[arg-type]


@every_case(
    "step, number, words",
    [
        ("exec", 2, "'web server': No such file or directory"),
        ("exec", 12, "'web server': the system has no more memory"),
        ("cwd", 13, "'web server' in '/a b': Permission denied"),
        ("user", 1, "'web server' as user 33: only root can run a job as another user"),
        ("user", 5, "'web server' as user 33: Input/output error"),
        ("nice", 13, "'web server' with nice -5: only root can raise a priority"),
        ("limit", 22, "'web server' with 99 open files: Invalid argument"),
        ("group", 0, "'web server': the supervisor has a fault"),
    ],
)
def test_each_step_of_the_start_has_its_sentence(step: str, number: int, words: str) -> None:
    assert why_not_started(spec(), step, number).decode() == f"cannot start {words}"


def test_the_sentence_is_one_line_whatever_the_name_is() -> None:
    text = why_not_started(spec(argv=[b"a\nb\x1b\xff\xc3\xa4"]), "exec", 2)

    assert text == "cannot start 'a\\nb\\x1b\\udcffä': No such file or directory".encode()


NAMED = """
import os, signal
from pathlib import Path
from taskloom.worker.supervision.tree import descendants, names_of
reading, writing = os.pipe()
children = []
for name in (b"a b", b"c,d", b"e\\nf", b"plain-1"):
    children.append(os.fork())
    if children[-1] == 0:
        signal.alarm(60)
        Path("/proc/self/comm").write_bytes(name)
        os.write(writing, b"x")
        signal.pause()
for _ in children:
    os.read(reading, 1)
print(names_of(descendants()).decode())
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print(len(descendants()))
"""


def test_the_names_of_processes_are_one_word_each_and_one_that_has_ended_is_not_named() -> None:
    told = subprocess.run([sys.executable, "-c", NAMED], capture_output=True, text=True, check=True).stdout

    names, left = told.splitlines()
    assert sorted(names.split(",")) == ["a?b", "c?d", "e?f", "plain-1"]
    assert left == "0"
