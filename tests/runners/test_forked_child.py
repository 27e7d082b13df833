"""A forked child that comes back from the code of a task, and what it still has of the run."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading

import pytest
from tests.support.contexts import run_context

from taskloom.core.model import Reason, ReasonKind
from taskloom.errors import Cancelled
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.wakeup_fd import WakeupFd

# Each child ends with `leave_child`; the parent prints nothing.
CHILD = """
import sys
from taskloom.core.model import ErrorInfo, How
from taskloom.runners.forked_child import leave_child
print("unflushed", end="")
leave_child({how}, {error})
"""


@pytest.mark.parametrize(
    ("how", "error", "code", "text"),
    [
        ("How.RETURNED", "None", 0, ""),
        ("How.CANCELLED", "None", 0, ""),
        ("How.RAISED", "ErrorInfo('ValueError', 'no', 'the traceback\\n')", 1, "the traceback\n"),
        ("How.PERMANENT", "ErrorInfo('PermanentFailure', 'no', '')", 1, "PermanentFailure: no\n"),
        ("How.RAISED", "ErrorInfo('SystemExit', '', 'x')", 0, ""),
        ("How.RAISED", "ErrorInfo('SystemExit', 'None', 'x')", 0, ""),
        ("How.RAISED", "ErrorInfo('SystemExit', '3', 'x')", 3, ""),
        ("How.RAISED", "ErrorInfo('SystemExit', '-1', 'x')", 255, ""),
        ("How.RAISED", "ErrorInfo('SystemExit', 'words', 'x')", 1, "words\n"),
    ],
)
def test_it_exits_as_a_python_program_does(
    how: str, error: str, code: int, text: str, child_env: dict[str, str]
) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", CHILD.format(how=how, error=error)],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (answer.returncode, answer.stderr, answer.stdout) == (code, text, "unflushed")


def test_a_detached_context_is_cancelled_whichever_thread_held_its_lock() -> None:
    token = CancelToken()
    holder = threading.Thread(target=token._lock.acquire)  # as a thread that the child does not have
    holder.start()
    holder.join()
    context = run_context("a", token)

    context.detach()

    assert context.cancelled
    assert context.wait()
    assert "forked child" in str(context.reason)
    with pytest.raises(Cancelled):
        context.sleep(1000)
    context.ready()
    assert is_readable(context.fileno())
    token.close()


def test_a_detached_descriptor_keeps_its_number_and_does_not_wake_the_parent() -> None:
    context = run_context("a")
    number = context.fileno()
    of_parent = os.dup(number)  # the same open file, as a child has it

    context.detach()

    assert context.fileno() == number
    assert is_readable(number)
    assert not is_readable(of_parent)
    os.close(of_parent)


def test_the_reason_of_an_earlier_request_is_kept() -> None:
    token = CancelToken()
    token.request(Reason(ReasonKind.USER, "earlier"))

    token.detach(Reason(ReasonKind.SHUTDOWN, "forked"))

    assert str(token.reason) == "user: earlier"


def test_a_detached_wakeup_is_independent() -> None:
    wakeup = WakeupFd()
    of_parent = os.dup(wakeup.fileno())
    wakeup.detach()
    wakeup.set()

    assert (is_readable(wakeup.fileno()), is_readable(of_parent)) == (True, False)
    os.close(of_parent)


def is_readable(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))
