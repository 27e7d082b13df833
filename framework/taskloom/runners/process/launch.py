"""The start of a run's processes: a supervisor, below it the main process, and the descriptors in between."""

from __future__ import annotations

import errno
import marshal
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from taskloom.runners.process.accounts import find_account
from taskloom.runners.process.channel import StartFailed
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


class CannotLaunch(OSError):
    """A run's processes could not be started, and none of them is left. Has `errno` and `strerror`."""

    def __init__(self, number: int | None, what: str, reason: str) -> None:
        super().__init__(number or errno.EINVAL, reason)
        self.what = what

    def __str__(self) -> str:
        return f"cannot start {self.what}: {self.strerror}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchSpec:
    """What is to be started, and how."""

    argv: Sequence[str]
    """The program, searched for on the PATH of `env` unless it has a `/`, and its arguments."""
    env: Mapping[str, str]
    """The whole environment."""
    job: str
    """The job's name; for messages and `ps`."""
    cwd: str | None = None
    """Relative to our own working directory; None for that."""
    nice: int | None = None
    user: str | None = None
    """`USER` or `USER:GROUP`, names or numbers; None for our own. Set HOME yourself: `find_account` knows it."""
    memory_limit: int | None = None
    """Bytes, for all processes of the run together."""
    control: bool = False
    """Whether the main process gets a control socket, as CONTROL_DESCRIPTOR."""
    stdin: bytes | None = None
    """None for /dev/null."""
    grace: float = 2.0
    """Seconds from SIGTERM to SIGKILL when this process has ended or the channel is closed."""
    linger: float = 0.2
    """Seconds that the processes left by the main process may take to end by themselves."""
    no_file_limit: int | None = None
    """The soft limit of open files of the run; None for our own."""


class Launched:
    """A run's supervisor and our ends of its descriptors. Not thread-safe, but for `kill_supervisor`.

    `channel` and `control` are sockets that do not block, `stdout` and `stderr` are readable descriptors that do not
    block. The run is over when the supervisor has said `Done` or `StartFailed`, or has closed the channel without: then it
    was killed, and the main process with it.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        control: socket.socket | None,
        stdout: int,
        stderr: int,
    ) -> None:
        self.spec = spec
        self.channel = channel
        self.control = control
        self.stdout = stdout
        self.stderr = stderr
        self._process = process

    @property
    def pid(self) -> int:
        """The pid of the supervisor. That of the main process comes with `ProcessStarted`."""
        return self._process.pid

    def why_failed(self, failed: StartFailed) -> str:
        """Return the text of this message with what helps to correct it. May read the folders of the PATH."""
        program = f"cannot start '{printable(self.spec.argv[0])}': "
        if failed.text.startswith(program):
            words = why_not_executed(self.spec.argv[0], self.spec.env, self.spec.cwd, failed.errno)
            return f"{program}{words}" if words else failed.text
        return failed.text

    def kill_supervisor(self) -> None:
        """Send SIGKILL to the supervisor; the main process ends with it. Its own processes stay, so prefer the order `kill`.

        For a supervisor that does not answer: it has been stopped, or the machine hardly runs.
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
            return _launch(spec, _encoded(spec), unwind)
        except CannotLaunch:
            raise
        except OSError as error:
            words = _SHORT_OF.get(error.errno or 0) or error.strerror or str(error)
            raise CannotLaunch(error.errno, f"a process for job '{spec.job}'", words) from None


def kill_cgroup(folder: str) -> None:
    """Kill all in the cgroup of a run whose supervisor was killed, and remove it. Raises nothing.

    The removal succeeds when the kernel has ended the processes, which is after the return, as a rule: an empty folder
    is left until the next call.
    """
    try:
        Path(folder, "cgroup.kill").write_text("1", encoding="ascii")
        Path(folder).rmdir()
    except OSError:
        pass


def _launch(spec: LaunchSpec, encoded: bytes, unwind: ExitStack) -> Launched:
    """Start it. What is opened here, is closed if the rest fails."""
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
        launched = Launched(spec, process, channel, control, stdout, stderr)
        unwind.pop_all()
        return launched


def _interpreter(spec: LaunchSpec) -> list[str]:
    if not sys.executable:
        raise CannotLaunch(errno.ENOENT, f"a process for job '{spec.job}'", "this program has no Python interpreter")
    flags = ["-B"] if sys.dont_write_bytecode else []
    if sys.pycache_prefix is not None:
        flags += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    return [sys.executable, "-I", "-S", "-E", *flags]


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


def _file_of(data: bytes) -> Any:
    """Return an open file without a name that has this content. Writing into it cannot block, as into a pipe."""
    # An interpreter that was built for an old C library has no memfd_create.
    file = os.fdopen(os.memfd_create("run"), "w+b", 0) if hasattr(os, "memfd_create") else tempfile.TemporaryFile()
    try:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _encoded(spec: LaunchSpec) -> bytes:
    """Return what taskloom.worker.supervision.spec.Spec is made of. Raises CannotLaunch for what the kernel refuses."""
    account = None
    what = f"a process for job '{spec.job}'"
    if not spec.argv or not spec.argv[0]:
        raise CannotLaunch(errno.EINVAL, what, "there is no program to start")
    try:
        if spec.user is not None:
            uid, gid, groups, _ = find_account(spec.user)
            account = (uid, gid, list(groups))
    except OSError as error:
        raise CannotLaunch(error.errno, what, error.strerror or str(error)) from None
    cwd = None if spec.cwd is None else _bytes_of(spec.cwd, what, lambda: f"cwd {spec.cwd!r}")
    return marshal.dumps(
        {
            "argv": [_bytes_of(part, what, lambda: f"argument {part!r}") for part in spec.argv],
            "env": dict(_variable(name, value, what) for name, value in spec.env.items()),
            "cwd": cwd,
            "nice": spec.nice,
            "account": account,
            "no_file_limit": spec.no_file_limit,
            "memory_limit": spec.memory_limit,
            "control": spec.control,
            "stdin": spec.stdin,
            "grace": spec.grace,
            "linger": spec.linger,
            "parent": os.getpid(),
        }
    )


def _variable(name: str, value: str, what: str) -> tuple[bytes, bytes]:
    if not name or "=" in name:
        raise CannotLaunch(errno.EINVAL, what, f"{name!r} cannot be the name of an environment variable")
    return tuple(_bytes_of(text, what, lambda: f"environment variable {name}") for text in (name, value))  # type: ignore[return-value]


def _bytes_of(text: str, what: str, place: Callable[[], str]) -> bytes:
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise CannotLaunch(errno.EINVAL, what, f"{place()} has characters that cannot be encoded") from None
    if b"\0" in encoded:
        raise CannotLaunch(errno.EINVAL, what, f"{place()} has a NUL character")
    return encoded
