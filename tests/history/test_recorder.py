"""The recorder with each kind of database: what is written when, what is acknowledged, and how it ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.history_events import START
from tests.support.recorder_bench import PATIENCE, Faults, RecorderBench, failed

from taskloom.clock import mono
from taskloom.core.events import EventName, format_wall
from taskloom.core.model import Outcome
from taskloom.core.remembered import RememberedJob
from taskloom.history.errors import HistoryAbsent
from taskloom.history.location import Target
from taskloom.history.model import ActionRow, LostRun, Opened, RunGauges
from taskloom.history.read_rows import Page


@pytest.fixture
def bench(target: Target) -> Iterator[RecorderBench]:
    with RecorderBench(target) as made:
        made.open()
        yield made


def test_a_whole_run_of_the_program_is_in_the_database(bench: RecorderBench) -> None:
    bench.put(bench.events.added(), *bench.events.whole(), *bench.events.whole("tick#2", Outcome.FAILED))

    assert bench.finish({"reason": {"kind": "signal", "text": "SIGTERM"}, "exit_code": 1}, 1)

    [start] = bench.rows("starts")
    assert (start["name"], start["start"], start["pid"], start["how"]) == ("demo", "aaaa", 4242, "ended")
    assert (start["exit_code"], start["stop_reason"]) == (1, "signal: SIGTERM")
    assert start["report"] == {"reason": {"kind": "signal", "text": "SIGTERM"}, "exit_code": 1}
    assert start["paths"] == ["jobs.yaml"]
    assert start["ended_at"] == start["alive_at"]
    assert [(row["run"], row["outcome"], row["error_type"]) for row in bench.rows("runs")] == [
        ("tick#1", "succeeded", None),
        ("tick#2", "failed", "ValueError"),
    ]
    assert [row["seq"] for row in bench.rows("events")] == list(range(1, 10))
    assert [row["job"] for row in bench.rows("jobs")] == ["tick"]


def test_an_action_is_acknowledged_when_it_is_in_the_file(bench: RecorderBench) -> None:
    assert bench.act("stop")

    [row] = bench.rows("actions")
    assert (row["id"], row["action"], row["jobs"], row["caller"]) == (1, "stop", ["tick"], {"pid": 7})


def test_an_instant_is_acknowledged_when_it_is_in_the_file(bench: RecorderBench) -> None:
    bench.put(bench.events.added())

    assert bench.record("tick", START + 60.0)

    assert bench.rows("jobs")[0]["last_instant"] == START + 60.0


def test_an_instant_waits_for_the_declaration_of_its_job(bench: RecorderBench) -> None:
    answers: list[bool] = []
    came = threading.Event()

    def done(is_recorded: bool) -> None:
        answers.append(is_recorded)
        came.set()

    bench.recorder.record_instant("tick", START + 60.0, done)
    bench.until_written()
    assert answers == []

    bench.put(bench.events.added())

    assert came.wait(PATIENCE)
    assert answers == [True]
    assert bench.rows("jobs")[0]["last_instant"] == START + 60.0


def test_a_row_without_a_waiter_is_written_soon(bench: RecorderBench) -> None:
    written = threading.Event()
    commit = bench.recorder._writer._commit

    def watched(rows: Any) -> None:
        commit(rows)
        if any(row.table == "runs" for row in rows):
            written.set()

    bench.recorder._writer._commit = watched  # type: ignore[method-assign]
    bench.put(*bench.events.whole())

    assert written.wait(PATIENCE)
    assert bench.rows("runs")[0]["outcome"] == "succeeded"


def test_the_next_start_remembers(target: Target) -> None:
    with RecorderBench(target) as first:
        first.open()
        first.put(first.events.added(), first.events.paused())
        assert first.record("tick", START + 60.0)
        assert first.finish()

    with RecorderBench(target, start="bbbb") as second:
        opened = second.open()
        assert second.finish()

    assert opened == Opened((), {"tick": RememberedJob("f1", START + 1.0, START + 60.0, START + 2.0, "maintenance")})


def test_a_fresh_start_remembers_nothing(target: Target) -> None:
    with RecorderBench(target) as first:
        first.open()
        first.put(first.events.added(), first.events.paused())
        assert first.finish()

    with RecorderBench(target, start="bbbb", is_fresh=True) as second:
        assert second.open() == Opened((), {})
        second.put(second.events.added())
        assert second.finish()

    [row] = second.rows("jobs")
    assert row["paused_since"] is None


def test_a_removed_job_is_forgotten(bench: RecorderBench) -> None:
    bench.put(bench.events.added())
    bench.until_written()
    assert len(bench.rows("jobs")) == 1

    bench.put(bench.events.make(EventName.JOB_REMOVED))
    bench.until_written()

    assert bench.rows("jobs") == []


def test_the_log_of_a_run_that_did_not_succeed_is_kept(target: Target) -> None:
    asked: list[str] = []

    def tail_of(run: str) -> tuple[str, int]:
        asked.append(run)
        return f"the log of {run}\n", 17

    with RecorderBench(target, tail_of=tail_of) as bench:
        bench.open()
        bench.put(*bench.events.whole("tick#1"), *bench.events.whole("tick#2", Outcome.TIMED_OUT))
        assert bench.finish()

    [row] = bench.rows("log_tails")
    assert (row["run"], row["text"], row["truncated"]) == ("tick#2", "the log of tick#2\n", 17)
    assert asked == ["tick#2"]


def test_a_log_that_cannot_be_read_costs_nothing_else(target: Target) -> None:
    def tail_of(run: str) -> tuple[str, int]:
        raise OSError("gone")

    with RecorderBench(target, tail_of=tail_of) as bench:
        bench.open()
        bench.put(*bench.events.whole("tick#2", Outcome.FAILED))
        assert bench.finish()

    assert "OSError: gone" in bench.rows("log_tails")[0]["text"]
    assert bench.rows("runs")[0]["outcome"] == "failed"


def test_what_runs_have_reported_is_written_with_the_heartbeat(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.history.writer.BUSY_BEAT", 0.01)
    asked = threading.Event()
    times = iter(range(1, 1_000_000))

    def polls() -> dict[str, RunGauges]:
        number = next(times)
        if number > 2:
            asked.set()
        return {"tick#1": RunGauges(START + 100.0 + number, {"rows": 4}, {"done": 1, "total": 2, "unit": "rows"})}

    with RecorderBench(target, polls=polls) as bench:
        bench.open()
        bench.put(*bench.events.begun())
        assert asked.wait(PATIENCE)
        bench.until_written()
        [row] = bench.rows("runs")

    assert row["outcome"] is None
    assert row["last_polled"] > START + 100.0
    assert (row["counters"], row["progress"]) == ({"rows": 4}, {"done": 1, "total": 2, "unit": "rows"})


def test_what_a_new_run_has_reported_is_written_before_the_next_heartbeat(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskloom.history.writer.FIRST_BEAT", 0.01)
    asked = threading.Event()

    def polls() -> dict[str, RunGauges]:
        asked.set()
        return {"tick#1": RunGauges(START + 100.0)}

    with RecorderBench(target, polls=polls) as bench:
        bench.open()
        bench.until_written()  # the first heartbeat is over, and the next one is due in 60 s
        bench.put(*bench.events.begun())
        assert asked.wait(PATIENCE)
        bench.until_written()

        assert bench.rows("runs")[0]["last_polled"] == START + 100.0


@pytest.mark.long
def test_polls_that_fail_cost_nothing_else(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.history.writer.BUSY_BEAT", 0.0)

    def polls() -> dict[str, RunGauges]:
        raise RuntimeError("no")

    with RecorderBench(target, polls=polls) as bench:
        bench.open()
        bench.put(*bench.events.begun())
        bench.until_written()
        assert bench.recorder.state.kind == "on"
        assert ("debug", "cannot read the counters of the runs: RuntimeError: no") in bench.lines


def test_a_program_without_runs_writes_no_heartbeat_for_a_minute(bench: RecorderBench) -> None:
    bench.until_written()
    now = bench.recorder._writer._clock.now().mono

    assert bench.recorder._writer._beat_due() > now + 30.0


def test_runs_that_the_program_leaves_alive_are_not_lost_at_the_next_start(target: Target) -> None:
    with RecorderBench(target) as first:
        first.open()
        first.put(*first.events.begun())
        assert first.finish({}, 3)

    with RecorderBench(target, start="bbbb") as second:
        assert second.open().lost == ()
        [row] = second.rows("runs")

    assert row["outcome"] == "abandoned"


def test_without_finish_the_next_start_marks_its_runs_as_lost(target: Target) -> None:
    with RecorderBench(target) as first:
        first.open()
        first.put(*first.events.begun())
        first.until_written()

    with RecorderBench(target, start="bbbb") as second:
        [lost] = second.open().lost
        starts = {row["start"]: row["how"] for row in second.rows("starts")}

    assert (lost.start, lost.run, lost.job) == ("aaaa", "tick#1", "tick")
    assert starts == {"aaaa": "lost", "bbbb": "running"}


def test_a_history_that_is_held_is_degraded_and_nothing_is_marked(target: Target) -> None:
    with RecorderBench(target) as first:
        first.open()
        first.put(*first.events.begun())
        first.until_written()

        with RecorderBench(target, start="bbbb") as second:
            opened = second.recorder.open(0.2)
            state = second.recorder.state
            assert not second.act()

        first.until_written()
        assert first.rows("runs")[0]["outcome"] is None
        assert [row["start"] for row in first.rows("starts")] == ["aaaa"]

    assert opened == Opened((), {})
    assert state.kind == "degraded"
    assert "holds it" in state.reason


def test_a_start_waits_for_the_program_before_it_to_end(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.history.health.RETRY_SECONDS", (0.01,))
    with RecorderBench(target) as first, RecorderBench(target, start="bbbb") as second:
        first.open()
        first.put(*first.events.begun())
        first.until_written()
        found: list[Opened] = []
        opening = threading.Thread(target=lambda: found.append(second.open()))
        opening.start()
        first.recorder.close()
        opening.join(PATIENCE)

    assert [each.run for each in found[0].lost] == ["tick#1"]


def test_nothing_is_taken_before_it_is_open_nor_after_its_end(target: Target) -> None:
    with RecorderBench(target) as bench:
        bench.put(bench.events.added())
        assert not bench.act()
        assert not bench.record("tick", 1.0)
        bench.open()
        assert bench.finish()
        bench.put(bench.events.added())
        assert not bench.act()
        assert bench.finish()

    assert bench.rows("events") == []


def test_a_finish_without_time_returns_at_once_and_tells_the_truth(bench: RecorderBench) -> None:
    bench.put(*bench.events.whole())

    assert not bench.recorder.finish({}, 0, mono() - 1.0)


def test_a_close_that_comes_before_the_opening_does_nothing(target: Target) -> None:
    with RecorderBench(target) as bench:
        pass

    with pytest.raises(HistoryAbsent):
        bench.rows("starts")


def test_many_runs_are_written_in_several_transactions_and_none_is_lost(bench: RecorderBench) -> None:
    for number in range(400):
        bench.put(*bench.events.whole(f"tick#{number}"))

    assert bench.finish()

    assert len(bench.rows("runs", outcome="succeeded")) == 400
    assert len(bench.rows("events")) == 1_600


def test_nothing_is_imported_once_it_is_open(target: Target) -> None:
    with RecorderBench(target) as bench:
        bench.open()
        before = set(sys.modules)
        bench.put(bench.events.added(), *bench.events.whole("tick#1", Outcome.FAILED), *bench.events.begun("tick#2"))
        bench.put(bench.events.make(EventName.JOB_REMOVED))
        bench.until_written()
        assert bench.finish()

    assert set(sys.modules) - before == set()


def test_a_forked_child_touches_nothing(bench: RecorderBench) -> None:
    bench.put(bench.events.added())
    bench.until_written()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        code = 1
        try:
            bench.put(*bench.events.whole("child#1"))
            is_off = bench.recorder.state.kind == "off" and not bench.act()
            bench.recorder.close()
            code = 0 if is_off and not bench.finish() else 2
        finally:
            os._exit(code)

    assert os.waitpid(child, 0)[1] == 0
    bench.put(*bench.events.whole())
    assert bench.act()
    assert [row["run"] for row in bench.rows("runs")] == ["tick#1"]


def test_a_done_that_raises_disturbs_nothing(bench: RecorderBench) -> None:
    def done(_: bool) -> None:
        raise RuntimeError("mine")

    bench.recorder.put_action(ActionRow(START, "stop", (), {}), done)

    assert bench.act()
    assert bench.recorder.state.kind == "on"


def test_an_instant_of_an_event_and_the_recorded_one_are_the_same(bench: RecorderBench) -> None:
    bench.put(bench.events.added())
    assert bench.record("tick", START + 60.0)
    bench.put(bench.events.queued(data={"instant": format_wall(START + 60.0)}))
    bench.until_written()

    assert bench.rows("jobs")[0]["last_instant"] == START + 60.0
    assert bench.rows("runs")[0]["instant"] == START + 60.0


def test_lost_runs_say_when_they_were_last_seen(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.history.writer.BUSY_BEAT", 0.0)
    with RecorderBench(target, polls=lambda: {"tick#1": RunGauges(START + 50.0)}) as first:
        first.open()
        first.put(*first.events.begun(), first.events.queued("tick#2"))
        first.until_written()
        first.until_written()
        [alive_at] = [row["alive_at"] for row in first.rows("starts")]

    with RecorderBench(target, start="bbbb") as second:
        lost = second.open().lost

    assert lost[0]._replace(alive_at=0.0) == LostRun("aaaa", "tick#1", "tick", START + 50.0, 0.0)
    assert lost[1]._replace(alive_at=0.0) == LostRun("aaaa", "tick#2", "tick", None, 0.0)
    assert lost[0].alive_at >= alive_at


def runs_since(bench: RecorderBench, since: float, most: int = 10) -> Page | None:
    """Return what `read_runs` finds."""
    pages: list[Page | None] = []

    def ask(done: Callable[[bool], object]) -> None:
        def found(page: Page | None) -> None:
            pages.append(page)
            done(True)

        bench.recorder.read_runs(since, most, found)

    bench.answer(ask)
    return pages[0]


def test_the_last_runs_are_read_also_those_of_an_earlier_start(target: Target) -> None:
    with RecorderBench(target) as earlier:
        earlier.open()
        earlier.put(earlier.events.added(), *earlier.events.whole(), *earlier.events.whole("tick#2", Outcome.FAILED))
        earlier.finish()
    with RecorderBench(target, start="bbbb") as later:
        later.open()
        later.put(later.events.added(), *later.events.whole())
        later.until_written()

        page = runs_since(later, 0.0)
        two = runs_since(later, 0.0, most=2)
        none = runs_since(later, START + 1e6)

    assert page is not None
    assert two is not None
    assert none == Page([], 0)
    found = [(run.start, run.run, run.outcome, run.error_type) for run in page.rows]
    assert sorted(found) == [
        ("aaaa", "tick#1", "succeeded", ""),
        ("aaaa", "tick#2", "failed", "ValueError"),
        ("bbbb", "tick#1", "succeeded", ""),
    ]
    assert page.older == 0
    assert (len(two.rows), two.older) == (2, 1)


def test_the_last_runs_are_read_with_their_places(target: Target) -> None:
    place = {"host": "node3", "worker": "w1", "pid": 7}
    with RecorderBench(target) as bench:
        bench.open()
        placed = bench.events.make(EventName.PLACED, run="tick#1", data=place)
        bench.put(bench.events.added(), *bench.events.begun(), placed, bench.events.ended())
        bench.until_written()

        page = runs_since(bench, 0.0)

    assert page is not None
    assert [(run.host, run.worker, run.pid) for run in page.rows] == [("node3", "w1", 7)]


def test_runs_cannot_be_read_while_the_database_fails_and_after_the_end(target: Target) -> None:
    faults = Faults(failed, at=1, for_ever=True)
    with RecorderBench(target, faults) as bench:
        bench.open(0.0)
        assert runs_since(bench, 0.0) is None
        faults.stop()
        bench.until_written()
        assert runs_since(bench, 0.0) == Page([], 0)
    assert runs_since(bench, 0.0) is None
