"""The options of a job on runner `dask`, in final form: which cluster, and what the process there is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from taskloom.runners.dask.address import SchedulerAddress, parse_address
from taskloom.runners.dask.protocol.messages import Lease
from taskloom.text import plural

__all__ = [
    "CLUSTER_OPTIONS",
    "LOCAL_SLOTS",
    "PROCESS_OPTIONS",
    "WAIT_SECONDS",
    "Cluster",
    "DaskOptions",
    "TlsFiles",
    "check_options",
]

WAIT_SECONDS = 30.0
"""How long a first run waits for its cluster, by default."""

LOCAL_SLOTS = 16
"""How many runs each worker of a local cluster executes at a time. They are processes of their own and mostly wait."""

CLUSTER_OPTIONS = ("scheduler", "local", "tls", "insecure", "resources", "workers", "lease", "wait")
PROCESS_OPTIONS = ("env", "cwd", "nice", "user", "memory_limit")

_OF_EXISTING_CLUSTER = ("tls", "insecure", "resources", "workers")


class TlsFiles(NamedTuple):
    """The paths of PEM files, as they are written."""

    ca_file: str
    cert_file: str
    key_file: str | None = None
    """None if the certificate's file holds the key too."""


class Cluster(NamedTuple):
    """The cluster that a job runs on, and the terms of the session there. Hashable.

    Jobs with an equal cluster share one session: one connection, one queue, one heartbeat to each worker.
    """

    scheduler: SchedulerAddress | None = None
    """None for a local cluster."""
    local: int = 0
    """The number of workers of a local cluster; 0 for an existing one."""
    tls: TlsFiles | None = None
    resources: tuple[tuple[str, float], ...] = ()
    """The amounts that each run occupies of its worker's resources, by name, sorted."""
    workers: tuple[str, ...] = ()
    """Names or hosts of the workers that may be used; empty for all."""
    lease: Lease = Lease()
    wait: float = WAIT_SECONDS
    """How many seconds a run waits for the cluster to be there, from the first attempt to connect."""

    @property
    def shown(self) -> str:
        """Return how messages name it, such as `the cluster at tls://dask:8786`."""
        if self.scheduler is None:
            return f"the local cluster of {plural(self.local, 'worker')}"
        return f"the cluster at {self.scheduler}"


class DaskOptions(NamedTuple):
    """The options of one job."""

    cluster: Cluster
    process: Mapping[str, Any] = MappingProxyType({})
    """`env`, `cwd`, `nice`, `user` and `memory_limit`, as runner `process` takes them; only those that are written."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> DaskOptions:
        """Return the options of a valid job: those of its RunnerSpec, in which durations are seconds."""
        written = options.get("scheduler")
        tls, lease = options.get("tls"), options.get("lease") or {}
        cluster = Cluster(
            None if written is None else parse_address(written),
            options.get("local") or 0,
            None if tls is None else TlsFiles(**tls),
            tuple(sorted((options.get("resources") or {}).items())),
            tuple(options.get("workers") or ()),
            Lease()._replace(**lease),
            options.get("wait", WAIT_SECONDS),
        )
        return cls(cluster, {name: options[name] for name in PROCESS_OPTIONS if name in options})


Error = tuple[tuple[str | int, ...], str, str]


def check_options(options: Mapping[str, Any]) -> Iterator[Error]:
    """Yield what is wrong with options that are valid each: a location below them, the message, and a hint or ""."""
    written, local = options.get("scheduler"), options.get("local")
    if written is not None and local is not None:
        yield ("local",), "cannot use both scheduler and local: a job runs on one cluster", "leave one of them out"
    elif written is not None:
        yield from _check_security(parse_address(written), options)
    elif local is not None:
        for name in _OF_EXISTING_CLUSTER:
            if name in options:
                yield (
                    (name,),
                    f"cannot use {name} with local: a local cluster is made for this program alone",
                    "leave it out",
                )
    else:
        message = "cannot use runner dask without a cluster"
        yield (), message, "write scheduler: tls://HOST:PORT, or local: 2 for a trial on this machine"


def _check_security(address: SchedulerAddress, options: Mapping[str, Any]) -> Iterator[Error]:
    tls, is_insecure = options.get("tls"), bool(options.get("insecure"))
    if address.is_encrypted:
        if tls is None:
            message = f"cannot connect to {address} without certificates"
            yield ("scheduler",), message, "add tls: {ca_file: ..., cert_file: ..., key_file: ...}"
        if is_insecure:
            yield ("insecure",), f"cannot be insecure with {address}: it is encrypted", "leave it out"
        return
    if tls is not None:
        yield ("tls",), f"cannot use tls with {address}: it is not encrypted", f"write {address._replace(scheme='tls')}"
    elif not address.is_loopback and not is_insecure:
        message = (
            f"cannot use {address} without TLS: everyone who reaches it can run any program on all of its workers, and "
            "params and logs cross the network in clear text"
        )
        hint = f"write {address._replace(scheme='tls')} with tls, or insecure: true if the network is yours alone"
        yield ("scheduler",), message, hint
