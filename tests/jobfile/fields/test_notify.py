"""The setting `notify`: what it may be, and what is said about a mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from taskloom.jobfile import check
from taskloom.jobfile.fields.notify import DEFAULT_KINDS, Kind, Receivers, ReceiverSetting
from taskloom.jobfile.fields.settings import SETTINGS

HOOK = "https://example.com/hook"
FORMS = "a mapping of command or webhook, and secret, on, labels, within and every"


def read(*receivers: Any) -> Receivers:
    found: Receivers = SETTINGS["notify"].read(list(receivers))
    return found


def test_a_receiver_is_a_command_or_a_webhook() -> None:
    assert read({"command": ["notify-send", "taskloom"]}, {"webhook": HOOK}) == (
        ReceiverSetting(command=("notify-send", "taskloom")),
        ReceiverSetting(webhook=HOOK, on=DEFAULT_KINDS, within=10.0, every=60.0),
    )


def test_a_receiver_chooses_what_it_is_notified_of_and_how_often() -> None:
    written = {
        "webhook": HOOK,
        "secret": "s3cret",
        "on": ["failed", "missed"],
        "labels": ["night", "day"],
        "within": "2s",
        "every": 0,
    }

    assert read(written) == (
        ReceiverSetting(
            webhook=HOOK,
            secret="s3cret",
            on=frozenset({Kind.FAILED, Kind.MISSED}),
            labels=frozenset({"night", "day"}),
            within=2.0,
            every=0.0,
        ),
    )


@pytest.fixture
def message_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.chdir(tmp_path)

    def message_of(written: str) -> str:
        Path("a.yaml").write_text(f"taskloom:\n  notify: {written}\njobs: {{a: {{task: countdown}}}}\n")
        [problem] = [each for each in check("a.yaml").problems if each.severity == "error"]
        return f"{problem.place.line}: {problem.message}" + (f" ({problem.hint})" if problem.hint else "")

    return message_of


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{command: [x]}", (
         "cannot use a mapping as notify; expected a list of receivers, each with a command "
         "or a webhook (begin each receiver with a dash)")),
        ("[x]", f"cannot use 'x' as notify.0; expected {FORMS}"),
        ("[{on: [failed]}]", "cannot use a receiver with neither a command nor a webhook; expected one of them"),
        (f"[{{command: [x], webhook: '{HOOK}'}}]",
         "cannot use a receiver with both a command and a webhook; expected one of them"),
        ("[{command: [x], secret: y}]",
         "cannot use a secret with a command; it signs what is sent to a webhook"),
        ("[{command: x -v}]", (
         "cannot use 'x -v' as notify.0.command; expected a list of the program and its arguments "
         "(write [x, -v])")),
        ("[{command: []}]", "cannot use [] as notify.0.command; expected a list of the program and its arguments"),
        ("[{command: [x, 1]}]", "cannot use 1 as notify.0.command.1; expected text (quote it to make it text)"),
        ("[{webhook: example.com}]",
         "cannot use 'example.com' as notify.0.webhook; expected a URL such as https://example.com/hook"),
        ("[{webhook: hooks.example/T0/B0}]",
         "cannot use 'hooks.example...' as notify.0.webhook; expected a URL such as https://example.com/hook"),
        ("[{webhook: [https://a/b]}]",
         "cannot use what is not text as notify.0.webhook; expected a URL such as https://example.com/hook"),
        ("[{comand: [x]}]", (
         "cannot find 'comand' in notify.0; known: command, webhook, secret, on, labels, within, every "
         "(did you mean 'command'?)")),
        ("[{webhook: 'ftp://secret.example'}]",
         "cannot use 'ftp://...' as notify.0.webhook; expected a URL that begins with https:// or http://"),
        ("[{webhook: 'https://a:b@c/d'}]", (
         "cannot use 'https://...' as notify.0.webhook; expected a URL such as "
         "https://example.com/hook (it has a user name, which would not be sent; a signature by 'secret' proves who "
         "sends)")),
        ("[{webhook: 'https://'}]", (
         "cannot use 'https://...' as notify.0.webhook; expected a URL such as "
         "https://example.com/hook (its host or its port is missing)")),
        ("[{webhook: 'https://a:x/'}]", (
         "cannot use 'https://...' as notify.0.webhook; expected a URL such as "
         "https://example.com/hook (its host or its port cannot be read)")),
        ("[{webhook: 'https://a/b c'}]", (
         "cannot use 'https://...' as notify.0.webhook; expected a URL such as "
         "https://example.com/hook (a blank, or a character that is not ASCII, is written as %20, %C3%A9 and so on)")),
        ("[{webhook: 'https://a/b', secret: 5}]", (
         "cannot use what is not text as notify.0.secret; expected text, such "
         "as ${file:hook-secret} (quote it to make it text)")),
        ("[{command: [x], on: [faild]}]", (
         "cannot use 'faild' as notify.0.on.0; expected failed, gave_up, overdue, "
         "flapping, unresponsive, missed, history_degraded or recovered (did you mean 'failed'?)")),
        ("[{command: [x], on: failed}]", (
         "cannot use 'failed' as notify.0.on; expected a list of failed, gave_up, "
         "overdue, flapping, unresponsive, missed, history_degraded, recovered (write [failed])")),
        ("[{command: [x], on: []}]", (
         "cannot use an empty list as on; expected failed, gave_up, overdue, flapping, "
         "unresponsive, missed, history_degraded, recovered")),
        ("[{command: [x], within: 6m}]", "cannot use '6m' as notify.0.within; expected at most 5m"),
        ("[{command: [x], with: 5s}]", (
         "cannot find 'with' in notify.0; known: command, webhook, secret, on, labels, "
         "within, every (did you mean 'within'?)")),
        (f"[{', '.join(['{command: [x]}'] * 17)}]", "cannot notify 17 receivers; expected at most 16"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_in_words(message_of: Callable[[str], str], written: str, message: str) -> None:
    assert message_of(written) == f"2: {message}"


@pytest.mark.parametrize(
    ("written", "is_valid"),
    [
        ([], True),
        ([{"command": ["x"]}], True),
        ([{"webhook": HOOK, "on": ["recovered"], "every": "5m"}], True),
        ([{"command": "x"}], False),
        ([{"webhook": "ftp://x"}], False),
        ([{"command": ["x"], "on": ["x"]}], False),
        ({"command": ["x"]}, False),
    ],
)
def test_the_schema_accepts_what_the_reader_accepts(written: Any, *, is_valid: bool) -> None:
    validator = jsonschema.Draft202012Validator(SETTINGS["notify"].schema)

    assert validator.is_valid(written) is is_valid


def test_neither_a_secret_nor_a_token_in_a_url_is_shown() -> None:
    token = "T0123/B4567/abcdefghijkl"
    found = read(
        {"webhook": f"https://hooks.example.com/{token}", "secret": "s3cret"},
        {"command": ["/bin/tell", "--password", "x"]},
        {"webhook": "http://[::1]:8080/hook?key=0123456789abcdef"},
    )

    assert str(found) == "webhook hooks.example.com, command /bin/tell, webhook [::1]:8080"
    assert found.secrets == {token, "s3cret", "key=0123456789abcdef"}
