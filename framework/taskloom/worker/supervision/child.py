"""The run's main process, from the fork to the exec."""

import marshal
import posix

from taskloom.worker.supervision.spec import Spec
from taskloom.worker.supervision.system import (
    block_signals,
    die_with_parent,
    reset_signals,
    text_of,
    unblock_signals,
    write_file,
)

# execvp(3) searches these without a PATH.
_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"
# The candidate on the PATH is not there, or is not for us; the next one may be.
_TRY_NEXT = (2, 13, 20, 40)


class Child:
    """The main process. `report`: readable when it has started, or has failed to start."""

    def __init__(self, pid: int, report: int) -> None:
        self.pid = pid
        self.report = report

    def read_report(self) -> list[tuple[str, int]]:
        """Return what failed and the number of its error, in order; the last one may be `exec`. Blocks until known."""
        parts = []
        while part := posix.read(self.report, 4096):
            parts.append(part)
        posix.close(self.report)
        self.report = -1
        return marshal.loads(b"".join(parts)) if parts else []


def start_child(spec: Spec, joins: str) -> Child:
    """Fork and let the child become the program of the spec. `joins`: the cgroup's file of processes, or "".

    Raises OSError if there is no process or no descriptor. Descriptors 0 to 3 are the child's alone afterwards.
    """
    ours, theirs = posix.pipe2(posix.O_CLOEXEC)
    supervisor = posix.getpid()
    # A signal that reaches the child between fork and exec waits for its default action; our handlers would lose it.
    block_signals()
    try:
        pid = posix.fork()
        if pid == 0:
            _become_program(spec, joins, supervisor, theirs)
    finally:
        unblock_signals()
        posix.close(theirs)
    return Child(pid, ours)


def _become_program(spec: Spec, joins: str, supervisor: int, report: int) -> None:
    failures: list[tuple[str, int]] = []
    step = "group"
    try:
        # A group, but not a session: the first process of a session cannot change its group, and some programs try to.
        posix.setpgid(0, 0)
        if joins and (number := write_file(joins, b"0")):
            failures.append(("cgroup", number))
        step = "nice"
        _set_nice(spec.nice)
        step = "limit"
        _set_file_limit(spec.no_file_limit)
        step = "user"
        _set_user(spec.account)
        step = "prctl"
        die_with_parent()
        if posix.getppid() != supervisor:
            posix._exit(1)  # it was killed before the line above
        step = "cwd"
        if spec.cwd is not None:
            posix.chdir(spec.cwd)
        step = "exec"
        reset_signals()
        _exec(spec.argv, spec.env)
    except OSError as error:
        failures.append((step, error.errno or 0))
    except Exception:  # noqa: BLE001 - a fault of ours is reported as well
        failures.append((step, 0))
    finally:
        posix.write(report, marshal.dumps(failures))
        posix._exit(127)


def _set_nice(nice: int | None) -> None:
    if nice is None:
        return
    posix.setpriority(posix.PRIO_PROCESS, 0, nice)
    # Most kernels group processes by session: nice values only count within it, and this one counts for the session,
    # which is the supervisor's. Others have no such file.
    write_file("/proc/self/autogroup", b"%d" % nice)


def _set_file_limit(limit: int | None) -> None:
    if limit is None:
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _set_user(account: tuple[int, int, list[int]] | None) -> None:
    if account is None:
        return
    uid, gid, groups = account
    if posix.geteuid() != 0 and posix.getresuid() == (uid, uid, uid) and posix.getresgid() == (gid, gid, gid):
        return  # the user it has already; only root may set groups
    posix.setgroups(groups)
    posix.setresgid(gid, gid, gid)
    posix.setresuid(uid, uid, uid)


def _exec(argv: list[bytes], env: dict[bytes, bytes]) -> None:
    """Execute, searching the PATH of the run's own environment. Raises OSError."""
    name = argv[0]
    if b"/" in name:
        posix.execve(name, argv, env)
    refused = None
    for folder in env.get(b"PATH", _DEFAULT_PATH).split(b":"):
        try:
            posix.execve((folder or b".") + b"/" + name, argv, env)
        except OSError as error:
            if error.errno not in _TRY_NEXT:
                raise
            if error.errno == 13:
                refused = error
    raise refused or FileNotFoundError(2, "")


def why_not_started(spec: Spec, step: str, number: int) -> bytes:
    """Return the sentence for a step that has failed with this error number. On one line, whatever the names are."""
    program = f"'{_shown(spec.argv[0])}'"
    words = text_of(number) if number else "the supervisor has a fault"
    if step == "cwd":
        program += f" in '{_shown(spec.cwd or b'')}'"
    elif step == "user" and spec.account is not None:
        program += f" as user {spec.account[0]}"
        words = "only root can run a job as another user" if number == 1 else words
    elif step == "nice":
        program += f" with nice {spec.nice}"
        words = "only root can raise a priority" if number in (1, 13) else words
    elif step == "limit":
        program += f" with {spec.no_file_limit} open files"
    return f"cannot start {program}: {words}".encode("utf-8", "surrogateescape")


def _shown(name: bytes) -> str:
    """Return it as `taskloom.text.printable` would, for the characters that break a line or drive a terminal."""
    text = name.decode("utf-8", "surrogateescape")
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
