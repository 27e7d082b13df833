"""The entry into the supervisor: take over the descriptors, read the spec, start the run, supervise it."""

import posix

from taskloom.worker.supervision.loop import Supervisor
from taskloom.worker.supervision.spec import Spec
from taskloom.worker.supervision.system import CONTROL, become_subreaper, continue_with_parents_end, rename, text_of
from taskloom.worker.supervision.wakeups import Wakeups


def main(channel: int, control: int, job: str, spec: Spec) -> None:
    """Supervise one run and exit. `channel`, `control`: inherited descriptors; `control` is -1 if there is none."""
    channel = _move_descriptors(channel, control)  # before anything is opened, which could get number 3
    wakeups = Wakeups()
    try:
        rename(b"taskloom-run")
        become_subreaper()
        continue_with_parents_end()  # a task may have stopped us, and then nothing else ends it
        _set_standard_input(spec.stdin)
        spec.stdin = None  # a copy that is not needed any more
        supervisor = Supervisor(spec, channel, wakeups)
        supervisor.start()
        supervisor.serve()
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent learns of it
        # The run's main process, if it has been started, dies with us.
        _say_failure(channel, job, error)
        posix._exit(1)
    posix._exit(0)


def _say_failure(channel: int, job: str, error: Exception) -> None:
    number = error.errno or 0 if isinstance(error, OSError) else 0
    words = text_of(number) if number else f"{type(error).__name__}: {error}"
    try:
        posix.write(
            channel, f"failed {number} cannot start a process for job '{job}': {words}\n".encode("utf-8", "replace")
        )
    except OSError:
        pass  # the parent has gone


def _move_descriptors(channel: int, control: int) -> int:
    """Make `control` descriptor 3, which the run inherits, and let it inherit no other; return that of the channel."""
    if channel == CONTROL:
        channel = posix.dup(CONTROL)
    posix.set_inheritable(channel, False)
    if control >= 0 and control != CONTROL:
        posix.dup2(control, CONTROL, inheritable=True)
        posix.close(control)
    return channel


def _set_standard_input(data: bytes | None) -> None:
    """Let descriptor 0, which the run inherits, read `data`, or nothing."""
    if data is None:
        source = posix.open("/dev/null", posix.O_RDONLY)
    else:
        source = posix.memfd_create("stdin")
        while data:
            data = data[posix.write(source, data) :]
        posix.lseek(source, 0, 0)
    posix.dup2(source, 0)
    posix.close(source)
