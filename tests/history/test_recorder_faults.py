"""The recorder with a database that fails: at each of its calls, once and for ever. Jobs never notice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DataError
from tests.support.history_events import START
from tests.support.recorder_bench import PATIENCE, Faults, RecorderBench, failed
from tests.support.strikes import Strike, call_struck

from taskloom.core.events import EventName
from taskloom.core.model import Outcome
from taskloom.history.model import ActionRow
from taskloom.history.queue import Rank, RowQueue
from taskloom.history.stored import is_about_a_row

# More calls of the database than any trial makes.
MOST_CALLS = 200


@pytest.fixture(autouse=True)
def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, and collect nothing."""
    monkeypatch.setattr("taskloom.history.health.RETRY_SECONDS", (0.001,))
    monkeypatch.setattr("taskloom.history.wakeup.COLLECT_SECONDS", 0.0)
    monkeypatch.setattr("taskloom.history.recorder._END_RETRY", 0.001)


def trial(place: Path, faults: Faults, **options: Any) -> RecorderBench:
    """Have a short life recorded, with an action and an instant whose answers are checked; return the bench, ended."""
    with RecorderBench(place, faults, tail_of=lambda run: (f"log of {run}\n", 0), **options) as bench:
        bench.open()
        assert bench.recorder._tried.is_open, "the program has waited although the database works"
        bench.put(bench.events.added(), *bench.events.whole("tick#1"), *bench.events.begun("tick#2"))
        acknowledged = {each for each in range(3) if bench.act(f"act {each}")}
        is_recorded = bench.record("tick", START + 60.0)
        bench.put(bench.events.ended("tick#2", Outcome.FAILED))
        if acknowledged:
            assert {row["action"] for row in bench.rows("actions")} >= {f"act {each}" for each in acknowledged}
        if is_recorded:
            assert bench.rows("jobs")[0]["last_instant"] == START + 60.0
        assert bench.finish({"exit_code": 1}, 1), bench.lines
    return bench


def check(bench: RecorderBench) -> None:
    """Check that all is there after all."""
    assert [(row["run"], row["outcome"]) for row in bench.rows("runs")] == [
        ("tick#1", "succeeded"),
        ("tick#2", "failed"),
    ]
    assert [row["seq"] for row in bench.rows("events")] == list(range(1, 10))
    assert [row["text"] for row in bench.rows("log_tails")] == ["log of tick#2\n"]
    assert [row["action"] for row in bench.rows("actions")] == ["act 0", "act 1", "act 2"]
    assert bench.rows("jobs")[0]["last_instant"] == START + 60.0
    [start] = bench.rows("starts")
    assert (start["how"], start["exit_code"]) == ("ended", 1)
    troubles = [text for level, text in bench.lines if level == "warning"]
    ends = [text for level, text in bench.lines if "works again" in text]
    assert len(troubles) == len(ends) or (len(troubles) == len(ends) + 1 and not ends)
    assert all(text.endswith("; nothing was lost") for text in ends)


@pytest.mark.parametrize("nth", [1, 2, 5, 12, 14])
def test_an_error_costs_nothing(tmp_path: Path, nth: int) -> None:
    check(trial(tmp_path / "demo.sqlite", Faults(failed, at=nth)))


@pytest.mark.long
@pytest.mark.parametrize("error", [failed, MemoryError, SystemExit], ids=["disk", "memory", "exit"])
@pytest.mark.parametrize("cuts", [False, True], ids=["kept", "cut"])
def test_one_error_at_any_call_costs_nothing(tmp_path: Path, error: Callable[[], BaseException], cuts: bool) -> None:
    for nth in range(1, MOST_CALLS):
        faults = Faults(error, at=nth)
        faults.cuts_connection = cuts

        check(trial(tmp_path / f"{nth}.sqlite", faults))

        if faults.count < nth:
            return
    pytest.fail("the trial has more calls than expected")


