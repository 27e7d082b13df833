"""The memory limit of a run, by samples and by a cgroup, and kills by the kernel."""

from __future__ import annotations

import os
import posix
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.supervised import Supervised, await_none_marked, marked, python, shell

from taskloom.runners.process.channel import Exited, Grouped, OverLimit
from taskloom.runners.process.launch import kill_cgroup
from taskloom.worker.supervision import cgroups, memory
from taskloom.worker.supervision.memory import KernelKills, Memory, counter
from taskloom.worker.supervision.system import read_lines

MIB = 1024 * 1024
V1 = Path("/sys/fs/cgroup/memory")

# As on a machine with both versions, in a container, and with a blank in a path.
HYBRID = rb"""
22 1 0:20 / /sys rw shared:2 - sysfs sysfs rw
30 22 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate
31 22 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct
32 22 0:28 /outer /sys/fs/my\040cgroup/memory rw shared:1 master:2 - cgroup cgroup rw,memory
"""


class Kernel:
    """The files of /proc and /sys that are read, by their paths."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **files: bytes) -> None:
        self.files = files
        for module in (cgroups, memory):
            monkeypatch.setattr(module, "read_lines", lambda path: self.files.get(path, b"").split(b"\n"))


@pytest.mark.parametrize(
    "own, v2, v1",
    [
        (b"0::/a/b\n", "/sys/fs/cgroup/unified/a/b", ""),
        (b"0::/\n", "/sys/fs/cgroup/unified", ""),
        (b"4:memory:/outer/x\n0::/a\n", "/sys/fs/cgroup/unified/a", "/sys/fs/my cgroup/memory/x"),
        (b"4:memory:/outer\n", "", "/sys/fs/my cgroup/memory"),
        (b"4:memory:/outermost\n", "", ""),
        (b"4:cpu,cpuacct:/a\n", "", ""),
        (b"0::/../elsewhere\n", "", ""),
        (b"", "", ""),
        (b"broken\n4:memory\n", "", ""),
    ],
)
def test_the_folder_of_our_cgroup_is_found(own: bytes, v2: str, v1: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch, **{"/proc/self/cgroup": own, "/proc/self/mountinfo": HYBRID})

    assert cgroups.own_folder() == v2
    assert cgroups.own_folder_v1() == v1


@pytest.mark.parametrize(
    "own, marks, has_systemd, folders",
    [
        (b"/s/main", {"/s": b"1"}, True, ["/s"]),
        (b"/s/main", {"/s": b"1", "/s/main": b"1"}, True, ["/s", "/s/main"]),
        (b"/s", {"/s": b"1"}, True, ["/s"]),
        (b"/s/main", {"/s": b"0"}, True, []),
        (b"/s/main", {}, True, []),
        (b"/s/main", {}, False, ["/s/main"]),
        (b"/", {}, True, [""]),
        (b"/", {}, False, [""]),
    ],
)
def test_cgroups_are_made_where_systemd_does_not_make_them(
    own: bytes, marks: dict[str, bytes], has_systemd: bool, folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    top = "/sys/fs/cgroup/unified"
    Kernel(monkeypatch, **{"/proc/self/cgroup": b"0::" + own, "/proc/self/mountinfo": HYBRID})
    there = {f"{top}/s/cgroup.type", f"{top}/s/main/cgroup.type"} | ({"/run/systemd/system"} if has_systemd else set())

    def getxattr(path: str, name: str) -> bytes:
        if name == "trusted.delegate" and path.removeprefix(top) in marks:
            return marks[path.removeprefix(top)]
        raise OSError(61, "No data available")

    def stat(path: str) -> None:
        if path not in there:
            raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(cgroups, "posix", SimpleNamespace(getxattr=getxattr, stat=stat))

    assert cgroups.usable_folders() == [top + folder for folder in folders]


def test_on_a_machine_without_cgroups_none_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch)

    assert cgroups.usable_folders() == []


@pytest.mark.parametrize(
    "text, found",
    [
        (b"oom 1\noom_kill 7\n", 7),
        (b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),
        (b"oom_kill\n", None),
        (b"", None),
    ],
)
def test_a_counter_is_read_by_its_name(text: bytes, found: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch, **{"/events": text})

    assert counter("/events", b"oom_kill") == found


def test_a_file_that_the_kernel_gives_in_parts_is_read_to_its_end() -> None:
    lines = read_lines("/proc/self/smaps")

    assert len(b"\n".join(lines)) > 8192  # two pages
    assert lines[-2].startswith((b"VmFlags", b"ProtectionKey", b"THPeligible"))
    assert read_lines("/proc/self/nothing") == []


Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Make a folder that stands for our cgroup, in which new ones get the files that a kernel would make."""

    def make(*names: str) -> Path:
        def mkdir(path: str) -> None:
            Path(path).mkdir()
            for name in names:
                Path(path, name).write_bytes(b"populated 0\n")

        def rmdir(path: str) -> None:
            for file in Path(path).iterdir():
                file.unlink()
            Path(path).rmdir()

        monkeypatch.setattr(memory, "usable_folders", lambda: [str(tmp_path / "not there"), str(tmp_path)])
        monkeypatch.setattr(posix, "mkdir", mkdir)
        monkeypatch.setattr(posix, "rmdir", rmdir)
        return tmp_path

    return make


