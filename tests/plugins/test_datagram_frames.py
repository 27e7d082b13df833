"""The end of a datagram ends its last frame: what counts as whole, and what as cut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Start


@pytest.mark.parametrize(
    "row",
    [
        ({"framing": "line"}, b"a:1|c\nb:2|c", "a:1|c\nb:2|c\n", 0),
        ({"framing": "line"}, b"a:1|c\nb:2|c\n", "a:1|c\nb:2|c\n", 0),
        ({"framing": "line"}, b"a:1|c\r\nb:2|c\r\n", "a:1|c\nb:2|c\n", 0),
        ({"framing": "nul"}, b"a\0b", "a\nb\n", 0),
        ({"framing": "nul"}, b"a\0b\0", "a\nb\n", 0),
        ({"framing": "delimiter", "delimiter": ";"}, b"a;b", "a\nb\n", 0),
        ({"framing": "syslog"}, b"<13>a", "<13>a\n", 0),
        ({"framing": "octet-counted"}, b"1 a2 bb", "a\nbb\n", 0),
        ({"framing": "octet-counted"}, b"1 a5 bb", "a\n", 1),
        ({"framing": "fixed", "frame_size": 2}, b"aabbc", "aa\nbb\n", 1),
        ({"framing": "length-prefixed", "length_size": 1}, b"\1a\5b", "a\n", 1),
    ],
    ids=lambda row: f"{row[0]['framing']} {row[1]!r}",
)
def test_the_end_of_a_datagram_ends_its_last_frame(
    start: Start, out: Path, row: tuple[dict[str, Any], bytes, str, int]
) -> None:
    params, datagram, written, cut = row
    reader = start(SocketReader(listen="udp://127.0.0.1:0", output=str(out), **params))

    with reader.client() as client:
        client.send(datagram)
        client.send(datagram)
        reader.until_count("frames", 2 * written.count("\n"))
    reader.until_count("truncated", 2 * cut)
    reader.stop()

    assert out.read_text() == 2 * written
    assert (reader.ctx.counts["truncated"], reader.ctx.counts["drops"]) == (2 * cut, 2 * cut)
