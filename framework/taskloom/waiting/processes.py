"""Run a child process that ends with the run: process."""

from __future__ import annotations

import codecs
import math
import os
import select
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from taskloom.clock import mono
from taskloom.errors import Cancelled
from taskloom.waiting.event_loops import refuse_event_loop

if TYPE_CHECKING:
    import subprocess

    from taskloom.task import Context

__all__ = ["LONGEST_LINE", "process"]

Line = TypeVar("Line", str, bytes)

LONGEST_LINE = 1 << 20
"""A longer line is yielded in pieces of this many characters (bytes with `text=False`): memory stays bounded."""
_READ_BYTES = 1 << 16
# Without a descriptor of the child's process, and for what is left of its group, the only way is to look again.
_LOOK_SECONDS = 0.02


@overload
def process(
    ctx: Context,
    argv: Sequence[str | os.PathLike[str]],
    *,
    grace: float = ...,
    cwd: str | os.PathLike[str] | None = ...,
    env: Mapping[str, str] | None = ...,
    text: Literal[True] = ...,
    encoding: str = ...,
    errors: str = ...,
) -> Iterator[str]: ...


@overload
def process(
    ctx: Context,
    argv: Sequence[str | os.PathLike[str]],
    *,
    grace: float = ...,
    cwd: str | os.PathLike[str] | None = ...,
    env: Mapping[str, str] | None = ...,
    text: Literal[False],
) -> Iterator[bytes]: ...


def process(
    ctx: Context,
    argv: Sequence[str | os.PathLike[str]],
    *,
    grace: float = 5.0,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    text: bool = True,
    encoding: str = "utf-8",
    errors: str = "backslashreplace",
) -> Iterator[Any]:
    """Start a child process and yield the lines of its output, without their line ends, until it exits.

    It starts at the first `next`, in a session and process group of its own, with nothing on standard input. Standard
    error comes with standard output. `cwd` and `env` are those of `subprocess.Popen`. A byte that cannot be decoded is
    written as `errors` says; with `text=False` the lines are bytes. A line longer than LONGEST_LINE comes in pieces.

    When the run is cancelled it raises Cancelled, and when the generator is closed (a `break` does that) it ends: in
    both cases the whole process group first gets TERM and, `grace` seconds later, KILL. The output of the group
    meanwhile is discarded. If the child exits while another process still holds its output open, such as a daemon that
    it has started, the lines end `grace` seconds later, and that process goes on. In any case the child is reaped and
    the pipe is closed. `grace` should be well under the `within` of the job's `join`.

    Raises subprocess.CalledProcessError after the last line if the exit status is not 0, and what Popen raises, such as
    FileNotFoundError. Raises TypeError and ValueError at once for arguments that cannot work.
    """
    refuse_event_loop(ctx, "process", "asyncio.create_subprocess_exec(...)")
    if isinstance(argv, str | bytes | os.PathLike):
        raise TypeError(f"cannot run {argv!r}; write the program and its arguments as a list, such as ['tail', '-f']")
    if not argv:
        raise ValueError("cannot run an empty list; write the program and its arguments")
    if math.isnan(grace) or grace < 0:
        raise ValueError(f"cannot wait for {grace} seconds; grace must not be negative")
    command = [os.fspath(each) for each in argv]
    splitter = _TextLines(encoding, errors) if text else _ByteLines()
    return _run(ctx, command, grace, splitter, {"cwd": cwd, "env": env})


def _run(
    ctx: Context, argv: Sequence[str], grace: float, splitter: _TextLines | _ByteLines, options: Mapping[str, Any]
) -> Iterator[Any]:
    import subprocess  # only for the tasks that need it: it takes as long to import as the rest of this package

    ctx.raise_if_cancelled()
    child = _Child(
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
            **options,
        )
    )
    try:
        for piece in child.read(ctx, grace):
            for line in splitter.split(piece):
                yield line
                ctx.raise_if_cancelled()
        yield from splitter.rest()
        child.wait_for_exit(ctx)
    except BaseException:
        child.end(grace)
        raise
    finally:
        child.close()
    if child.popen.returncode != 0:
        ctx.raise_if_cancelled()
        raise subprocess.CalledProcessError(child.popen.returncode, argv)


