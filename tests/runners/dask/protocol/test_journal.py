"""The entries of an agent: what is kept, and how much of it."""

from __future__ import annotations

from typing import Any

from taskloom.runners.dask.protocol.journal import LOG_BYTES, REPLY_BYTES, Journal
from taskloom.runners.dask.protocol.messages import Entry
from taskloom.text import to_json


def log(text: str) -> dict[str, Any]:
    return {"log": {"message": text}}


def test_of_polls_progress_and_processes_the_latest_is_kept() -> None:
    journal = Journal()
    for n in range(1000):
        journal.add_report("e1", {"poll": {"n": n}})
        journal.add_report("e2", {"poll": {"n": -n}})
        journal.add_report("e1", {"process": {"pid": n}})
        journal.add_report("e1", {"unresponsive": float(n)}) if n < 2 else None

    data = [(entry.execution, entry.data) for entry in journal.unacknowledged()]
    assert data == [
        ("e1", {"unresponsive": 0.0}), ("e1", {"unresponsive": 1.0}), ("e1", {"poll": {"n": 999}}),
        ("e2", {"poll": {"n": -999}}), ("e1", {"process": {"pid": 999}}),
    ]  # fmt: skip


def test_counters_are_merged() -> None:
    journal = Journal()
    journal.add_report("e1", {"progress": [1, 2, ""], "counts": {"a": 1, "b": 1}})
    journal.unacknowledged()
    journal.add_report("e1", {"progress": [2, 2, ""], "counts": {"b": 2}})

    assert [entry.data for entry in journal.unacknowledged()] == [{"progress": [2, 2, ""], "counts": {"a": 1, "b": 2}}]


def test_what_is_acknowledged_is_not_merged_again() -> None:
    journal = Journal()
    journal.add_report("e1", {"progress": None, "counts": {"a": 1}})
    journal.acknowledge(1)
    journal.add_report("e1", {"progress": None, "counts": {"b": 2}})

    assert [(entry.number, entry.data["counts"]) for entry in journal.unacknowledged()] == [(2, {"b": 2})]


def test_a_reply_is_bounded_and_the_rest_follows() -> None:
    journal = Journal()
    for _ in range(100):
        journal.add_report("e1", {"stack": 1, "text": "x" * 10_000})

    seen: list[int] = []
    while entries := journal.unacknowledged():
        assert sum(len(to_json(list(entry), is_ascii=True)) for entry in entries) <= REPLY_BYTES
        seen += [entry.number for entry in entries]
        journal.acknowledge(entries[-1].number)
    assert seen == list(range(1, 101))


def test_an_entry_that_is_larger_than_a_reply_is_sent_alone() -> None:
    journal = Journal()
    for _ in range(2):
        journal.add_report("e1", {"stack": 1, "text": "x" * (REPLY_BYTES + 1)})

    assert [entry.number for entry in journal.unacknowledged()] == [1]


def test_publications_are_bounded_and_have_no_gap() -> None:
    journal = Journal()
    for _ in range(100):
        journal.add_report("e1", {"stack": 1, "text": "x" * 10_000})

    last = 0
    while (published := journal.unpublished())[1]:
        assert published[0] == last
        last = published[1][-1].number
    assert last == 100


def test_the_oldest_log_lines_are_dropped_and_the_gap_is_counted() -> None:
    journal = Journal()
    for n in range(300):
        journal.add_report("e1", log(f"{n}" + "x" * 10_000))
    journal.add_report("e1", {"ended": {}})

    kept: list[Entry] = []
    while entries := journal.unacknowledged():
        kept += entries
        journal.acknowledge(entries[-1].number)
    lines = [entry for entry in kept if entry.kind == "log"]
    assert [entry.line for entry in lines] == list(range(300 - len(lines) + 1, 301))
    assert LOG_BYTES * 0.9 < sum(len(to_json(list(entry))) for entry in lines) <= LOG_BYTES
    assert kept[-1].data == {"ended": {}}


def test_acknowledged_log_lines_make_room() -> None:
    journal = Journal()
    for n in range(1000):
        journal.add_report("e1", log("x" * 10_000))
        journal.acknowledge(n + 1)
    journal.add_report("e1", log("last"))

    assert [(entry.line, entry.number) for entry in journal.unacknowledged()] == [(1001, 1001)]


def test_other_entries_are_never_dropped() -> None:
    journal = Journal()
    journal.add("claim", "e1", {"run": "r"})
    for _ in range(300):
        journal.add_report("e1", log("x" * 10_000))

    assert journal.unacknowledged()[0].kind == "claim"
