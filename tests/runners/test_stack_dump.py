"""The stack of one thread in a dump of `faulthandler`."""

from __future__ import annotations

import faulthandler
import tempfile
import threading
from pathlib import Path

from taskloom.runners import Stack
from taskloom.runners.process.stack_dump import parse_dump

DUMP = """\
Thread 0x00007f21 (most recent call first):
  File "/usr/lib/python3/threading.py", line 320 in wait
  File "/srv/other.py", line 1 in other

Current thread 0x00007f22 (most recent call first):
  File "/srv/task (copy).py", line ??? in inner
  File "/srv/task (copy).py", line 12 in run
  File "/srv/main.py", line 3 in <module>
"""


def test_the_stack_of_the_thread_is_found_outermost_frame_first() -> None:
    stack = parse_dump(DUMP, 0x7F22)

    assert stack.where == "/srv/task (copy).py:? in inner"
    assert [line.split(", in ")[1] for line in stack.text.splitlines()] == ["<module>", "run", "inner"]


def test_without_the_thread_the_stack_is_empty() -> None:
    assert parse_dump(DUMP, 0x7F23) == Stack("", "")
    assert parse_dump("", 0x7F22) == Stack("", "")


def test_a_real_dump_is_read() -> None:
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)

        stack = parse_dump(file.read().decode(), threading.get_ident())

    assert stack.where.startswith(f"{Path(__file__)}:")
    assert stack.where.endswith(" in test_a_real_dump_is_read")
    assert "faulthandler.dump_traceback(file, all_threads=True)" in stack.text
