"""A systemd that has really booted: process 1 of namespaces of its own, with the units of a test and no others."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from tests.support.notify_socket import FakeServiceManager

from taskloom.clock import mono

__all__ = ["BootedSystemd", "need_systemd"]

# It writes to no folder of this machine but that of the test: what it needs of /run and /var/lib is in memory, and the
# switches of the kernel are read-only. `container` has it leave out what is for hardware.
_BOOT = """
mount --make-rprivate / && ip link set lo up
umount --recursive /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib || exit 1
mkdir -p /run/lock /var/lib/systemd
mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
export container=docker SYSTEMD_UNIT_PATH=$1/units SYSTEMD_GENERATOR_PATH=$1/none NOTIFY_SOCKET=$1/booted
exec /lib/systemd/systemd --system --unit=start.target --log-target=console --show-status=no
"""
# Reached only in failures.
_PATIENCE_SECONDS = 60.0
_NAMESPACES = ("--pid", "--fork", "--kill-child", "--mount-proc", "--mount", "--uts", "--ipc", "--net", "--cgroup")
# What the units of a distribution refer to.
_TARGETS = ("start", "sysinit", "basic", "sockets", "multi-user", "network-online", "shutdown")


def need_systemd() -> None:
    """Skip, loudly, if this machine cannot boot a systemd in namespaces."""
    tools = ["unshare", "nsenter", "systemctl", "ip"]
    missing = [each for each in tools if shutil.which(each) is None]
    if missing or not Path("/lib/systemd/systemd").exists():
        pytest.skip(f"LOUD: cannot boot systemd: install the packages systemd, util-linux and iproute2 ({missing})")
    if (
        os.geteuid() != 0
        or _cgroups() is None
        or subprocess.run(["unshare", *_NAMESPACES, "true"], check=False).returncode
    ):
        pytest.skip("LOUD: cannot boot systemd: it needs root, a cgroup2 that can be written to, and namespaces")


def _cgroups() -> Path | None:
    """Return where the cgroups of version 2 are."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        place = Path(before.split()[4])
        if after.startswith("cgroup2 ") and os.access(place, os.W_OK):
            return place
    return None


class BootedSystemd:
    """Boots at the start of the context, and is gone with all its processes at the end."""

    def __init__(self, folder: Path) -> None:
        self.units = folder / "units"
        """Where its units are; `reload` after a change."""
        self.units.mkdir()
        self._folder = folder
        for name in _TARGETS:
            (self.units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        above = _cgroups()
        assert above is not None
        self._cgroup = above / f"taskloom-test-{uuid.uuid4().hex[:8]}"

    def __enter__(self) -> Self:
        self._cgroup.mkdir()
        log = (self._folder / "systemd.log").open("w")
        join = f'echo $$ > {self._cgroup}/cgroup.procs && exec "$@"'
        command = ["sh", "-c", join, "sh", "unshare", *_NAMESPACES, "sh", "-c", _BOOT, "sh", str(self._folder)]
        with log, FakeServiceManager(str(self._folder / "booted")) as manager:
            self._outer = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            try:
                manager.wait_for("READY=1")
            except BaseException:
                self.__exit__(None, None, None)
                raise
        [self._pid] = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._outer.kill()  # and so systemd, by --kill-child, and so all in its pid namespace
        self._outer.wait()
        (self._cgroup / "cgroup.kill").write_text("1")
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            _remove_empty(Path(folder))

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command beside the services, and return its standard output and error."""
        inside = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--"]
        result = subprocess.run(
            [*inside, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90, check=False
        )
        assert result.returncode == 0 or not check, result.stdout
        return result.stdout

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Run systemctl, and return what it has written."""
        return self.run("systemctl", "--no-pager", *arguments, check=check)

    def properties(self, unit: str, *names: str) -> list[str]:
        """Return properties of a unit, such as `ActiveState`."""
        lines = self.systemctl("show", unit, *(f"--property={each}" for each in names)).splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return [found[name] for name in names]

    def until(self, condition: Callable[[], bool], what: Callable[[], object]) -> None:
        """Ask until it is so; `what`: returns what there is instead."""
        end = mono() + _PATIENCE_SECONDS
        while not condition():
            assert mono() < end, what()
            try:
                self._outer.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError("systemd has ended")

    def read(self, path: str) -> str:
        """Return the content of a file as the services see it."""
        return Path(f"/proc/{self._pid}/root{path}").read_text()


def _remove_empty(folder: Path) -> None:
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # its last process is still being removed by the kernel
            continue
        return
