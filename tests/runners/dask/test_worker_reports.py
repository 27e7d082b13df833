"""The reports about a run elsewhere, as JSON data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskloom.core.endings import ErrorInfo, How
from taskloom.core.run_reports import (
    CallbackFailed,
    RunEnded,
    RunReady,
    RunResponsive,
    RunStarted,
    RunStartFailed,
    RunUnresponsive,
)
from taskloom.runners.dask.reports import LARGEST_REPORT, ProcessSeen, RunReportElsewhere, decode, encode
from taskloom.runners.gauges import Progress
from taskloom.runners.wire import Gauged, Logged, Polled, ProtocolError, StackAnswer
from taskloom.text import to_json

RUN = "job#1"
ERROR = ErrorInfo("ValueError", "odd \udc80 \x00 €", "Traceback…", True)
LOST = RunEnded(RUN, How.LOST, ERROR, False, True, 12.5)
REPORTS: list[RunReportElsewhere] = [
    RunStarted(RUN, True), RunStarted(RUN, False), RunReady(RUN), RunUnresponsive(RUN, 3.5, "3 checks failed"),
    RunResponsive(RUN), CallbackFailed(RUN, "terminate", ERROR), RunStartFailed(RUN, ERROR),
    *(RunEnded(RUN, how, None, True, False) for how in How), LOST,
    Polled(7, True, False), Gauged(Progress(1, 2.5, "steps"), {"a": 10**20}), Gauged(None, {}),
    Logged(40, "n", "m \udc80", 1.5, "exc", "stack", "thread", "/path.py", 3, "run", {"a": [1]}),
    StackAnswer(7, "f.py:3 in run", "text"), ProcessSeen(17, 3, 2**40, 1.5, "sleeping"),
]  # fmt: skip

ODD_VALUES = [
    None, True, 0, -1, 10**400, 1.5, float("inf"), "", "text", "returned", [], [1, None, "s"], [1, 2], {}, {"a": "b"},
]  # fmt: skip
odd_values = st.sampled_from(ODD_VALUES)


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_report_is_read_back_after_it_was_json(report: RunReportElsewhere) -> None:
    text = to_json(encode(report), is_ascii=True)

    assert text.isascii()
    assert decode(RUN, json.loads(text)) == report


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_report_is_about_the_run_that_the_reader_names(report: RunReportElsewhere) -> None:
    assert getattr(decode("other#2", encode(report)), "run", "other#2") == "other#2"


@given(st.dictionaries(st.sampled_from([next(iter(encode(report))) for report in REPORTS]), odd_values, max_size=2))
def test_other_data_under_a_known_name_is_a_broken_protocol_or_a_report(data: dict[str, Any]) -> None:
    try:
        report = decode(RUN, data)
    except ProtocolError:
        return
    assert decode(RUN, encode(report)) == report


@given(st.data())
def test_a_report_with_one_changed_value_is_a_broken_protocol_or_a_report(data: st.DataObject) -> None:
    changed = json.loads(to_json(encode(data.draw(st.sampled_from(REPORTS)))))
    place = changed
    while isinstance(place, dict) and place:
        name = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or data.draw(st.booleans()):
            place[name] = data.draw(odd_values)
            break
        place = place[name]

    try:
        report = decode(RUN, changed)
    except ProtocolError:
        return
    assert decode(RUN, encode(report)) == report


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "it sent an empty report"),
        ({"begun": True}, "it sent 'begun', which is not a report"),
        ({"spec": {}}, "it sent 'spec', which is not a report"),
        ({"started": 1}, "'started' is 1; expected true or false"),
        ({"unresponsive": -1, "because": ""}, "'unresponsive' is -1; expected a number of seconds"),
        ({"ended": {**encode(LOST)["ended"], "how": "gone"}}, "'how' is 'gone'; expected how a run ends"),
        ({"ended": {"how": "raised"}}, "'ended' has no 'error'"),
        ({"process": {"pid": -1}}, "'process' has no 'processes'"),
    ],
)
def test_what_is_not_a_report_is_named_in_words(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(RUN, data)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    "report",
    [
        Logged(20, "n", "x" * 10**6, 1.5, extra={"a" * 100: "y" * 10**6}),
        Logged(20, "n", "m", 1.5, extra={str(number): "y" * 100 for number in range(10_000)}),
        Gauged(None, {f"counter {number}": number for number in range(20_000)}),
        RunEnded(RUN, How.RAISED, ErrorInfo("E", "é" * 10**6, "t" * 10**6, False), False, False),
        StackAnswer(1, "f.py:1 in run", "\udc80" * 10**6),
    ],
    ids=lambda report: type(report).__name__,
)
def test_a_report_that_would_be_too_large_is_cut(report: RunReportElsewhere) -> None:
    data = encode(report)

    assert len(to_json(data, is_ascii=True)) <= LARGEST_REPORT
    assert type(decode(RUN, data)) is type(report)
