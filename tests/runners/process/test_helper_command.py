"""Commands beside a program: their result, their time limit, and that nothing of them is left."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from taskloom.runners.process.helper_command import HelperCommand, HelperFailed
from taskloom.runners.process.launch import LaunchSpec

PATIENCE = 30.0
"""Seconds; more than any command here takes."""


def helper(text: str, timeout: float | None = PATIENCE, cwd: Path | None = None, **added: str) -> HelperCommand:
    beside = LaunchSpec(
        argv=("serve",), env={"PATH": os.environ["PATH"]}, job="web", cwd=str(cwd) if cwd else None, stdin=b"not for it"
    )
    return HelperCommand(beside, ("sh", "-c", text), added, timeout)


def failure(command: HelperCommand) -> str:
    with pytest.raises(HelperFailed) as caught:
        command.run()
    return str(caught.value)


def test_exit_code_0_is_a_success() -> None:
    helper("exit 0").run()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("exit 3", "exit code 3"),
        ("echo one; echo two >&2; exit 1", "exit code 1: two"),
        ("printf 'a\\033[1mb'; exit 1", "exit code 1: a\\x1b[1mb"),
        ("kill -SEGV $$", "SIGSEGV"),
    ],
    ids=["code", "last-line", "unprintable", "signal"],
)
def test_a_failure_says_what_it_was(text: str, why: str) -> None:
    assert failure(helper(text)) == why


def test_it_runs_where_the_program_does_with_its_environment_and_without_its_input(tmp_path: Path) -> None:
    helper(
        'test "$(pwd)" = "$HERE" && test "$TASKLOOM_PID" = 5 && ! read x',
        cwd=tmp_path,
        HERE=os.path.realpath(tmp_path),
        TASKLOOM_PID="5",
    ).run()


def test_a_program_that_does_not_exist_is_named() -> None:
    beside = LaunchSpec(argv=("serve",), env={"PATH": os.environ["PATH"]}, job="web")

    assert "'no-such-check'" in failure(HelperCommand(beside, ("no-such-check",), {}, PATIENCE))


def test_a_command_that_takes_too_long_is_killed() -> None:
    assert failure(helper("trap '' TERM; sleep 60", 0.2)) == "no result within 200ms"


def test_a_flood_of_output_neither_blocks_nor_fills_the_memory() -> None:
    assert failure(helper("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end; exit 1")) == "exit code 1: end"


def test_a_command_ends_with_the_program_and_all_that_it_has_started(tmp_path: Path) -> None:
    fifo = tmp_path / "begun"
    os.mkfifo(fifo)
    command = helper(f"sleep 60 & echo $! > '{fifo}'; wait", None)
    why: list[str] = []
    thread = threading.Thread(target=lambda: why.append(failure(command)))
    thread.start()
    started = fifo.read_text().strip()
    command.kill()
    thread.join(PATIENCE)

    assert why == ["it was ended with the program"]
    assert not Path("/proc", started).exists()


def test_a_command_that_was_killed_before_it_began_does_nothing(tmp_path: Path) -> None:
    command = helper(f"sleep 1; echo > '{tmp_path / 'done'}'")
    command.kill()

    assert failure(command) == "it was ended with the program"
    assert not (tmp_path / "done").exists()
