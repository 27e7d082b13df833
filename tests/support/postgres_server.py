"""A PostgreSQL server of the tests' own (Debian's package), which they stop, kill, pause and start again."""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.processes import all_processes

__all__ = ["PostgresServer", "find_postgres", "postgres_server"]

LOCAL = "127.0.0.1"
# Reached only when a test fails.
PATIENCE_SECONDS = 60.0
AGAIN_SECONDS = 0.05


def find_postgres() -> Path | None:
    """Return the folder of the server's programs, which Debian does not put on the PATH; None without the package."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if folders:
        return folders[-1]
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


@contextmanager
def postgres_server(binaries: Path) -> Iterator[PostgresServer]:
    """Make a server and start it; it and its data are gone after the block."""
    place = Path(tempfile.mkdtemp(prefix="taskloom-postgresql-", dir="/tmp"))
    server = PostgresServer(binaries, place)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(place)


class PostgresServer:
    """One server, with the user `postgres` and no password. It refuses to run as root, so root runs it as that user."""

    def __init__(self, binaries: Path, place: Path) -> None:
        self.binaries = binaries
        self.place = place
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._options: dict[str, Any] = {"cwd": place, "stdin": subprocess.DEVNULL}
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(place, owner.pw_uid, owner.pw_gid)
            self._options |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, without a password."""
        return f"postgresql://postgres@{LOCAL}:{self.port}/{database}"

    def initialise(self) -> None:
        """Make the files of the server."""
        command = [f"{self.binaries}/initdb", "-D", f"{self.place}/data", "-U", "postgres", "-A", "trust", "--no-sync"]
        # One byte order of texts, whatever the environment says; UTF-8 as on any machine of today.
        options = ["-E", "UTF8", "--locale=C"]
        subprocess.run([*command, *options], check=True, capture_output=True, **self._options)

    def start(self) -> None:
        """Start the server, and return when it answers."""
        # Without fsync: the tests kill processes, not machines.
        settings = ["-c", "fsync=off", "-c", "max_connections=50", "-c", "log_destination=stderr"]
        command = [f"{self.binaries}/postgres", "-D", f"{self.place}/data", "-p", str(self.port), "-h", LOCAL]
        with (self.place / "server.log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [*command, "-k", str(self.place), *settings],
                stdout=log, stderr=log, start_new_session=True, **self._options,
            )  # fmt: skip
        self._process = process
        bound = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            assert process.poll() is None, self.log
            assert time.monotonic() < bound, self.log
            with suppress(subprocess.TimeoutExpired):
                process.wait(AGAIN_SECONDS)

    def ensure_running(self) -> None:
        """Start it if an earlier test left it stopped, killed or paused."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
        else:
            self.start()

    def _answers(self) -> bool:
        command = [f"{self.binaries}/pg_isready", "-q", "-h", LOCAL, "-p", str(self.port)]
        return subprocess.run(command, check=False, **self._options).returncode == 0

    @property
    def log(self) -> str:
        """What the server has logged."""
        return (self.place / "server.log").read_text(errors="replace")

    def stop(self) -> None:
        """Stop it as an administrator does: connections are cut, data is written."""
        self.resume()
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill all its processes; does nothing if it does not run."""
        if self._process is None:
            return
        children = [seen.pid for seen in all_processes() if seen.parent == self._process.pid]
        # Its children first: the data folder stays locked until the last of them has ended.
        handles = [handle for pid in children if (handle := _handle_of(pid)) is not None]
        self._process.send_signal(signal.SIGSTOP)
        for handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        self._end(signal.SIGKILL)
        for handle in handles:
            select.select([handle], [], [], PATIENCE_SECONDS)
            os.close(handle)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(PATIENCE_SECONDS)
        self._process = None

    def pause(self) -> None:
        """Stop all its processes with SIGSTOP: connections stay open, nothing is answered."""
        self._send_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let paused processes go on."""
        self._send_all(signal.SIGCONT)

    def _send_all(self, number: int) -> None:
        assert self._process is not None, "the server does not run"
        owner = self._process.pid
        for seen in all_processes():
            if owner in (seen.pid, seen.parent):
                with suppress(ProcessLookupError):
                    os.kill(seen.pid, number)

    def query(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute a statement on a connection of its own, and return its rows."""
        import psycopg  # here, so that tests without a server need no driver

        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=30) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def make_database(self) -> str:
        """Make a new database, and return its URL."""
        [(count,)] = self.query("select count(*) from pg_database")
        name = f"history_{count}"
        self.query(f"create database {name}")
        return self.url(name)


def _free_port() -> int:
    with socket.create_server((LOCAL, 0)) as sock:
        port = sock.getsockname()[1]
    assert isinstance(port, int)
    return port


def _handle_of(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