@pytest.mark.parametrize(
    "nth", [1, 4, pytest.param(2, marks=pytest.mark.long), pytest.param(7, marks=pytest.mark.long)]
)
def test_errors_for_ever_cost_only_what_has_no_room(tmp_path: Path, nth: int) -> None:
    faults = Faults(failed, at=nth, for_ever=True)
    queue = RowQueue(most_rows=40, most_tail_bytes=2_000)
    with RecorderBench(tmp_path / f"{nth}.sqlite", faults, queue=queue, tail_of=lambda _: ("x" * 900, 0)) as bench:
        bench.open(within=0.0)
        bench.put(bench.events.added(), *bench.events.begun("alive#1"))
        for number in range(120):
            outcome = Outcome.FAILED if number % 50 == 0 else Outcome.SUCCEEDED
            bench.put(*bench.events.whole(f"tick#{number}", outcome))
        # Actions before the first error may be committed.
        while bench.act():
            pass
        state = bench.recorder.state
        assert state.kind == "degraded"
        assert "the disk is full" in state.reason
        assert state.queued <= 80
        faults.stop()
        bench.until_written()
        assert bench.recorder.state.kind == "on"
        outcomes = {row["run"]: row["outcome"] for row in bench.rows("runs")}
        assert outcomes["alive#1"] is None
        assert all(outcomes[f"tick#{number}"] == "failed" for number in (0, 50, 100))
        assert len([text for _, text in bench.lines if text.startswith("the history is degraded")]) == 1
        [end] = [text for _, text in bench.lines if "works again" in text]
        assert "lost meanwhile" in end
        assert bench.finish()


def test_a_database_that_never_works_holds_up_nothing(tmp_path: Path) -> None:
    faults = Faults(failed, at=1, for_ever=True)
    with RecorderBench(tmp_path / "demo.sqlite", faults) as bench:
        opened = bench.open(within=0.0)
        bench.put(bench.events.added(), *bench.events.whole())
        assert not bench.act()
        assert not bench.record("tick", START)

        assert opened.remembered == {}
        assert bench.recorder.state.kind == "degraded"
    assert [level for level, _ in bench.lines] == ["warning"]


def test_puts_do_not_wait_for_a_write_that_hangs_and_memory_stays_bounded(tmp_path: Path) -> None:
    hangs, go_on = threading.Event(), threading.Event()
    faults = Faults()
    queue = RowQueue(most_rows=100)
    with RecorderBench(tmp_path / "demo.sqlite", faults, queue=queue) as bench:
        bench.open()
        check_calls = faults.check

        def hang(database: Any = None) -> None:
            check_calls(database)
            hangs.set()
            assert go_on.wait(PATIENCE)

        faults.check = hang  # type: ignore[method-assign]
        bench.put(*bench.events.whole("first#1"))
        assert hangs.wait(PATIENCE)

        for number in range(2_000):  # the writer thread is in its write all the time
            bench.put(*bench.events.whole(f"tick#{number}"))
        state = bench.recorder.state
        go_on.set()
        bench.until_written()

        assert state.queued < 100 + 300
        assert state.dropped > 0
        assert bench.finish()


def test_a_write_that_takes_long_is_shown_while_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.history.health.SLOW_SECONDS", -1.0)
    hangs, go_on = threading.Event(), threading.Event()
    faults = Faults()
    with RecorderBench(tmp_path / "demo.sqlite", faults) as bench:
        bench.open()

        def hang(_: Any = None) -> None:
            if bench.recorder._health._writing is not None:  # not while rows are pruned
                hangs.set()
                assert go_on.wait(PATIENCE)

        faults.check = hang  # type: ignore[method-assign,assignment]
        bench.put(bench.events.added())
        assert hangs.wait(PATIENCE)
        during = bench.recorder.state
        go_on.set()
        assert bench.finish()

        assert during.kind == "degraded"
        assert "a write has taken" in during.reason
        assert bench.recorder.state.kind == "on"
        assert any("the history is slow" in text for _, text in bench.lines)


