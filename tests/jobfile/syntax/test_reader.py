"""Good job files are read correctly, the limits hold, and only JobFileError is raised."""

from __future__ import annotations

import gc
import os
import socket
import threading
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cpu_time import cpu_seconds
from tests.support.every_case import every_case

from taskloom.errors import JobFileError
from taskloom.jobfile.syntax import reader
from taskloom.jobfile.syntax.reader import Limits, Parser, Value, read_bytes, read_file
from taskloom.jobfile.syntax.scalars import hidden_character, is_text

PARSERS: tuple[Parser, ...] = get_args(Parser)

GOOD_FILES: tuple[tuple[str, bytes, Value], ...] = (
    ("words of YAML 1.1 are texts", b"a: [no, on, y, yes, off, =]\n", {"a": ["no", "on", "y", "yes", "off", "="]}),
    ("a key of YAML 1.1 is a text", b"on: 1\nno: 2\n", {"on": 1, "no": 2}),
    ("times and dates are texts", b"a: [1:30, '22:22', 22:22, 2024-13-45]\n",
     {"a": ["1:30", "22:22", "22:22", "2024-13-45"]}),
    ("numbers of the core schema", b"a: [0o17, 0x1F, 1e3, 3.10, -5, +5, .5, 5., 0, -0]\n",
     {"a": [15, 31, 1000.0, 3.1, -5, 5, 0.5, 5.0, 0, 0]}),
    ("what only looks like a number", b"a: [1_000, 0x, 0o8, 10m, 1.2.3, '010', +, -x, 0b1]\n",
     {"a": ["1_000", "0x", "0o8", "10m", "1.2.3", "010", "+", "-x", "0b1"]}),
    ("infinities", b"a: [.inf, -.INF, +.Inf]\n", {"a": [float("inf"), float("-inf"), float("inf")]}),
    ("nothing in four spellings", b"a:\nb: ~\nc: null\nd: NULL\n", {"a": None, "b": None, "c": None, "d": None}),
    ("booleans in three spellings", b"a: [true, True, FALSE, tRUE]\n", {"a": [True, True, False, "tRUE"]}),
    ("quotes make a text", b"a: '5'\nb: \"true\"\n'1': ''\n", {"a": "5", "b": "true", "1": ""}),
    ("block texts", b"a: |\n  x\n  5\nb: >-\n  y\n  z\n", {"a": "x\n5\n", "b": "y z"}),
    ("a byte order mark", b"\xef\xbb\xbfa: 1\n", {"a": 1}),
    ("line breaks of three systems", b"a: 1\r\nb: 2\rc: 3\n", {"a": 1, "b": 2, "c": 3}),
    ("a tab after the colon", b"a:\t1\nb: [1,\t2\t]\nc: 3\t# note\n", {"a": 1, "b": [1, 2], "c": 3}),
    ("questions and colons inside words", b"a: {u: http://x/?b=c, v: d?}\nb: x:y?z\n",
     {"a": {"u": "http://x/?b=c", "v": "d?"}, "b": "x:y?z"}),
    ("the start and the end of the document written out", b"---\na: 1\n...\n", {"a": 1}),
    ("the ? form of a key", b"? a\n: b\n", {"a": "b"}),
    ("an escaped NUL in a value", b'a: "\\0"\n', {"a": "\0"}),
    ("a joined emoji in a value", "a: 👨‍👩‍👧\n".encode(), {"a": "👨‍👩‍👧"}),
    ("names beyond ASCII", "grüße: 日本\n".encode(), {"grüße": "日本"}),
    ("an alias of a scalar, a list and a mapping", b"a: &s 5\nb: &l [1]\nc: &m {d: *s}\ne: [*s, *l, *m]\n",
     {"a": 5, "b": [1], "c": {"d": 5}, "e": [5, [1], {"d": 5}]}),
    ("own keys win over merged ones, before and after", b"a: &a {x: 1, y: 2}\nb: {x: 3, <<: *a}\nc: {<<: *a, x: 4}\n",
     {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": {"x": 4, "y": 2}}),
    ("of a merge list the earlier wins", b"a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc:\n  <<: [*a, *b]\n",
     {"a": {"x": 1}, "b": {"x": 2, "y": 3}, "c": {"x": 1, "y": 3}}),
    ("a merge of a merge", b"a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}\n",
     {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 2}}),
    ("a merge written in place", b"a: {<<: {x: 1, y: 2}, x: 3}\n", {"a": {"x": 3, "y": 2}}),
    ("a quoted << is a key", b"a: {'<<': 1}\n", {"a": {"<<": 1}}),
    ("a % in a text that is indented", b"a: |\n  %TAG\n", {"a": "%TAG\n"}),
)  # fmt: skip


@every_case("parser", PARSERS)
@every_case(("summary", "data", "expected"), GOOD_FILES, ids=[row[0] for row in GOOD_FILES])
def test_a_good_file_reads(summary: str, data: bytes, expected: Value, parser: Parser) -> None:
    document = read_bytes(data, "f.yaml", parser=parser)

    # repr() tells 1 from True and from 1.0, which == does not; the order of merged keys is not promised.
    assert repr(ordered(document.root)) == repr(ordered(expected))
    assert document.warnings == []
    assert document.path == "f.yaml"


def ordered(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return [ordered(item) for item in value] if isinstance(value, list) else value


@every_case("parser", PARSERS)
@every_case("data", [b"", b"\n\n", b"# nothing yet\n", b"---\n", b"null\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_a_warning(data: bytes, parser: Parser) -> None:
    document = read_bytes(data, "f.yaml", parser=parser)

    assert document.root is None
    assert [str(warning) for warning in document.warnings] == ["f.yaml:1:1: warning: file is empty"]


def bomb(levels: int, *, merge: bool) -> bytes:
    """Ten aliases of the level before on each level; with `merge`, `<<` brings them."""
    lines = ["a: &a {x: 1}"]
    for above, here in zip("abcdefghijklmnop", "bcdefghijklmnop"[:levels], strict=False):
        aliases = ",".join(10 * [f"*{above}"])
        lines.append(f"{here}: &{here} {{<<: [{aliases}]}}" if merge else f"{here}: &{here} [{aliases}]")
    return "\n".join(lines).encode()


@every_case("parser", PARSERS)
@every_case(
    "data",
    [bomb(8, merge=True), bomb(10, merge=True), bomb(15, merge=True), bomb(8, merge=False), bomb(15, merge=False)],
)
def test_a_bomb_of_aliases_or_merges_stops_at_the_budget(data: bytes, parser: Parser) -> None:
    with cpu_seconds() as spent, pytest.raises(JobFileError) as caught:
        read_bytes(data, "f.yaml", parser=parser)

    assert spent() < 0.5
    (problem,) = caught.value.problems
    assert problem.message == "cannot read more than 500,000 keys and values from one file, aliases written out"


def test_a_merge_bomb_of_four_hundred_bytes_within_the_budget_is_read() -> None:
    document = read_bytes(bomb(4, merge=True), "f.yaml")

    assert isinstance(document.root, dict)
    assert document.root["e"] == {"x": 1}


@pytest.mark.parametrize("parser", PARSERS)
def test_aliases_that_together_nest_too_deep_are_refused(parser: Parser) -> None:
    twenty = b"a: &a " + b"[" * 20 + b"]" * 20 + b"\n"
    data = twenty + b"b: " + b"[" * 12 + b"*a" + b"]" * 12 + b"\n"

    with pytest.raises(JobFileError) as caught:
        read_bytes(data, "f.yaml", parser=parser)

    assert [problem.message for problem in caught.value.problems] == ["cannot nest deeper than 32 levels"]


@pytest.mark.parametrize("parser", PARSERS)
def test_thirty_two_levels_are_read(parser: Parser) -> None:
    document = read_bytes(b"a: " + b"[" * 31 + b"]" * 31, "f.yaml", parser=parser)

    assert isinstance(document.root, dict)


def test_a_file_over_the_byte_limit_is_refused_without_parsing() -> None:
    with pytest.raises(JobFileError) as caught:
        read_bytes(b"a: 1234567890\n", "f.yaml", limits=Limits(bytes=10))

    assert str(caught.value) == "f.yaml:1:1: error: cannot read the file: it is larger than 10 bytes"


@pytest.mark.parametrize(
    "data", [b"a: [1, 2, 3, 4, 5]\n", b"a: 1\nb: 2\nc: 3\nd: 4\n", b"a: [[], [], [], [], [], []]\n"]
)
def test_more_nodes_than_the_limit_are_refused(data: bytes) -> None:
    with pytest.raises(JobFileError, match="cannot read more than 6 keys and values from one file"):
        read_bytes(data, "f.yaml", limits=Limits(nodes=6))


def test_a_large_hostile_list_stops_at_the_budget() -> None:
    match = "cannot read more than 500,000 keys and values"

    with cpu_seconds() as spent, pytest.raises(JobFileError, match=match):
        read_bytes(b"a: [" + b"1," * 4_000_000 + b"]", "f.yaml")

    assert spent() < 5


def test_reading_ends_after_a_thousand_problems() -> None:
    with pytest.raises(JobFileError) as caught:
        read_bytes(b"a: !x y\n" * 5_000, "f.yaml")

    assert len(caught.value.problems) == 1001
    assert caught.value.problems[-1].message == "cannot continue after 1,000 problems"


def test_a_shared_anchored_value_is_one_object() -> None:
    document = read_bytes(b"a: &a [1]\nb: *a\nc: *a\n", "f.yaml")

    assert isinstance(document.root, dict)
    assert document.root["a"] is document.root["b"] is document.root["c"]


@pytest.mark.parametrize("data", [b"a: 1\n", b"a: [\n"])
@pytest.mark.parametrize("was_enabled", [True, False])
def test_reading_restores_the_state_of_garbage_collection(data: bytes, was_enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()
        try:
            read_bytes(data, "f.yaml")
        except JobFileError:
            pass

        assert gc.isenabled() is was_enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_a_bug_in_the_reader_is_reported_as_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(reader, "decode", broken)

    with pytest.raises(JobFileError) as caught:
        read_bytes(b"a: 1\n", "f.yaml")

    assert str(caught.value) == "f.yaml:1:1: error: cannot read the file: internal error: KeyError: 'lost'"


def test_the_python_parser_is_used_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    monkeypatch.delattr(yaml, "CSafeLoader")

    document = read_bytes(b"a: 1\n", "f.yaml")

    assert document.root == {"a": 1}


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\n")

    document = read_file(path)

    assert (document.root, document.path, document.source.text) == ({"a": 1}, str(path), "a: 1\n")


def refusal(path: str | Path) -> str:
    with pytest.raises(JobFileError) as caught:
        read_file(path)
    (problem,) = caught.value.problems
    assert problem.place == (str(path), 1, 1, 1)
    return problem.message


def test_a_fifo_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    os.mkfifo(path)

    assert refusal(path) == "cannot read the file: it is a named pipe, not a regular file"


def test_a_directory_a_device_and_a_socket_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short

    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.yaml")

        assert refusal(tmp_path) == "cannot read the file: it is a directory, not a regular file"
        assert refusal("/dev/zero") == "cannot read the file: it is a device, not a regular file"
        assert refusal("s.yaml") == "cannot read the file: no such device or address"


def test_a_missing_file_a_link_to_itself_and_an_invalid_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")

    assert refusal(tmp_path / "none.yaml") == "cannot read the file: no such file or directory"
    assert refusal(tmp_path / "loop.yaml") == "cannot read the file: too many levels of symbolic links"
    assert refusal("a\0.yaml") == "cannot read the file: its path contains a NUL or half a surrogate pair"
    assert refusal("x" * 300) == "cannot read the file: file name too long"


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\n")
    opened = os.open

    def denied(name: str, flags: int) -> int:
        # Permissions do not bind root, who runs tests in containers.
        if name == str(path):
            raise PermissionError(13, "Permission denied")
        return opened(name, flags)

    monkeypatch.setattr(os, "open", denied)

    assert refusal(path) == "cannot read the file: permission denied"


def test_a_file_that_fails_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\n")

    def stale(descriptor: int, count: int) -> bytes:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(os, "read", stale)

    assert refusal(path) == "cannot read the file: stale file handle"


def test_an_endless_file_is_read_up_to_one_byte_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"#" * 1000)
    counts: list[int] = []
    real = os.read

    def counted(descriptor: int, count: int) -> bytes:
        chunk = real(descriptor, min(count, 7))  # a short read must not end the file
        counts.append(len(chunk))
        return chunk

    monkeypatch.setattr(os, "read", counted)

    with pytest.raises(JobFileError, match="it is larger than 100 bytes"):
        read_file(path, limits=Limits(bytes=100))

    assert sum(counts) == 101


def test_a_thread_with_a_small_stack_reads_a_deep_file() -> None:
    errors: list[JobFileError] = []

    def read() -> None:
        try:
            read_bytes(b"[" * 50_000, "f.yaml")
        except JobFileError as error:
            errors.append(error)

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)

    assert [str(error) for error in errors] == ["f.yaml:1:33: error: cannot nest deeper than 32 levels"]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(
    # safe_dump writes YAML 1.1: what only 1.2 takes for a number, such as 0o17, it leaves without quotes.
    lambda text: is_text(text) or yaml.safe_dump(text)[0] in "'\""
)
keys = texts.filter(lambda text: hidden_character(text) is None)
numbers = st.integers(-(10**18) + 1, 10**18 - 1) | st.floats(allow_nan=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


given_plain_data = given(
    plain=st.dictionaries(keys, values, max_size=5), flow=st.booleans(), width=st.sampled_from([20, 80, 4000])
)


@settings(deadline=None, max_examples=50)
@given_plain_data
def test_plain_data_written_as_yaml_reads_as_the_same_data(plain: dict[str, Value], flow: bool, width: int) -> None:
    hold(plain, flow, width)


@pytest.mark.long
@settings(deadline=None, max_examples=1_000)
@given_plain_data
def test_very_much_plain_data_reads_as_the_same_data(plain: dict[str, Value], flow: bool, width: int) -> None:
    hold(plain, flow, width)


def hold(plain: dict[str, Value], flow: bool, width: int) -> None:
    """One run for both parsers, because generating the data takes longer than reading it."""
    text = yaml.safe_dump(plain, default_flow_style=flow, width=width, sort_keys=False)

    documents = [read_bytes(text.encode(), "f.yaml", parser=parser) for parser in PARSERS]

    assert [repr(document.root) for document in documents] == [repr(plain)] * len(PARSERS)
