"""What holds for PostgreSQL alone."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.history_databases import NAME, opened, rows_of, write
from tests.support.postgres_server import PostgresServer

from taskloom.history import postgresql_session
from taskloom.history.database import connect, read_only
from taskloom.history.errors import HistoryFailed, HistoryHeld, HistoryUnusable
from taskloom.history.location import Target, parse_target
from taskloom.history.tables import runs

pytestmark = pytest.mark.long

RUN = {"start": "s1", "run": "tick#1", "job": "tick"}
PATIENCE_SECONDS = 30.0


@pytest.fixture
def target(postgres: PostgresServer) -> Target:
    return parse_target(postgres.make_database())


def database_of(target: Target) -> str:
    return target.options["dbname"]


def test_several_programs_share_a_database_and_make_its_tables_once(target: Target) -> None:
    names = [f"jobs-{number}" for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        databases = list(pool.map(lambda name: connect(target, name), names))

    for database in databases:
        write(database, runs, RUN)
        database.close()
    with opened(target) as database:
        assert sorted(row["name"] for row in rows_of(database, runs)) == names


def test_the_tables_of_other_programs_in_the_database_are_left_alone(target: Target, postgres: PostgresServer) -> None:
    name = database_of(target)
    postgres.query("create table alembic_version (version_num text); create table runs (mine int)", name)
    postgres.query("insert into alembic_version values ('theirs')", name)

    with opened(target) as database:
        write(database, runs, RUN)

    assert postgres.query("select version_num from public.alembic_version", name) == [("theirs",)]
    assert postgres.query("select run from taskloom.runs", name) == [("tick#1",)]


def test_a_schema_of_another_program_is_left_alone(target: Target, postgres: PostgresServer) -> None:
    name = database_of(target)
    postgres.query("create schema taskloom; create table taskloom.jobs (mine int)", name)

    with pytest.raises(HistoryUnusable, match="its schema taskloom has tables of another program"):
        connect(target, NAME)

    assert postgres.query("select table_name from information_schema.tables where table_schema = 'taskloom'", name) == [
        ("jobs",)
    ]


def test_a_user_who_may_not_make_a_schema_uses_one_that_was_made_for_him(
    target: Target, postgres: PostgresServer
) -> None:
    name = database_of(target)
    user = f"user_of_{name}"
    postgres.query(f"create user {user}")
    poor = parse_target(target.url.replace("postgres@", f"{user}@"))
    with pytest.raises(HistoryFailed, match="at the moment: permission denied for database"):
        connect(poor, NAME)

    postgres.query(f"create schema taskloom authorization {user}", name)

    for _ in range(2):
        with opened(poor) as database:
            write(database, runs, RUN)


def test_a_holder_is_named_to_another_user_as_well(target: Target, postgres: PostgresServer) -> None:
    user = f"user_of_{database_of(target)}"
    postgres.query(f"create user {user}")
    postgres.query(f"grant create on database {database_of(target)} to {user}")
    poor = parse_target(target.url.replace("postgres@", f"{user}@"))

    with opened(target), pytest.raises(HistoryHeld) as caught:
        connect(poor, NAME)

    assert caught.value.holder.session.startswith("session ")
    assert caught.value.holder.pid == os.getpid()


def test_a_long_name_does_not_hide_the_pid(target: Target) -> None:
    with opened(target, "n" * 64), pytest.raises(HistoryHeld) as caught:
        connect(target, "n" * 64)

    assert caught.value.holder.pid == os.getpid()


def test_a_server_that_was_stopped_is_an_error_in_words_and_is_used_again(
    target: Target, postgres: PostgresServer
) -> None:
    with opened(target) as database:
        write(database, runs, RUN)
        postgres.stop()
        with pytest.raises(HistoryFailed, match="at the moment: "):
            write(database, runs, RUN)
        assert not database.is_usable
        with pytest.raises(HistoryFailed, match="at the moment: the connection is closed"):
            write(database, runs, RUN)  # it never connects again by itself, without the lock
        with pytest.raises(HistoryFailed, match=r"connection to server at .* failed"):
            connect(target, NAME)

        postgres.start()
        with opened(target) as again:
            assert len(rows_of(again, runs)) == 1
            assert not again.is_lost()


def test_a_session_that_was_ended_by_an_administrator_has_lost_its_lock(
    target: Target, postgres: PostgresServer
) -> None:
    with opened(target) as database:
        postgres.query(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'taskloom %'"
        )
        with pytest.raises(HistoryFailed, match="terminating connection due to administrator command"):
            database.is_lost()
        with opened(target) as again:
            assert not again.is_lost()


def test_a_lock_that_was_given_up_on_the_server_is_noticed(target: Target) -> None:
    with opened(target) as database:
        with database.begin() as connection:
            connection.execute(text("SELECT pg_advisory_unlock_all()"))

        assert database.is_lost()


def test_a_silent_server_is_given_up(target: Target, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_session, "ANSWER_SECONDS", 0.5)
    monkeypatch.setitem(postgresql_session.WIRE, "connect_timeout", 2)  # the least that libpq knows
    with opened(target) as database:
        postgres.pause()
        try:
            with pytest.raises(HistoryFailed, match="the server has not answered for 500ms"):
                write(database, runs, RUN)
            assert not database.is_usable
            with pytest.raises(HistoryFailed, match="timeout expired"):
                connect(target, "other")
        finally:
            postgres.resume()


def test_a_write_that_waits_for_the_server_can_be_aborted(target: Target, postgres: PostgresServer) -> None:
    with opened(target) as database, opened(target, "other") as other, ThreadPoolExecutor(1) as pool:
        waits = threading.Event()

        def write_when_locked() -> None:
            with database.begin() as connection:
                waits.set()
                connection.execute(text("LOCK TABLE runs"))

        with other.begin() as connection:
            connection.execute(text("LOCK TABLE runs"))
            future = pool.submit(write_when_locked)
            assert waits.wait(PATIENCE_SECONDS)
            database.abort()
            with pytest.raises(HistoryFailed):
                future.result(PATIENCE_SECONDS)
        assert not database.is_usable


def test_a_reader_and_a_writer_have_their_limits(target: Target) -> None:
    asked = text("SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only')")
    with opened(target) as database, database.begin() as connection:
        assert connection.execute(asked).one() == ("5s", "off")
    with read_only(target) as connection:
        assert connection.execute(asked).one() == ("5s", "on")


def test_a_database_that_cannot_store_every_text_is_refused(postgres: PostgresServer) -> None:
    postgres.query("create database narrow encoding 'LATIN1' template template0")

    with pytest.raises(HistoryUnusable, match="its encoding is LATIN1; expected UTF8"):
        connect(parse_target(postgres.url("narrow")), NAME)


def test_an_option_that_libpq_does_not_know_is_the_users_mistake(target: Target) -> None:
    with pytest.raises(HistoryUnusable, match=r"cannot open the history '.*': .*colour"):
        connect(parse_target(f"{target.url}?colour=red"), NAME)


def test_a_password_is_used_from_a_file_and_never_told(
    target: Target, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "qZ7-canary/%@:"
    user = f"user_of_{database_of(target)}"
    postgres.query(f"create user {user} password '{secret}' superuser")
    rules = postgres.place / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{before}")
    postgres.query("select pg_reload_conf()")
    try:
        place = f"127.0.0.1:{postgres.port}/{database_of(target)}"
        right, wrong = "qZ7-canary%2F%25%40%3A", "qZ7-canary%2Fwrong"
        with opened(parse_target(f"postgresql://{user}:{right}@{place}", is_password_allowed=True)) as database:
            write(database, runs, RUN)
        with pytest.raises(HistoryFailed, match="password authentication failed") as caught:
            connect(parse_target(f"postgresql://{user}:{wrong}@{place}", is_password_allowed=True), NAME)
        assert "canary" not in repr(caught.value)

        passwords = tmp_path / "passwords"
        passwords.write_text(f"*:*:*:{user}:{secret.replace(':', chr(92) + ':')}\n")
        passwords.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(passwords))
        with opened(parse_target(f"postgresql://{user}@{place}")) as database:
            assert len(rows_of(database, runs)) == 1
    finally:
        rules.write_text(before)
        postgres.query("select pg_reload_conf()")
