"""The `line` of socket-sender: two names to fill in, and nothing of what `str.format` can do beside that."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.support.every_case import every_case

from taskloom.testing import FakeContext
from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.line_template import LineTemplate
from taskloom_plugins.socket_sender import SocketSender

LEGAL = "write {n}, {job}, and {{ for a brace"


@every_case(
    ("text", "filled"),
    [
        ("hello {n}", "hello 7"),
        ("{job}-{job} {n}{n}", "reader-reader 77"),
        ('{{"n": {n}}}', '{"n": 7}'),
        ("{{n}}", "{n}"),
        ("{{{n}}}", "{7}"),
        ("{{}} }}{{", "{} }{"),
        ("<13>1 - {job} %s $n \\{n} {{{{", "<13>1 - reader %s $n \\7 {{"),
        ("ß €\t", "ß €\t"),
        ("", ""),
    ],
)
def test_the_two_names_are_filled_in_and_doubled_braces_are_braces(text: str, filled: str) -> None:
    assert LineTemplate(text).fill(7, "reader") == filled


def test_the_name_of_a_job_is_not_read_again() -> None:
    assert LineTemplate("{job} {n}").fill(1, "{n}") == "{n} 1"


@every_case(
    ("token", "why"),
    [
        ("{n:>9999999999}", "has a format specification"),
        ("{number:>9999999999}", "has a format specification"),
        ("{job:1000000000}", "has a format specification"),
        ("{n:}", "has a format specification"),
        ("{n!r}", "has a conversion"),
        ("{job!s:>5}", "has a conversion"),
        ("{n.__class__}", "has an attribute"),
        ("{job.__init__.__globals__}", "has an attribute"),
        ("{job[0]}", "has an index"),
        ("{0[0]}", "has an index"),
        ("{}", "has no name"),
        ("{0}", "has no name"),
        ("{12}", "has no name"),
        ("{number}", "is not known"),
        ("{jobs}", "is not known; did you mean {job}?"),
        ("{Job}", "is not known; did you mean {job}?"),
        ("{N}", "is not known; did you mean {n}?"),
        ("{ n }", "is not known; did you mean {n}?"),
        ("{", "has no partner"),
        ("}", "has no partner"),
    ],
)
def test_everything_else_in_braces_is_refused_when_the_file_is_loaded(token: str, why: str) -> None:
    line = f"a {token} b"

    with pytest.raises(ValueError, match=r"^cannot use ") as caught:
        SocketSender(to="tcp://127.0.0.1:1", line=line)

    assert f"cannot use line {line!r}: {token!r} {why}; {LEGAL}" in str(caught.value)


@pytest.mark.parametrize("line", ['{"n": {n}}', "{n:{job}}", "{n", "n}", "{{n}", "{n}}", "{{{n}}"])
def test_braces_that_do_not_pair_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"'[{}]' has no partner"):
        LineTemplate(line)


def test_of_a_long_line_the_error_shows_the_beginning() -> None:
    with pytest.raises(ValueError, match=r"^cannot use ") as caught:
        LineTemplate("x" * 1_000_000 + "{y}")

    assert len(str(caught.value)) < 400


def test_half_a_surrogate_pair_is_refused_because_it_could_never_be_sent() -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair cannot be sent"):
        LineTemplate("\ud800")


@pytest.mark.parametrize("scheme", ["udp", "unix-dgram"])
def test_a_line_that_does_not_fit_into_a_datagram_is_a_failure_and_not_sent_again_and_again(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    family = socket.AF_INET if scheme == "udp" else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_DGRAM) as server, FakeContext() as ctx:
        server.bind(("127.0.0.1", 0) if scheme == "udp" else "S")
        to = f"udp://127.0.0.1:{server.getsockname()[1]}" if scheme == "udp" else "unix-dgram://S"
        sender = SocketSender(to=to, line="x" * 2_000_000)

        with pytest.raises(EndpointError) as caught:
            sender.run(ctx)

    assert str(caught.value) == f"cannot send line 1 to {to}: 2000000 bytes do not fit into a datagram"


def test_the_error_has_its_place_in_the_job_file(
    taskloom_cli: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    params = json.dumps({"to": "tcp://127.0.0.1:1", "line": "{n:>9999999999}"})
    (tmp_path / "jobs.yaml").write_text(f"jobs:\n  sender:\n    task: socket-sender\n    params: {params}\n")

    done = taskloom_cli("validate", "jobs.yaml")

    assert done.returncode == 2
    assert re.search(r"jobs\.yaml:\d+:\d+: error: .*has a format specification", done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
