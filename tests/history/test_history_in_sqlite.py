"""What holds for files of SQLite alone."""

# The path of a history is text, as users write it.
# ruff: noqa: PTH101, PTH102, PTH103, PTH108, PTH119, PTH202, PTH208, PTH211
from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.support.history_databases import NAME, opened, rows_of, write

from taskloom.history import sqlite_file
from taskloom.history.database import connect, read_only
from taskloom.history.errors import HistoryAbsent, HistoryCorrupt, HistoryFailed, HistoryHeld, HistoryUnusable
from taskloom.history.location import Target, default_target, parse_target
from taskloom.history.tables import runs

RUN = {"start": "s1", "run": "tick#1", "job": "tick"}
FOREIGN_UID = 54_321
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="LOUD: only root can give a file to another user")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return parse_target(f"{tmp_path}/history.sqlite")


@pytest.fixture
def state(tmp_path: Path) -> Target:
    """A place in a folder of state, which does not exist."""
    return default_target(NAME, f"{tmp_path}/.local/state/taskloom")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: str | os.PathLike[str]) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_all_files_are_for_their_owner_alone_from_the_first_moment(state: Target, mask: int) -> None:
    os.makedirs(Path(state.path).parents[2])

    with umask(mask), opened(state) as database:
        write(database, runs, RUN)
        files = sorted(os.listdir(Path(state.path).parent))
        assert files == [f"{NAME}.sqlite{suffix}" for suffix in ("", "-shm", "-wal", ".lock")]
        assert {mode_of(Path(state.path).parent / file) for file in files} == {0o600}
    assert mode_of(Path(state.path).parent) == mode_of(Path(state.path).parents[1]) == 0o700


def test_a_file_in_the_folder_of_state_is_made_private_and_one_elsewhere_is_left(state: Target) -> None:
    for target, mode in ((state, 0o600), (replace(state, is_in_state_folder=False), 0o640)):
        with opened(target):
            pass
        os.chmod(target.path, 0o640)

        with opened(target) as database:
            write(database, runs, RUN)
            assert mode_of(target.path) == mode
            assert mode_of(f"{target.path}-wal") == mode
        os.chmod(target.path, 0o600)


def test_the_settings_that_survive_a_power_loss_are_in_force(target: Target) -> None:
    with opened(target) as database, database.outside() as driver:
        found = {
            name: driver.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "auto_vacuum", "busy_timeout", "temp_store", "trusted_schema")
        }

    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "auto_vacuum": 2,  # INCREMENTAL
        "busy_timeout": 1000,
        "temp_store": 2,  # MEMORY
        "trusted_schema": 0,
    }


def test_a_setting_that_sqlite_refuses_is_noticed(monkeypatch: pytest.MonkeyPatch, target: Target) -> None:
    # A database in memory has no write-ahead log; SQLite says so in the row of the PRAGMA alone.
    monkeypatch.setattr(sqlite_file, "_open", lambda *_: sqlite3.connect(":memory:", isolation_level=None))

    with pytest.raises(HistoryFailed, match=r"SQLite cannot set .* here, it stays"):
        connect(target, NAME)


def test_a_deleted_file_and_a_replaced_one_are_noticed(target: Target) -> None:
    with opened(target) as database:
        assert not database.is_lost()
        os.unlink(target.path)
        assert database.is_lost()
        shutil.copy("/dev/null", target.path)
        assert database.is_lost()

    os.unlink(target.path)
    with opened(target) as database:
        write(database, runs, RUN)
        assert not database.is_lost()
        os.unlink(f"{target.path}.lock")  # another program could make and lock it again
        assert database.is_lost()


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_log_that_was_deleted_is_noticed_and_its_rows_are_kept(
    target: Target, suffix: str, is_replaced: bool
) -> None:
    with opened(target) as database:
        write(database, runs, RUN)
        assert not database.is_lost()
        os.unlink(target.path + suffix)
        if is_replaced:
            shutil.copy("/dev/null", target.path + suffix)
        write(database, runs, RUN | {"run": "tick#2"})
        assert database.is_lost()

    with opened(target) as database:
        assert not database.is_lost()
    with read_only(target) as connection:
        assert connection.execute(select(runs.c.run).order_by(runs.c.run)).scalars().all() == [RUN["run"], "tick#2"]


