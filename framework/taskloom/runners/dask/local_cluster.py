"""A cluster of this program alone, on this machine: for a trial.

One process, `taskloom.runners.dask.local_host`, has the Dask scheduler and starts the workers. It lives as long as a
pipe from this program is open, so it ends with the program however that ends. TLS with certificates that are made for
each cluster keeps other users of the machine out: everyone who reaches a Dask scheduler can run any program.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from taskloom.runners.dask.dask_client import DaskClient
from taskloom.runners.dask.extra import INSTALL
from taskloom.runners.dask.hello import CannotAttach
from taskloom.runners.dask.options import LOCAL_SLOTS
from taskloom.runners.process.worker_command import sent_path
from taskloom.text import duration, to_json

if TYPE_CHECKING:
    from distributed import Security

    from taskloom.runners.dask.connection import Listener
    from taskloom.runners.dask.options import Cluster

__all__ = ["LocalCluster"]

_MODULE = "taskloom.runners.dask.local_host"
_FIELDS = ("tls_ca_file", "tls_client_cert", "tls_client_key", "tls_scheduler_cert", "tls_scheduler_key")
_WORKER_FIELDS = ("tls_worker_cert", "tls_worker_key")


class LocalCluster(DaskClient):
    """The connection to a cluster that is started when it is opened, and ended when it is closed."""

    def __init__(self, cluster: Cluster, listener: Listener) -> None:
        super().__init__(cluster, listener)
        self._host: subprocess.Popen[bytes] | None = None

    async def open(self, within: float) -> None:
        """Start the cluster, and connect. Raises CannotAttach."""
        security = _new_certificates()
        started = asyncio.get_running_loop().time()
        host = self._host = self._start_host(security)
        try:
            async with asyncio.timeout(within):
                found = await self._first_line(host)
        except TimeoutError:
            raise CannotAttach(
                f"cannot start {self._cluster.shown}: it is not there after {duration(within)}"
            ) from None
        if "address" not in found:
            raise CannotAttach(f"cannot start {self._cluster.shown}: {found.get('error', 'its process has ended')}")
        left = max(1.0, within - (asyncio.get_running_loop().time() - started))
        await self.connect(found["address"], security, left)

    def _start_host(self, security: Security) -> subprocess.Popen[bytes]:
        """Start the process. Its standard input is the pipe on which its life depends; only it has the keys."""
        try:
            host = subprocess.Popen(
                [sys.executable, *_flags(), "-P", "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C at the terminal is for this program
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sent_path())},
            )
        except OSError as error:
            raise CannotAttach(f"cannot start {self._cluster.shown}: {error.strerror or error}") from None
        order = {
            "workers": self._cluster.local,
            "slots": LOCAL_SLOTS,
            "security": {name: getattr(security, name) for name in (*_FIELDS, *_WORKER_FIELDS)},
        }
        assert host.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: its first line says why
            host.stdin.write(to_json(order, is_ascii=True).encode() + b"\n")
            host.stdin.flush()
        return host

    async def _first_line(self, host: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Return what the process says once its cluster is there, or why it cannot be."""
        assert host.stdout is not None
        loop, pipe, line, ready = asyncio.get_running_loop(), host.stdout.fileno(), bytearray(), asyncio.Event()
        os.set_blocking(pipe, False)
        loop.add_reader(pipe, ready.set)
        try:
            while not line.endswith(b"\n"):
                await ready.wait()
                ready.clear()
                with suppress(BlockingIOError):
                    read = os.read(pipe, 65536)
                    if not read:
                        return {}
                    line += read
        finally:
            loop.remove_reader(pipe)
        found = json.loads(line)
        return found if isinstance(found, dict) else {}

    async def close(self, within: float) -> None:
        """Close the connection, and end the cluster at once: no run is left on it that anyone waits for."""
        host, self._host = self._host, None
        try:
            await super().close(within / 2)
        finally:
            if host is not None:
                _end(host, within)

    def leave_behind(self) -> None:
        """Called in a forked child: the cluster must end with the parent, not with the child."""
        host = self._host
        if host is not None:
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            for pipe in (host.stdin, host.stdout):
                if pipe is not None:
                    os.dup2(nothing, pipe.fileno(), inheritable=False)
            os.close(nothing)


def _flags() -> list[str]:
    """Return the flags of this interpreter but for those about warnings: Dask warns of what we cannot change."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # since Python 3.2
    return [flag for flag in flags if flag != "-P" and not flag.startswith("-W")]


def _end(host: subprocess.Popen[bytes], within: float) -> None:
    """Let the process end its cluster and itself, and reap it."""
    for pipe in (host.stdin, host.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        host.wait(within)
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            os.killpg(host.pid, 9)
        with suppress(subprocess.TimeoutExpired):
            host.wait(within)


def _new_certificates() -> Security:
    """Return certificates that only this cluster accepts. Raises CannotAttach."""
    from distributed import Security

    try:
        made: Security = Security.temporary()
        return made
    except ImportError:
        raise CannotAttach(f"cannot start a local cluster: cryptography is not installed; {INSTALL}") from None
