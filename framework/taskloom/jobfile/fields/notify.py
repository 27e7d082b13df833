"""The setting `notify`: who is notified of what, by a command or a webhook.

Pure: whether a command or a host exists is found out when the first message is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from taskloom.diagnostics import FieldError
from taskloom.jobfile.fields import spec
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.jobfile.fields.spec import Loc, Spec

__all__ = [
    "DEFAULT_KINDS",
    "EVERY_SECONDS",
    "MOST_LIST_FORM",
    "MOST_WITHIN",
    "NOTIFY",
    "WITHIN_SECONDS",
    "Kind",
    "ReceiverSetting",
    "Receivers",
]

WITHIN_SECONDS = 10.0
EVERY_SECONDS = 60.0
# A try that takes longer delays every later message; whatever takes longer belongs into a queue behind the receiver.
MOST_WITHIN = 300.0
# Each has a thread of its own.
MOST_LIST_FORM = 16

# As for the user of a URL: something shorter is a word.
_LEAST_TOKEN = 16

_URL_SCHEMES = ("https", "http")
# A request cannot have these in its first line.
_AFTER_HOST = re.compile(r"[/?#]")
_BAD_IN_URL = re.compile(r"[^\x21-\x7e]")
_NOT_A_URL = "a URL such as https://example.com/hook"


class Kind(Enum):
    """The kinds of trouble, and its end."""

    FAILED = "failed"
    """A run ended `failed`, `timed_out`, `start_failed` or `lost`."""
    GAVE_UP = "gave_up"
    """No restart follows although the policy requires one."""
    OVERDUE = "overdue"
    """A run outlived its `within`."""
    FLAPPING = "flapping"
    """A job restarts too often."""
    UNRESPONSIVE = "unresponsive"
    """A run has not polled for longer than its watchdog allows."""
    MISSED = "missed"
    """Instants of a schedule passed without a run."""
    HISTORY_DEGRADED = "history_degraded"
    """The history of runs cannot be written."""
    RECOVERED = "recovered"
    """A job of which one of the others was true, or the history, is well again."""


DEFAULT_KINDS = frozenset(Kind) - {Kind.MISSED}
"""Without `missed`: a job that runs longer than its interval misses a firing each time, as its policy says."""


class ReceiverSetting(NamedTuple):
    """One receiver, as it is set. It has either a command or a webhook."""

    command: tuple[str, ...] = ()
    webhook: str = ""
    secret: str = ""
    """Signs what is sent to the webhook; "" for no signature."""
    on: frozenset[Kind] = DEFAULT_KINDS
    labels: frozenset[str] = frozenset()
    """Only jobs with one of these labels; none: every job."""
    within: float = WITHIN_SECONDS
    """Seconds that one try to send may take."""
    every: float = EVERY_SECONDS
    """The least seconds between two messages."""

    def __str__(self) -> str:
        """Return what it is, without anything that may be secret: the program, or the host."""
        if self.command:
            return f"command {self.command[0]}"
        return f"webhook {urlsplit(self.webhook).netloc}"


class Receivers(tuple[ReceiverSetting, ...]):
    """All receivers of a program. As text it has no secret: many a URL of a webhook is one."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return what they are, on one line."""
        return ", ".join(map(str, self))

    @property
    def secrets(self) -> frozenset[str]:
        """The texts that nothing may show: the secrets, and a path or a query that is long enough to be one."""
        urls = [urlsplit(each.webhook) for each in self]
        parts = [part for url in urls for part in (url.path.strip("/"), url.query) if len(part) >= _LEAST_TOKEN]
        return frozenset([*parts, *(each.secret for each in self)]) - {""}


def _read_argument(value: object, loc: Loc) -> str:
    if isinstance(value, str) and "\0" not in value:
        return value
    raise spec.invalid_value(value, loc, "text", "quote it to make it text" if spec.is_number(value) else "")


_ARGUMENT = Spec(_read_argument, {"type": "string"}, lambda value: isinstance(value, str))
_COMMAND = spec.list_of(
    _ARGUMENT,
    "a list of the program and its arguments",
    lambda value: f"write [{', '.join(value.split())}]" if isinstance(value, str) and value.strip() else "",
)


def _read_command(value: object, loc: Loc) -> tuple[str, ...]:
    found = _COMMAND.read(value, loc)
    if not found or not found[0]:
        raise spec.invalid_value(value, loc, "a list of the program and its arguments")
    return found


def _read_webhook(value: object, loc: Loc) -> str:
    """Return the URL. A message shows no more of it than its beginning: the rest may be a secret."""
    if not isinstance(value, str):
        raise _refused("what is not text", loc, _NOT_A_URL)
    if "://" not in value:
        host = _AFTER_HOST.split(value, 1)[0][:20]
        raise spec.invalid_value(value if host == value else f"{host}...", loc, _NOT_A_URL)
    scheme = value.partition("://")[0]
    if scheme not in _URL_SCHEMES:
        raise spec.invalid_value(f"{scheme}://...", loc, "a URL that begins with https:// or http://")
    why = _why_unusable(value)
    if why:
        raise spec.invalid_value(f"{scheme}://...", loc, _NOT_A_URL, why)
    return value


