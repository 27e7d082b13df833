"""The start of a run's processes: a supervisor, below it the main process, and the descriptors in between."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from taskloom.runners.process.channel import StartFailed
from taskloom.runners.process.launch_spec import CannotLaunch, LaunchSpec, encode
from taskloom.runners.process.programs import why_not_executed
from taskloom.text import printable

__all__ = ["CONTROL_DESCRIPTOR", "CannotLaunch", "LaunchSpec", "Launched", "kill_cgroup", "launch"]

CONTROL_DESCRIPTOR: Final = 3
"""The number of the control socket in the main process."""

# In the wheel beside this package; it is executed by its path, so that it does not import what is above it.
_SUPERVISOR = Path(__file__).parents[2] / "worker" / "supervisor.py"
# All that the interpreter of the supervisor needs of our environment; not our secrets, and not `PYTHON...`.
_KEPT = ("LD_", "LC_")
_SHORT_OF = {
    errno.EAGAIN: "the system has no more processes (limits: `ulimit -u`, pids.max of the cgroup, kernel.pid_max)",
    errno.ENOMEM: "the system has no more memory",
    errno.EMFILE: "this process has no more file descriptors (limit: `ulimit -n`)",
    errno.ENFILE: "the system has no more file descriptors (limit: fs.file-max)",
}


class Ends(NamedTuple):
    """Our ends of what a run is connected by."""

    channel: socket.socket
    control: socket.socket | None
    stdout: int
    stderr: int


class Launched:
    """A run's supervisor and our ends of its descriptors. Not thread-safe, but for `kill_supervisor`.

    `channel` and `control` are sockets that do not block, `stdout` and `stderr` are readable descriptors that do not
    block. The run is over when the supervisor has said `Done` or `StartFailed`, or has closed the channel without. Then
    it was killed, and the main process with it.
    """

    def __init__(self, spec: LaunchSpec, process: subprocess.Popen[bytes], ends: Ends) -> None:
        self.spec = spec
        self.channel, self.control, self.stdout, self.stderr = ends
        self._process = process

    @property
    def pid(self) -> int:
        """The pid of the supervisor. That of the main process comes with `ProcessStarted`."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How the supervisor has ended, as `subprocess` says it; None before it was reaped."""
        return self._process.returncode

    def why_failed(self, failed: StartFailed) -> str:
        """Return the text of this message with what helps to correct it. May read the folders of the PATH."""
        program = f"cannot start '{printable(self.spec.argv[0])}': "
        if failed.text.startswith(program):
            words = why_not_executed(self.spec.argv[0], self.spec.env, self.spec.cwd, failed.errno)
            return f"{program}{words}" if words else failed.text
        return failed.text

    def kill_supervisor(self) -> None:
        """Send SIGKILL to the supervisor; the main process ends with it, but what that has started stays.

        Prefer the order `kill`. This is for a supervisor that does not answer: it has been stopped, or the machine
        hardly runs.
        """
        self._process.send_signal(signal.SIGKILL)

    def reap(self, seconds: float = 0.0) -> bool:
        """Take the supervisor's exit status, so that the kernel forgets it; return whether it has ended.

        Waits for its end this many seconds at most. It ends when it has closed the channel, not before.
        """
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Close all our descriptors; idempotent. A supervisor that still runs terminates the run then.

        A forked child of this process calls it, too, and does not disturb the run by that.
        """
        self.channel.close()
        if self.control is not None:
            self.control.close()
        self.close_stdout()
        self.close_stderr()

    def close_stdout(self) -> None:
        """Close our end of the run's standard output; idempotent."""
        descriptor, self.stdout = self.stdout, -1
        if descriptor >= 0:
            os.close(descriptor)

    def close_stderr(self) -> None:
        """Close our end of the run's standard error; idempotent."""
        descriptor, self.stderr = self.stderr, -1
        if descriptor >= 0:
            os.close(descriptor)


def launch(spec: LaunchSpec) -> Launched:
    """Start a supervisor that starts the run. Any thread may call it; it takes the time of a fork and an exec.

    Whether the program itself could be started comes over the channel. Raises CannotLaunch; nothing is left then.
    """
    with ExitStack() as unwind:
        try:
            return _launch(spec, encode(spec), unwind)
        except CannotLaunch:
            raise
        except OSError as error:
            words = _SHORT_OF.get(error.errno or 0) or error.strerror or str(error)
            if error.filename == sys.executable:  # only the exec names a file
                words = f"the Python interpreter {sys.executable!r}: {words}"
            raise CannotLaunch(error.errno, spec.what, words) from None
        except MemoryError:
            raise CannotLaunch(errno.ENOMEM, spec.what, "this program has no more memory") from None


def kill_cgroup(folder: str) -> None:
    """Kill all in the cgroup of a run whose supervisor was killed, and remove it. Takes 20 ms at most, raises nothing.

    So it takes what the main process had started, too. The folder comes with `Grouped`.
    """
    try:
        Path(folder, "cgroup.kill").write_text("1", encoding="ascii")
    except OSError:
        return
    for _ in range(20):
        try:
            Path(folder).rmdir()
        except OSError:  # the kernel has not ended all of them yet
            select.poll().poll(1)
        else:
            return


def _launch(spec: LaunchSpec, encoded: bytes, unwind: ExitStack) -> Launched:
    """Start it. All that is opened here is closed if the rest fails."""
    with ExitStack() as theirs:
        channel, far_channel = _socket_pair(unwind, theirs)
        control, far_control = _socket_pair(unwind, theirs) if spec.control else (None, None)
        stdout, far_stdout = _pipe(unwind, theirs)
        stderr, far_stderr = _pipe(unwind, theirs)
        inherited = [end.fileno() for end in (far_channel, far_control) if end is not None]
        numbers = str(far_channel.fileno()), str(-1 if far_control is None else far_control.fileno())
        process = subprocess.Popen(
            [*_interpreter(spec), str(_SUPERVISOR), *numbers, spec.job],
            stdin=theirs.enter_context(_file_of(encoded)),
            stdout=far_stdout,
            stderr=far_stderr,
            pass_fds=inherited,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name == "LANG" or name.startswith(_KEPT)},
        )
        launched = Launched(spec, process, Ends(channel, control, stdout, stderr))
        unwind.pop_all()
        return launched


def _interpreter(spec: LaunchSpec) -> list[str]:
    if not sys.executable:
        raise CannotLaunch(errno.ENOENT, spec.what, "this program has no Python interpreter")
    return [sys.executable, "-I", "-S", "-E"]


def _socket_pair(ours: ExitStack, theirs: ExitStack) -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    ours.callback(near.close)
    theirs.callback(far.close)
    near.setblocking(False)
    return near, far


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    ours.callback(os.close, reading)
    theirs.callback(os.close, writing)
    os.set_blocking(reading, False)
    return reading, writing


def _file_of(data: bytes) -> IO[bytes]:
    """Return an open file without a name that has this content. Unlike a pipe, it takes any size at once."""
    file = _new_file()
    try:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _new_file() -> IO[bytes]:
    if not hasattr(os, "memfd_create"):  # an interpreter that was built for an old C library
        return cast(IO[bytes], tempfile.TemporaryFile(buffering=0))
    descriptor = os.memfd_create("run")
    try:
        return os.fdopen(descriptor, "w+b", 0)
    except BaseException:
        os.close(descriptor)
        raise
