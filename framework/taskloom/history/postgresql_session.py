"""A session of PostgreSQL in which nothing waits without end, also not for a server that has vanished."""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from taskloom.clock import mono
from taskloom.history.errors import HistoryUnusable, PackageMissing
from taskloom.history.failures import reason_of
from taskloom.history.location import Target
from taskloom.history.tables import SCHEMA
from taskloom.text import duration

if TYPE_CHECKING:
    import psycopg

__all__ = ["ANSWER_SECONDS", "CONNECT_SECONDS", "open_session"]

CONNECT_SECONDS = 5
"""For each address of the server. To find the address of a name may take longer."""
STATEMENT_SECONDS = 5
"""After this the server ends a command, or its wait for a lock."""
ANSWER_SECONDS = 8.0
"""After this the connection is given up: the server, or its machine, is stopped or gone."""

_Answer = TypeVar("_Answer")

# For libpq: a connection whose other end is silent is noticed by the kernel, too. Times in seconds, the last in ms.
WIRE = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8_000,
}


def open_session(target: Target, application: str, *, is_read_only: bool = False) -> psycopg.Connection[Any]:
    """Connect, and set the limits of the session. Raises PackageMissing, and errors of psycopg."""
    session = session_class()
    given = {"client_encoding": "UTF8", **target.options, **WIRE, "application_name": application}
    try:
        connection: psycopg.Connection[Any] = session.connect(**given, autocommit=True)
    except Exception as error:
        if type(error).__name__ == "ProgrammingError":  # an option that libpq does not know
            raise HistoryUnusable(target.in_quotes, target.masked(reason_of(error))) from error
        raise
    try:
        settings = {
            "search_path": SCHEMA,
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "lock_timeout": f"{STATEMENT_SECONDS}s",
            "idle_in_transaction_session_timeout": "60s",
            "default_transaction_read_only": "on" if is_read_only else "off",
            "default_transaction_isolation": "repeatable read" if is_read_only else "read committed",
            "synchronous_commit": "on",
            # The server frees the lock of a machine that has vanished after about a minute.
            "tcp_keepalives_idle": "30",
            "tcp_keepalives_interval": "10",
            "tcp_keepalives_count": "3",
        }
        calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
        values = [value for setting in settings.items() for value in setting]
        connection.execute(f"SELECT {calls}", values).fetchall()
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection


@cache
def session_class() -> Any:
    """Return our class of connections, which cannot be made before psycopg is imported. Raises PackageMissing."""
    try:
        import psycopg
        from psycopg.waiting import wait_selector
    except ImportError as error:
        # It also says so if there is no libpq: psycopg-binary brings one.
        missing = isinstance(error, ModuleNotFoundError) and error.name == "psycopg"
        raise PackageMissing("psycopg", "postgres", "" if missing else str(error).splitlines()[0]) from error

    class Session(psycopg.Connection[Any]):
        """A connection that is given up if there is no answer for a while."""

        def wait(
            self, gen: Generator[Any, Any, _Answer], interval: float = 0.1, timeout: float | None = None
        ) -> _Answer:
            # Not psycopg's own choice: written in C, before 3.3 it resumes the generator only when there is an answer.
            options = {} if timeout is None else {"timeout": timeout}  # new in 3.3, and used by that alone
            return wait_selector(self._bounded(gen), self.pgconn.socket, interval or 0.1, **options)

        def _bounded(self, gen: Generator[Any, Any, _Answer]) -> Generator[Any, Any, _Answer]:
            # Resumed after each interval of 0.1 s, with an answer or without.
            deadline = mono() + ANSWER_SECONDS
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    if mono() > deadline and not ready:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(f"the server has not answered for {duration(ANSWER_SECONDS)}")
                    wanted = gen.send(ready)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    return Session
