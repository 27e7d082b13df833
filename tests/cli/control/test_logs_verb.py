"""`taskloom logs`: lines as text, as JSON, and as they come."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_control import STREAM, event_text

from taskloom.cli.control.follow_text import InOrder
from taskloom.cli.control.instants import read_instant
from taskloom.cli.control.log_lines import LogLines
from taskloom.control.client_errors import NoProgram
from taskloom.control.exchange import ServerSentEvent
from taskloom.control.reply_fields import Fields
from taskloom.observe.log_file import file_name
from taskloom.observe.log_format import LogFormat, LogMessage, render
from taskloom.observe.name_column import NameColumn

FROM = "2026-01-31T11:00:00.000000Z"


def line(number: int, text: str, job: str = "web", level: str = "info", second: int | None = None) -> dict[str, Any]:
    at = f"2026-01-31T12:00:{number % 60 if second is None else second:02d}.250000Z"
    return {"at": at, "level": level, "job": job, "run": f"{job}#1", "text": text, "seq": number}


def texts(out: str) -> list[str]:
    return [each.split(maxsplit=2)[2] for each in out.splitlines()]


def test_the_last_lines_of_one_job_have_no_name_and_those_of_several_have(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    found = [line(1, "one"), line(2, "two")]
    fake = play({"/v1/logs": {"from": FROM, "lines": found}})

    one, several = ask(fake, "logs", "web", "-n", "2"), ask(fake, "logs", "-n", "2")

    assert texts(one.out) == ["one", "two"]
    assert texts(several.out) == ["web          one", "web          two"]
    assert (one.err, one.code) == ("", 0)
    assert [request[1] for request in fake.requests] == ["/v1/logs?job=web&lines=2", "/v1/logs?lines=2"]


def test_fewer_lines_than_asked_for_are_shown_with_the_time_from_which_on_there_are_lines(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    fake = play({"/v1/logs": {"from": FROM, "lines": [line(1, "one")]}})

    answer, older = ask(fake, "logs"), ask(fake, "logs", "--since", "2026-01-31T10:00:00Z")
    newer = ask(fake, "logs", "--since", "2026-01-31T11:30:00Z")

    assert answer.err == older.err == f"taskloom: the program has lines from {FROM} on\n"
    assert newer.err == ""


def test_a_program_without_lines_says_so(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    answer = ask(play({"/v1/logs": {"from": None, "lines": []}}), "logs")

    assert (answer.out, answer.err) == ("", "taskloom: the program has no lines of these jobs yet\n")


def test_grep_is_a_regular_expression_and_only_lines_that_match_count(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    found = [line(number, f"try {number}") for number in range(1, 13)]
    fake = play({"/v1/logs": {"from": FROM, "lines": found}})

    answer = ask(fake, "logs", "web", "--grep", "[12]$", "-n", "2", "-o", "json")

    assert [json.loads(each)["seq"] for each in answer.out.splitlines()] == [11, 12]
    assert fake.requests[0][1] == "/v1/logs?job=web&lines=10000"


def test_lines_are_shown_in_the_order_of_their_times(play: Callable[..., Any], ask: Callable[..., Any]) -> None:
    fake = play({"/v1/logs": {"from": FROM, "lines": [line(1, "print", second=2), line(2, "started", second=1)]}})

    assert texts(ask(fake, "logs", "web").out) == ["started", "print"]


def test_following_shows_what_comes_and_tells_gaps_until_the_program_ends(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    stream = STREAM + b"".join(
        [
            event_text("line", line(8, "one"), "0a1b2c3d.8"),
            event_text("gap", {"from": "0a1b2c3d.8", "to": "bb.0", "why": "restart"}),
            event_text("line", line(1, "two"), "bb.1"),
            event_text("end", {}),
        ]
    )
    fake = play({"follow /v1/logs": stream})

    text, data = ask(fake, "logs", "-f", "web"), ask(fake, "logs", "-f", "-n", "0", "--grep", "two", "-o", "json")

    assert texts(text.out) == ["one", "two"]
    assert text.err == "taskloom: the program was restarted; lines from before that may be missing here\n"
    assert [json.loads(each).get("text", "gap") for each in data.out.splitlines()] == ["gap", "two"]
    assert fake.requests[0][1] == "/v1/logs?job=web&lines=100&follow=true"
    assert fake.requests[1][1] == "/v1/logs?lines=0&follow=true"


def test_following_with_grep_begins_with_the_last_lines_that_match(
    play: Callable[..., Any], ask: Callable[..., Any]
) -> None:
    found = [line(number, f"try {number}") for number in range(1, 31)]
    stream = STREAM + event_text("line", line(31, "try 31"), "0a1b2c3d.31") + event_text("end", {})
    fake = play({"/v1": {"start": "0a1b2c3d"}, "/v1/logs": {"from": FROM, "lines": found}, "follow /v1/logs": stream})

    answer = ask(fake, "logs", "-f", "web", "-n", "2", "--grep", "1$")

    assert texts(answer.out) == ["try 11", "try 21", "try 31"]
    assert fake.requests[-1][1] == "/v1/logs?job=web&follow=true&since=0a1b2c3d.30"


def test_without_a_program_it_says_where_the_log_files_are_if_that_is_known(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("logs", "--socket", str(tmp_path / "none.sock"))
    monkeypatch.setenv("TASKLOOM_LOG_DIR", str(tmp_path / "gone"))
    gone = ask(None, *words)
    monkeypatch.setenv("TASKLOOM_LOG_DIR", str(tmp_path))
    there = ask(None, *words)

    assert gone.code == there.code == 4
    assert "log files" not in gone.err
    assert there.err.endswith(
        f"`taskloom logs --log-dir {shlex.quote(str(tmp_path))}` shows the lines of earlier programs\n"
    )


@pytest.fixture
def written(tmp_path: Path) -> str:
    """A folder of log files, as a program has left it."""
    folder = tmp_path / "log dir"
    begun = read_instant("2026-01-31T12:00:00Z") or 0.0
    for log_format, job, lines in (
        (LogFormat.FULL, "web.1", ["one", "two"]),
        (LogFormat.JSON, "web.1", ["three", "  failed\nin two lines"]),
        (LogFormat.FULL, "a-name-that-is-longer-than-the-column", [" four"]),
        (LogFormat.FULL, "urllib3", ["five"]),
    ):
        folder.mkdir(exist_ok=True)
        path = folder / file_name("_taskloom" if job == "urllib3" else job)
        if path.exists():
            path.rename(f"{path}.1")
        shown = [render(log_format, LogMessage(each, "INFO", job, f"{job}#1"), begun + len(each)) for each in lines]
        path.write_text("".join(shown))
    with (folder / "web.1.log").open("a") as file:
        file.write('{"at": "2026-01-31T12:')  # a program was killed
    return str(folder)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["web"], ["one", "two", "three", "  failed", "in two lines", '{"at": "2026-01-31T12:']),
        (["web", "-n", "3"], ["three", "  failed", "in two lines", '{"at": "2026-01-31T12:']),
        (["w*", "--grep", "^t"], ["web.1        two", "web.1        three"]),
        (["--since", "2026-01-31T12:00:05Z", "--grep", "e|r$"],
         [f"{name:<37} {text}" for name, text in (
             ("a-name-that-is-longer-than-the-column", " four"), ("web.1", "three"), ("web.1", "  failed"),
             ("web.1", "in two lines"))]),
        (["-n", "0"], []),
    ],
)  # fmt: skip
def test_log_files_are_read_without_a_program(
    ask: Callable[..., Any], written: str, words: list[str], shown: list[str]
) -> None:
    answer = ask(None, "logs", *words, "--log-dir", written)

    assert answer.err == ""
    assert answer.code == 0
    assert [each[38:] for each in answer.out.splitlines()] == shown


def test_lines_of_files_as_json(ask: Callable[..., Any], written: str) -> None:
    answer = ask(None, "logs", "--log-dir", written, "-o", "json", "-n", "9")
    lines = [json.loads(each) for each in answer.out.splitlines()]

    assert [each["text"] for each in lines][:4] == ["one", "two", "five", " four"]
    assert lines[0] == {
        "at": "2026-01-31T12:00:03.000000Z", "level": "info", "job": "web.1", "run": None, "text": "one"
    }  # fmt: skip
    assert [each["run"] for each in lines if each["text"] == "three"] == ["web.1#1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["wbe.1"], "cannot find a log file of job 'wbe.1' in {folder!r}; did you mean 'web.1'?"),
        (["web", "-f"], "cannot use --follow with --log-dir: it needs a running program"),
        (["-l", "a"], "cannot use --label with --log-dir: it needs a running program"),
        (["--since", "0a1b2c3d.5"], "cannot use '0a1b2c3d.5' with --log-dir; expected a duration or an instant"),
    ],
)
def test_log_files_that_cannot_be_read_as_asked(
    ask: Callable[..., Any], written: str, words: list[str], message: str
) -> None:
    answer = ask(None, "logs", *words, "--log-dir", written)

    assert answer.code == 2
    assert message.format(folder=written) in answer.err


def test_a_folder_that_is_none_is_refused(ask: Callable[..., Any], tmp_path: Path) -> None:
    answer = ask(None, "logs", "--log-dir", str(tmp_path / "gone"))

    assert answer.code == 2
    assert f"cannot read log files in {str(tmp_path / 'gone')!r}: No such file or directory" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grep", "("], "cannot use '(' as a regular expression: missing ), unterminated subpattern at position 0"),
        (["-f", "--since", "10m", "-n", "5"], "cannot use --lines with both --follow and --since"),
        (["--since", "soon"], "cannot use 'soon' as the beginning"),
    ],
    ids=["grep", "lines and since", "since"],
)
def test_a_command_line_that_cannot_be_used(ask: Callable[..., Any], words: list[str], message: str) -> None:
    answer = ask(None, "logs", *words)

    assert answer.code == 2
    assert message in " ".join(answer.err.split())


def test_a_line_is_escaped_and_coloured_by_its_job_and_its_level() -> None:
    lines = LogLines(LogFormat.SHORT, NameColumn(), is_colored=True)

    plain = lines.render(Fields(line(1, "a\x1b[31mb\nc\td")))
    error = lines.render(Fields(line(1, "no", level="error")))

    first, second, end = plain.split("\n")
    assert first.endswith("mweb         \033[0m a\\x1b[31mb")
    assert second.endswith("c\\td")
    assert end == ""
    assert "\033[31mERROR  \033[0m" in error
    assert error.endswith("\033[31mno\033[0m\n")
    assert "\033" not in LogLines(LogFormat.SHORT, None).render(Fields(line(1, "\x1b")))


def test_two_jobs_have_colours_that_stay() -> None:
    def name_of(job: str) -> str:
        return LogLines(LogFormat.SHORT, NameColumn(), is_colored=True).render(Fields(line(1, "x", job)))

    assert name_of("web") == name_of("web")
    assert name_of("web").split("mweb")[0] != name_of("db").split("mdb")[0]


def test_followed_lines_that_come_together_are_sorted_but_not_across_a_gap() -> None:
    def event(name: str, at: str = "") -> ServerSentEvent:
        return ServerSentEvent(name, {"at": at} if at else {})

    lost = NoProgram("gone")
    coming: list[Any] = [event("line", "2"), event("line", "1"), event("gap"), event("line", "0"), None, lost]
    coming += [event("line", "9"), lost]

    def take(timeout: float) -> ServerSentEvent | None:
        found = coming.pop(0)
        if isinstance(found, NoProgram):
            raise found
        assert found is None or isinstance(found, ServerSentEvent)
        return found

    ordered, taken = InOrder(take), list[str]()
    for _ in range(4):
        found = ordered.take(1.0)
        assert found is not None
        taken.append(found.data.get("at", found.event))
    with pytest.raises(NoProgram):
        ordered.take(1.0)
    last = ordered.take(1.0)

    assert taken == ["1", "2", "gap", "0"]
    assert last is not None  # what came before the error
    assert last.data == {"at": "9"}
    with pytest.raises(NoProgram):
        ordered.take(1.0)