class _Child:
    """A child process, and the pipe with its output.

    It is reaped last: until then no other process can get its number, which is that of the group as well.
    """

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self._is_at_end = False
        self._exit_descriptor: int | None = None
        stdout: Any = popen.stdout
        self._output: int = stdout.fileno()
        try:
            # Readable once the child has exited.
            self._exit_descriptor = os.pidfd_open(popen.pid)
        except (OSError, AttributeError):
            pass  # an old kernel, another system, or no more descriptors: look again and again

    def read(self, ctx: Context, grace: float) -> Iterator[bytes]:
        """Yield the output until its end, or until `grace` seconds after the exit. Raises Cancelled."""
        until: float | None = None
        while not self._is_at_end:
            if self._poll(ctx, until):
                yield self._read_once()
            if until is None:
                until = mono() + grace if self.has_exited() else None
            elif mono() >= until:
                return

    def wait_for_exit(self, ctx: Context) -> None:
        """Wait for the exit of a child that has closed its output. Raises Cancelled."""
        while not self.has_exited():
            self._poll(ctx, None)

    def end(self, grace: float) -> None:
        """Send TERM to the group, and KILL to what is left of it after `grace` seconds."""
        self._signal(signal.SIGTERM)
        until = mono() + grace
        try:
            while not (self.has_exited() and not self._has_group()) and mono() < until:
                self._discard(until)
        finally:
            self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Reap the child, which has exited or was killed, and close the descriptors."""
        try:
            self.popen.wait()
        finally:
            if self.popen.stdout is not None:
                self.popen.stdout.close()
            if self._exit_descriptor is not None:
                os.close(self._exit_descriptor)
                self._exit_descriptor = None

    def has_exited(self) -> bool:
        """Return whether the child has exited; does not reap it."""
        try:
            return os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True  # other code of this process has reaped it

    def _poll(self, ctx: Context, until: float | None) -> bool:
        """Wait for output, the exit, or `until`; return whether there is output. Raises Cancelled."""
        poller = select.poll()
        poller.register(ctx.fileno(), select.POLLIN)
        if not self._is_at_end:
            poller.register(self._output, select.POLLIN)
        seconds = math.inf if until is None else until - mono()
        if until is None:  # afterwards it has exited, and would always be readable
            if self._exit_descriptor is not None:
                poller.register(self._exit_descriptor, select.POLLIN)
            else:
                seconds = _LOOK_SECONDS
        ready = poller.poll(_milliseconds(seconds))
        if ctx.cancelled:
            raise Cancelled
        return any(descriptor == self._output for descriptor, _ in ready)

    def _read_once(self) -> bytes:
        piece = os.read(self._output, _READ_BYTES)
        self._is_at_end = not piece
        return piece

    def _discard(self, until: float) -> None:
        """Discard output, or else look again a little later: a full pipe would keep the group from ending."""
        poller = select.poll()
        if not self._is_at_end:
            poller.register(self._output, select.POLLIN)
        if self._exit_descriptor is not None and not self.has_exited():
            poller.register(self._exit_descriptor, select.POLLIN)
        ready = poller.poll(_milliseconds(min(_LOOK_SECONDS, until - mono())))
        if any(descriptor == self._output for descriptor, _ in ready):
            self._read_once()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.popen.pid, number)
        except ProcessLookupError:
            pass  # other code of this process has reaped it, and the group is empty
        except PermissionError:
            pass  # all that is left runs as another user, as after sudo

    def _has_group(self) -> bool:
        """Return whether a process of the group is alive; the child itself has exited."""
        try:
            with os.scandir("/proc") as entries:
                numbers = [entry.name for entry in entries if entry.name.isdecimal()]
        except OSError:
            return not self._is_at_end  # no /proc: ended is who has closed the output
        return any(_is_alive_in_group(number, self.popen.pid) for number in numbers)


def _is_alive_in_group(number: str, group: int) -> bool:
    try:
        with open(f"/proc/{number}/stat", "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            # The name of the program, in parentheses, may contain anything.
            state, _, its_group = file.read().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):
        return False  # it has just ended
    return int(its_group) == group and state not in (b"Z", b"X")


def _milliseconds(seconds: float) -> float | None:
    return None if seconds == math.inf else max(0.0, min(seconds, 86400.0)) * 1000


class _ByteLines:
    """Splits a stream into lines of bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def split(self, piece: bytes) -> Iterator[bytes]:
        """Yield the lines that `piece` completes."""
        *lines, rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield from _pieces(line.removesuffix(b"\r"))
        *full, self._rest = _pieces(rest)
        yield from full

    def rest(self) -> Iterator[bytes]:
        """Yield the last line, if it has no line end."""
        if self._rest:
            yield self._rest


class _TextLines:
    """Splits a stream into lines of text. Only a line feed ends a line: a carriage return alone redraws it."""

    def __init__(self, encoding: str, errors: str) -> None:
        codecs.lookup_error(errors)
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._rest = ""

    def split(self, piece: bytes, *, is_last: bool = False) -> Iterator[str]:
        """Yield the lines that `piece` completes."""
        *lines, rest = (self._rest + self._decoder.decode(piece, is_last)).split("\n")
        for line in lines:
            yield from _pieces(line.removesuffix("\r"))
        *full, self._rest = _pieces(rest)
        yield from full

    def rest(self) -> Iterator[str]:
        """Yield the last line, if it has no line end."""
        yield from self.split(b"", is_last=True)
        if self._rest:
            yield self._rest


def _pieces(line: Line) -> list[Line]:
    """Cut a line into pieces of LONGEST_LINE; a short one is one piece, even if it is empty."""
    return [line[at : at + LONGEST_LINE] for at in range(0, max(1, len(line)), LONGEST_LINE)]
