"""The setting `metrics`: the address at which the program gives its metrics. Pure: no host name is looked up here."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from taskloom.jobfile.fields import spec
from taskloom.jobfile.fields.spec import Loc, Spec

__all__ = ["METRICS", "MetricsAddress"]

_FORMS = "HOST:PORT, [IPV6]:PORT or unix:///PATH"
_HOST_PORT = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[^\[\]/\s]+)?)\]|(?P<host>[^:\[\]/?#@\s]+)):(?P<port>[0-9]{1,5})", re.ASCII
)
_UNIX = "unix://"
# The kernel's field has 108 bytes, with the NUL at the end.
_MOST_PATH_BYTES = 107


class MetricsAddress(NamedTuple):
    """The address of metrics: a host and a port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    """0 for any that is free."""
    path: str = ""

    def __str__(self) -> str:
        """Return it as it may be written."""
        if self.path:
            return f"{_UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _read(value: object, loc: Loc) -> MetricsAddress:
    if isinstance(value, str) and value.startswith(_UNIX):
        return MetricsAddress(path=_read_path(value, loc))
    found = _HOST_PORT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise spec.invalid_value(value, loc, _FORMS, _hint(value))
    port = int(found["port"])
    if port > 65535:
        raise spec.invalid_value(value, loc, f"{_FORMS}, with a port of at most 65535")
    return MetricsAddress(found["v6"] or found["host"], port)


def _read_path(value: str, loc: Loc) -> str:
    path = value.removeprefix(_UNIX)
    if "/" not in path or path.endswith("/") or "\0" in path:
        raise spec.invalid_value(value, loc, "the path of a socket with a '/' after unix://, as in unix:///run/a.sock")
    if len(os.fsencode(path)) > _MOST_PATH_BYTES:
        raise spec.invalid_value(value, loc, f"a path of at most {_MOST_PATH_BYTES} bytes")
    return path


def _hint(value: object) -> str:
    text = value if isinstance(value, str) else ""
    if spec.is_number(value) or text.isdigit() or re.fullmatch(r":[0-9]+", text):
        port = str(value).removeprefix(":")
        return f"write 127.0.0.1:{port} for this machine alone, or 0.0.0.0:{port} for all networks"
    if text.startswith(("http://", "https://", "tcp://")):
        return f"write {text.partition('://')[2].partition('/')[0]}"
    if text.count(":") > 1 and not text.startswith("["):
        return "write an IPv6 host in brackets, as in [::1]:9464"
    if text.startswith("/"):
        return f"write {_UNIX}{text}"
    return ""


_PATTERN = rf"^{_UNIX}.*/[^/]+$|^(\[[0-9A-Fa-f:.]+(%[^\[\]/\s]+)?\]|[^:\[\]/?#@\s]+):[0-9]{{1,5}}$"
METRICS: Spec[MetricsAddress] = Spec(_read, {"type": "string", "pattern": _PATTERN}, lambda _: True)
