"""The loop of the supervisor: orders of the parent, ends of processes and deadlines, one after the other.

Lines to the parent, in this order: `started PID` or `failed NUMBER TEXT`; `stopped NUMBER`, `continued`, `over LIMIT
WAS`, any number of times; `oom`, `lease`; `exited STATUS MAXRSS UTIME STIME`; `left NUMBER NAMES`; `done`. `cgroup
PATH` comes before `started` if the run has a cgroup.

Lines from the parent: `signal NUMBER`, `group NUMBER`, `kill`; `patient` lets what the main process leaves have the
time until `kill`; `lease SECOND` is the new end of the lease. End of file, or the end of the parent, means: terminate.
"""

import posix
import select
from time import monotonic

from taskloom.worker.supervision.channel import Channel
from taskloom.worker.supervision.child import Child, start_child, why_not_started
from taskloom.worker.supervision.lease import Lease
from taskloom.worker.supervision.memory import KernelKills, Memory
from taskloom.worker.supervision.spec import Spec
from taskloom.worker.supervision.system import CONTROL, signals
from taskloom.worker.supervision.tree import descendants, names_of, send, send_to_group, sweep, terminate
from taskloom.worker.supervision.wakeups import Wakeups

_FOREVER = float("inf")
# Signals that programs take as the request to end. One that is stopped only gets them when it is continued.
_MEANS_END = (signals.SIGTERM, signals.SIGINT, signals.SIGQUIT, signals.SIGHUP)

# All that is left when the main process has ended gets SIGKILL this long after SIGTERM.
_LEFT_SECONDS = 1.0
# After SIGKILL to the main process and its group nothing is left, as a rule, and the scan of /proc can be saved.
_FIRST_SWEEP_SECONDS = 0.005
# Between sweeps. A process that does not end is in the kernel, or another user's; then there is no hurry.
_SWEEP_SECONDS = 0.01
_SLOWEST_SWEEP_SECONDS = 0.5
# Without pidfd_open(2), the parent's end is only seen by the end of file that a copy of the channel delays.
_PARENT_CHECK_SECONDS = 1.0