def test_a_finish_gives_up_at_its_deadline_while_a_write_hangs(tmp_path: Path) -> None:
    from taskloom.clock import mono

    hangs, go_on = threading.Event(), threading.Event()
    faults = Faults()
    with RecorderBench(tmp_path / "demo.sqlite", faults) as bench:
        bench.open()

        def hang(_: Any = None) -> None:
            hangs.set()
            assert go_on.wait(PATIENCE)

        faults.check = hang  # type: ignore[method-assign,assignment]
        bench.put(bench.events.added())
        assert hangs.wait(PATIENCE)

        assert not bench.recorder.finish({}, 0, mono() + 0.01)
        go_on.set()


def test_a_deleted_file_is_made_anew_with_what_is_alive(tmp_path: Path) -> None:
    place = tmp_path / "demo.sqlite"
    with RecorderBench(place) as bench:
        bench.open()
        bench.put(bench.events.added(), *bench.events.whole("gone#1"), *bench.events.begun("tick#1"))
        bench.until_written()
        for each in tmp_path.glob("demo.sqlite*"):
            if not each.name.endswith(".lock"):
                each.unlink()

        bench.until_written()

        assert [(row["run"], row["outcome"]) for row in bench.rows("runs")] == [("tick#1", None)]
        assert [row["start"] for row in bench.rows("starts")] == ["aaaa"]
        assert [row["job"] for row in bench.rows("jobs")] == ["tick"]
        assert any("deleted" in text for _, text in bench.lines)
        bench.put(bench.events.ended("tick#1"))
        assert bench.finish()
    assert bench.rows("runs")[0]["outcome"] == "succeeded"


def test_nothing_is_acknowledged_that_went_into_a_deleted_file(tmp_path: Path) -> None:
    place = tmp_path / "demo.sqlite"
    with RecorderBench(place) as bench:
        bench.open()
        place.unlink()

        while not bench.act("stop"):
            pass

        assert "stop" in {row["action"] for row in bench.rows("actions")}


def test_a_damaged_file_is_moved_aside_and_a_new_one_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "demo.sqlite"
    with RecorderBench(place) as first:
        first.open()
        first.put(*first.events.whole())
        assert first.finish()
    place.write_bytes(b"no database " * 1_000)

    with RecorderBench(place, start="bbbb") as bench:
        bench.open()
        assert bench.act()
        assert [row["start"] for row in bench.rows("starts")] == ["bbbb"]

    assert len(list(tmp_path.glob("demo.sqlite.corrupt-*"))) == 1
    assert len([text for _, text in bench.lines if "damaged" in text]) == 1


def test_a_row_that_the_database_refuses_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with RecorderBench(tmp_path / "demo.sqlite") as bench:
        bench.open()
        bench.recorder.put_action(ActionRow(START, None, (), {}))  # type: ignore[arg-type]
        bench.put(*bench.events.whole())

        bench.until_written()

        assert [row["run"] for row in bench.rows("runs")] == ["tick#1"]
        assert bench.recorder.state.kind == "on"
        assert bench.recorder.state.dropped == 1
        assert len([text for _, text in bench.lines if "refuses a row of actions" in text]) == 1


@pytest.mark.parametrize(
    ("text", "kept"),
    [("a\0b", "a"), ("\ud800", ""), ("é" * 70_000, "é" * 70_000)],
    ids=["nul", "surrogate", "long"],
)
def test_text_of_any_kind_is_written(tmp_path: Path, text: str, kept: str) -> None:
    from taskloom.core.model import ErrorInfo

    with RecorderBench(tmp_path / "demo.sqlite") as bench:
        bench.open()
        bench.put(*bench.events.begun(), bench.events.ended(outcome=Outcome.FAILED, error=ErrorInfo(text, text, text)))
        bench.put(bench.events.make(EventName.FLAPPING, data={"name": text, text: float("nan"), "big": 10**400}))
        assert bench.finish()

    assert bench.recorder.state.dropped == 0
    assert bench.rows("runs")[0]["error_message"].startswith(kept)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (DataError("insert", {}, Exception()), True),
        (OverflowError("too large"), True),
        (failed(), False),
        (MemoryError(), False),
        (OSError("EIO"), False),
    ],
    ids=["data", "overflow", "disk", "memory", "io"],
)
def test_only_errors_about_values_are_those_of_a_row(error: BaseException, is_one: bool) -> None:
    assert is_about_a_row(error) is is_one


