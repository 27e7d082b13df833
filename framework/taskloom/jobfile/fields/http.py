"""The setting `http`: where the program serves its web page and its API over HTTP.

Written as an address, `127.0.0.1:8080`, or as a mapping. Pure: whether the address and the files can be used is found
out when the program begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

from taskloom.diagnostics import quoted
from taskloom.jobfile.fields import spec
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.jobfile.fields.spec import Loc, Spec

__all__ = ["HTTP", "HttpSetting", "errors_in", "read_address"]

_ADDRESS = "an address such as 127.0.0.1:8080, localhost:8080 or [::1]:8080; port 0 takes a free one"
_FORMS = f"{_ADDRESS}, or a mapping of listen, names, cert, key and insecure"
_MOST_PORT = 65_535


class HttpSetting(NamedTuple):
    """The HTTP listener of a program, as it is set."""

    host: str
    """A name or an address, without brackets."""
    port: int
    names: tuple[str, ...] = ()
    """Host names by which browsers reach it, in small letters: behind a proxy, or by DNS."""
    cert: str = ""
    key: str = ""
    """The paths of PEM files; "" for no TLS."""
    is_insecure: bool = False
    """Whether it may be reached from other machines without TLS."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def errors_in(setting: HttpSetting) -> Iterator[tuple[str, str]]:
    """Yield the key and the message of each contradiction."""
    if bool(setting.cert) != bool(setting.key):
        given, other = ("cert", "key") if setting.cert else ("key", "cert")
        yield given, f"cannot use {given} without {other}; TLS needs both"
    elif not (setting.is_local or setting.cert or setting.is_insecure):
        message = f"cannot serve {quoted(str(setting))} without TLS: other machines reach it, and could read the token"
        yield "", f"{message}; give cert and key, listen at 127.0.0.1, or set insecure"


def read_address(value: object) -> HttpSetting:
    """Return the setting for an address. Raises ValueError with the legal forms."""
    if isinstance(value, str) and not any(mark in value for mark in "\0/ @?#"):
        host, colon, port = value.rpartition(":")
        is_bracketed = host.startswith("[") and host.endswith("]")
        name = host[1:-1] if is_bracketed else host
        is_port = port.isascii() and port.isdigit() and int(port[:6]) <= _MOST_PORT
        if colon and name and is_port and (":" in name) == is_bracketed and "[" not in name:
            return HttpSetting(name.lower(), int(port))
    raise ValueError(f"cannot use {quoted(value)} as an address; expected {_ADDRESS}")


def _read_address(value: object, loc: Loc) -> HttpSetting:
    try:
        return read_address(value)
    except ValueError:
        hint = f"write 127.0.0.1:{value}" if spec.is_number(value) else ""
        hint = "leave out the scheme" if isinstance(value, str) and "://" in value else hint
        raise spec.invalid_value(value, loc, _FORMS if loc[-1] == "http" else _ADDRESS, hint) from None


def _read_name(value: object, loc: Loc) -> str:
    if isinstance(value, str) and value and not any(mark in value for mark in "\0/ @?#:"):
        return value.lower().rstrip(".")
    raise spec.invalid_value(value, loc, "the name of a host, such as jobs.example.org, without a port")


def _read_names(value: object, loc: Loc) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_read_name(value, loc),)
    if not isinstance(value, list):
        raise spec.invalid_value(value, loc, "the name of a host, or a list of them")
    return tuple(_read_name(each, (*loc, number)) for number, each in enumerate(value))


def _read_path(value: object, loc: Loc) -> str:
    if isinstance(value, str) and value and "\0" not in value:
        return value
    raise spec.invalid_value(value, loc, "the path of a PEM file")


_NAME_SCHEMA = {"type": "string", "pattern": r"^[^\u0000/ @?#:]+$"}
_PATH: Spec[str] = Spec(_read_path, {"type": "string", "minLength": 1}, lambda value: isinstance(value, str))
_LISTEN: Spec[HttpSetting] = Spec(
    _read_address,
    {"type": "string", "pattern": r"^(\[[0-9A-Fa-f:.%]+\]|[^\u0000/ @?#:\[\]]+):[0-9]{1,5}$"},
    lambda value: isinstance(value, str),
)
_KEYS = (
    Key("listen", _LISTEN, is_required=True),
    Key(
        "names",
        Spec(
            _read_names,
            {"anyOf": [_NAME_SCHEMA, {"type": "array", "items": _NAME_SCHEMA}]},
            lambda value: isinstance(value, str | list),
        ),
    ),
    Key("cert", _PATH),
    Key("key", _PATH),
    Key("insecure", spec.flag()),
)


def _build(reader: MappingReader) -> HttpSetting:
    listen, names, cert, key, insecure = _KEYS
    setting = reader.get(listen, HttpSetting("127.0.0.1", 0))._replace(
        names=reader.get(names, ()),
        cert=reader.get(cert, ""),
        key=reader.get(key, ""),
        is_insecure=reader.get(insecure, False),
    )
    if not reader.errors:
        for at, message in errors_in(setting):
            reader.refuse(at, message)
    return setting


def _read_short(value: object, loc: Loc) -> HttpSetting:
    setting = _read_address(value, loc)
    for _, message in errors_in(setting):
        raise spec.invalid_value(value, loc, "an address of this machine, or a mapping with cert and key", message)
    return setting


HTTP: Spec[HttpSetting] = spec.one_of(
    mapping(_KEYS, _build, expected=_FORMS),
    _LISTEN.read_by(_read_short).recognised_by(lambda _: True),
)
