"""The address of a Dask scheduler, as a job file writes it."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from taskloom.diagnostics import near_match, quoted

__all__ = ["ADDRESS_FORMS", "SCHEDULER_PORT", "SchedulerAddress", "parse_address"]

SCHEDULER_PORT = 8786
"""The port of a Dask scheduler that is started without one."""
ADDRESS_FORMS = "tcp://HOST:PORT or tls://HOST:PORT"

_SCHEMES = ("tcp", "tls")
_PARTS = re.compile(
    r"(?:(?P<scheme>[^:/@]*)://)?(?P<host>\[[^\[\]]*\]|[^:/@?#\[\]\s]*)(?::(?P<port>[^/]*))?(?P<rest>/(?!/).*)?"
)
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", re.ASCII)


class SchedulerAddress(NamedTuple):
    """The address at which a Dask scheduler listens."""

    scheme: str
    """`tcp` or `tls`."""
    host: str
    """A name or an IP address, an IPv6 address without its brackets."""
    port: int

    @property
    def is_encrypted(self) -> bool:
        """Return whether both sides prove who they are, and nothing crosses the network in clear text."""
        return self.scheme == "tls"

    @property
    def is_loopback(self) -> bool:
        """Return whether it is an address of this machine that no other machine can reach. Resolves no name."""
        if self.host.lower().rstrip(".") == "localhost":
            return True
        try:
            address = ip_address(self.host)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return (mapped or address).is_loopback

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_address(written: str) -> SchedulerAddress:
    """Return the address. Raises ValueError with what is wrong, and with a hint or "" as its second argument."""
    if "@" in written:
        raise ValueError("cannot use a user or a password in the address of a Dask scheduler", "leave out all before @")
    if bracketed := _bracketed(written):
        raise _unusable(written, f"write {bracketed}")
    found = _PARTS.fullmatch(written)
    if found is None:
        raise _unusable(written)
    scheme, host, port = found["scheme"], found["host"], found["port"]
    if not _is_host(host):
        raise _unusable(written)
    if scheme not in _SCHEMES or port is None or found["rest"]:
        raise _unusable(written, _hint(scheme, host, port))
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
        message = f"cannot use {quoted(port)} as the port of {quoted(written)}; expected a number from 1 to 65535"
        raise ValueError(message, "")
    return SchedulerAddress(scheme, host.strip("[]"), int(port))


def _is_host(host: str) -> bool:
    """Return whether it is a name, an IPv4 address, or an IPv6 address in brackets."""
    if not host.startswith("["):
        return _HOST.fullmatch(host) is not None
    try:
        return isinstance(ip_address(host.strip("[]")), IPv6Address)
    except ValueError:
        return False


def _unusable(written: str, hint: str = "") -> ValueError:
    return ValueError(
        f"cannot use {quoted(written)} as the address of a Dask scheduler; expected {ADDRESS_FORMS}", hint
    )


def _hint(scheme: str | None, host: str, port: str | None) -> str:
    """Return what was probably meant, or ""."""
    if scheme in ("http", "https"):
        meant = SchedulerAddress("tcp", host.strip("[]"), SCHEDULER_PORT)
        shown = meant if meant.is_loopback else meant._replace(scheme="tls")
        return f"that is the address of Dask's web pages; the scheduler is at {shown}"
    if scheme is None and host in _SCHEMES:  # tls:/host:8786
        return ""
    meant_scheme = "tls" if scheme is None else scheme if scheme in _SCHEMES else near_match(scheme, _SCHEMES)
    return f"write {meant_scheme}://{host}:{port or SCHEDULER_PORT}" if meant_scheme else ""


def _bracketed(written: str) -> str:
    """Return the address with the brackets that its IPv6 host lacks; "" for any other."""
    scheme, _, rest = written.rpartition("://")
    if "[" in rest or scheme not in ("", *_SCHEMES):
        return ""
    host, _, port = rest.rpartition(":")
    # `::1:8786` is an IPv6 address as a whole too. A host that ends like a usual port is rare.
    if not (_is_host(f"[{host}]") and re.fullmatch(r"[1-9][0-9]{3,4}", port)):
        host, port = rest, str(SCHEDULER_PORT)
    return f"{scheme or 'tls'}://[{host}]:{port}" if _is_host(f"[{host}]") else ""
