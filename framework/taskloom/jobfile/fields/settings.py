"""The settings of a whole program, which a job file may have under `taskloom:`.

Job files, the environment, the JSON Schema and the reference are made from this table. An environment variable is named
after its setting, `TASKLOOM_LOG_LEVEL` for `log_level`; `TASKLOOM_SOCKET` is the path that `control` may be. Those of
FILE_ONLY have none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.jobfile.fields import spec
from taskloom.jobfile.fields.history import HISTORY, KEEP_SECONDS, SIZE_BYTES
from taskloom.jobfile.fields.http import HTTP
from taskloom.jobfile.fields.metrics import METRICS
from taskloom.jobfile.fields.notify import EVERY_SECONDS, NOTIFY, WITHIN_SECONDS
from taskloom.jobfile.fields.spec import Field, Loc, Spec
from taskloom.text import did_you_mean, duration

__all__ = ["FILE_ONLY", "LOG_FORMATS", "LOG_LEVELS", "SETTINGS"]

LOG_FORMATS = ("text", "short", "full", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")
FILE_ONLY = frozenset({"notify"})
"""Settings that need more than a word, so that there is neither an option nor a variable for them."""

# A name is part of a file name, is typed in shells, and is shown in tables.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SECONDS = spec.seconds()
_NO_CONTROL = ("no", "off", "none", "0", "n", "disabled")


def _read_name(value: object, loc: Loc) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    expected = "at most 64 letters, digits, '-', '_' and '.', the first a letter or a digit"
    hint = "quote it to make it text" if spec.is_number(value) and value >= 0 else ""
    raise spec.invalid_value(value, loc, expected, hint)


def _read_seconds(value: object, loc: Loc) -> float:
    try:
        return _SECONDS.read(value, loc)
    except spec.JobErrors as error:
        [first] = error.errors
        raise spec.JobErrors([first._replace(message=f"{first.message}; or forever")]) from None


def _read_path(value: object, loc: Loc) -> str:
    if isinstance(value, str) and value and "\0" not in value:
        return value
    raise spec.invalid_value(value, loc, "the path of a folder", "quote it to make it text" if value in (0, 1) else "")


def _read_socket(value: object, loc: Loc) -> str:
    if isinstance(value, str) and "/" in value and "\0" not in value:
        return value
    words = ("true", "false")
    hint = "write it without quotes" if value in words else did_you_mean(value, words)
    if isinstance(value, str) and value.lower() in _NO_CONTROL:
        hint = "write false"
    raise spec.invalid_value(value, loc, "true, false or the path of a socket, with a '/'", hint)


def _word(words: tuple[str, ...]) -> Spec[str]:
    return spec.words({word: word for word in words})


SETTINGS: Mapping[str, Field] = {
    setting.name: setting
    for setting in (
        Field(
            "name",
            Spec(_read_name, {"type": "string", "pattern": f"^{_NAME.pattern}$"}, lambda value: isinstance(value, str)),
            "",
            "The name of the program, by which other commands choose it. By default it is made from the first path.",
        ),
        Field(
            "stop_within",
            spec.one_of(
                spec.constant("forever", float("inf")),
                _SECONDS.read_by(_read_seconds).recognised_by(lambda _: True),
            ),
            duration(STOP_WITHIN_SECONDS),
            "How long stopping all jobs may take: a duration, or forever.",
        ),
        Field(
            "log_dir",
            Spec(_read_path, {"type": "string", "minLength": 1}, lambda value: isinstance(value, str)),
            "",
            "The folder of one log file a job, relative to the working folder of the program. By default there are no "
            "log files.",
        ),
        Field(
            "log_format",
            _word(LOG_FORMATS),
            "text",
            "The format of the log: text (short on a terminal, else full), short (the time), full (also the date and "
            "the zone) or json (an object a line).",
        ),
        Field("log_level", _word(LOG_LEVELS), "info", "The least level that is logged: debug, info, warning or error."),
        Field(
            "control",
            spec.one_of(
                spec.flag(),
                Spec(_read_socket, {"type": "string", "pattern": "/"}, lambda _: True),
            ),
            "true",
            "Whether the program listens for the commands of other terminals; a path with a '/' is that of its socket.",
        ),
        Field(
            "history",
            HISTORY,
            "",
            "Whether the program records its runs in a database: true, false, the path (with a '/') or URL of the "
            f"database, or a mapping of url, keep (default {duration(KEEP_SECONDS)}) and size (default "
            f"{SIZE_BYTES >> 20}MiB). By default true if the extra `history` is installed.",
        ),
        Field(
            "http",
            HTTP,
            "",
            "The address of the web page and the API of the program, such as 127.0.0.1:8080, or a mapping of "
            "listen, names (host names by which browsers reach it), cert and key (PEM files for TLS) and insecure "
            "(whether other machines may reach it without TLS). Needs the extra `web`. By default nowhere.",
        ),
        Field(
            "notify",
            NOTIFY,
            "",
            "A list of receivers of notifications. Each has a command (a list, which gets JSON on standard "
            "input) or a webhook (a URL, with a secret that signs), and perhaps on (of what), labels (of which jobs), "
            f"within (the time for a try, default {duration(WITHIN_SECONDS)}) and every (the least time between two "
            f"messages, default {duration(EVERY_SECONDS)}).",
        ),
        Field(
            "metrics",
            METRICS,
            "",
            "The address at which the program gives metrics and answers probes, for everyone who can reach it: "
            "HOST:PORT, [IPV6]:PORT or unix:///PATH. By default there is none.",
        ),
    )
}
