"""A PostgreSQL server that is stopped, killed, paused or missing, cut connections, and two programs of one name."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from tests.history_e2e.conftest import JOBS, STOP_SECONDS, Keep, Keeper
from tests.support.postgres_server import PostgresServer
from tests.support.stored_history import StoredHistory, broken_rules

pytestmark = pytest.mark.long


@pytest.fixture
def stored(postgres: PostgresServer) -> StoredHistory:
    """A database of its own on the server."""
    return StoredHistory(postgres.make_database())


@pytest.fixture
def keeper(keep: Keep, stored: StoredHistory) -> Keeper:
    """A program that writes its history there."""
    keeper = keep(JOBS, stored)
    keeper.until_state("on")
    keeper.until_row("runs", job="waiting")
    return keeper


def check_degraded(keeper: Keeper) -> None:
    """Check that it says why, and that jobs run and are asked."""
    shown = keeper.until_state("degraded")
    assert shown["reason"], shown
    count = len(keeper.program.events("ended"))
    keeper.until("runs that end", lambda: len(keeper.program.events("ended")) > count + 3)
    reply = keeper.ask("/v1/jobs/asked/start", text="while in trouble")
    assert reply["recorded"] is False


def check_healed(keeper: Keeper) -> None:
    """Check that all arrives, what happened in the bad time included, and that the end is stored."""
    keeper.until_state("on")
    last = keeper.program.events()[-1]["seq"]
    start = keeper.start_row()["start"]
    keeper.until_row("events", lambda row: row["seq"] >= last, start=start)
    assert keeper.history()["dropped"] == 0
    keeper.until_row("actions", lambda row: "while in trouble" in row["reason"])
    check_end(keeper)
    assert [row["how"] for row in keeper.stored.rows("starts")] == ["ended"]
    assert broken_rules(keeper.stored) == []


def check_end(keeper: Keeper) -> None:
    """Stop it, in time."""
    code, seconds = keeper.stop()
    assert code in (0, 1), keeper.program.stderr
    assert seconds < STOP_SECONDS, keeper.program.stderr
    assert "internal error" not in keeper.program.stderr


TROUBLES: dict[str, tuple[Callable[[PostgresServer], None], Callable[[PostgresServer], None]]] = {
    "stopped": (PostgresServer.stop, PostgresServer.start),
    "killed": (PostgresServer.kill, PostgresServer.start),
    "paused": (PostgresServer.pause, PostgresServer.resume),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_it_heals_when_the_server_answers_again(keeper: Keeper, postgres: PostgresServer, trouble: str) -> None:
    begin, end = TROUBLES[trouble]

    begin(postgres)
    check_degraded(keeper)
    end(postgres)

    check_healed(keeper)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_stop_without_the_server_ends_in_time(keeper: Keeper, postgres: PostgresServer, trouble: str) -> None:
    TROUBLES[trouble][0](postgres)
    keeper.until_state("degraded")

    check_end(keeper)


def test_a_stop_right_after_the_server_was_paused_ends_in_time(keeper: Keeper, postgres: PostgresServer) -> None:
    postgres.pause()

    check_end(keeper)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_program_starts_without_the_server(
    keep: Keep, stored: StoredHistory, postgres: PostgresServer, trouble: str
) -> None:
    begin, end = TROUBLES[trouble]
    begin(postgres)

    keeper = keep(JOBS, stored)
    check_degraded(keeper)
    end(postgres)

    check_healed(keeper)


def test_a_cut_connection_is_made_anew_with_its_lock(keeper: Keeper, postgres: PostgresServer) -> None:
    locks = (
        "select count(*) from pg_locks l join pg_stat_activity a using (pid) where locktype = 'advisory' and granted"
    )
    ours = "application_name like 'taskloom%'"
    before = postgres.query(f"select pid from pg_stat_activity where {ours}")  # noqa: S608 - the test's own words

    postgres.query(f"select pg_terminate_backend(pid) from pg_stat_activity where {ours}")  # noqa: S608

    keeper.until(
        "another connection",
        lambda: (
            (now := postgres.query(f"select pid from pg_stat_activity where {ours}"))  # noqa: S608
            and now != before
            and postgres.query(f"{locks} and {ours}") == [(1,)]
        ),
    )
    keeper.ask("/v1/jobs/asked/start", text="while in trouble")
    check_healed(keeper)


# -- two programs of one name


def test_a_second_program_of_the_name_waits_for_the_first_and_marks_nothing(
    keep: Keep, keeper: Keeper, stored: StoredHistory
) -> None:
    """It cannot even start on the same machine, so its control socket is off, as if it ran elsewhere."""
    second = keep(JOBS, stored, "--no-control")
    second.program.wait_for(str(keeper.pid))
    count = len(second.program.events("ended"))
    second.until("runs that end", lambda: len(second.program.events("ended")) > count + 3)
    assert [row["pid"] for row in stored.rows("starts")] == [keeper.pid]
    assert stored.rows("runs", outcome="lost") == []

    check_end(keeper)

    second.until_row("starts", pid=second.pid)
    check_end(second)
    assert [row["how"] for row in stored.rows("starts")] == ["ended", "ended"]
    assert stored.rows("runs", outcome="lost") == []
    assert broken_rules(stored) == []


def test_a_second_program_goes_on_after_the_first_was_killed(keep: Keep, keeper: Keeper, stored: StoredHistory) -> None:
    second = keep(JOBS, stored, "--no-control")
    second.program.wait_for(str(keeper.pid))

    keeper.kill()

    second.until_row("starts", pid=second.pid)
    lost = stored.rows("runs", outcome="lost")
    assert {row["job"] for row in lost} >= {"waiting", "ticking"}
    check_end(second)
    assert [row["how"] for row in stored.rows("starts")] == ["lost", "ended"]
    assert broken_rules(stored) == []


def test_programs_of_different_names_share_a_database(keep: Keep, keeper: Keeper, stored: StoredHistory) -> None:
    second = keep(JOBS, stored, "--no-control", "--name", "another")

    second.until_row("starts", pid=second.pid)
    keeper.kill()
    third = keep(JOBS, stored)
    third.until_row("starts", pid=third.pid)

    assert [row["name"] for row in stored.rows("runs", outcome="lost")] == ["kept"] * len(
        stored.rows("runs", outcome="lost")
    )
    check_end(second)
    check_end(third)
    assert broken_rules(stored) == []
    assert second.program.process.returncode != -signal.SIGKILL
