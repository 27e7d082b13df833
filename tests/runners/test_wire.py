"""The messages between a runner of processes and its workers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom.core.endings import ErrorInfo, How, Reason, ReasonKind
from taskloom.runners.gauges import Progress
from taskloom.runners.wire import (
    LONGEST_LINE,
    CallbackFailed,
    Cancel,
    Down,
    Ended,
    Gauged,
    Hello,
    LineReader,
    Logged,
    Polled,
    PollInterval,
    ProtocolError,
    Ready,
    Spec,
    StackAnswer,
    StackRequest,
    Started,
    StartFailed,
    Up,
    Urgent,
    decode_down,
    decode_up,
    encode,
)

ERROR = ErrorInfo("ValueError", "odd \udc80 \x00 €", "Traceback…", True)
SPEC = Spec(
    "1", ["/a b"], "job", "job#1", "task", 1, 0, False, 0.5, "module", "Class.task", {"a": [1, 2.5, None, {"b": "x"}]},
    None, "module:task", {"": 20, "taskloom": 10},
)  # fmt: skip
DOWN: list[Down] = [
    SPEC, Spec(**{**SPEC.data(), "values": {"a": 1.0}}), Cancel(Reason(ReasonKind.SIGNAL, "SIGTERM", 15)),
    Cancel(Reason(ReasonKind.USER)), Urgent(), PollInterval(2.0), StackRequest(7),
]  # fmt: skip
UP: list[Up] = [
    Hello("0.1.0", 12), Hello("0.1.0", 12, 900, 2**47), Started(True, 0.5), Started(False), StartFailed(ERROR), Ready(),
    Polled(10**12, True, False), Gauged(None, {}), Gauged(Progress(1, 2.5, "steps"), {"a": 1}),
    Gauged(Progress(1, None, ""), {}), Logged(20, "taskloom.task", "text \udc80", 1.5),
    Logged(40, "n", "m", 1.5, "exc", "stack", "thread", "/path.py", 3, "run", {"a": [1]}),
    CallbackFailed("terminate", ERROR), StackAnswer(7, "f.py:3 in run", "text"),
    *(Ended(how, None, True, False) for how in How if how not in (How.KILLED, How.LOST)),
    Ended(How.RAISED, ERROR, False, True),
]  # fmt: skip


@pytest.mark.parametrize("message", DOWN, ids=lambda message: type(message).__name__)
def test_a_message_to_the_worker_is_read_back(message: Down) -> None:
    assert decode_down(encode(message)) == message


@every_case("message", UP, ids=lambda message: type(message).__name__)
def test_a_message_to_the_runner_is_read_back(message: Up) -> None:
    line = encode(message)

    assert decode_up(line) == message
    assert line.isascii()
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]


BROKEN: dict[bytes, str] = {
    b"": "it sent a line that is not JSON: b''",
    b"{}": "it sent an empty object",
    b"[1]": "it sent [1] in place of an object",
    b'"text"': "it sent 'text' in place of an object",
    b"\xff\xfe": "it sent a line that is not UTF-8",
    b'{"started": true': "it sent a line that is not JSON",
    b"[" * 100_000: "it sent a line that is not JSON",
    b"9" * 5000: "it sent a line that is not JSON",
    b'{"spec": {}}': "it sent 'spec', which is not a message",
    b'{"started": 1, "at": 0.5}': "'started' is 1; expected true or false",
    b'{"hello": "1"}': "'hello' has no 'pid'",
    b'{"hello": 1, "pid": 1, "dump": -1, "thread": 0}': "'hello' is 1; expected a text",
    b'{"hello": "1", "pid": true, "dump": -1, "thread": 0}': "'pid' is true; expected a whole number",
    b'{"poll": [1, true, true]}': "'poll' is [1, True, True]; expected an object",
    b'{"poll": {"n": 1.5, "waiting": true, "wakeable": true}}': "'n' is 1.5; expected a whole number",
    b'{"progress": [1, 2], "counts": {}}': "'progress' is [1, 2]; expected [done, total, unit]",
    b'{"progress": [NaN, 2, ""], "counts": {}}': "'done' is nan; expected a number",
    b'{"progress": null, "counts": {"a": "b"}}': "'a' is 'b'; expected a whole number",
    b'{"progress": null}': "'progress' has no 'counts'",
    b'{"log": {"level": 20}}': "'log' has no 'name'",
    b'{"callback_failed": {"name": "x", "error": null}}': "'error' is null; expected an object",
    b'{"ended": {"how": "killed", "error": null, "was_requested": true, "callback_ran": true}}': (
        "'how' is 'killed'; expected how a body ends"
    ),
    b'{"ended": {"how": [], "error": null, "was_requested": true, "callback_ran": true}}': "'how' is []; expected",
    b'{"start_failed": {"type": "A", "message": "b", "traceback": "c"}}': "'start_failed' has no 'is_explained'",
}


@every_case(("line", "text"), BROKEN.items(), ids=[str(number) for number in range(len(BROKEN))])
def test_a_broken_line_is_refused_in_words(line: bytes, text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_up(line)

    assert str(caught.value).startswith(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "line", [b'{"cancel": {"kind": "mood", "text": "", "signal": null}}', b'{"cancel": {"kind": "user", "text": ""}}']
)
def test_a_broken_reason_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_down(line)


@every_case("line", [encode(message) for message in UP], ids=lambda line: str(next(iter(json.loads(line)))))
def test_any_field_that_is_gone_or_has_another_type_is_refused_or_read(line: bytes) -> None:
    """No other error ever comes from a line."""
    data = json.loads(line)
    name = next(iter(data))
    values: list[Any] = [None, 1, "x", True, [], {}, [[]], {"a": {}}, -1.5]
    for value in values:
        for changed in ({name: value}, {**data, name: value}, *_with_fields(data, name, value)):
            try:
                decode_up(json.dumps(changed).encode())
            except ProtocolError:
                pass


def _with_fields(data: dict[str, Any], name: str, value: Any) -> list[dict[str, Any]]:
    inner = data[name]
    return [{**data, name: {**inner, field: value}} for field in inner] if isinstance(inner, dict) else []


@pytest.mark.parametrize("text", ["x", "\x00", "\U0001f600"])
@pytest.mark.parametrize("size", [50_000, 1_500_000])
def test_texts_that_are_too_long_are_cut(text: str, size: int) -> None:
    long = text * size
    for message in (
        Logged(20, long, long, 1.0, long),
        StartFailed(ErrorInfo(long, long, long)),
        StackAnswer(1, "", long),
    ):
        assert len(encode(message)) <= LONGEST_LINE
        decode_up(encode(message))


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"a": "x" * LONGEST_LINE}, "the params take 1,"),
        ({"a": object()}, "it is not JSON data: Object of type object is not JSON serializable"),
    ],
    ids=["too long", "an object"],
)
def test_params_that_cannot_be_sent_are_refused(params: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        encode(Spec(**{**SPEC.data(), "params": params}))


def test_params_that_are_nested_too_deeply_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(ValueError, match="nested too deeply"):
        encode(Spec(**{**SPEC.data(), "params": {"a": deep}}))
    while deep:  # a list that is freed as a whole needs the stack of the thread
        deep = deep.pop()


def test_lines_are_put_together_from_any_pieces() -> None:
    data = b"one\n\ntwo\nthree"
    for size in range(1, len(data)):
        reader = LineReader()
        pieces = [data[start : start + size] for start in range(0, len(data), size)]

        assert [line for piece in pieces for line in reader.feed(piece)] == [b"one", b"", b"two"]
        with pytest.raises(ProtocolError, match="it ended within a line, after 5 bytes of it"):
            reader.end()
        assert reader.feed(b"\n") == [b"three"]
        reader.end()


def test_the_longest_line_is_taken_and_a_longer_one_refused() -> None:
    longest = b"x" * (LONGEST_LINE - 1)

    assert LineReader().feed(longest + b"\n") == [longest]
    for data in (b"x" * LONGEST_LINE + b"\n", b"x" * (LONGEST_LINE + 1)):
        with pytest.raises(ProtocolError, match="longer than 1,048,576 bytes"):
            LineReader().feed(data)
