"""The rules by which a request from the network is refused before anything else looks at it. Pure.

A browser is the danger here: any page that the user visits may send requests to this machine. So a request has to
- name a host that is ours (DNS rebinding leads a foreign name to our address),
- come from no foreign page (`Origin`, `Sec-Fetch-Site`),
- have the token in the header `Authorization`, which no foreign page can set; never in the address, which logs,
  histories and the header `Referer` would spread,
- change something by POST with JSON alone, which a form of a foreign page cannot send.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from taskloom.control.refusals import Refusal
from taskloom.core.enums import FastEnum, plain_members
from taskloom.diagnostics import quoted

__all__ = ["SECURITY_HEADERS", "Access", "Asked", "Rules", "check"]

SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""The headers of every reply. `form-action`: the page sends no form, it uses fetch."""

_READING = ("GET", "HEAD")
# As browsers write it (RFC 6454): no path, no user.
_ORIGIN = re.compile(r"https?://[^/?#@\\,\s]+")
# Names of query parameters in which people put tokens.
_TOKEN_NAMES = frozenset({"token", "access_token", "auth", "authorization", "bearer", "key", "apikey", "api_key"})


@plain_members
class Access(FastEnum):
    """The rights of a token."""

    ACT = "act"
    READ = "read"


class Rules(NamedTuple):
    """The rules of one listener."""

    act_token: str
    read_token: str
    names: frozenset[str] = frozenset()
    """Names in small letters, beside `localhost` and addresses, under which a proxy offers it, at any port."""
    host: str = "localhost"
    """The name at which it listens itself."""


class Asked(NamedTuple):
    """The parts of a request that decide. Header names in small letters, each header as often as it came."""

    method: str
    path: str
    query: str
    """As it was written, without the `?`."""
    headers: Sequence[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """Return all values of a header."""
        return [value for key, value in self.headers if key == name]


def check(asked: Asked, rules: Rules, *, is_open: bool) -> Access | None:
    """Return the rights of the request; None for one without a token, if `is_open`: the page itself needs none.

    Raises Refusal.
    """
    _check_form(asked)
    host = _checked_host(asked, rules)
    _check_origin(asked, rules, host)
    _refuse_token_in_query(asked, rules)
    if is_open:
        return None
    if asked.all("sec-fetch-site") not in ([], ["same-origin"], ["none"]):
        raise Refusal(403, "foreign-page", "cannot answer a request that another site's page has sent")
    access = _access_of(asked, rules)
    if access is Access.READ and asked.method not in _READING:
        raise Refusal(403, "read-only", f"cannot use {asked.method} with the read-only token; it may only look")
    if asked.method == "POST" and _media_type(asked) != "application/json":
        raise Refusal(415, "not-json", "cannot use a body that is not JSON; send Content-Type: application/json")
    return access


def _check_form(asked: Asked) -> None:
    """Refuse what two servers behind each other may read in two ways."""
    if not asked.path.startswith("/"):
        raise Refusal(400, "bad-target", "cannot use an address that does not begin with /")
    if asked.all("transfer-encoding") and asked.all("content-length"):
        message = "cannot read a body with both Content-Length and Transfer-Encoding"
        raise Refusal(400, "two-lengths", message, headers={"connection": "close"})


def _media_type(asked: Asked) -> str:
    written = asked.all("content-type")
    return written[0].partition(";")[0].strip().lower() if len(written) == 1 else ""


def _checked_host(asked: Asked, rules: Rules) -> str:
    """Return the host and port that the request names. Raises Refusal for one that is not ours."""
    written = asked.all("host")
    if len(written) != 1:
        raise Refusal(400, "invalid-host", "cannot answer a request without exactly one Host header")
    name = _host_name(written[0])
    if name is None or not (name in {"localhost", rules.host, *rules.names} or _is_address(name)):
        message = f"cannot answer for host {quoted(written[0])}; start the program with --http-host NAME to allow it"
        raise Refusal(421, "unknown-host", message)
    return written[0].lower()


def _check_origin(asked: Asked, rules: Rules, host: str) -> None:
    for origin in asked.all("origin"):
        authority = origin.partition("//")[2].lower() if _ORIGIN.fullmatch(origin) else ""
        if not authority or (authority != host and _host_name(authority) not in rules.names):
            raise Refusal(403, "foreign-origin", f"cannot answer a request of a page at {quoted(origin)}")


def _refuse_token_in_query(asked: Asked, rules: Rules) -> None:
    address = unquote(f"{asked.path}?{asked.query}")
    is_there = rules.act_token in address or rules.read_token in address
    name = next(
        (name for name, _ in parse_qsl(asked.query, keep_blank_values=True) if name.lower() in _TOKEN_NAMES), None
    )
    if name is not None or is_there:  # its value is not quoted: it may be the token
        what = "a token" if name is None else quoted(name)
        message = f"cannot take {what} from the address; send the header Authorization: Bearer TOKEN"
        raise Refusal(400, "token-in-query", message)


def _access_of(asked: Asked, rules: Rules) -> Access:
    written = asked.all("authorization")
    scheme, _, token = written[0].partition(" ") if len(written) == 1 else ("", "", "")
    given = token.strip().encode("utf-8", "surrogateescape")
    # Both are compared in every case: the time of the answer must not tell anything about a token.
    may_act = hmac.compare_digest(given, rules.act_token.encode())
    may_read = hmac.compare_digest(given, rules.read_token.encode())
    if scheme.lower() != "bearer" or not (may_act or may_read):
        wrong = "a wrong" if written else "no"
        message = f"cannot answer with {wrong} token; taskloom web shows the right one"
        raise Refusal(401, "unauthorized", message, headers={"www-authenticate": "Bearer"})
    return Access.ACT if may_act else Access.READ


def _host_name(written: str) -> str | None:
    """Return the name of a Host header without its port, in small letters; None if it is not a host."""
    try:
        parts = urlsplit(f"//{written}")
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None or not parts.hostname:
        return None
    return parts.hostname.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    """Return whether it is an IP address: no other site can have it as its name."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