def _why_unusable(url: str) -> str:
    if _BAD_IN_URL.search(url):
        return "a blank, or a character that is not ASCII, is written as %20, %C3%A9 and so on"
    try:
        parts = urlsplit(url)
        return _why_no_host(parts)
    except ValueError:
        return "its host or its port cannot be read"


def _why_no_host(parts: SplitResult) -> str:
    if "@" in parts.netloc:
        return "it has a user name, which would not be sent; a signature by 'secret' proves who sends"
    if parts.port == 0 or not parts.hostname:
        return "its host or its port is missing"
    return "leave out what follows the #" if parts.fragment else ""


def _read_secret(value: object, loc: Loc) -> str:
    if isinstance(value, str) and value:
        return value
    hint = "quote it to make it text" if spec.is_number(value) else ""
    kind = "an empty text" if value == "" else "what is not text"
    raise _refused(kind, loc, "text, such as ${file:hook-secret}", hint)


def _refused(kind: str, loc: Loc, expected: str, hint: str = "") -> spec.JobErrors:
    """Return the error for a value that may be a secret, or has one: its message does not quote it."""
    message = f"cannot use {kind} as {'.'.join(map(str, loc))}; expected {expected}"
    return spec.JobErrors([FieldError(loc, message, hint)])


def _read_within(value: object, loc: Loc) -> float:
    found = _WITHIN_SECONDS.read(value, loc)
    if found > MOST_WITHIN:
        raise spec.invalid_value(value, loc, "at most 5m")
    return found


_WITHIN_SECONDS = spec.seconds(is_zero_allowed=False)
_FORMS = "a mapping of command or webhook, and secret, on, labels, within and every"

_COMMAND_KEY = Key("command", Spec(_read_command, {**_COMMAND.schema, "minItems": 1}, _COMMAND.recognises))
_WEBHOOK_KEY = Key("webhook", Spec(_read_webhook, {"type": "string", "pattern": "^https?://."}, lambda _: True))
_SECRET_KEY = Key("secret", Spec(_read_secret, {"type": "string", "minLength": 1}, lambda _: True))
_KINDS = spec.list_of(
    spec.words({kind.value: kind for kind in Kind}),
    f"a list of {', '.join(kind.value for kind in Kind)}",
    lambda value: f"write [{value}]" if isinstance(value, str) else "",
)
_ON_KEY = Key("on", Spec(_KINDS.read, {**_KINDS.schema, "minItems": 1}, _KINDS.recognises))
_LABELS_KEY = Key(
    "labels",
    spec.list_of(
        spec.text(is_empty_allowed=False, name="a label"),
        "a list of texts",
        lambda value: f"write [{value}]" if isinstance(value, str) else "",
    ),
)
_WITHIN_KEY = Key("within", _WITHIN_SECONDS.read_by(_read_within))
_EVERY_KEY = Key("every", spec.seconds())
_NO_KINDS: tuple[Kind, ...] = ()


def _build(reader: MappingReader) -> ReceiverSetting:
    written: Mapping[str, object] = reader.written
    # A key that is unknown may be one of them, misspelt, and has its own error.
    is_known = written.keys() <= {key.name for key in _KEYS}
    if ("command" in written) == ("webhook" in written) and ("command" in written or is_known):
        found = "both a command and a webhook" if "command" in written else "neither a command nor a webhook"
        reader.refuse("", f"cannot use a receiver with {found}; expected one of them")
    if "secret" in written and "command" in written:
        reader.refuse("secret", "cannot use a secret with a command; it signs what is sent to a webhook", at_key=True)
    if written.get("on") == []:
        reader.refuse("on", f"cannot use an empty list as on; expected {', '.join(kind.value for kind in Kind)}")
    return ReceiverSetting(
        reader.get(_COMMAND_KEY, ()),
        reader.get(_WEBHOOK_KEY, ""),
        reader.get(_SECRET_KEY, ""),
        frozenset(reader.get(_ON_KEY, _NO_KINDS)) or DEFAULT_KINDS,
        frozenset(reader.get(_LABELS_KEY, ())),
        reader.get(_WITHIN_KEY, WITHIN_SECONDS),
        reader.get(_EVERY_KEY, EVERY_SECONDS),
    )


_KEYS: list[Key[Any]] = [_COMMAND_KEY, _WEBHOOK_KEY, _SECRET_KEY, _ON_KEY, _LABELS_KEY, _WITHIN_KEY, _EVERY_KEY]
_RECEIVER = mapping(
    _KEYS,
    _build,
    expected=_FORMS,
    is_empty_allowed=False,
)
_LIST_FORM = "a list of receivers, each with a command or a webhook"
_LIST = spec.list_of(_RECEIVER, _LIST_FORM)


def _read_receivers(value: object, loc: Loc) -> Receivers:
    if isinstance(value, Mapping):
        raise _refused("a mapping", loc, _LIST_FORM, "begin each receiver with a dash")
    found = Receivers(_LIST.read(value, loc))
    if len(found) > MOST_LIST_FORM:
        raise spec.JobErrors(
            [FieldError(loc, f"cannot notify {len(found)} receivers; expected at most {MOST_LIST_FORM}")]
        )
    return found


NOTIFY: Spec[Receivers] = Spec(_read_receivers, {**_LIST.schema, "maxItems": MOST_LIST_FORM}, _LIST.recognises)