class Supervisor:
    """One run. `serve` returns when none of its processes is left."""

    def __init__(self, spec: Spec, channel: int, wakeups: Wakeups) -> None:
        """Prepare. Raises OSError."""
        self._spec = spec
        self._channel = Channel(channel)
        self._wakeups = wakeups
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._poll.register(wakeups.fileno, select.POLLIN)
        self._parent, self._has_pidfd = spec.parent, False
        self._watch_parent()
        self._memory = Memory(spec.memory_limit)
        self._kernel_kills = KernelKills()
        self._lease = Lease(spec.lease)
        self._child = Child(0, -1)
        # Deadlines, on the monotonic clock.
        self._terminate_at = self._kill_at = self._sweep_at = _FOREVER
        self._sweep_seconds = _SWEEP_SECONDS
        self._left_seconds = _LEFT_SECONDS
        # Facts.
        self._has_exited = self._has_failed = False
        self._is_ending = False  # the parent has gone: the grace runs
        self._is_killing = False

    def _watch_parent(self) -> None:
        try:
            pidfd = posix.pidfd_open(self._parent)
        except (AttributeError, OSError):
            pidfd = -1
        if posix.getppid() != self._parent:
            posix._exit(0)  # it has ended already, and the number may be another process
        if pidfd >= 0:
            self._poll.register(pidfd, select.POLLIN)
            self._has_pidfd = True

    def start(self) -> None:
        """Start the main process. Raises OSError."""
        if self._memory.folder:
            self._channel.say(b"cgroup " + self._memory.folder.encode("utf-8", "surrogateescape"))
        self._child = start_child(self._spec, self._memory.joins)
        self._poll.register(self._child.report, select.POLLIN)
        # So that the readers of the run's output, and of its control socket, see its end.
        nothing = posix.open("/dev/null", posix.O_RDWR)
        for descriptor in (0, 1, 2):
            posix.dup2(nothing, descriptor, inheritable=False)
        posix.close(nothing)
        if self._spec.control:
            posix.close(CONTROL)
        posix.chdir("/")  # so that the folder can be removed, or its file system unmounted

    def serve(self) -> None:
        """Supervise until no process of the run is left, and say so."""
        self._kernel_kills.begin(self._memory.folder)
        while True:
            self._wait()
            if not self._reap():
                break
            self._meet_deadlines(monotonic())
        self._memory.remove()
        if not self._has_failed:
            self._channel.say(b"done")
        self._channel.flush()

    def _wait(self) -> None:
        """Wait for what comes next, and take it in."""
        due = min(self._terminate_at, self._kill_at, self._sweep_at, self._memory.sample_at, self._lease.check_at)
        if not self._has_pidfd and not self._is_ending:
            due = min(due, monotonic() + _PARENT_CHECK_SECONDS)
        # Rounded up: poll counts in milliseconds, and one too few would be a busy loop.
        timeout = None if due == _FOREVER else max(0, int((due - monotonic()) * 1000) + 1)
        for descriptor, _ in self._poll.poll(timeout):
            if descriptor == self._wakeups.fileno:
                self._wakeups.clear()
            elif descriptor == self._channel.fileno:
                self._obey()
            elif descriptor == self._child.report:
                self._take_report()
            else:
                self._poll.unregister(descriptor)
                self._end()
        if not self._has_pidfd and posix.getppid() != self._parent:
            self._end()

    def _obey(self) -> None:
        for order in self._channel.orders():
            if order == [b"kill"]:
                self._kill(monotonic())
            elif order == [b"patient"]:
                self._left_seconds = _FOREVER
            elif len(order) == 2 and order[0] == b"lease":
                self._lease.renew(order[1])
            elif len(order) == 2 and order[0] in (b"signal", b"group") and order[1].isdigit():
                self._signal(int(order[1]), is_for_group=order[0] == b"group")
        if not self._channel.is_open:
            self._poll.unregister(self._channel.fileno)
            self._end()

    def _signal(self, number: int, *, is_for_group: bool) -> None:
        if self._has_exited:
            return
        pid = self._child.pid
        if not is_for_group:
            send(pid, number)
            return
        # It has left its group, or has not made it yet, if the first one is true.
        if not send_to_group(pid, number) or group_of(pid) != pid:
            send(pid, number)
        if number in _MEANS_END:
            # A stopped process would not get it.
            send_to_group(pid, signals.SIGCONT)
            send(pid, signals.SIGCONT)

    def _end(self) -> None:
        """Terminate, and kill after the grace. Called when the parent has gone; idempotent."""
        if self._is_ending:
            return
        self._is_ending = True
        now = monotonic()
        self._kill_at = min(self._kill_at, now + self._spec.grace)
        if self._has_exited:
            self._terminate_at = now
        else:
            self._signal(signals.SIGTERM, is_for_group=True)

    def _take_report(self) -> None:
        """Tell the parent that the program runs, or why it does not."""
        self._poll.unregister(self._child.report)
        failures = self._child.read_report()
        if failures and failures[0][0] == "cgroup":
            del failures[0]
            self._memory.leave_folder(monotonic())
        else:
            self._memory.begin(monotonic())
        if failures:
            self._has_failed = True
            step, number = failures[0]
            self._channel.say(b"failed %d %s" % (number, why_not_started(self._spec, step, number)))
        else:
            self._channel.say(b"started %d" % self._child.pid)

    def _reap(self) -> bool:
        """Take in what became of our children; return whether there is still one."""
        while True:
            try:
                pid, status, usage = posix.wait4(-1, posix.WNOHANG | posix.WUNTRACED | posix.WCONTINUED)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._child.pid and not self._has_exited:
                self._see(status, b"%d %.6f %.6f" % (usage.ru_maxrss, usage.ru_utime, usage.ru_stime))

    def _see(self, status: int, used: bytes) -> None:
        """Take in a change of the main process. `used`: memory in KiB, seconds of CPU of its own and of the kernel."""
        if posix.WIFSTOPPED(status):
            if not self._is_killing:
                self._channel.say(b"stopped %d" % posix.WSTOPSIG(status), is_droppable=True)
        elif posix.WIFCONTINUED(status):
            self._channel.say(b"continued", is_droppable=True)
        else:
            self._has_exited = True
            if self._child.report >= 0:
                self._take_report()
            if not self._has_failed:
                self._say_exit(status, used)

    def _say_exit(self, status: int, used: bytes) -> None:
        now = monotonic()
        if posix.WIFSIGNALED(status) and posix.WTERMSIG(status) == signals.SIGKILL and not self._is_killing:
            if was := self._memory.kernel_excess():
                self._channel.say(b"over %d %d" % (self._memory.limit or 0, was))
            elif self._kernel_kills.has_risen():
                self._channel.say(b"oom")
        self._channel.say(b"exited %d %s" % (status, used))
        if self._is_killing or not self._has_children():
            return
        # Also if a scan would find none: it can miss a process that is getting a new parent.
        self._terminate_at = now if self._is_ending else now + self._spec.linger

    @staticmethod
    def _has_children() -> bool:
        try:
            posix.waitid(posix.P_ALL, 0, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    def _meet_deadlines(self, now: float) -> None:
        if now >= self._memory.sample_at and (was := self._memory.sample()):
            self._channel.say(b"over %d %d" % (self._memory.limit or 0, was))
            self._kill(now)
        if now >= self._lease.check_at and self._lease.has_ended(now):
            self._channel.say(b"lease")
            self._kill(now)
        if now >= self._terminate_at:
            self._terminate_at = _FOREVER
            self._kill_at = min(self._kill_at, now + self._left_seconds)
            left = descendants()
            if left:
                # Not before: the other end of a pipe ends a little later than the main process, as a rule.
                self._channel.say(b"left %d %s" % (len(left), names_of(left)))
            terminate(left)
        if now >= self._kill_at:
            self._kill(now)
        if now >= self._sweep_at:
            sweep()
            self._sweep_at = monotonic() + self._sweep_seconds
            self._sweep_seconds = min(2 * self._sweep_seconds, _SLOWEST_SWEEP_SECONDS)

    def _kill(self, now: float) -> None:
        """Kill everything; idempotent."""
        self._kill_at = self._terminate_at = _FOREVER
        if self._is_killing:
            return
        self._is_killing = True
        self._memory.stop_sampling()
        self._sweep_at = now + _FIRST_SWEEP_SECONDS
        if self._memory.kill():
            return
        if self._has_exited:
            self._sweep_at = now  # the number of its group may be another's
        else:
            send_to_group(self._child.pid, signals.SIGKILL)
            send(self._child.pid, signals.SIGKILL)


def group_of(pid: int) -> int:
    """Return the process group of a process; 0 if it has ended."""
    try:
        return posix.getpgid(pid)
    except OSError:
        return 0
