"""Trouble with the disk under the history: jobs go on, the status says `degraded` and why, and it heals by itself.

Nothing that tells a state is lost before the tails of logs. In each of these states the program stops in time.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.history_e2e.conftest import JOBS, PATIENCE_SECONDS, STOP_SECONDS, Keep, Keeper
from tests.support.injected_faults import injected
from tests.support.stored_history import StoredHistory, broken_rules

from taskloom.clock import mono

pytestmark = pytest.mark.long


Trouble = Callable[[Keeper], AbstractContextManager[None]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state folder of the programs."""
    return tmp_path / "state home"


@pytest.fixture
def kept(keep: Keep, state: Path) -> Callable[..., Keeper]:
    """Start the jobs with a history at its default place in the state folder."""

    def start(home: Path = state, **more: Any) -> Keeper:
        return keep(JOBS, file_in(home), "--history", "on", env={"XDG_STATE_HOME": str(home)}, **more)

    return start


def file_in(state: Path) -> StoredHistory:
    return StoredHistory(str(state / "taskloom" / "kept.sqlite"))


def started(keeper: Keeper) -> Keeper:
    """Wait until the history is written."""
    keeper.until_state("on")
    keeper.until_row("runs", job="waiting")
    return keeper


def check_jobs_go_on(keeper: Keeper) -> None:
    """Check that the frequent job runs, and that actions are answered."""
    count = len(keeper.program.events("ended"))
    keeper.until("runs that end", lambda: len(keeper.program.events("ended")) > count + 3)
    keeper.ask("/v1/jobs/asked/start", text="while in trouble")


def check_healed(keeper: Keeper) -> None:
    """Check that it is written again, and that all its events arrive, also those of the bad time."""
    keeper.until_state("on")
    last = keeper.program.events()[-1]["seq"]
    start = keeper.start_row()["start"]
    keeper.until_row("events", lambda row: row["seq"] >= last, start=start)
    assert keeper.history()["dropped"] == 0
    keeper.until_row("runs", lambda row: row["outcome"] == "succeeded", job="asked")


def check_end(keeper: Keeper, *, is_stored: bool = True) -> None:
    """Stop it, and check the stored history if all of it could be written."""
    code, seconds = keeper.stop()
    assert code in (0, 1), keeper.program.stderr
    assert seconds < STOP_SECONDS, keeper.program.stderr
    assert "internal error" not in keeper.program.stderr
    if is_stored:
        assert keeper.stored.rows("starts")[-1]["how"] == "ended"
        assert broken_rules(keeper.stored) == []


# -- the troubles: each is a context, in which it lasts


@contextmanager
def disk_full(keeper: Keeper) -> Iterator[None]:
    """Fill the small disk to its last byte."""
    filler = Path(keeper.stored.place).parent / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    yield
    filler.unlink()


def faulty(*faults: str) -> Callable[[Keeper, str], AbstractContextManager[Path]]:
    """Return the trouble in which these calls fail."""

    def inject(keeper: Keeper, strace: str) -> AbstractContextManager[Path]:
        file = Path(keeper.stored.place)
        log = file.parent.parent / f"strace-{random.randrange(10**9)}.log"
        return injected(strace, keeper.pid, log, faults, [file, Path(f"{file}-wal")])

    return inject


