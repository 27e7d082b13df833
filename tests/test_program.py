"""The description of a program: what is converted, and what is refused in words."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom import Check, Program
from taskloom.program import Target, parse_signal, parse_target


def refusal(make: Callable[..., object], *values: Any, **fields: Any) -> str:
    with pytest.raises(ValueError, match=r"^cannot ") as caught:
        make(*values, **fields)
    return str(caught.value)


def test_lists_become_tuples_and_names_of_signals_numbers() -> None:
    fields: dict[str, Any] = {
        "argv": ["a", ""],
        "stop_signal": "INT",
        "reload_signal": "sighup",
        "stop_command": ["b"],
        "success_codes": [0, 7],
        "env_files": ["x.env"],
    }
    program = Program(**fields)

    assert (program.argv, program.stop_command, program.env_files) == (("a", ""), ("b",), ("x.env",))
    assert (program.stop_signal, program.reload_signal) == (signal.SIGINT, signal.SIGHUP)
    assert program.success_codes == {0, 7}
    assert not program.announces_ready


def test_a_program_cannot_be_changed() -> None:
    env = {"A": "b"}
    program = Program(argv=("a",), env=env)
    env["A"] = "c"

    assert program.env == {"A": "b"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        program.cwd = "/"  # type: ignore[misc]  # the point of the test
    with pytest.raises(TypeError):
        program.env["A"] = "d"  # type: ignore[index]  # the point of the test


@every_case(
    ("fields", "says"),
    [
        ({"argv": ()}, "cannot use argv without a program"),
        ({"argv": ("",)}, "cannot use argv without a program"),
        ({"argv": "sleep 5"}, "cannot use 'sleep 5' as argv; expected a list of the program and its arguments"),
        ({"argv": None}, "cannot use null as argv"),
        ({"argv": ("sleep", 5)}, "cannot use 5 in argv; expected text: write it in quotes"),
        ({"argv": ("a\0b",)}, "expected text without a NUL character"),
        ({"argv": ("a",), "env": {"A=B": "c"}}, "cannot use 'A=B' as the name of a variable in env"),
        ({"argv": ("a",), "env": {"": "c"}}, "cannot use '' as the name of a variable in env"),
        ({"argv": ("a",), "env": {"A": 5}}, "cannot use the value of A in env; expected text: write it in quotes"),
        ({"argv": ("a",), "env": {"A": "b\0"}}, "cannot use the value of A in env: it contains a NUL character"),
        ({"argv": ("a",), "env_files": ("",)}, "cannot use '' in env_file"),
        ({"argv": ("a",), "cwd": "a\0"}, "in cwd; expected text without a NUL character"),
        ({"argv": ("a",), "stop_signal": "TREM"}, "did you mean 'TERM'?"),
        ({"argv": ("a",), "stop_signal": 0}, "cannot use 0 as a signal"),
        ({"argv": ("a",), "reload_signal": 99}, "cannot use 99 as a signal"),
        ({"argv": ("a",), "stop_command": "x y"}, "cannot use 'x y' as stop_command; expected a list"),
        ({"argv": ("a",), "success_codes": (256,)}, "cannot use 256 in success_codes; exit codes are 0 to 255"),
        ({"argv": ("a",), "success_codes": (True,)}, "cannot use true in success_codes"),
        ({"argv": ("a",), "ready_line": "("}, "cannot read '(' as a regular expression"),
        ({"argv": ("a",), "ready_line": "a{99999999999}"}, "as a regular expression"),
        ({"argv": ("a",), "ready_line": ""}, "expected a regular expression"),
        ({"argv": ("a",), "ready_address": "tcp://x"}, "cannot read 'tcp://x' as an address"),
        ({"argv": ("a",), "ready_line": "x", "ready_address": "tcp://x:1"}, "cannot use both a line and an address"),
    ],
    ids=str,
)
def test_what_cannot_be_started_is_refused_when_it_is_described(fields: dict[str, Any], says: str) -> None:
    assert says in refusal(Program, **fields)


def test_a_value_of_env_is_never_quoted() -> None:
    assert "hunter2" not in refusal(Program, argv=("a",), env={"PASSWORD": "hunter2\0"})


@every_case(
    ("fields", "says"),
    [
        ({}, "write one of command, tcp and http; none is given"),
        ({"tcp": "a:1", "http": "http://b"}, "not tcp and http"),
        ({"tcp": "a"}, "cannot read 'tcp://a' as an address; write tcp://HOST:PORT"),
        ({"tcp": "http://a:1"}, "cannot use an address of the kind http:// here"),
        ({"http": "https://a"}, "cannot use an address of the kind https:// here"),
        ({"command": "pg_isready"}, "cannot use 'pg_isready' as check.command; expected a list"),
        ({"tcp": "a:1", "every": 0}, "cannot use 0 as every of a check; expected more than 0"),
        ({"tcp": "a:1", "timeout": -1.0}, "cannot use -1 as timeout of a check"),
        ({"tcp": "a:1", "failures": 0}, "cannot use 0 as failures of a check; expected 1 or more"),
        ({"tcp": "a:1", "failures": True}, "cannot use true as failures"),
    ],
    ids=str,
)
def test_a_check_that_cannot_be_made_is_refused(fields: dict[str, Any], says: str) -> None:
    assert says in refusal(Check, **fields)


def test_a_check_says_what_it_asks() -> None:
    assert str(Check(tcp="127.0.0.1:80")) == "tcp://127.0.0.1:80"
    assert str(Check(command=("a", "b c"))) == "a 'b c'"
    assert Check(command=("a",)).target is None
    assert Check(tcp="a:1", every=10.0, timeout=5.0, failures=3).longest_silence == 45.0


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("tcp://localhost:80", Target("tcp", "localhost", 80, "")),
        ("TCP://[::1]:80", Target("tcp", "::1", 80, "")),
        ("http://h", Target("http", "h", 80, "/")),
        ("http://h:8000/a?b=c", Target("http", "h", 8000, "/a?b=c")),
        ("http://h?x", Target("http", "h", 80, "/?x")),
        ("unix:///run/a b.sock", Target("unix", "", 0, "/run/a b.sock")),
    ],
)
def test_an_address_is_read(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@every_case(
    "text",
    [
        "", "h:80", "tcp://", "tcp://h", "tcp://:80", "tcp://h:0", "tcp://h:65536", "tcp://h:80/path", "tcp://h:80x",
        "http://", "http://u@h/", "http://h /", "http://h/a b", "http://h/#x", "https://h", "udp://h:1", "unix://",
        "unix://" + "a" * 108, "tcp://h:99999999999999999999", 5, None,
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_not_an_address_is_refused(text: object) -> None:
    assert refusal(parse_target, text)


@every_case("value", ["", "SIG", "TERM TERM", "0", "-1", "RTMIN-1", "RTMAX+1", 0, -1, 65, True, None, 1.0])
def test_what_is_not_a_signal_is_refused(value: object) -> None:
    assert "expected a name such as HUP or SIGTERM, or a number" in refusal(parse_signal, value)
