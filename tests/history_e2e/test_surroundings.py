"""A history in odd surroundings: closed descriptors, tasks that fork or close everything, reloads, a second program."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.history_e2e.conftest import Keep, Keeper
from tests.support.stored_history import StoredHistory, broken_rules

pytestmark = pytest.mark.long

JOBS = """
jobs:
  waiting: {task: waiter}
  often: {task: brief, schedule: {every: 100ms}}
  brief: {task: brief, start: manual}
"""


@pytest.fixture
def file(tmp_path: Path) -> StoredHistory:
    """A database that is not there yet."""
    return StoredHistory(str(tmp_path / "runs.sqlite"))


def check_written(keeper: Keeper, jobs: tuple[str, ...] = ("waiting", "often")) -> None:
    """Check that it is recorded to the end."""
    for job in jobs:
        keeper.until_row("runs", job=job)
    reply = keeper.ask("/v1/jobs/brief/start", text="asked")
    assert reply["recorded"] is True
    code, _ = keeper.stop()
    assert code in (0, 1), keeper.program.stderr
    assert [row["how"] for row in keeper.stored.rows("starts")] == ["ended"]
    assert keeper.stored.rows("starts")[0]["exit_code"] == code
    assert broken_rules(keeper.stored) == []


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "0<&- 1>&-", "0</dev/full 1>/dev/full"])
def test_closed_standard_streams_do_no_harm(keep: Keep, file: StoredHistory, closed: str) -> None:
    """The database must not get one of these numbers, to which others would write."""
    keeper = keep(JOBS, file, prefix=["sh", "-c", f'exec "$@" {closed}', "sh"])
    keeper.until_row("runs", job="often")

    opened = {number for number, name in open_files(keeper.pid).items() if "runs.sqlite" in name}

    assert opened
    assert min(opened) > 2
    check_written(keeper)


def open_files(pid: int) -> dict[int, str]:
    """Return what the descriptors of a program refer to."""
    folder = Path(f"/proc/{pid}/fd")
    return {int(each.name): os.readlink(each) for each in folder.iterdir()}  # noqa: PTH115


@pytest.mark.parametrize("how", ["exit", "sys.exit", "return"])
@pytest.mark.filterwarnings("ignore")
def test_a_task_that_forks_leaves_the_database_and_its_lock_alone(
    keep: Keep, file: StoredHistory, tmp_path: Path, how: str
) -> None:
    done = tmp_path / "done"
    jobs = JOBS + f"  forks: {{task: forking, params: {{how: {how}, done: {done}}}}}\n"
    keeper = keep(jobs.replace(str(tmp_path), "."), file)
    keeper.until("the end of the child", done.exists)
    keeper.until_row("runs", job="forks")
    count = len(file.rows("events"))
    keeper.until("more rows", lambda: len(file.rows("events")) > count + 5)

    # Still locked: another program of this name gets no access.
    second = keep(JOBS, file, "--no-control")
    second.program.wait_for(str(keeper.pid))
    assert [row["pid"] for row in file.rows("starts")] == [keeper.pid]
    second.kill()

    check_written(keeper, ("waiting", "often", "forks"))


def test_a_child_that_lives_on_does_not_hold_the_lock(keep: Keep, file: StoredHistory, tmp_path: Path) -> None:
    jobs = JOBS + "  outside: {task: command, params: {argv: [sleep, '1000']}}\n"
    keeper = keep(jobs, file)
    keeper.until_row("runs", job="outside")
    keeper.program.process.kill()
    keeper.program.process.wait(60)

    again = keep(JOBS, file)

    again.until_row("starts", pid=again.pid)
    again.until_row("starts", how="lost")
    assert again.stop()[0] in (0, 1)
    assert broken_rules(file) == []


def test_a_task_that_closes_all_descriptors_does_not_stop_the_jobs(keep: Keep, file: StoredHistory) -> None:
    keeper = keep(JOBS + "  closes: {task: closer, start: {delay: 1s}}\n", file)
    keeper.until_row("runs", job="often")
    keeper.until("its descriptors are closed", lambda: not [n for n in open_files(keeper.pid).values() if "runs" in n])

    keeper.program.send(signal.SIGTERM)

    assert keeper.program.process.wait(60) in (0, 1, 3)
    assert file.problems() == []
    keeper.program.events_path.unlink()  # its descriptor was closed, too: it ends in the middle


def test_a_reload_goes_on_in_the_same_start(keep: Keep, file: StoredHistory) -> None:
    keeper = keep(JOBS, file)
    keeper.until_row("runs", job="often")

    keeper.program.reload(JOBS.replace("100ms", "150ms") + "  added: {task: waiter}\n")
    keeper.until_row("runs", job="added")
    keeper.until_row("actions", action="reload")
    keeper.program.reload(JOBS)
    keeper.until_row("runs", job="added", outcome="cancelled")

    assert len(file.rows("starts")) == 1
    check_written(keeper)


def test_a_broken_reload_is_recorded_and_changes_nothing(keep: Keep, file: StoredHistory) -> None:
    keeper = keep(JOBS, file)
    keeper.until_row("runs", job="often")

    keeper.program.reload("jobs: {x: {task: no-such-task}}")
    keeper.until_row("actions", action="reload")
    keeper.program.reload(JOBS)

    check_written(keeper)


def test_a_second_program_on_the_same_file_names_the_first(keep: Keep, file: StoredHistory) -> None:
    keeper = keep(JOBS, file)
    keeper.until_row("runs", job="often")

    second = keep(JOBS, file, "--no-control")
    second.program.wait_for(str(keeper.pid))
    second.program.wait_for_event("ended", "often", 3)
    assert file.rows("runs", outcome="lost") == []
    check_written(keeper)

    second.until_row("starts", pid=second.pid)
    assert second.stop()[0] in (0, 1)
    assert [row["how"] for row in file.rows("starts")] == ["ended", "ended"]
    assert broken_rules(file) == []


def test_a_second_program_takes_over_from_a_killed_one_without_a_restart(keep: Keep, file: StoredHistory) -> None:
    keeper = keep(JOBS, file)
    keeper.until_row("runs", job="often")
    second = keep(JOBS, file, "--no-control")
    second.program.wait_for(str(keeper.pid))

    keeper.kill()

    second.until_row("starts", pid=second.pid)
    lost = file.rows("runs", outcome="lost")
    assert "waiting" in {row["job"] for row in lost}
    assert second.stop()[0] in (0, 1)
    assert broken_rules(file) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_by_a_signal_is_recorded_with_its_reason(keep: Keep, file: StoredHistory, number: int) -> None:
    keeper = keep(JOBS, file)
    keeper.until_row("runs", job="often")

    code, _ = keeper.stop(number)

    [start] = file.rows("starts")
    assert (start["how"], start["exit_code"]) == ("ended", code)
    assert start["report"]["jobs" if "jobs" in start["report"] else "runs"]
    assert file.rows("actions")[-1]["caller"]["signal"] == signal.Signals(number).name


def test_a_kill_tells_when_each_run_last_polled(keep: Keep, file: StoredHistory) -> None:
    """The heartbeat comes every 5 s while a run is alive."""
    keeper = keep(JOBS + "  ticking: {task: ticker}\n  deaf: {task: deaf_one}\n", file)
    start = keeper.start_row()
    keeper.until_row("runs", lambda row: row["last_polled"], job="ticking")
    first = file.rows("starts")[0]["alive_at"]
    keeper.until("two heartbeats", lambda: file.rows("starts")[0]["alive_at"] > first + 1)
    keeper.kill()
    before = {row["job"]: row for row in file.rows("runs") if row["outcome"] is None}
    [killed] = file.rows("starts")

    again = keep(JOBS, file)
    again.until_row("starts", how="lost")
    lost = {row["job"]: row for row in file.rows("runs", outcome="lost")}

    assert lost.keys() == before.keys() >= {"ticking", "deaf", "waiting"}
    for job, row in lost.items():
        assert row["last_polled"] == before[job]["last_polled"]
        assert row["ended_at"] == killed["alive_at"]
        assert "kill" in row["reason_text"]
    assert start["since"] < lost["ticking"]["last_polled"] <= killed["alive_at"] + 1
    assert lost["deaf"]["last_polled"] is None or lost["deaf"]["last_polled"] < lost["ticking"]["last_polled"]
    again.program.wait_for("lost")
    assert again.stop()[0] in (0, 1)
    third = keep(JOBS, file)
    third.until_row("starts", pid=third.pid)
    third.until_row("runs", start=third.start_row()["start"], job="often")
    assert "lost" not in third.program.stderr
    assert third.stop()[0] in (0, 1)
