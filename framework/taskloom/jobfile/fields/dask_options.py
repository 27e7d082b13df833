"""The options of runner `dask`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from taskloom.core.model import RunnerSpec
from taskloom.diagnostics import FieldError, quoted
from taskloom.jobfile.fields.mapping import Key, MappingReader, mapping
from taskloom.jobfile.fields.process_options import (
    NO_REUSE,
    OPTIONS,
    PROCESS_KEYS,
    PROCESS_OPTIONS,
    described,
    path,
)
from taskloom.jobfile.fields.spec import (
    JobErrors,
    Loc,
    Spec,
    flag,
    integer,
    invalid_value,
    is_number,
    list_of,
    seconds,
    text,
)
from taskloom.text import duration

# Modules of the runner are imported by the readers: programs without a cluster do not pay for them.
__all__ = ["ADDRESS_PATTERN", "DASK", "DASK_OPTIONS"]

_NO_PORT = r"0+$|6553[6-9]|655[4-9]\d|65[6-9]\d\d|6[6-9]\d{3}|[7-9]\d{4}"
ADDRESS_PATTERN = rf"^(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[^\s:/@?#\[\]]+):(?!{_NO_PORT})[0-9]{{1,5}}$"
"""The pattern in the JSON Schema: it accepts every address that `parse_address` accepts."""

# A local cluster is for trials on one machine, and each of its workers is an interpreter.
_MOST_LOCAL_WORKERS = 64


def _read_scheduler(value: object, loc: Loc) -> str:
    from taskloom.runners.dask.address import parse_address

    if not isinstance(value, str):
        raise invalid_value(value, loc, "the address of a Dask scheduler, such as tls://dask.example:8786")
    try:
        return str(parse_address(value))
    except ValueError as error:
        message, hint = error.args
        raise JobErrors([FieldError(loc, message, hint)]) from None


_SCHEDULER: Spec[str] = Spec(
    _read_scheduler,
    {"type": "string", "pattern": ADDRESS_PATTERN, "examples": ["tls://dask.example:8786"]},
    lambda value: isinstance(value, str),
)


# -- tls


_FILE = path("the path of a PEM file")
_TLS_KEYS = (
    Key("ca_file", _FILE, is_required=True),
    Key("cert_file", _FILE, is_required=True),
    Key("key_file", _FILE),
)
_TLS = mapping(
    _TLS_KEYS,
    lambda reader: {key.name: reader.get(key, "") for key in _TLS_KEYS if key.name in reader.written},
    expected="{ca_file: PATH, cert_file: PATH, key_file: PATH}",
)


# -- resources


def _read_resources(value: object, loc: Loc) -> dict[str, float]:
    if not isinstance(value, Mapping) or not value:
        raise invalid_value(value, loc, "a mapping of resources to amounts", "write {GPU: 1}")
    errors: list[FieldError] = []
    for name, amount in value.items():
        inner = (*loc, str(name))
        if not isinstance(name, str) or not name:
            errors.append(
                FieldError(inner, f"cannot use {quoted(name)} as the name of a resource; expected text", at_key=True)
            )
        elif not is_number(amount) or not 0 < amount < math.inf:
            errors += invalid_value(amount, inner, "a number above 0").errors
    if errors:
        raise JobErrors(errors)
    return dict(value)


_RESOURCES: Spec[dict[str, float]] = Spec(
    _read_resources,
    {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"minLength": 1},
        "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
    },
    lambda value: isinstance(value, Mapping),
)


# -- workers

_NAMES = list_of(text(is_empty_allowed=False), "a list of names or hosts of workers")


def _read_workers(value: object, loc: Loc) -> tuple[str, ...]:
    if isinstance(value, str) or value == []:
        hint = f"write [{value}]" if value else "leave it out to use all workers"
        raise invalid_value(value, loc, "a list of names or hosts of workers", hint)
    return _NAMES.read(value, loc)


_WORKERS: Spec[tuple[str, ...]] = Spec(
    _read_workers, {**_NAMES.schema, "minItems": 1}, lambda value: isinstance(value, list)
)


# -- lease

_PERIODS = 3
_TTL = Key("ttl", seconds(is_zero_allowed=False))
_GRACE = Key("grace", seconds())
_PERIOD = Key("period", seconds(is_zero_allowed=False))


def _build_lease(reader: MappingReader) -> dict[str, float]:
    from taskloom.runners.dask.protocol.messages import Lease

    found = {key.name: reader.get(key, None) for key in (_TTL, _GRACE, _PERIOD) if key.name in reader.written}
    lease = {name: each for name, each in found.items() if each is not None}
    terms = Lease()._replace(**lease)
    if len(lease) == len(found) and terms.ttl < _PERIODS * terms.period:
        ttl, period, least = duration(terms.ttl), duration(terms.period), duration(_PERIODS * terms.period)
        message = f"cannot use a ttl of {ttl} with a period of {period}: two lost messages would end its runs"
        reader.refuse("ttl" if "ttl" in found else "period", message, f"write a ttl of at least {least}, three periods")
    return lease


_LEASE = mapping((_TTL, _GRACE, _PERIOD), _build_lease, expected="{ttl: 20s, grace: 10s, period: 5s}")


# -- all of them

_KEYS: tuple[Key[Any], ...] = (
    Key("scheduler", _SCHEDULER),
    Key("local", integer(1, _MOST_LOCAL_WORKERS)),
    Key("tls", _TLS),
    Key("insecure", flag()),
    Key("resources", _RESOURCES),
    Key("workers", _WORKERS),
    Key("lease", _LEASE),
    Key("wait", seconds(is_zero_allowed=False)),
    *PROCESS_KEYS,
)

DASK_OPTIONS: Mapping[str, str] = {
    "scheduler": "The address of the Dask scheduler: `tls://HOST:PORT`, or `tcp://HOST:PORT` on this machine.",
    "local": "In place of `scheduler`: a cluster of this many workers on this machine, for a trial. It is made for the "
    "first run, and ends with the program.",
    "tls": "The PEM files for `tls://`: `ca_file`, `cert_file`, and `key_file` if the certificate's file does not hold "
    "the key too. Both sides prove who they are.",
    "insecure": "`true` allows `tcp://` to another machine. Everyone who reaches such a scheduler can run any program "
    "on its workers.",
    "resources": "The amounts that each run occupies of the resources with which its worker was started: `{GPU: 1}`.",
    "workers": "The workers that may be used: a list of their names or hosts. Default: all.",
    "lease": "How long a run goes on without a word from the program: `{ttl: 20s, grace: 10s, period: 5s}`. It is "
    "asked to stop after `ttl`, and killed `grace` later. A message goes to each worker every `period`; `ttl` is at "
    "least three of them.",
    "wait": "How long a run waits for the cluster to be there; default `30s`. Then it fails to start.",
    "env": "Environment variables that are added to those that the worker has, without `TASKLOOM_...`: a mapping of "
    "names to texts. They cross the network.",
    "cwd": "The working directory, on the worker's machine; a relative path begins at that of the worker, which is the "
    "default.",
    "nice": "The niceness, from -20 to 19. Less than that of the worker needs root there.",
    "user": "The user that it runs as, on the worker's machine: a name or a number, or user:group. The worker "
    "needs root.",
    "memory_limit": PROCESS_OPTIONS["memory_limit"],
}
"""The meaning of each option of runner `dask`, for the reference and the JSON Schema."""


def _build(reader: MappingReader) -> RunnerSpec:
    options = {key.name: reader.get(key, None) for key in _KEYS if key.name in reader.written}
    return RunnerSpec("dask", options)


_KNOWN = mapping(_KEYS, _build, expected=OPTIONS, name="runner", is_null_allowed=True)


def _read(value: object, loc: Loc) -> RunnerSpec:
    from taskloom.runners.dask.options import check_options

    errors: list[FieldError] = []
    written = value
    if isinstance(value, Mapping) and "reuse" in value:
        errors.append(FieldError((*loc, "reuse"), NO_REUSE, "leave it out", at_key=True))
        written = {key: each for key, each in value.items() if key != "reuse"}
    try:
        spec = _KNOWN.read(written, loc)
    except JobErrors as error:
        raise JobErrors([*errors, *error.errors]) from None
    for inner, message, hint in check_options(spec.options):
        errors.append(FieldError((*loc, *inner), message, hint, at_key=not inner))
    if errors:
        raise JobErrors(errors)
    return spec


# What `check_options` says of several options at once, as far as a schema can say it: whether a host is this machine
# is left to the reader.
_OF_EXISTING_CLUSTER = ("tls", "insecure", "resources", "workers")
_TOGETHER = {
    "type": "object",
    "oneOf": [
        {"required": ["scheduler"], "properties": {"local": False}},
        {"required": ["local"], "properties": dict.fromkeys(("scheduler", *_OF_EXISTING_CLUSTER), False)},
    ],
    "if": {"required": ["scheduler"], "properties": {"scheduler": {"type": "string", "pattern": "^tls://"}}},
    "then": {"required": ["tls"], "properties": {"insecure": {"not": {"const": True}}}},
}

DASK = Spec(_read, {**described(_KNOWN.schema, DASK_OPTIONS), **_TOGETHER}, lambda value: isinstance(value, Mapping))
