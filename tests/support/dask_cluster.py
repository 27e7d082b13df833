"""A Dask cluster on this machine: the scheduler and each worker is a process, as an operator would start it.

No Dask is imported here. All processes end with the test, whatever happens to it: see tests/support/dask_process.py.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.support.processes import all_processes

from taskloom.testing.runner_tasks import wait_until

__all__ = ["ROOT", "SLOTS", "DaskCluster", "DaskProcess", "descendants", "free_port"]

ROOT = Path(__file__).resolve().parents[2]
# Reached only when a test fails.
PATIENCE_SECONDS = 60.0
SLOTS = 10
"""Of each of the two workers of the cluster that the tests of one process share."""
# As the docs recommend for a cluster that Taskloom uses.
SETTINGS = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "15s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "60s",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "500ms",
}

_TLS_FLAGS = {"ca_file": "--tls-ca-file", "cert_file": "--tls-cert", "key_file": "--tls-key"}


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
        return number


class DaskProcess:
    """A scheduler, a worker, or a nanny with its worker."""

    def __init__(self, name: str, log: Path, process: subprocess.Popen[bytes], announcement: str) -> None:
        self.name = name
        self._log = log
        self._process = process
        self._announcement = announcement

    @property
    def pid(self) -> int:
        """The process that was started: of a worker with a nanny, that of the nanny."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    def await_ready(self) -> None:
        """Wait until it says that it has begun."""
        wait_until(lambda: self._announcement in self.log or not self.is_alive(), PATIENCE_SECONDS)
        assert self._announcement in self.log, f"{self.name} has not begun:\n{self.log}"

    def is_alive(self) -> bool:
        """Return whether the process exists."""
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)

    def join(self) -> int:
        """Wait for its end; return its exit code."""
        return self._process.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """Let nothing of it be left, stopped processes included."""
        family = descendants(self._process.pid)
        self.kill()
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert wait_until(lambda: not _alive(family), PATIENCE_SECONDS), f"{self.name} has left {_alive(family)}"


class DaskCluster:
    """A scheduler and its workers. Use it in a `with` block, which ends them.

    `env`: for all of them. `tls`: the files `ca_file`, `cert_file` and `key_file` of a cluster with TLS. `host`: the
    address of this machine that the scheduler listens at. `inside`: a command that executes another one at the place
    of the scheduler, such as in a network namespace. `python`: the interpreter of the scheduler.
    """

    def __init__(
        self,
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        tls: Mapping[str, Path] | None = None,
        host: str = "127.0.0.1",
        inside: Sequence[str] = (),
        python: str = sys.executable,
    ) -> None:
        self.folder = folder
        self.workers: dict[str, DaskProcess] = {}
        self._tls = dict(tls or {})
        self._env = os.environ | SETTINGS | {"PYTHONPATH": str(ROOT), "DASK_CONFIG": os.devnull} | dict(env or {})
        self._host = host
        self._inside = inside
        self._python = python
        self._started = 0
        self.port = 0
        self.scheduler: DaskProcess | None = None

    def __enter__(self) -> Self:
        try:
            self.start_scheduler()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The address of the scheduler."""
        return f"{'tls' if self._tls else 'tcp'}://{self._host}:{self.port}"

    def start_scheduler(self) -> None:
        """Start the scheduler, at the port of the one before it if there was one."""
        file = self.folder / f"scheduler-{self._started}.json"
        arguments = ["scheduler", "--host", self.address.rpartition(":")[0], "--port", str(self.port), "--no-dashboard"]
        arguments += ["--scheduler-file", str(file)]
        self.scheduler = self._start(
            "scheduler", arguments, announced="Scheduler at:", env={}, inside=self._inside, python=self._python
        )
        self.scheduler.await_ready()
        assert wait_until(lambda: _is_whole(file), PATIENCE_SECONDS), self.scheduler.log
        self.port = int(json.loads(file.read_text())["address"].rpartition(":")[2])

    def begin_worker(
        self,
        name: str,
        *,
        slots: int = 4,
        nanny: bool = False,
        scheduler: str = "",
        env: Mapping[str, str] | None = None,
        inside: Sequence[str] = (),
        arguments: Sequence[str] = (),
        python: str = sys.executable,
    ) -> DaskProcess:
        """Start a worker, and do not wait for it. `scheduler`: the address to connect to, if it is another one."""
        folder = self.folder / f"space-{name}"
        given = ["worker", scheduler or self.address, "--name", name, "--nthreads", str(slots), "--no-dashboard"]
        given += ["--nanny" if nanny else "--no-nanny", "--memory-limit", "0", "--local-directory", str(folder)]
        given += ["--death-timeout", "60", *arguments]
        if not any(each in ("--host", "--listen-address") for each in arguments):
            given += ["--host", self._host]
        worker = self._start(name, given, announced="Registered to:", env=env or {}, inside=inside, python=python)
        self.workers[name] = worker
        return worker

    def add_worker(self, name: str, **options: Any) -> DaskProcess:
        """Start a worker and wait until the scheduler knows it."""
        worker = self.begin_worker(name, **options)
        worker.await_ready()
        return worker

    def add_workers(self, *names: str, **options: Any) -> None:
        """Start several workers at the same time, and wait for all of them."""
        for worker in [self.begin_worker(name, **options) for name in names]:
            worker.await_ready()

    def replace_ended(self, **options: Any) -> None:
        """Start a new worker for each one that has ended."""
        ended = [name for name, worker in self.workers.items() if not worker.is_alive()]
        for name in ended:
            self.workers[name].end()
        self.add_workers(*ended, **options)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client of Dask, for what an operator does to the cluster: `retire_workers`, or `run` of a fault."""
        distributed: Any = importlib.import_module("distributed")
        names = {"ca_file": "tls_ca_file", "cert_file": "tls_client_cert", "key_file": "tls_client_key"}
        files = {names[name]: str(path) for name, path in self._tls.items()}
        security = distributed.Security(**files, require_encryption=True) if files else None
        with distributed.Client(
            self.address, set_as_default=False, security=security, timeout=PATIENCE_SECONDS
        ) as client:
            yield client

    def address_of(self, name: str) -> str:
        """Return the address of a worker, as the scheduler knows it."""
        with self.client() as client:
            found = client.scheduler_info(n_workers=-1)["workers"]
        return str(next(address for address, worker in found.items() if worker["name"] == name))

    def close(self) -> None:
        """End all processes."""
        for process in [*self.workers.values(), *filter(None, [self.scheduler])]:
            process.end()
        self.workers.clear()
        self.scheduler = None

    def _start(
        self,
        name: str,
        given: list[str],
        *,
        announced: str,
        env: Mapping[str, str],
        inside: Sequence[str],
        python: str,
    ) -> DaskProcess:
        self._started += 1
        log = self.folder / f"{name}-{self._started}.log"
        tls = [part for name, path in self._tls.items() for part in (_TLS_FLAGS[name], str(path))]
        command = [*inside, python, "-m", "tests.support.dask_process", *given, *tls]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**self._env, **env},
                cwd=self.folder,
                start_new_session=True,
            )
        return DaskProcess(name, log, process, announced)


def _is_whole(file: Path) -> bool:
    try:
        return bool(json.loads(file.read_text()))
    except (OSError, ValueError):
        return False


def descendants(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on."""
    seen = all_processes()
    found, new = [], [pid]
    while new:
        new = [each.pid for each in seen if each.parent in new and each.pid not in found]
        found += new
    return found


def _alive(pids: Sequence[int]) -> list[int]:
    mine = set(pids)
    return [each.pid for each in all_processes() if each.pid in mine and each.state not in "ZX"]
