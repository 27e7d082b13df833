"""What holds for SQLite and PostgreSQL alike."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sqlalchemy import func, select, text
from tests.support.history_databases import NAME, opened, rows_of, write

from taskloom.history import postgresql_session
from taskloom.history.database import Database, connect, read_only
from taskloom.history.errors import HistoryAbsent, HistoryFailed, HistoryHeld, HistoryTooNew, PackageMissing
from taskloom.history.location import Target, parse_target
from taskloom.history.stored import load_jobs
from taskloom.history.tables import HEAD, events, jobs, log_tails, metadata, runs, starts, upsert, versions

RUN = {"start": "s1", "run": "tick#1", "job": "tick"}


def test_what_was_committed_is_read_after_closing(target: Target) -> None:
    with opened(target) as database:
        write(database, runs, RUN | {"queued_at": 1.5, "counters": {"rows": 3}})

    with opened(target) as database:
        assert rows_of(database, runs) == [
            {"name": NAME, **RUN, "queued_at": 1.5, "counters": {"rows": 3}, "is_unrecorded": False, "folded": 1}
        ]


def test_a_second_row_with_the_same_key_changes_the_given_columns_alone(database: Database) -> None:
    write(database, runs, RUN | {"queued_at": 1.5, "reason_text": "by hand"})
    write(database, runs, RUN | {"ended_at": 2.5, "outcome": "succeeded"})

    [row] = rows_of(database, runs)
    assert (row["queued_at"], row["reason_text"], row["ended_at"], row["outcome"]) == (1.5, "by hand", 2.5, "succeeded")


def test_the_same_row_may_be_twice_in_one_upsert(database: Database) -> None:
    write(database, runs, RUN | {"outcome": "failed"}, RUN | {"outcome": "succeeded"})

    assert [row["outcome"] for row in rows_of(database, runs)] == ["succeeded"]


def test_a_row_of_keys_alone_is_kept_as_it_is(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(versions.delete())
        upsert(connection, versions, [{"version_num": HEAD}])
        upsert(connection, versions, [{"version_num": HEAD}])
        upsert(connection, versions, [])
        assert connection.execute(select(func.count()).select_from(versions)).scalar() == 1


STRANGE = ["\0", "a\0b", "\ud800", "\U0001f600 é", "'\"\\%s :name $1", "x" * 70_000]


@pytest.mark.parametrize("strange", STRANGE, ids=[ascii(text[:20]) for text in STRANGE])
def test_any_text_can_be_stored(database: Database, strange: str) -> None:
    write(database, log_tails, {"start": "s1", "run": "tick#1", "at": 1.0, "text": strange})
    data = {"message": strange, strange: [1e300, 2**70, None, True, float("nan")]}
    write(database, events, {"start": "s1", "seq": 1, "at": 1.0, "event": "ended", "data": data})

    [tail], [event] = rows_of(database, log_tails), rows_of(database, events)
    assert tail["text"] == strange.replace("\0", "?").replace("\ud800", "?")
    assert event["data"] == {"message": strange, strange: [1e300, 2**70, None, True, None]}


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(KeyboardInterrupt), database.begin() as connection:
        upsert(connection, runs, [{"name": NAME, **RUN}])
        raise KeyboardInterrupt

    assert rows_of(database, runs) == []
    write(database, runs, RUN)
    assert len(rows_of(database, runs)) == 1


def test_a_refused_row_is_an_error_in_words_and_the_next_transaction_works(database: Database) -> None:
    with pytest.raises(HistoryFailed, match=r"cannot use the history .* at the moment: .*constraint"):
        write(database, runs, {"start": "s1", "run": "tick#1"})

    assert database.is_usable
    write(database, runs, RUN)


def test_an_error_of_the_caller_passes_unchanged(database: Database) -> None:
    error = FileNotFoundError("of the caller")

    with pytest.raises(FileNotFoundError) as caught, database.begin():
        raise error

    assert caught.value is error


def test_one_program_at_a_time_writes_the_history_of_a_name(target: Target) -> None:
    with opened(target), pytest.raises(HistoryHeld) as caught:
        connect(target, NAME)

    assert caught.value.holder.pid == os.getpid()
    assert str(caught.value).startswith(f"cannot write the history of {NAME}: pid {os.getpid()}")
    with opened(target) as database:
        assert not database.is_lost()


HOLDER = """
import sys
from taskloom.history.database import connect
from taskloom.history.location import parse_target
database = connect(parse_target(sys.argv[1]), sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_that_holds_it_is_named_and_a_killed_one_holds_nothing(
    target: Target, child_env: dict[str, str]
) -> None:
    command = [sys.executable, "-c", HOLDER, target.shown, NAME]
    with subprocess.Popen(command, env=child_env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(HistoryHeld) as caught:
            connect(target, NAME)
        child.kill()

    assert caught.value.holder.pid == child.pid
    assert caught.value.holder.where == ""
    with opened(target) as database:
        assert rows_of(database, runs) == []


FORKER = """
import os, sys
from taskloom.history.database import connect
from taskloom.history.location import parse_target
from taskloom.history.tables import starts, upsert
target = parse_target(sys.argv[1])
row = {"name": sys.argv[2], "start": "s1", "since": 1.0, "pid": 1, "alive_at": 1.0, "how": "running"}
database = connect(target, sys.argv[2])
with database.begin() as connection:
    upsert(connection, starts, [row])
child = os.fork()
if not child:
    # As code of a host may: its references end, and it leaves the interpreter in the usual way.
    database.leave_behind()
    database.close()
    del database
    try:
        connect(target, sys.argv[2])
    except Exception as error:
        print(type(error).__name__, error.holder.pid == os.getppid(), flush=True)
    sys.exit()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(database.is_usable, database.is_lost())
with database.begin() as connection:
    upsert(connection, starts, [row | {"start": "s2"}])
database.close()
"""


def test_a_forked_child_leaves_the_connection_and_the_lock_to_its_parent(
    target: Target, child_env: dict[str, str]
) -> None:
    command = [sys.executable, "-W", "error", "-c", FORKER, target.shown, NAME]
    answer = subprocess.run(command, env=child_env, capture_output=True, text=True, timeout=60, check=False)

    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines() == ["HistoryHeld True", "0", "True False"]
    with opened(target) as database:
        assert [row["start"] for row in rows_of(database, starts)] == ["s1", "s2"]


def test_a_closed_history_is_refused_and_closing_is_idempotent(target: Target) -> None:
    database = connect(target, NAME)
    database.close()
    database.close()
    database.abort()

    assert not database.is_usable
    with pytest.raises(HistoryFailed, match="at the moment: the connection is closed"), database.begin():
        pass
    with pytest.raises(HistoryFailed, match="at the moment: the connection is closed"), database.outside():
        pass


def test_a_reader_sees_one_state_while_a_program_writes(database: Database) -> None:
    write(database, runs, RUN)

    with read_only(database.target) as connection:
        first = connection.execute(select(runs.c.run)).scalars().all()
        write(database, runs, RUN | {"run": "tick#2"})
        assert connection.execute(select(runs.c.run)).scalars().all() == first == ["tick#1"]
    with read_only(database.target) as connection:
        assert len(connection.execute(select(runs.c.run)).scalars().all()) == 2


def test_a_json_value_that_is_damaged_is_missing(database: Database) -> None:
    write(database, jobs, {"job": "tick", "fingerprint": "f", "armed_at": 1.0, "updated_at": 1.0})
    for damaged in ("[1, ", "7", "{}"):
        with database.begin() as connection:
            connection.execute(text("UPDATE jobs SET restarts = :damaged"), {"damaged": damaged})
            assert load_jobs(connection, NAME)["tick"].restarts == ()


def test_a_reader_cannot_write(database: Database) -> None:
    with (
        pytest.raises(HistoryFailed, match=r"read-only|cannot be written to"),
        read_only(database.target) as connection,
    ):
        connection.execute(runs.delete())


def test_there_is_nothing_to_read_before_the_first_program(target: Target) -> None:
    with pytest.raises(HistoryAbsent) as caught, read_only(target):
        pass

    assert str(caught.value) == f"cannot read the history {target.shown!r}: there is none yet"


def test_a_history_of_a_newer_version_is_left_as_it_is(target: Target) -> None:
    with opened(target) as database, database.begin() as connection:
        connection.execute(versions.update().values(version_num="0917"))
    text = f"cannot use the history {target.shown!r}: a newer Taskloom has written it (revision 0917, the newest known "

    for attempt in (connect, lambda target, _: read_only(target).__enter__()):
        with pytest.raises(HistoryTooNew) as caught:
            attempt(target, NAME)
        assert str(caught.value) == text + f"here is {HEAD})"


WITHOUT = """
import sys
sys.modules["sqlalchemy"] = None
from taskloom.history.errors import PackageMissing
try:
    import taskloom.history.database
except PackageMissing as error:
    print(error)
"""


def test_a_missing_extra_is_named_with_the_command_that_installs_it(child_env: dict[str, str]) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT], env=child_env, capture_output=True, text=True, timeout=60, check=True
    )

    assert answer.stdout == str(PackageMissing("sqlalchemy", "history")) + "\n"


def test_a_missing_driver_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    postgresql_session.session_class.cache_clear()

    with pytest.raises(PackageMissing) as caught:
        connect(parse_target("postgresql:///x"), NAME)

    assert str(caught.value) == str(PackageMissing("psycopg", "postgres"))


USUAL = """
import sys
from taskloom.history.database import connect
from taskloom.history.location import parse_target
target = parse_target(sys.argv[1])
connect(target, "jobs").close()
connect(target, "jobs").close()
print(*(name for name in sys.modules if name in ("alembic", "psycopg", "sqlalchemy.orm", "mako")))
"""


@pytest.mark.long
def test_neither_alembic_nor_another_driver_is_loaded_for_a_file_that_is_up_to_date(
    child_env: dict[str, str], tmp_path: os.PathLike[str]
) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", USUAL, f"{tmp_path}/x"],
        env=child_env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert answer.stdout == "\n"


def test_all_tables_belong_to_a_name() -> None:
    assert all("name" in table.primary_key.columns for table in metadata.sorted_tables if table is not versions)