def test_one_lock_for_all_names_in_one_file_and_for_all_paths_to_it(target: Target, tmp_path: Path) -> None:
    os.symlink(tmp_path, tmp_path / "other")
    elsewhere = parse_target(f"{tmp_path}/other/history.sqlite")
    with opened(target, "a") as database:
        for place in (target, elsewhere):
            with pytest.raises(HistoryHeld, match=f"of b: pid {os.getpid()} holds it"):
                connect(place, "b")
        assert not database.is_lost()

    with opened(elsewhere, "b"):
        pass


def test_a_locked_database_is_an_error_in_words_after_a_second(target: Target) -> None:
    with opened(target) as database:
        with database.outside() as driver:
            driver.execute("PRAGMA busy_timeout = 1").fetchall()
        other = sqlite3.connect(target.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(HistoryFailed, match="at the moment: another program keeps it locked"), database.begin():
            pass

        other.close()
        write(database, runs, RUN)


def test_a_full_disk_is_an_error_in_words_and_heals(target: Target) -> None:
    with opened(target) as database:
        with database.outside() as driver:
            [(pages,)] = driver.execute("PRAGMA page_count").fetchall()
            driver.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        with pytest.raises(HistoryFailed, match="at the moment: the disk is full"):
            write(database, runs, RUN | {"error_traceback": "x" * 100_000})
        assert database.is_usable

        with database.outside() as driver:
            driver.execute(f"PRAGMA max_page_count = {pages + 1000}").fetchall()
        write(database, runs, RUN | {"error_traceback": "x" * 100_000})
        assert len(rows_of(database, runs)) == 1


def test_abort_ends_a_statement_of_another_thread(target: Target) -> None:
    with opened(target) as database:
        with database.outside() as driver:
            driver.create_function("told", 0, database.abort)  # called while the statement is executed
        with (
            pytest.raises(HistoryFailed, match="it took too long, and was interrupted"),
            database.begin() as connection,
        ):
            numbers = "WITH RECURSIVE n(i) AS (SELECT told() UNION ALL SELECT 1 FROM n LIMIT 1000000)"
            connection.exec_driver_sql(f"{numbers} SELECT count(*) FROM n")  # noqa: S608
        write(database, runs, RUN)


DAMAGES = {"noise": b"\x07" * 20_000, "text": b"jobs:\n  tick:\n    task: countdown\n"}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_in_the_folder_of_state_is_moved_aside(state: Target, damage: str) -> None:
    with opened(state):
        pass
    Path(state.path).write_bytes(DAMAGES[damage])

    with opened(state) as database:
        write(database, runs, RUN)
        moved = database.moved
    with opened(state) as database:
        assert (len(rows_of(database, runs)), database.moved) == (1, "")

    assert moved.startswith(f"{state.path}.corrupt-")
    assert Path(moved).read_bytes() == DAMAGES[damage]


def test_a_file_that_was_a_history_before_is_moved_aside_wherever_it_is(target: Target) -> None:
    for _ in range(2):  # twice within a second
        with opened(target):
            pass
        Path(target.path).write_bytes(DAMAGES["noise"])

        with opened(target) as database:
            assert database.moved


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_was_never_a_history_is_left_as_it_is(target: Target, damage: str) -> None:
    Path(target.path).write_bytes(DAMAGES[damage])

    for _ in range(2):
        with pytest.raises(HistoryUnusable) as caught:
            connect(target, NAME)

    assert str(caught.value) == f"cannot open the history {target.path!r}: the file is not a database"
    assert Path(target.path).read_bytes() == DAMAGES[damage]
    assert os.listdir(Path(target.path).parent) == ["history.sqlite"]
    with pytest.raises(HistoryCorrupt), read_only(target):
        pass


def test_damage_that_is_found_later_is_an_error_of_its_own_and_the_file_can_be_moved(target: Target) -> None:
    with opened(target) as database:
        write(database, runs, *(RUN | {"run": f"tick#{number}", "error_traceback": "x" * 900} for number in range(200)))
    with Path(target.path).open("r+b") as file:
        file.seek(100 * 1024)
        file.write(b"\xff" * 100 * 1024)

    with opened(target) as database:
        with pytest.raises(HistoryCorrupt) as caught:
            rows_of(database, runs)
        assert str(caught.value) == f"cannot use the history {target.path!r}: the file is damaged"
        moved = database.move_aside()
        with opened(target) as again:
            assert rows_of(again, runs) == []
    assert sorted(os.listdir(Path(target.path).parent)) == sorted(
        [os.path.basename(moved), "history.sqlite", "history.sqlite.lock"]
    )


def test_a_database_of_another_program_is_left_as_it_is(target: Target) -> None:
    with sqlite3.connect(target.path) as foreign:
        foreign.execute("CREATE TABLE alembic_version (version_num TEXT)")
        foreign.execute("INSERT INTO alembic_version VALUES ('abc')")
    foreign.close()
    before = Path(target.path).read_bytes()

    with pytest.raises(HistoryUnusable, match="it is a database of another program"):
        connect(target, NAME)

    assert Path(target.path).read_bytes() == before
    assert os.listdir(Path(target.path).parent) == ["history.sqlite"]


def test_a_history_that_was_restored_from_a_dump_is_accepted(target: Target, tmp_path: Path) -> None:
    with opened(target) as database:
        write(database, runs, RUN)
    with sqlite3.connect(target.path) as old, sqlite3.connect(tmp_path / "new") as new:
        new.executescript("".join(old.iterdump()))
    old.close()
    new.close()

    with opened(parse_target(f"{tmp_path}/new")) as database:
        assert len(rows_of(database, runs)) == 1


def a_folder(path: str) -> None:
    os.mkdir(path)


def a_link(path: str) -> None:
    os.symlink("/dev/null", path)


def a_pipe(path: str) -> None:
    os.mkfifo(path)


def of_another_user(path: str) -> None:
    Path(path).touch()
    os.chown(path, FOREIGN_UID, FOREIGN_UID)


OBSTACLES = [
    (a_folder, "it is a folder; expected a file"),
    (a_link, "it is a symbolic link; expected the path that it leads to"),
    (a_pipe, "it is not a regular file"),
    pytest.param(of_another_user, f"it belongs to uid {FOREIGN_UID}", marks=is_root),
]


@pytest.mark.parametrize(("make", "reason"), OBSTACLES)
def test_a_file_that_must_not_be_used_is_refused(target: Target, make: Callable[[str], None], reason: str) -> None:
    make(target.path)
    with pytest.raises(HistoryUnusable) as caught:
        connect(target, NAME)
    assert str(caught.value) == f"cannot open the history {target.path!r}: {reason}"


@pytest.mark.parametrize("make", [a_link, pytest.param(of_another_user, marks=is_root)])
@pytest.mark.parametrize("suffix", ["-wal", "-shm", ".lock"])
def test_a_planted_file_beside_it_is_refused(target: Target, make: Callable[[str], None], suffix: str) -> None:
    make(target.path + suffix)

    with pytest.raises((HistoryUnusable, HistoryFailed), match=r"symbolic link|belongs to|of this user"):
        connect(target, NAME)


def test_a_folder_that_others_may_write_to_is_refused(state: Target) -> None:
    folder = Path(state.path).parent
    folder.mkdir(parents=True)
    folder.chmod(0o770)
    with pytest.raises(HistoryUnusable, match=r"others may write to folder '.*' \(mode 0770\)"):
        connect(state, NAME)

    elsewhere = replace(state, is_in_state_folder=False)
    with opened(elsewhere):  # a group of users may share a folder that one of them has named
        pass
    folder.chmod(0o777)
    with pytest.raises(HistoryUnusable, match=r"others may write to folder '.*' \(mode 0777\)"):
        connect(elsewhere, NAME)
    folder.chmod(0o1777)
    with opened(elsewhere):  # as /tmp is
        pass


@is_root
def test_a_folder_of_another_user_is_not_a_folder_of_state(state: Target) -> None:
    folder = Path(state.path).parent
    folder.mkdir(parents=True)
    os.chown(folder, FOREIGN_UID, FOREIGN_UID)
    with pytest.raises(HistoryUnusable, match=f"belongs to uid {FOREIGN_UID}"):
        connect(state, NAME)

    link = folder.with_name("link")
    link.symlink_to(folder.parent)
    os.lchown(link, FOREIGN_UID, FOREIGN_UID)
    with pytest.raises(HistoryUnusable, match=f"is a symbolic link of uid {FOREIGN_UID}"):
        connect(default_target(NAME, str(link)), NAME)


def test_a_folder_that_is_missing_or_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place, reason in (
        ("missing/x", f"folder '{tmp_path}/missing' does not exist"),
        ("file/x", f"'{tmp_path}/file' is not a folder"),
        ("file/y/x", "a part of its path is not a folder"),
        ("n" * 300, "its name is too long"),
    ):
        with pytest.raises((HistoryUnusable, HistoryFailed), match=r"^cannot ") as caught:
            connect(parse_target(f"{tmp_path}/{place}"), NAME)
        assert str(caught.value).endswith(f": {reason}")


def test_a_path_that_is_not_text_can_be_used(tmp_path: Path) -> None:
    target = parse_target(f"{tmp_path}/\udcff%00 ?mode=memory&#é.sqlite")

    with opened(target) as database:
        write(database, runs, RUN)

    assert os.fsencode(target.path).endswith(b"/\xff%00 ?mode=memory&#\xc3\xa9.sqlite")
    assert os.path.getsize(target.path) > 0
    target.in_quotes.encode()


@contextmanager
def read_only_folder(target: Target) -> Iterator[None]:
    """The folder cannot be written to, not even by root."""
    folder = Path(target.path).parent
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(FOREIGN_UID)
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        folder.chmod(0o755)


@pytest.mark.parametrize("is_killed", [False, True], ids=["closed", "killed"])
def test_a_history_can_be_read_in_a_folder_that_cannot_be_written_to(is_killed: bool) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        place = parse_target(f"{folder}/history.sqlite")
        with opened(place) as database:
            write(database, runs, RUN)
            if is_killed:
                for suffix in ("", "-wal"):
                    shutil.copy(place.path + suffix, f"{folder}/killed{suffix}")
        copy = parse_target(f"{folder}/killed") if is_killed else place
        for name in os.listdir(folder):
            os.chmod(f"{folder}/{name}", 0o644)
        before = sorted(os.listdir(folder))

        with read_only_folder(copy), read_only(copy) as connection:
            assert connection.execute(select(runs.c.run)).scalars().all() == ["tick#1"]

        assert sorted(os.listdir(folder)) == before


def test_a_reader_after_a_kill_sees_what_was_committed(target: Target, tmp_path: Path) -> None:
    with opened(target) as database:
        write(database, runs, RUN)
        for suffix in ("", "-wal"):
            shutil.copy(target.path + suffix, tmp_path / f"killed{suffix}")

    with read_only(parse_target(f"{tmp_path}/killed")) as connection:
        assert connection.execute(select(runs.c.run)).scalars().all() == ["tick#1"]


def test_an_empty_file_has_nothing_to_read_and_a_folder_is_not_a_file(target: Target, tmp_path: Path) -> None:
    Path(target.path).touch()
    with pytest.raises(HistoryAbsent), read_only(target):
        pass
    with (
        pytest.raises(HistoryFailed, match="it is not a regular file"),
        read_only(Target("sqlite", path=str(tmp_path))),
    ):
        pass


def test_a_damaged_text_does_not_hide_the_others(target: Target) -> None:
    with opened(target) as database:
        write(database, runs, RUN)
        with database.outside() as driver:
            driver.execute("UPDATE runs SET outcome = CAST(x'66ff' AS TEXT)").fetchall()
        assert rows_of(database, runs)[0]["outcome"] == "f\\xff"