def test_a_cgroup_with_the_memory_controller_enforces_the_limit(folder: Folder) -> None:
    above = folder("memory.max", "memory.oom.group", "memory.swap.max", "cgroup.kill", "cgroup.procs", "cgroup.events")
    limited = Memory(64 * MIB)
    limited.begin(0.0)
    own = Path(limited.folder)

    assert own.parent == above
    assert limited.joins == str(own / "cgroup.procs")
    assert limited.sample_at == float("inf")
    assert (own / "memory.max").read_bytes().startswith(b"67108864")
    assert (own / "memory.oom.group").read_bytes().startswith(b"1")
    assert limited.kill()

    limited.remove()
    assert not own.exists()


def test_the_kernel_has_killed_for_the_limit_if_it_was_reached_in_the_run_s_own_cgroup(folder: Folder) -> None:
    folder("memory.max", "memory.events.local", "memory.peak", "cgroup.kill")
    limited = Memory(64 * MIB)
    own = Path(limited.folder)

    (own / "memory.events.local").write_text("low 0\noom 0\noom_kill 1\n")
    (own / "memory.peak").write_text("67108864\n")
    assert limited.kernel_excess() == 0

    (own / "memory.events.local").write_text("low 0\noom 1\noom_kill 1\n")
    assert limited.kernel_excess() == 64 * MIB


def test_a_cgroup_without_the_memory_controller_is_good_for_the_kill(folder: Folder) -> None:
    folder("cgroup.kill", "cgroup.procs", "cgroup.events")
    limited = Memory(64 * MIB)
    limited.begin(5.0)

    assert limited.folder
    assert limited.kill()
    assert limited.sample_at == 6.0
    assert limited.kernel_excess() == 0


def test_a_cgroup_that_is_good_for_nothing_is_removed(folder: Folder) -> None:
    above = folder("cgroup.procs", "cgroup.events")
    limited = Memory(64 * MIB)
    limited.begin(5.0)

    assert limited.folder == limited.joins == ""
    assert list(above.iterdir()) == []
    assert not limited.kill()
    assert limited.sample_at == 6.0


def test_a_main_process_that_cannot_enter_the_cgroup_is_sampled(folder: Folder) -> None:
    above = folder("memory.max", "cgroup.procs", "cgroup.kill")
    limited = Memory(64 * MIB)

    limited.leave_folder(5.0)

    assert limited.folder == ""
    assert list(above.iterdir()) == []
    assert limited.sample_at == 6.0


def test_a_run_without_a_limit_is_not_sampled_and_has_no_cgroup(folder: Folder) -> None:
    above = folder("memory.max", "cgroup.kill")
    free = Memory(None)
    free.begin(0.0)

    assert free.sample_at == float("inf")
    assert list(above.iterdir()) == []


