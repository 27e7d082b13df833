"""JSON: no number that JSON does not have, wherever Taskloom writes or returns it."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore

from taskloom import Job, Scheduler
from taskloom.core.events import Event, EventName, as_dict
from taskloom.core.model import WAIT_FOR_EVER, Moment, Phase
from taskloom.core.report import make_stop_report
from taskloom.observe.job_data import job_as_json
from taskloom.runners.gauges import Progress
from taskloom.testing import make_job
from taskloom.text import finite, plain, to_json

FRAMEWORK = Path(__file__).resolve().parents[1] / "framework"
INF, NAN = float("inf"), float("nan")


def strict(text: str) -> Any:
    """Return the data. Raises ValueError for `Infinity` and `NaN`."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("number", "found"), [(1.23456789, 1.234568), (3, 3), (INF, None), (-INF, None), (NAN, None), (None, None)]
)
def test_a_number_that_json_does_not_have_is_none(number: float | None, found: float | None) -> None:
    assert finite(number) == found


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"a": [1.5, INF, {"b": NAN}], "c": (-INF, "x")}, {"a": [1.5, None, {"b": None}], "c": [None, "x"]}),
        ({INF: 1, 2: INF}, {"inf": 1, "2": None}),
        (INF, None),
        ({"a": "Infinity", "b": None, "c": True}, {"a": "Infinity", "b": None, "c": True}),
        (EventName.ENDED, "ended"),
    ],
)
def test_what_is_infinite_or_no_number_becomes_null(data: Any, found: Any) -> None:
    assert strict(to_json(data)) == found
    assert strict(to_json(data, indent=2, is_ascii=True)) == found


def test_other_objects_are_converted_by_default() -> None:
    assert strict(to_json({"path": Path("x"), "n": INF}, default=str)) == {"path": "x", "n": None}


def test_plain_leaves_other_values_as_they_are() -> None:
    value = object()

    assert plain({"a": value, "b": "x"}) == {"a": value, "b": "x"}


def test_the_json_of_an_event_has_no_infinity() -> None:
    event = Event(1, 0.0, 5.0, EventName.UNRESPONSIVE, "a", "a#1", 1, seconds=INF, data={"poll_age": INF, "x": [NAN]})

    found = as_dict(event)

    assert (found["seconds"], found["poll_age"], found["x"]) == (None, None, [None])
    json.dumps(found, allow_nan=False)


def test_the_json_of_a_stop_report_has_no_infinity() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", within=WAIT_FOR_EVER))
    stage.run("a")
    stage.shutdown(WAIT_FOR_EVER)
    stage.hurry(1)
    stage.advance(1)
    stage.stack_captured("a#1")
    report = make_stop_report(stage.lifecycle, stage.clock.now())
    endless = replace(report.survivors[0], within=INF, waited=INF, poll_age=NAN)

    found = replace(report, seconds=INF, survivors=(endless,)).as_dict()

    assert stage.lifecycle.phase is Phase.STOPPED
    assert found["survivors"][0]["within"] is None
    assert (found["seconds"], found["survivors"][0]["poll_age"]) == (None, None)
    json.dumps(found, allow_nan=False)


def test_the_json_of_a_status_has_no_infinity() -> None:
    with Scheduler() as scheduler:
        status = scheduler.add(Job(name="a", task=lambda ctx: None, join="wait")).status()

    found = replace(status, worst_gap=INF, poll_age=INF, progress=Progress(NAN, INF, "")).as_dict()

    assert found["worst_gap"] is None
    assert found["progress"] == {"done": None, "total": None, "unit": ""}
    json.dumps(found, allow_nan=False)


def test_the_json_of_a_job_has_no_infinity() -> None:
    found = job_as_json(make_job("a", within=WAIT_FOR_EVER), Moment(0.0, 0.0))

    assert found["join"]["within"] is None
    json.dumps(found, allow_nan=False)


# Where `json.dumps` makes no output of Taskloom: values in messages, the input of pydantic, how others may write a
# secret, the messages between a runner and its worker with what can be sent so, and the notes of the tasks of a test.
OTHERS = {
    *("text.py", "diagnostics.py", "catalog/pydantic_params.py", "cli/format_type.py"),
    *("observe/secret_forms.py", "runners/wire.py", "worker/__main__.py", "catalog/crossing.py"),
    "testing/runner_tasks.py",
}


def calls_of_json(file: Path) -> Iterator[int]:
    source = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source if "json.dump" in source else "")):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dumps", "json.dump"):
            yield node.lineno


def test_all_json_is_written_in_one_place() -> None:
    home = FRAMEWORK / "taskloom"

    found = [f"{file}:{line}" for file in sorted(home.rglob("*.py")) for line in calls_of_json(file)]

    assert {str(Path(each.partition(":")[0]).relative_to(home)) for each in found} == OTHERS


def test_a_whole_number_that_python_refuses_to_write_is_null() -> None:
    assert to_json({"counts": {"a": 10**5000, "b": True, "c": 7}}) == '{"counts": {"a": null, "b": true, "c": 7}}'
    assert to_json(10**4298) == "1" + "0" * 4298
