"""The setting `history`: whether and where the program records what happened, and how much of it is kept.

Written as `true` or `false` (also `on` and `off`), as the path or URL of a database, or as a mapping. Pure: whether the
place can be used is found out when it is opened.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from taskloom.jobfile.fields import spec
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.jobfile.fields.spec import Loc, Spec, join_or
from taskloom.jobfile.url_passwords import without_passwords
from taskloom.text import did_you_mean

__all__ = ["HISTORY", "KEEP_SECONDS", "SIZE_BYTES", "URL_SCHEMES", "HistoryMode", "HistorySetting", "has_password"]

KEEP_SECONDS = 30 * 86400.0
SIZE_BYTES = 256 << 20
# SQLite alone needs some tens of pages for its tables and indexes, and its log may have a megabyte.
LEAST_BYTES = 4 << 20
# The schemes of the URL of a database. `postgres` is what many services write.
URL_SCHEMES = ("sqlite", "postgresql", "postgres")

_ON, _OFF = ("on", "true"), ("off", "false")
_MEANS_ON = ("yes", "y", "1", "enabled")
_MEANS_OFF = ("no", "n", "0", "none", "null", "disabled", "never")
_PLACES = "the path of a database, with a '/', or a URL such as postgresql://host/name"
_FORMS = f"on, off, {_PLACES}, or a mapping of url, keep and size"


class HistoryMode(Enum):
    """Whether there is a history."""

    DEFAULT = "default"
    """If its packages are installed."""
    ON = "on"
    """The program does not begin without these packages."""
    OFF = "off"


class HistorySetting(NamedTuple):
    """The history of a program, as it is set."""

    mode: HistoryMode = HistoryMode.DEFAULT
    place: str = ""
    """The path or URL of the database, perhaps with a password; "" for a file in the state folder."""
    keep: float = KEEP_SECONDS
    """Seconds after which rows may go."""
    size: int = SIZE_BYTES
    """The most bytes that the history of this program may have."""

    def __str__(self) -> str:
        """Return it as it may be written, without a password and the limits."""
        return without_passwords(self.place) or self.mode.value

    def with_limits_of(self, other: HistorySetting) -> HistorySetting:
        """Return it with the limits of another setting, and with its place if this one only says `on`."""
        place = self.place or (other.place if self.mode is HistoryMode.ON else "")
        return self._replace(place=place, keep=other.keep, size=other.size)


def has_password(place: str) -> bool:
    """Return whether a place is a URL with a password in it."""
    return without_passwords(place) != place


def _read_place(value: object, loc: Loc, expected: str = _PLACES) -> str:
    if not isinstance(value, str) or "/" not in value or "\0" in value:
        raise spec.invalid_value(value, loc, expected, _hint(value, expected))
    scheme, mark, rest = value.partition("://")
    if not mark or "/" in scheme:
        return value
    shown = without_passwords(value)
    if scheme.partition("+")[0] not in URL_SCHEMES:
        begin = join_or([f"{known}://" for known in URL_SCHEMES])
        raise spec.invalid_value(shown, loc, f"a URL that begins with {begin}", did_you_mean(scheme, URL_SCHEMES))
    if not rest:
        raise spec.invalid_value(shown, loc, "a path or a host after it")
    return value


def _read_setting(value: object, loc: Loc) -> HistorySetting:
    return HistorySetting(HistoryMode.ON, _read_place(value, loc, _FORMS))


def _hint(value: object, expected: str) -> str:
    word = value.lower() if isinstance(value, str) else ""
    if word.endswith((".sqlite", ".sqlite3", ".db")):
        return f"write ./{value}"
    if expected is not _FORMS:
        return ""
    if isinstance(value, int | float):
        return "write on or off" if value in (0, 1) else ""
    if word in (*_ON, *_MEANS_ON):
        return "write on"
    if word in (*_OFF, *_MEANS_OFF):
        return "write off"
    return did_you_mean(value, (_ON[0], _OFF[0]))


_PLACE = Spec(
    _read_place,
    {"type": "string", "pattern": "^(?![A-Za-z0-9+.-]*://).*/|^(?:sqlite|postgres|postgresql)(?:[+][a-z0-9]+)?://."},
    lambda value: isinstance(value, str),
)
_URL = Key("url", _PLACE)
_KEEP = Key("keep", spec.seconds(is_zero_allowed=False))
_SIZE = Key("size", spec.size(LEAST_BYTES))


def _build(reader: MappingReader) -> HistorySetting:
    return HistorySetting(
        HistoryMode.ON, reader.get(_URL, ""), reader.get(_KEEP, KEEP_SECONDS), reader.get(_SIZE, SIZE_BYTES)
    )


def _of_flag(value: object, _: Loc) -> HistorySetting:
    return HistorySetting(HistoryMode.ON if value else HistoryMode.OFF)


HISTORY: Spec[HistorySetting] = spec.one_of(
    spec.flag().read_by(_of_flag),
    spec.words({"on": HistorySetting(HistoryMode.ON), "off": HistorySetting(HistoryMode.OFF)}),
    mapping([_URL, _KEEP, _SIZE], _build, expected=_FORMS, is_empty_allowed=False),
    _PLACE.read_by(_read_setting).recognised_by(lambda _: True),
)
