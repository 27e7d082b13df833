"""Errors of a job on runner `dask` that depend on this machine: the packages of its extra, and the files for TLS.

Nothing of Dask is imported, and no address is resolved or contacted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from taskloom.diagnostics import FieldError, MachineError, quoted
from taskloom.runners.dask.extra import INSTALL, why_unusable

__all__ = ["errors_for_cluster"]

_TLS = ("runner", "dask", "tls")


def errors_for_cluster(options: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield an error for each thing without which no run could start from here."""
    missing = why_unusable()
    if missing:
        yield MachineError(("runner",), f"cannot use runner dask: {missing}", INSTALL)
    if options.get("local") is not None:
        from taskloom.jobfile.checks.process_runner import errors_on_this_machine

        yield from errors_on_this_machine(options, "dask")
    if options.get("tls") is not None:
        yield from _errors_in_tls(options["tls"])


class _State(NamedTuple):
    """Changes when the file is replaced. Many jobs name the same files, which are read once."""

    path: str
    inode: int
    size: int
    changed: int


def _errors_in_tls(paths: Mapping[str, str]) -> Iterator[FieldError]:
    states: list[_State] = []
    for name, path in paths.items():
        try:
            found = Path(path).stat()
            with Path(path).open("rb"):
                pass
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            yield FieldError((*_TLS, name), f"cannot read {quoted(path)} as runner.dask.tls.{name}: {reason}")
        else:
            states.append(_State(path, found.st_ino, found.st_size, found.st_mtime_ns))
    if len(states) == len(paths):
        wrong = _why_unfit(paths["ca_file"], paths["cert_file"], paths.get("key_file"), tuple(states))
        if wrong is not None:
            name, why = wrong
            yield FieldError((*_TLS, name), f"cannot use {quoted(paths[name])} as runner.dask.tls.{name}: {why}")


@lru_cache(maxsize=16)
def _why_unfit(ca: str, cert: str, key: str | None, _states: tuple[_State, ...]) -> tuple[str, str] | None:
    """Return the option whose file cannot be used for TLS, and why; None if all can."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(ca)
    except OSError:
        return "ca_file", "expected certificates in PEM form"
    try:
        context.load_cert_chain(cert, key, _refuse_password)
    except _PasswordNeeded:
        return "cert_file" if key is None else "key_file", "its key is protected by a password, which cannot be given"
    except OSError as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            return "cert_file", "its certificate and the key do not belong together"
        what = "a certificate and its key" if key is None else "a certificate, and its key in key_file,"
        return "cert_file", f"expected {what} in PEM form"
    return None


class _PasswordNeeded(Exception):
    """OpenSSL asks for the password of a key. Without a callback it would ask on the terminal."""


def _refuse_password() -> str:
    raise _PasswordNeeded