FAULTS = {
    "write errors": faulty("pwrite64:error=EIO"),
    "no space": faulty("pwrite64:error=ENOSPC"),
    "failing syncs": faulty("fdatasync:error=EIO", "fsync:error=EIO"),
    "quota": faulty("pwrite64:error=EDQUOT"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_injected_faults_leave_the_jobs_alone_and_it_heals(
    kept: Callable[..., Keeper], need_tool: Callable[[str], str], fault: str
) -> None:
    keeper = started(kept())

    with FAULTS[fault](keeper, need_tool("strace")):
        shown = keeper.until_state("degraded")
        assert shown["reason"]
        check_jobs_go_on(keeper)

    check_healed(keeper)
    check_end(keeper)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stop_under_injected_faults_ends_in_time(
    kept: Callable[..., Keeper], need_tool: Callable[[str], str], fault: str
) -> None:
    keeper = started(kept())

    with FAULTS[fault](keeper, need_tool("strace")):
        keeper.until_state("degraded")
        keeper.program.send(signal.SIGTERM)
        keeper.program.process.wait(PATIENCE_SECONDS)
    check_end_time(keeper)


def check_end_time(keeper: Keeper) -> None:
    """Check that the stop took no longer than allowed, by the program's own clock."""
    assert keeper.program.end() in (0, 1), keeper.program.stderr
    [stopping] = keeper.program.events("scheduler_stopping")
    [stopped] = keeper.program.events("scheduler_stopped")
    assert stopped["mono"] - stopping["mono"] < STOP_SECONDS


def test_a_sync_that_takes_seconds_holds_no_caller_up(
    kept: Callable[..., Keeper], need_tool: Callable[[str], str]
) -> None:
    keeper = started(kept())

    with faulty("fdatasync:delay_enter=6000000")(keeper, need_tool("strace")):
        check_jobs_go_on(keeper)
        keeper.until("it is said", lambda: "slow" in keeper.program.stderr or keeper.history()["state"] == "degraded")
        check_jobs_go_on(keeper)

    check_healed(keeper)
    check_end(keeper)


def test_a_stop_on_a_disk_that_takes_seconds_for_a_sync_ends_in_time(
    kept: Callable[..., Keeper], need_tool: Callable[[str], str]
) -> None:
    """The time until its last words is measured: strace holds the end of the process itself until the delay is over."""
    keeper = started(kept())

    with faulty("fdatasync:delay_enter=20000000")(keeper, need_tool("strace")):
        check_jobs_go_on(keeper)
        begin = keeper.program.send(signal.SIGTERM)
        keeper.program.wait_for("the history could not be written to its end")
        keeper.program.wait_for("finished")
        seconds = mono() - begin

    assert keeper.program.end() in (0, 1), keeper.program.stderr
    assert seconds < STOP_SECONDS, keeper.program.stderr


# -- a real disk of 1 MiB


@pytest.mark.parametrize("is_freed", [True, False], ids=["freed", "stopped while full"])
def test_a_full_disk_is_degraded_until_there_is_room(
    kept: Callable[..., Keeper], small_disk: Path, is_freed: bool
) -> None:
    keeper = started(kept(small_disk))

    with disk_full(keeper):
        keeper.until_state("degraded")
        check_jobs_go_on(keeper)
        if not is_freed:
            check_end(keeper, is_stored=False)
            return

    check_healed(keeper)
    check_end(keeper)


def test_a_disk_that_is_full_at_the_start_is_used_when_there_is_room(
    kept: Callable[..., Keeper], small_disk: Path
) -> None:
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    keeper = kept(small_disk)
    keeper.until_state("degraded")
    check_jobs_go_on(keeper)

    filler.unlink()

    check_healed(keeper)
    check_end(keeper)


def test_a_read_only_disk_is_degraded_until_it_can_be_written(kept: Callable[..., Keeper], small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    keeper = kept(small_disk)
    keeper.until_state("degraded")
    check_jobs_go_on(keeper)

    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)

    check_healed(keeper)
    check_end(keeper)


# -- files that are taken away, or are something else


def remove_file(place: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{place}{suffix}").unlink(missing_ok=True)


def remove_main_file(place: Path) -> None:
    place.unlink()


def remove_folder(place: Path) -> None:
    shutil.rmtree(place.parent)


def replace_by_garbage(place: Path) -> None:
    fresh = place.with_name("fresh")
    fresh.write_bytes(random.Random(1).randbytes(100_000))
    fresh.replace(place)


def overwrite_with_garbage(place: Path) -> None:
    with place.open("r+b") as file:
        file.write(random.Random(2).randbytes(place.stat().st_size))


def cut_to_nothing(place: Path) -> None:
    os.truncate(place, 0)


def replace_by_folder(place: Path) -> None:
    remove_file(place)
    place.mkdir()


BROKEN = (
    remove_file, remove_main_file, remove_folder, replace_by_garbage, overwrite_with_garbage,
)  # fmt: skip


@pytest.mark.parametrize("break_it", BROKEN)
def test_a_file_that_is_taken_away_is_made_anew_with_what_is_alive(
    kept: Callable[..., Keeper], state: Path, break_it: Callable[[Path], None]
) -> None:
    keeper = started(kept())
    place = Path(file_in(state).place)
    before = place.stat().st_ino

    break_it(place)

    keeper.until("a new file", lambda: place.exists() and place.is_file() and is_whole(keeper, before))
    keeper.until_state("on")
    check_jobs_go_on(keeper)
    assert keeper.stored.problems() == []
    row = keeper.until_row("runs", job="waiting")
    assert row["outcome"] is None
    code, seconds = keeper.stop()
    assert (code in (0, 1), seconds < STOP_SECONDS) == (True, True), keeper.program.stderr
    assert "internal error" not in keeper.program.stderr
    assert [row["how"] for row in keeper.stored.rows("starts")] == ["ended"]
    assert [row["outcome"] for row in keeper.stored.rows("runs", job="waiting")] == ["cancelled"]
    assert keeper.stored.mode() & 0o077 == 0


def is_whole(keeper: Keeper, _: int) -> bool:
    """Return whether the file can be read, and has the program that runs."""
    try:
        return bool(keeper.stored.rows("starts", pid=keeper.pid)) and not keeper.stored.problems()
    except Exception:  # noqa: BLE001 - not yet
        return False


@pytest.mark.parametrize("break_it", [*BROKEN, cut_to_nothing, replace_by_folder])
def test_a_stop_right_after_the_file_was_taken_away_ends_in_time(
    kept: Callable[..., Keeper], state: Path, break_it: Callable[[Path], None]
) -> None:
    keeper = started(kept())

    break_it(Path(file_in(state).place))

    code, seconds = keeper.stop()
    assert (code in (0, 1), seconds < STOP_SECONDS) == (True, True), keeper.program.stderr
    assert "internal error" not in keeper.program.stderr


def test_garbage_is_moved_aside_and_said_once(kept: Callable[..., Keeper], state: Path) -> None:
    folder = state / "taskloom"
    folder.mkdir(parents=True, mode=0o700)
    garbage = random.Random(3).randbytes(50_000)
    (folder / "kept.sqlite").write_bytes(garbage)
    (folder / "kept.sqlite").chmod(0o600)

    keeper = started(kept())

    [aside] = folder.glob("kept.sqlite.corrupt-*")
    assert aside.read_bytes() == garbage
    assert aside.stat().st_mode & 0o077 == 0
    assert keeper.program.stderr.count("corrupt") >= 1
    check_jobs_go_on(keeper)
    check_end(keeper)


# -- as a user who may not write


@pytest.mark.skipif(os.getuid() != 0, reason="LOUD: only root can be another user")
def test_a_folder_without_permission_is_degraded_until_it_is_given(
    kept: Callable[..., Keeper], state: Path, tmp_path: Path, need_tool: Callable[[str], str], own_runtime_folder: str
) -> None:
    folder = state / "taskloom"
    folder.mkdir(parents=True, mode=0o700)
    limited = [need_tool("setpriv"), "--bounding-set=-dac_override,-dac_read_search"]
    os.chmod(folder, 0o500)  # noqa: PTH101

    keeper = kept(prefix=limited)

    keeper.until_state("degraded")
    check_jobs_go_on(keeper)
    folder.chmod(0o700)
    check_healed(keeper)
    check_end(keeper)


def test_every_file_of_it_is_private(kept: Callable[..., Keeper], state: Path) -> None:
    keeper = started(kept())

    folder = state / "taskloom"
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert {"kept.sqlite", "kept.sqlite-wal", "kept.sqlite-shm"} <= modes.keys()
    assert {mode & 0o177 for mode in modes.values()} == {0}
    check_end(keeper)
