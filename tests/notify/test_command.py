"""A command gets the message on its standard input, and nothing of it is left."""

from __future__ import annotations

import os
import select
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from taskloom.clock import mono
from taskloom.notify.command import CommandTransport
from taskloom.notify.transport import NotSent

BODY = b'{"text": "boom"}'


def send(*command: str, seconds: float = 20.0, body: bytes = BODY) -> str:
    """Send a message; return why it was not sent, or ""."""
    try:
        CommandTransport(command).send("abc.1", body, mono() + seconds)
    except NotSent as error:
        return f"{error}{' (final)' if error.is_final else ''}"
    return ""


def ends(pid: int) -> bool:
    """Return whether the process has ended, or ends at once: a killed one needs a moment."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    ended = bool(poll.poll(10_000))
    os.close(handle)
    return ended


def descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def test_the_message_is_on_standard_input_and_its_id_in_the_environment(tmp_path: Path) -> None:
    out = tmp_path / "out"

    assert send("sh", "-c", f'cat > {out}; echo " $TASKLOOM_NOTIFICATION" >> {out}') == ""
    assert out.read_bytes() == BODY + b" abc.1\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "exit code 3"),
        ("echo a >&2; echo no route >&2; exit 1", "exit code 1: no route"),
        ("printf '\\033[31m' >&2; exit 1", "exit code 1: \\x1b[31m"),
        ("kill -SEGV $$", "ended by SIGSEGV"),
        ("kill -40 $$", "ended by SIGRTMIN+6"),
        ("echo not an error >&2", ""),
        ("exec <&-; exit 0", ""),
    ],
)
def test_only_exit_code_0_counts_as_sent(script: str, reason: str) -> None:
    assert send("sh", "-c", script) == reason


def test_a_program_that_does_not_exist_is_not_tried_again() -> None:
    assert send("/nowhere/tell") == "cannot start it: no such file or directory (final)"


def test_a_file_that_cannot_be_executed_is_not_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "tell"
    file.write_text("no program")

    assert send(str(file)) == "cannot start it: permission denied (final)"
    file.chmod(0o755)
    assert send(str(file)) == "cannot start it: exec format error (final)"
    assert send(str(tmp_path)) == "cannot start it: permission denied (final)"


def test_a_large_message_that_is_not_read_holds_up_nothing() -> None:
    assert send("true", body=b"x" * 1_000_000) == ""


def test_an_endless_standard_error_is_read_and_forgotten() -> None:
    assert (
        send("sh", "-c", "head -c 3000000 /dev/zero >&2; echo >&2; echo the end >&2; exit 1") == "exit code 1: the end"
    )


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    before = descriptors()

    reason = send("sh", "-c", f"trap '' TERM; sleep 1000 & echo $! $$ > {pids}; wait", seconds=0.5)

    assert reason == "killed, since it took longer than 500ms"
    assert all(ends(int(pid)) for pid in pids.read_text().split())
    assert descriptors() == before


def test_what_a_command_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    assert send("sh", "-c", f"sleep 1000 >/dev/null 2>&1 & echo $! > {pids}") == ""
    assert ends(int(pids.read_text()))


def test_a_child_that_keeps_standard_error_open_holds_up_nothing() -> None:
    assert send("sh", "-c", "sleep 1000 &", seconds=20.0) == ""


def test_a_child_that_floods_standard_error_does_not_undo_a_success() -> None:
    assert send("sh", "-c", "yes >&2 & exit 0", seconds=20.0) == ""


def test_a_flood_of_standard_output_is_discarded() -> None:
    assert send("sh", "-c", "head -c 3000000 /dev/zero") == ""


def test_a_command_that_leaves_its_process_group_is_killed_all_the_same(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"""
import os, pathlib, time
os.setpgid(0, os.getpgid(os.getppid()))
pathlib.Path({str(fifo)!r}).write_text(str(os.getpid()))
time.sleep(1000)
"""
    transport = CommandTransport([sys.executable, "-c", script])

    def send_for_long() -> None:
        with suppress(NotSent):
            transport.send("abc.1", BODY, mono() + 100)

    thread = threading.Thread(target=send_for_long)
    thread.start()
    pid = int(fifo.read_text())
    transport.abort()
    thread.join()

    assert ends(pid)


def test_an_abort_kills_the_command_and_starts_no_other_one(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    transport = CommandTransport(
        [sys.executable, "-c", f"open({str(fifo)!r}, 'w').close(); import time; time.sleep(1000)"]
    )
    reasons: list[str] = []

    def send_for_long() -> None:
        try:
            transport.send("abc.1", BODY, mono() + 100)
        except NotSent as error:
            reasons.append(str(error))

    thread = threading.Thread(target=send_for_long)
    thread.start()
    fifo.read_text()  # the command runs
    transport.abort()
    thread.join()

    assert reasons == ["the program is ending"]
    with pytest.raises(NotSent, match="the program is ending"):
        transport.send("abc.2", BODY, mono() + 100)
