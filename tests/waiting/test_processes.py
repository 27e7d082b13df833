"""`waiting.process`: the lines of a child process, which never outlives the generator."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.descriptors import no_descriptor_is_left

from taskloom import waiting
from taskloom.errors import Cancelled
from taskloom.testing import FakeContext
from taskloom.waiting import processes

SOON = 20.0
# The grace of a test that must not need it.
LONG = 60.0


@pytest.fixture
def ctx() -> Iterator[FakeContext]:
    with FakeContext() as context:
        yield context


@pytest.fixture(params=[True, False], ids=["pidfd", "no pidfd"])
def exits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a descriptor that shows the exit, and without."""
    if not request.param:

        def refuse(pid: int) -> int:
            raise OSError("no such call")

        monkeypatch.setattr(os, "pidfd_open", refuse)


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def is_alive(pid: int) -> bool:
    """Return whether a process is alive; one that has ended and is not reaped is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def await_end(pid: int) -> None:
    """Wait until an orphan has ended, which takes a moment after its KILL. The test's timeout limits it."""
    while is_alive(pid):
        pass


def collect(ctx: FakeContext, argv: list[str], **options: Any) -> list[Any]:
    return list(waiting.process(ctx, argv, **options))


# -- lines


@pytest.mark.usefixtures("exits")
@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\ntwo", ["one", "two"]),
        (b"\n\n", ["", ""]),
        (b"dos\r\nbar\rredrawn\n", ["dos", "bar\rredrawn"]),
        ("gr\u00fc\u00df\n".encode(), ["gr\u00fc\u00df"]),
        (b"\xff\xfe\n", ["\\xff\\xfe"]),
        (b"cut \xc3", ["cut \\xc3"]),
        (b"a\x00b\x85\xe2\x80\xa8c\n", ["a\x00b\\x85\u2028c"]),
    ],
)
def test_the_lines_of_the_output(ctx: FakeContext, output: bytes, lines: list[str]) -> None:
    assert collect(ctx, python(f"import sys; sys.stdout.buffer.write({output!r})")) == lines


def test_standard_error_comes_with_standard_output_in_order(ctx: FakeContext) -> None:
    assert collect(ctx, shell("echo out; echo err >&2; echo out again")) == ["out", "err", "out again"]


def test_lines_are_bytes_on_request(ctx: FakeContext) -> None:
    assert collect(ctx, shell(r"printf 'a\r\n\377\nb'"), text=False) == [b"a", b"\xff", b"b"]


def test_another_encoding(ctx: FakeContext) -> None:
    script = "import sys; sys.stdout.buffer.write('one\\ntw\u00f6\\n'.encode('utf-16'))"
    strict = {"encoding": "ascii", "errors": "strict"}

    assert collect(ctx, python(script), encoding="utf-16") == ["one", "tw\u00f6"]
    with pytest.raises(UnicodeDecodeError):
        collect(ctx, shell(r"printf '\377'; sleep 1000"), **strict, grace=LONG)


@pytest.mark.parametrize("text", [True, False])
def test_a_line_without_an_end_comes_in_pieces(ctx: FakeContext, monkeypatch: pytest.MonkeyPatch, text: bool) -> None:
    monkeypatch.setattr(processes, "LONGEST_LINE", 1000)
    monkeypatch.setattr(processes, "_READ_BYTES", 333)

    lines = collect(ctx, python("print('x' * 2500); print('y' * 1000); print('z', end='')"), text=text)

    assert [len(line) for line in lines] == [1000, 1000, 500, 1000, 1]


def test_a_line_comes_while_the_child_goes_on(ctx: FakeContext) -> None:
    lines = waiting.process(ctx, shell("echo ready; exec sleep 1000"), grace=LONG)

    assert next(lines) == "ready"
    lines.close()  # type: ignore[attr-defined]


def test_the_child_has_no_input_and_a_session_and_group_of_its_own(ctx: FakeContext) -> None:
    script = "import os, sys; print(sys.stdin.read() == '', os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid())"

    assert collect(ctx, python(script)) == ["True True True"]


