"""The memory of a run: its limit, by a cgroup where we may make one, else by samples; and kills by the kernel."""

import posix
from time import monotonic

from taskloom.worker.supervision.cgroups import own_folder, own_folder_v1, usable_folders
from taskloom.worker.supervision.system import read_file, read_lines, write_file
from taskloom.worker.supervision.tree import Process, descendants

_FOREVER = float("inf")
_SAMPLE_SECONDS = 1.0
# A sample takes about 15 microseconds for each process of the machine. Samples use 2 % of a processor at most.
_SAMPLE_SHARE = 0.02


class Memory:
    """The memory limit of the run, in bytes; None for none. `folder`: its cgroup, or ""."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.folder = ""
        self.sample_at = _FOREVER
        self._is_enforced = False
        if limit is not None:
            self._make_folder(limit)

    @property
    def joins(self) -> str:
        """The file that a process of the run writes itself into, or ""."""
        return self.folder and f"{self.folder}/cgroup.procs"

    def begin(self, now: float) -> None:
        """Start to sample at the monotonic second `now`, unless the kernel enforces the limit."""
        if self.limit is not None and not self._is_enforced:
            self.sample_at = now + _SAMPLE_SECONDS

    def leave_folder(self, now: float) -> None:
        """Do without the cgroup: the main process could not enter it."""
        self.remove()
        self._is_enforced = False
        self.begin(now)

    def sample(self) -> int:
        """Return the bytes in use if they are over the limit, else 0, and choose the time of the next sample."""
        began = monotonic()
        used = used_bytes(self.limit or 0)
        took = monotonic() - began
        self.sample_at = began + max(_SAMPLE_SECONDS, took / _SAMPLE_SHARE)
        return used if self.limit is not None and used > self.limit else 0

    def stop_sampling(self) -> None:
        """Take no more samples: the run is being killed."""
        self.sample_at = _FOREVER

    def kernel_excess(self) -> int:
        """Return the most bytes that were in use if the kernel killed for this limit, else 0."""
        if not self._is_enforced or not counter(f"{self.folder}/memory.events.local", b"oom"):
            return 0
        return int(read_file(f"{self.folder}/memory.peak") or self.limit or 0)

    def kill(self) -> bool:
        """Kill all in the cgroup at once; return whether the kernel can do that here."""
        return bool(self.folder) and write_file(f"{self.folder}/cgroup.kill", b"1") == 0

    def remove(self) -> None:
        """Remove the cgroup. One with processes stays."""
        if self.folder:
            try:
                posix.rmdir(self.folder)
            except OSError:
                pass
            self.folder = ""

    def _make_folder(self, limit: int) -> None:
        for above in usable_folders():
            if self._try_folder(f"{above}/taskloom-{posix.getpid()}", limit):
                return

    def _try_folder(self, folder: str, limit: int) -> bool:
        try:
            posix.mkdir(folder)
        except OSError:
            return False
        self.folder = folder
        self._is_enforced = write_file(f"{folder}/memory.max", b"%d" % limit) == 0
        if self._is_enforced:
            write_file(f"{folder}/memory.oom.group", b"1")
            # Else the run would be moved to the swap, and get slow in place of being over its limit.
            write_file(f"{folder}/memory.swap.max", b"0")
            return True
        if read_file(f"{folder}/cgroup.events") and has_file(f"{folder}/cgroup.kill"):
            return True  # without the memory controller it is still good for the kill
        self.remove()
        return False


class KernelKills:
    """The kernel's counter of processes that it has killed because memory was short."""

    def __init__(self) -> None:
        self._path, self._key, self._before = "", b"", 0

    def begin(self, folder: str) -> None:
        """Remember the counter: that of the run's cgroup, else of our own, else of the machine."""
        v1 = own_folder_v1()
        own = own_folder()
        for path, key in (
            (folder and f"{folder}/memory.events", b"oom_kill"),
            (own and f"{own}/memory.events", b"oom_kill"),
            (v1 and f"{v1}/memory.oom_control", b"oom_kill"),
            ("/proc/vmstat", b"oom_kill"),
        ):
            if path and (count := counter(path, key)) is not None:
                self._path, self._key, self._before = path, key, count
                return

    def has_risen(self) -> bool:
        """Return whether the kernel has killed since `begin`. With a shared counter that is only probable."""
        return bool(self._path) and (counter(self._path, self._key) or 0) > self._before


def used_bytes(limit: int) -> int:
    """Return the memory of all descendants in bytes.

    Pages that processes share count once: that is the sum of their PSS. It takes long to read for large processes, so
    it is only read if the sum of RSS, which is larger, is over the limit.
    """
    found = descendants()
    page = posix.sysconf("SC_PAGE_SIZE")
    resident = sum(process.resident for process in found) * page
    if resident <= limit:
        return resident
    return sum(_share(process, page) for process in found)


def _share(process: Process, page: int) -> int:
    """Return the PSS in bytes; the RSS where the kernel does not show it to us."""
    for line in read_lines(f"/proc/{process.pid}/smaps_rollup"):
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return process.resident * page


def counter(path: str, key: bytes) -> int | None:
    """Return the number after the key in a file of `key number` lines; None without such a line."""
    for line in read_lines(path):
        words = line.split()
        if len(words) == 2 and words[0] == key:
            return int(words[1])
    return None


def has_file(path: str) -> bool:
    """Return whether there is such a file."""
    try:
        posix.stat(path)
    except OSError:
        return False
    return True
