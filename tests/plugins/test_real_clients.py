"""socket-reader with the programs that users connect to it: ten thousand lines each."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Running, Start

LINES = [f"line-{number:05}" for number in range(10_000)]
NeedTool = Callable[[str], str]


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of ten thousand different lines, in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"{line}\n" for line in LINES))
    return path


Begin = Callable[..., "Running"]


@pytest.fixture
def begin(start: Start, out: Path, lines: Path, need_tool: NeedTool) -> Begin:
    """Start a reader with these params and, if a command is given, run this program to its end.

    PORT and PATH in the command are the reader's, FILE is the file of lines, which is the standard input as well.
    """

    def go(*command: str, **params: Any) -> Running:
        reader = start(SocketReader(output=str(out), **params))
        if command:
            program = need_tool(command[0])
            values = {"PORT": str(reader.address.port), "PATH": reader.address.path, "FILE": str(lines)}
            arguments = [re.sub("PORT|PATH|FILE", lambda match: values[match[0]], each) for each in command[1:]]
            with lines.open("rb") as stdin:
                subprocess.run([program, *arguments], stdin=stdin, check=True, timeout=60, capture_output=True)
        return reader

    return go


def last_words(out: Path) -> list[str]:
    """Return the end of each record: the line that the client sent, without the header of syslog clients."""
    return [line.rpartition(" ")[2] for line in out.read_text().splitlines()]


TCP, TCP6, UNIX = "tcp://127.0.0.1:0", "tcp://[::1]:0", "unix://S"


@pytest.mark.parametrize(
    ("listen", "framing", "command"),
    [
        (TCP, "line", ["logger", "-T", "-P", "PORT", "-n", "127.0.0.1", "-f", "FILE"]),
        (TCP6, "syslog", ["logger", "-T", "-P", "PORT", "-n", "::1", "-f", "FILE"]),
        (TCP, "syslog", ["logger", "-T", "--octet-count", "-P", "PORT", "-n", "127.0.0.1", "-f", "FILE"]),
        (TCP, "octet-counted", ["logger", "-T", "--octet-count", "-P", "PORT", "-n", "127.0.0.1", "-f", "FILE"]),
        (TCP, "syslog", ["logger", "-T", "--rfc3164", "-P", "PORT", "-n", "127.0.0.1", "-f", "FILE"]),
        ("unix-dgram://S", "datagram", ["logger", "-u", "PATH", "-f", "FILE"]),
        (TCP, "line", ["socat", "-u", "OPEN:FILE", "TCP:127.0.0.1:PORT"]),
        (UNIX, "line", ["socat", "-u", "OPEN:FILE", "UNIX-CONNECT:PATH"]),
        (TCP, "line", ["nc", "-N", "127.0.0.1", "PORT"]),
        (UNIX, "line", ["nc", "-N", "-U", "PATH"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_ten_thousand_lines_arrive_in_order_and_exactly_once(
    begin: Begin, out: Path, listen: str, framing: str, command: list[str]
) -> None:
    reader = begin(*command, listen=listen, framing=framing)

    reader.until_count("frames", len(LINES))
    reader.stop()

    assert last_words(out) == LINES
    assert reader.ctx.counts["drops"] == reader.ctx.counts["truncated"] == reader.ctx.counts["malformed"] == 0


def test_over_udp_every_datagram_that_arrives_is_complete_and_losses_are_counted(begin: Begin, out: Path) -> None:
    reader = begin("logger", "-d", "-P", "PORT", "-n", "127.0.0.1", "-f", "FILE", listen="udp://127.0.0.1:0")

    reader.until(lambda: reader.ctx.counts["frames"] + reader.ctx.counts["lost"] == len(LINES), "account of each line")
    reader.stop()

    arrived = last_words(out)
    assert len(arrived) == reader.ctx.counts["frames"]
    assert arrived == sorted(set(arrived) & set(LINES))
    assert all(record.startswith("<13>1 ") for record in out.read_text().splitlines())


def test_nul_separated_names_arrive(begin: Begin, out: Path, lines: Path) -> None:
    lines.write_bytes(lines.read_bytes().replace(b"\n", b"\0"))

    reader = begin("nc", "-N", "127.0.0.1", "PORT", listen=TCP, framing="nul")
    reader.until_count("frames", len(LINES))
    reader.stop()

    assert last_words(out) == LINES


def test_a_connecting_reader_reads_what_socat_serves(begin: Begin, out: Path, lines: Path, need_tool: NeedTool) -> None:
    with subprocess.Popen([need_tool("socat"), "-u", f"OPEN:{lines}", "UNIX-LISTEN:S"]) as server:
        reader = begin(connect="unix://S", reconnect_delay=0.01)
        reader.until_count("frames", len(LINES))
        assert server.wait(20) == 0
    reader.stop()

    assert last_words(out) == LINES


RSYSLOG = """
module(load="imfile")
global(workDirectory="{folder}")
template(name="plain" type="string" string="<%PRI%>1 %msg%\\n")
input(type="imfile" file="{folder}/lines.txt" tag="test:" freshStartTail="off")
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" TCP_Framing="{framing}" template="plain")
"""


@pytest.mark.parametrize("framing", ["octet-counted", "traditional"])
def test_rsyslog_forwards_in_either_framing(
    begin: Begin, out: Path, need_tool: NeedTool, tmp_path: Path, framing: str
) -> None:
    reader = begin(listen=TCP, framing="syslog")
    config = tmp_path / "rsyslog.conf"
    config.write_text(RSYSLOG.format(folder=tmp_path, port=reader.address.port, framing=framing))

    with subprocess.Popen([need_tool("rsyslogd"), "-n", "-f", config, "-i", tmp_path / "pid"]) as server:
        try:
            reader.until_count("frames", len(LINES))
        finally:
            server.terminate()
            server.wait(20)
    reader.stop()

    assert last_words(out) == LINES