def test_the_working_directory_and_the_environment_are_passed_on(ctx: FakeContext, tmp_path: Path) -> None:
    lines = collect(ctx, ["/bin/sh", "-c", "pwd; echo $WORD"], cwd=tmp_path, env={"WORD": "hello"})

    assert lines == [str(tmp_path), "hello"]


# -- how it ends


@pytest.mark.usefixtures("exits")
def test_a_failure_is_raised_after_the_last_line(ctx: FakeContext) -> None:
    lines: list[str] = []

    with pytest.raises(subprocess.CalledProcessError) as caught:
        lines.extend(waiting.process(ctx, shell("echo first; echo second >&2; exit 3")))

    assert (lines, caught.value.returncode, caught.value.cmd[0]) == (["first", "second"], 3, "sh")


def test_a_child_that_a_signal_killed_is_a_failure(ctx: FakeContext) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        collect(ctx, shell("kill -KILL $$"))

    assert caught.value.returncode == -signal.SIGKILL


@pytest.mark.usefixtures("exits")
def test_a_child_that_closes_its_output_is_awaited(ctx: FakeContext) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        collect(ctx, shell("exec >&- 2>&-; sleep 0.1; exit 4"))

    assert caught.value.returncode == 4


@pytest.mark.parametrize(
    ("argv", "error", "text"),
    [
        ("tail -f x", TypeError, r"^cannot run 'tail -f x'; write the program and its arguments as a list"),
        (b"tail", TypeError, "as a list"),
        (Path("tail"), TypeError, "as a list"),
        ([], ValueError, r"^cannot run an empty list; write the program and its arguments$"),
        ([1], TypeError, "PathLike"),
    ],
)
def test_arguments_that_cannot_work_are_refused_at_the_call(
    ctx: FakeContext, argv: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        waiting.process(ctx, argv)


@pytest.mark.parametrize("options", [{"grace": -1}, {"grace": float("nan")}])
def test_a_grace_that_cannot_work_is_refused_at_the_call(ctx: FakeContext, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="grace must not be negative"):
        waiting.process(ctx, ["true"], **options)


@pytest.mark.parametrize("options", [{"encoding": "no-such"}, {"errors": "no-such"}])
def test_an_unknown_encoding_is_refused_at_the_call(ctx: FakeContext, options: dict[str, Any]) -> None:
    with pytest.raises(LookupError, match="no-such"):
        waiting.process(ctx, ["true"], **options)


def test_a_missing_program_or_directory_is_named(ctx: FakeContext, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        collect(ctx, ["no-such-program"])
    with pytest.raises(FileNotFoundError, match="no-such-folder"):
        collect(ctx, ["true"], cwd=tmp_path / "no-such-folder")
    with pytest.raises(PermissionError):
        collect(ctx, [str(tmp_path)])


@pytest.mark.long
def test_no_descriptor_and_no_zombie_is_left(ctx: FakeContext) -> None:
    ctx.fileno()
    gc.collect()  # what other tests have left

    with no_descriptor_is_left():
        for script in ("true", "exit 1", "echo 1; echo 2"):
            with pytest.raises((subprocess.CalledProcessError, StopIteration)):
                lines = waiting.process(ctx, shell(script))
                while True:
                    next(lines)
        for line in waiting.process(ctx, shell("echo $$; exec sleep 1000"), grace=LONG):
            child = int(line)
            break
        gc.collect()

    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)


# -- a cancel, and a generator that is closed early


def cancelled_after_first_line(ctx: FakeContext, argv: list[str], grace: float = LONG) -> tuple[str, Any]:
    """Cancel while the generator waits for the second line; return the first line and what was raised."""
    first: list[str] = []
    has_line = threading.Event()

    def work() -> None:
        for line in waiting.process(ctx, argv, grace=grace):
            first.append(line)
            has_line.set()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        assert has_line.wait(SOON)
        ctx.cancel()
        return first[0], working.exception(SOON)


@pytest.mark.usefixtures("exits")
def test_a_cancel_ends_the_child_with_term(ctx: FakeContext) -> None:
    pid, error = cancelled_after_first_line(ctx, shell("echo $$; exec sleep 1000"))

    assert isinstance(error, Cancelled)
    assert not is_alive(int(pid))


@pytest.mark.usefixtures("exits")
def test_a_child_that_ignores_term_is_killed_after_the_grace(ctx: FakeContext) -> None:
    pid, error = cancelled_after_first_line(ctx, shell("trap '' TERM; echo $$; while :; do sleep 0.01; done"), 0.1)

    assert isinstance(error, Cancelled)
    assert not is_alive(int(pid))


def test_without_grace_the_child_is_killed_at_once(ctx: FakeContext) -> None:
    pid, error = cancelled_after_first_line(ctx, shell("trap '' TERM; echo $$; while :; do sleep 0.01; done"), 0)

    assert isinstance(error, Cancelled)
    assert not is_alive(int(pid))


def test_the_whole_group_ends(ctx: FakeContext) -> None:
    """The child waits for its own child, as a shell does."""
    pid, error = cancelled_after_first_line(ctx, shell("sleep 1000 & echo $!; wait"))

    assert isinstance(error, Cancelled)
    await_end(int(pid))


def test_a_grandchild_that_ignores_term_is_killed_after_the_grace(ctx: FakeContext) -> None:
    """Its parent has ended by then, and it does not hold the pipe."""
    script = "(trap '' TERM; exec sleep 1000) >/dev/null 2>&1 & echo $!; wait"

    pid, error = cancelled_after_first_line(ctx, shell(script), 0.3)

    assert isinstance(error, Cancelled)
    await_end(int(pid))


def test_output_during_the_grace_does_not_keep_the_child_from_ending(ctx: FakeContext) -> None:
    """It writes more than a pipe holds before it ends."""
    script = """
import os, signal, sys
def end(*_):
    os.write(1, b"x" * (1 << 20))
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    signal.pause()
"""
    _, error = cancelled_after_first_line(ctx, python(script))

    assert isinstance(error, Cancelled)


def test_a_cancel_between_two_lines_ends_the_child_at_the_next_one(ctx: FakeContext) -> None:
    lines = waiting.process(ctx, shell("echo $$; echo 2; exec sleep 1000"), grace=LONG)
    pid = int(next(lines))
    ctx.cancel()

    with pytest.raises(Cancelled):
        next(lines)

    assert not is_alive(pid)


def test_a_failure_of_a_cancelled_run_is_a_cancellation(ctx: FakeContext) -> None:
    lines = waiting.process(ctx, shell("echo 1; exit 1"))
    next(lines)
    ctx.cancel()

    with pytest.raises(Cancelled):
        next(lines)


@pytest.mark.parametrize("leave", [lambda lines: lines.close(), lambda lines: lines.throw(KeyboardInterrupt)])
def test_a_generator_that_is_left_early_ends_the_child(ctx: FakeContext, leave: Callable[[Any], object]) -> None:
    lines = waiting.process(ctx, shell("echo $$; exec sleep 1000"), grace=LONG)
    pid = int(next(lines))

    try:
        leave(lines)
    except KeyboardInterrupt:
        pass

    assert not is_alive(pid)


@pytest.mark.long
def test_a_break_ends_the_child(ctx: FakeContext) -> None:
    for line in waiting.process(ctx, shell("echo $$; exec sleep 1000"), grace=LONG):
        pid = int(line)
        break
    gc.collect()

    assert not is_alive(pid)


def test_a_generator_that_is_never_used_starts_nothing(ctx: FakeContext, tmp_path: Path) -> None:
    waiting.process(ctx, ["touch", str(tmp_path / "file")])
    gc.collect()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("exits")
@pytest.mark.parametrize("script", ["exec sleep 1000", "while :; do echo noise; done"], ids=["silent", "noisy"])
def test_a_grandchild_that_holds_the_output_does_not_hold_up_the_end(ctx: FakeContext, script: str) -> None:
    lines = list(waiting.process(ctx, shell(f"({script}) & echo $!; exit 0"), grace=0.2))
    pid = int(lines[0])

    os.kill(pid, signal.SIGKILL) if is_alive(pid) else None
    await_end(pid)


def test_a_child_that_other_code_has_reaped_counts_as_ended(ctx: FakeContext) -> None:
    lines = waiting.process(ctx, shell("echo $$; exit 5"))
    pid = int(next(lines))
    os.waitpid(pid, 0)

    assert list(lines) == []
