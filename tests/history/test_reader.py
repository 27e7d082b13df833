"""The reader of a history, with a file of SQLite and in PostgreSQL: the same rows, the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.support.history_databases import NAME, opened

from taskloom.history import tables
from taskloom.history.location import Target
from taskloom.history.read_rows import RunFilter
from taskloom.history.reader import Reader, open_reader

T = 1_790_000_000.0


def run(run: str, at: float, **columns: Any) -> dict[str, Any]:
    known = {"name": NAME, "start": "aaaa1111", "run": run, "job": run.partition("#")[0], "queued_at": at,
             "started_at": at, "outcome": "succeeded", "seconds": 1.0, "ended_at": at + 1.0, "instant": None,
             "is_unrecorded": False, "folded": 1, "folded_seconds": None, "counters": None}  # fmt: skip
    return {**known, **columns}


RUNS = [
    run("tick#1", T + 1),
    run("tick#60", T + 2, folded=59, folded_seconds=29.5),
    run("web#1", T + 3, outcome="failed", counters={"lines": 3}),
    run("tick#61", T + 4, outcome="cancelled"),
    run("tick#1", T + 5, start="bbbb2222", outcome=None, ended_at=None, seconds=None),
    run("made#1", T + 6, instant=T - 100, start="bbbb2222"),
    run("late#1", T + 7, instant=T - 100, start="bbbb2222"),
    run("tick#2", T + 8, name="other"),
]
STARTS = [
    {"name": NAME, "start": "aaaa1111", "since": T, "pid": 1, "alive_at": T + 5, "how": "ended", "report": {"x": [1]}},
    {"name": NAME, "start": "bbbb2222", "since": T + 5, "pid": 2, "alive_at": T + 9, "how": "running", "report": None},
    {"name": "other", "start": "cccc3333", "since": T, "pid": 3, "alive_at": T, "how": "ended", "report": None},
]
EVENTS = [
    {"name": NAME, "start": "bbbb2222", "seq": seq, "at": at, "event": event, "run": run, "data": data}
    for seq, (at, event, run, data) in enumerate(
        [
            (T + 6, "queued", "made#1", {"made_up": True}),
            (T + 7, "queued", "late#1", {"instant": ""}),
            (T + 7, "ended", "late#1", {"made_up": True}),
        ]
    )
]
ACTIONS = [
    {"name": NAME, "start": "aaaa1111", "id": 1, "at": T, "action": "stop", "jobs": ["web"], "caller": {"pid": 1}},
    {"name": NAME, "start": "aaaa1111", "id": 2, "at": T + 1, "action": "pause", "jobs": ["tick"], "caller": None},
    {"name": NAME, "start": "aaaa1111", "id": 3, "at": T + 2, "action": "shutdown", "jobs": [], "caller": None},
]
TAILS = [
    {"name": NAME, "start": "aaaa1111", "run": "web#1", "at": T, "text": "é\n\x1b[0m", "truncated": 7},
]


@pytest.fixture
def reader(target: Target) -> Iterator[Reader]:
    """A reader of these rows, whose program does not run any more."""
    rows = [(tables.starts, STARTS), (tables.runs, RUNS), (tables.events, EVENTS), (tables.actions, ACTIONS),
            (tables.log_tails, TAILS)]  # fmt: skip
    with opened(target) as database, database.begin() as connection:
        for table, each in rows:
            tables.upsert(connection, table, each)
    with open_reader(target) as reader:
        yield reader


def ids(found: Any) -> list[str]:
    return [f"{each.run}@{each.start[0]}" for each in found]


def test_names_and_jobs(reader: Reader) -> None:
    assert reader.names() == sorted([NAME, "other"])
    assert reader.jobs(NAME) == ["late", "made", "tick", "web"]
    assert reader.jobs("unknown") == []


def test_starts_and_their_reports(reader: Reader) -> None:
    first, second = reader.starts(NAME).rows

    assert (first.start, second.start) == ("aaaa1111", "bbbb2222")
    assert reader.starts(NAME, 1).older == 1
    assert reader.report(first) in ({"x": [1]}, '{"x": [1]}')
    assert reader.report(second) is None


ALL = ["tick#1@a", "tick#60@a", "web#1@a", "tick#61@a", "tick#1@b", "made#1@b", "late#1@b"]


@pytest.mark.parametrize(
    ("wanted", "most", "found", "older"),
    [
        (
            RunFilter(NAME),
            None,
            ["tick#1@a", "tick#60@a", "web#1@a", "tick#61@a", "tick#1@b", "made#1@b", "late#1@b"],
            0,
        ),
        (RunFilter(NAME), 2, ["made#1@b", "late#1@b"], 5),
        (RunFilter(NAME, ("tick",)), 7, ["tick#1@a", "tick#60@a", "tick#61@a", "tick#1@b"], 0),
        (RunFilter(NAME, ()), 7, [], 0),
        (RunFilter(NAME, ("tick", "web"), since=T + 3), 7, ["web#1@a", "tick#61@a", "tick#1@b"], 0),
        (RunFilter(NAME, only_failed=True), 7, ["web#1@a"], 0),
        (RunFilter(NAME, only_failed=True, killed={"bbbb2222": T + 9}), 7, ["web#1@a", "tick#1@b"], 0),
        (RunFilter("' OR 1=1 --"), 7, [], 0),
    ],
    ids=["all", "last", "job", "no job", "since", "failed", "killed", "quoted"],
)
def test_runs_are_filtered(
    wanted: RunFilter, most: int | None, found: list[str], older: int, reader: Reader
) -> None:  # fmt: skip
    page = reader.runs(wanted, most)

    assert ids(page.rows) == found
    assert page.older == older


def test_more_jobs_than_a_statement_may_name(reader: Reader) -> None:
    many = [f"job{number}" for number in range(25_000)]

    assert ids(reader.runs(RunFilter(NAME, [*many, "web"])).rows) == ["web#1@a"]


def test_totals_count_every_run_of_a_folded_row(reader: Reader) -> None:
    totals = {each.job: each[1:] for each in reader.totals(RunFilter(NAME, killed={"bbbb2222": T}))}

    assert totals == {
        "late": (1, 1, 0, T + 7),
        "made": (1, 1, 0, T + 6),
        "tick": (62, 60, 1, T + 5),
        "web": (1, 0, 1, T + 3),
    }


def test_the_runs_of_a_killed_start_are_lost(reader: Reader) -> None:
    lost = reader.last_runs("tick", RunFilter(NAME, killed={"bbbb2222": T + 9}), 1)

    assert [(each.run, each.outcome, each.ended_at, each.reason) for each in lost] == [
        ("tick#1", "lost", T + 9, "the program was killed")
    ]
    assert ids(reader.alive_runs(reader.starts(NAME).rows[-1])) == ["tick#1@b"]


def test_only_the_event_of_the_firing_marks_a_run_as_made_up(reader: Reader) -> None:
    page = reader.runs(RunFilter(NAME))

    assert [each.run for each in page.rows if each.is_made_up] == ["made#1"]


def test_a_run_is_found_by_its_id(reader: Reader) -> None:
    def found(*wanted: str) -> list[str]:
        run = reader.find_run(NAME, *wanted)
        return [] if run is None else ids([run])

    assert found("tick#1") == ["tick#1@b"]
    assert found("tick#1", "aaa") == ["tick#1@a"]
    assert found("tick#1", "%") == found("tick#1", "_") == found("tick#9") == []


def test_a_log_tail(reader: Reader) -> None:
    web, tick = reader.find_run(NAME, "web#1"), reader.find_run(NAME, "tick#1")
    assert web is not None
    assert tick is not None

    assert web.counters == {"lines": 3}
    assert reader.log_tail(web) == ("é\n\x1b[0m", 7)
    assert reader.log_tail(tick) is None


def test_actions_on_a_job_and_on_the_program(reader: Reader) -> None:
    assert [each.action for each in reader.actions(RunFilter(NAME)).rows] == ["stop", "pause", "shutdown"]
    assert [each.action for each in reader.actions(RunFilter(NAME, ("web",))).rows] == ["stop", "shutdown"]
    page = reader.actions(RunFilter(NAME, since=T + 1), 1)
    assert ([each.action for each in page.rows], page.older) == (["shutdown"], 1)


def test_a_history_is_written_while_another_session_has_its_lock(reader: Reader, target: Target) -> None:
    """The session may be one of this process: of SQLite the kernel does not tell, and to ask it would end the lock."""
    assert not reader.is_written(NAME)

    with ExitStack() as writing:
        writing.enter_context(opened(target))
        assert reader.is_written(NAME)

    assert not reader.is_written("other")


def test_nothing_can_be_written(target: Target, reader: Reader) -> None:
    with pytest.raises(Exception, match=r"read-only|readonly|cannot be written"):
        reader._connection.execute(tables.runs.delete())


def test_blocks_have_all_runs_that_ended_in_time(reader: Reader) -> None:
    def found(until: float | None = None, **other: Any) -> list[tuple[str, int, int]]:
        wanted = RunFilter(NAME, **other)
        return [(each.run, each.runs, each.failed) for each in reader.blocks(wanted, until=until, every=0.5, most=9)]

    assert found() == [("tick#60", 60, 0), ("web#1", 1, 1), ("tick#61", 1, 0), ("made#1", 1, 0), ("late#1", 1, 0)]
    assert found(until=T + 4) == [("tick#60", 60, 0)]
    assert found(since=T + 7.5) == [("late#1", 1, 0)]
    assert found(jobs=("tick",), killed={"bbbb2222": T + 9}) == [
        ("tick#60", 60, 0),
        ("tick#61", 1, 0),
        ("tick#1", 1, 1),
    ]