def test_a_thread_that_dies_is_replaced(tmp_path: Path) -> None:
    with RecorderBench(tmp_path / "demo.sqlite") as bench:
        bench.open()
        bench.recorder._writer.struck = _raise  # type: ignore[method-assign]
        bench.faults.error, bench.faults.at = SystemExit, bench.faults.count + 1
        bench.put(bench.events.added())

        bench.until_written()

        assert [row["job"] for row in bench.rows("jobs")] == ["tick"]


def _raise(error: BaseException) -> None:
    raise error


def test_what_has_no_room_is_counted_by_its_rank(tmp_path: Path) -> None:
    queue = RowQueue(most_rows=1)
    faults = Faults(failed, at=1, for_ever=True)
    with RecorderBench(tmp_path / "demo.sqlite", faults, queue=queue) as bench:
        bench.open(within=0.0)
        bench.put(*bench.events.whole())
        assert not bench.act()

        assert queue.dropped[Rank.EVENT] == 4
        assert bench.recorder.state.dropped == queue.dropped.total()


def test_an_interrupt_at_any_line_of_an_action_or_an_instant_leaves_a_recorder_that_works(tmp_path: Path) -> None:
    """The main thread, which signals may interrupt, calls these two."""

    def call() -> None:
        bench.recorder.put_action(ActionRow(START, "signal", (), {"signal": "SIGHUP"}), lambda _: None)
        bench.recorder.record_instant("tick", START, lambda _: None)

    with RecorderBench(tmp_path / "demo.sqlite") as bench:
        bench.open()
        bench.put(bench.events.added())
        for nth in range(1, 1_000):
            strike = Strike(nth, KeyboardInterrupt)
            call_struck(strike, call)
            if not strike.places:
                break
        assert nth > 20
        assert bench.act()
        assert bench.finish()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError], ids=lambda each: each.__name__)
@pytest.mark.parametrize(
    "calls", [range(5, 30, 12), pytest.param(range(1, 30), marks=pytest.mark.long)], ids=["some", "all"]
)
def test_an_interrupt_of_a_finish_leaves_one_that_can_be_called_again(
    tmp_path: Path, error: type[BaseException], calls: range
) -> None:
    for nth in calls:
        with RecorderBench(tmp_path / f"{nth}.sqlite") as bench:
            bench.open()
            bench.put(*bench.events.whole())
            call_struck(Strike(nth, error), bench.finish)

            assert bench.finish()

        assert [row["how"] for row in bench.rows("starts")] == ["ended"]


def test_a_waiter_is_answered_by_the_next_thread_if_the_thread_dies(tmp_path: Path) -> None:
    with RecorderBench(tmp_path / "demo.sqlite") as bench:
        bench.open()
        bench.recorder._writer.struck = _raise  # type: ignore[method-assign]
        bench.faults.error, bench.faults.at = SystemExit, bench.faults.count + 1

        bench.act()  # answered, although nothing else arrives


def test_runs_that_are_found_late_to_be_lost_are_told(tmp_path: Path) -> None:
    place = tmp_path / "demo.sqlite"
    with RecorderBench(place) as killed:
        killed.open()
        killed.put(*killed.events.begun("tick#7"))
        killed.until_written()
    faults = Faults(failed, at=1, for_ever=True)

    with RecorderBench(place, faults, start="bbbb") as bench:
        assert bench.open(within=0.0).lost == ()
        bench.put(*bench.events.begun("tick#1"))
        faults.stop()
        bench.until_written()

    assert ("info", "an earlier start was killed, and 1 run was lost: tick#7") in bench.lines