def test_the_nearest_counter_of_kills_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(
        monkeypatch,
        **{
            "/proc/self/cgroup": b"4:memory:/outer/x\n0::/a\n",
            "/proc/self/mountinfo": HYBRID,
            "/run/memory.events": b"oom_kill 1\n",
            "/sys/fs/my cgroup/memory/x/memory.oom_control": b"oom_kill_disable 0\noom_kill 2\n",
            "/proc/vmstat": b"nr_free_pages 1\noom_kill 3\n",
        },
    )
    kills = KernelKills()
    assert not kills.has_risen()

    for path, text in (
        ("/run/memory.events", b"oom_kill 2\n"),
        ("/sys/fs/my cgroup/memory/x/memory.oom_control", b"oom_kill 3\n"),
        ("/proc/vmstat", b"oom_kill 4\n"),
    ):
        kills = KernelKills()
        kills.begin("/run")
        assert not kills.has_risen()
        kernel.files[path] = text
        assert kills.has_risen()
        del kernel.files[path]
        assert not kills.has_risen()


GROW = f"""
import time
held = bytearray(60 * {MIB})
for at in range(0, len(held), 4096):
    held[at] = 1
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.long
def test_a_run_that_uses_more_than_its_limit_is_killed() -> None:
    with Supervised(python(GROW), memory_limit=32 * MIB) as run:
        assert run.line() == "ready"

        over = run.until(OverLimit)
        assert over.limit == 32 * MIB
        assert 60 * MIB < over.was < 120 * MIB
        assert os.WTERMSIG(run.until(Exited).status) == signal.SIGKILL
        run.rest_until_done()


@pytest.mark.long
def test_pages_that_processes_share_count_once() -> None:
    source = f"""
import os, signal
from taskloom.worker.supervision.memory import used_bytes
held = bytearray(60 * {MIB})
for at in range(0, len(held), 4096):
    held[at] = 1
children = []
for _ in range(3):
    children.append(os.fork())
    if children[-1] == 0:
        signal.alarm(60)
        signal.pause()
print(used_bytes(1 << 40), used_bytes(1))
for child in children:
    os.kill(child, signal.SIGKILL)
"""
    told = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    resident, shared = map(int, told.split())

    assert resident > 180 * MIB
    assert shared < 90 * MIB


@pytest.mark.long
@pytest.mark.skipif(
    not os.access(V1, os.W_OK), reason="needs a cgroup of its own with the memory controller, version 1"
)
def test_a_kill_by_the_kernel_for_lack_of_memory_is_told_apart() -> None:
    source = f"""
import os, sys
from pathlib import Path
from taskloom.runners.process.launch import LaunchSpec, launch
folder = Path(sys.argv[1])
(folder / "memory.limit_in_bytes").write_text(str(100 * {MIB}))
(folder / "cgroup.procs").write_text("0")
launched = launch(LaunchSpec(argv=[sys.executable, "-I", "-S", "-c", "x = b'x' * (400 * {MIB})"], env={{}}, job="a"))
launched.channel.setblocking(True)
print(launched.channel.makefile().read())
launched.reap(30)
launched.close()
"""
    folder = V1 / f"taskloom-test-{os.getpid()}"
    folder.mkdir()
    try:
        command = [sys.executable, "-c", source, str(folder)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    finally:
        folder.rmdir()

    assert [line.split()[0] for line in told.splitlines() if line] == ["started", "oom", "exited", "done"]


@pytest.mark.long
def test_a_cgroup_is_removed_with_the_run_and_kills_without_the_supervisor() -> None:
    with Supervised(shell("setsid sleep 60 & echo ready; wait"), memory_limit=512 * MIB) as run:
        first = run.next_message()
        if not isinstance(first, Grouped):
            pytest.skip("needs a writable cgroup, version 2")
        assert run.line() == "ready"
        assert Path(first.folder).is_dir()

        run.send(b"kill\n")
        run.rest_until_done()
        assert not Path(first.folder).exists()

    with Supervised(shell("setsid sleep 60 & echo ready; wait"), memory_limit=512 * MIB) as run:
        folder = run.until(Grouped).folder
        assert run.line() == "ready"

        run.launched.kill_supervisor()
        run.rest()
        assert marked(run.mark)
        kill_cgroup(folder)

        assert await_none_marked(run.mark) == {}
        kill_cgroup(folder)
        assert not Path(folder).exists()
