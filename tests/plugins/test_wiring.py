"""Parameters that do not fit together are refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom_plugins.addresses import parse_address
from taskloom_plugins.socket_reader import SocketReader
from taskloom_plugins.socket_sender import SocketSender
from taskloom_plugins.wiring import Framing, Wiring

TCP, UDP, UNIX = "tcp://127.0.0.1:1", "udp://127.0.0.1:1", "unix:///run/S"


@every_case(
    ("params", "message"),
    [
        ({}, "cannot read with neither of 'listen' and 'connect'; give one of them"),
        ({"listen": TCP, "connect": TCP}, "cannot read with both of 'listen' and 'connect'; give one of them"),
        ({"connect": "tcp://:1"}, "cannot connect to 'tcp://:1'; it needs a host and a port other than 0"),
        ({"connect": "udp://h:0"}, "cannot connect to 'udp://h:0'; it needs a host and a port other than 0"),
        ({"listen": TCP, "framing": "delimiter"}, "cannot use framing delimiter without 'delimiter'"),
        ({"listen": TCP, "framing": "fixed"}, "cannot use framing fixed without 'frame_size'"),
        (
            {"listen": TCP, "delimiter": ";"},
            "cannot use 'delimiter' with framing line; it belongs to framing delimiter",
        ),
        ({"listen": TCP, "frame_size": 4}, "cannot use 'frame_size' with framing line; it belongs to framing fixed"),
        (
            {"listen": TCP, "framing": "fixed", "frame_size": 9, "max_frame": 8},
            "cannot use frame_size 9: it is over max_frame 8",
        ),
        (
            {"listen": TCP, "framing": "datagram"},
            f"cannot use framing datagram with {TCP}: a stream has no datagrams; use raw",
        ),
        (
            {"listen": UDP, "oversize": "close"},
            f"cannot use oversize close with {UDP}: datagrams have no connection; use drop or truncate",
        ),
        (
            {"listen": TCP, "framing": "raw", "decoder": "json"},
            "cannot decode json with framing raw: its pieces are arbitrary bytes; use decoder bytes",
        ),
        ({"listen": TCP, "encoding": "utf9"}, "cannot find text encoding 'utf9'; write utf-8, latin-1, ..."),
        ({"listen": TCP, "mode": "660"}, "cannot use 'mode' here; it is for a unix socket to listen on"),
        ({"connect": UNIX, "mode": "660"}, "cannot use 'mode' here; it is for a unix socket to listen on"),
        (
            {"connect": TCP, "send_on_connect": "\ud800"},
            "cannot use 'send_on_connect': half of a surrogate pair cannot be sent",
        ),
        (
            {"listen": TCP, "framing": "delimiter", "delimiter": "\ud800", "decoder": "bytes"},
            "cannot use delimiter '\\ud800' with encoding 'utf-8', which does not have it",
        ),
        (
            {"listen": "unix://@name", "mode": "660"},
            "cannot use 'mode' with unix://@name: an abstract socket has no file",
        ),
        ({"connect": "tcp://*:1"}, "cannot connect to 'tcp://*:1'; it needs a host and a port other than 0"),
        ({"listen": TCP, "send_on_connect": "hi"}, "cannot use 'send_on_connect' with 'listen'; it is for 'connect'"),
        (
            {"listen": UDP, "frame_timeout": 1.0},
            f"cannot use 'frame_timeout' with {UDP}: a datagram always arrives as a whole",
        ),
        (
            {"listen": UDP, "idle_timeout": 1.0},
            f"cannot use 'idle_timeout' with {UDP}: there is no connection to close",
        ),
    ],
)
def test_a_reader_refuses_parameters_without_effect_or_that_cannot_work(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="cannot") as caught:
        SocketReader(**params)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"to": "tcp://:1"}, "cannot send to 'tcp://:1'; it needs a host and a port other than 0"),
        ({"to": TCP, "line": "{m}"}, "cannot use line '{m}': '{m}' is not known; write {n}, {job}, and {{ for a brace"),
        ({"to": TCP, "line": "{n"}, "cannot use line '{n': '{' has no partner; write {n}, {job}, and {{ for a brace"),
        ({"to": TCP, "line": "{}"}, "cannot use line '{}': '{}' has no name; write {n}, {job}, and {{ for a brace"),
        (
            {"to": TCP, "line": "{n.x}"},
            "cannot use line '{n.x}': '{n.x}' has an attribute; write {n}, {job}, and {{ for a brace",
        ),
        ({"to": TCP, "line": "a\nb"}, "cannot use line 'a\\nb': it contains a newline, which would make it two lines"),
    ],
)
def test_a_sender_refuses_what_it_cannot_send(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="cannot") as caught:
        SocketSender(**params)

    assert str(caught.value) == message


def test_the_default_framing_is_that_of_the_address() -> None:
    assert SocketReader(listen=TCP)._wiring.framing == "line"
    assert SocketReader(listen=UDP)._wiring.framing == "datagram"


@pytest.mark.parametrize("framing", ["octet-counted", "syslog"])
def test_a_counted_message_may_have_a_mark_and_a_nul_around_it(framing: Framing) -> None:
    wiring = Wiring(SocketReader(listen=TCP, framing=framing), parse_address(TCP))

    frames = wiring.new_framer().feed(b"4 one\x005 two\n\x006 \xef\xbb\xbfsix")

    assert wiring.new_records().batch(frames, "").data == b"one\ntwo\nsix\n"
