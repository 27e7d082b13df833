"""A terminal that goes away without SIGHUP ends the view."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

BODY = """
import sys, threading
from taskloom.top.hang_up import end_on_hang_up

end_on_hang_up(0)
print("waiting", flush=True)
threading.Event().wait()
"""


def test_the_process_ends_when_its_terminal_is_gone(child_env: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", BODY], stdin=theirs, stdout=subprocess.PIPE, env=child_env) as process:
        os.close(theirs)
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        assert process.poll() is None

        os.close(ours)

        assert process.wait(60) == 129
