"""The routes for monitoring: metrics, whether the program lives, and whether it is ready.

They wait for nothing: a server answers others until the scheduler's thread has given its snapshot. Clients that nothing
is known of get the same, without the names of jobs that `verbose` shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from zlib import compressobj

from taskloom.control.api_state import ApiState, Call
from taskloom.control.exchange import Answer, Reply, Request
from taskloom.control.liveness import LATE_SECONDS
from taskloom.control.readiness import readiness
from taskloom.control.refusals import Refusal, error_reply
from taskloom.core.awaited import awaited_jobs, first_awaited, is_awaited
from taskloom.core.model import Phase
from taskloom.diagnostics import quoted
from taskloom.scheduler.snapshots import Snapshot
from taskloom.text import duration, measured

__all__ = ["INSTALL", "MISSING", "answer_in_public", "has_metrics", "health", "livez", "metrics", "readyz"]

INSTALL = "pip install 'taskloom[metrics]'"
MISSING = f"the package prometheus-client is not installed; {INSTALL}"
# Kubernetes waits for one second, unless it is told otherwise.
PROBE_SECONDS = 0.5
# Prometheus waits for ten seconds.
SCRAPE_SECONDS = 5.0
HEALTH_SECONDS = 2.0
# Of 9: a thousand jobs have 2 MB of text, and take 10 ms. More would save little.
_GZIP_LEVEL = 1
# A weight by which a client refuses a kind, in each form that RFC 9110 has for it.
_REFUSED = frozenset({"q=0", "q=0.", "q=0.0", "q=0.00", "q=0.000"})

_PLAIN = {"content-type": "text/plain; charset=utf-8"}


def has_metrics() -> bool:
    """Return whether the package for metrics is installed; it is not imported."""
    try:
        return find_spec("prometheus_client") is not None
    except (ImportError, ValueError):  # half removed, or replaced by something else
        return False


def livez(state: ApiState, _: Call) -> Answer:
    """Report whether the scheduler's thread does its work: 503 only if it is late by more than ten seconds."""
    return _livez(state)


def readyz(state: ApiState, call: Call) -> Answer:
    """Report whether the program is ready; with `verbose`, which of its jobs are awaited."""
    return _readyz(state, is_verbose=call.query["verbose"] != "false")


def metrics(state: ApiState, call: Call) -> Answer:
    """Give the metrics."""
    return _metrics(state, call.request)


def health(state: ApiState, _: Call) -> Answer:
    """Report as data whether the program lives and is ready."""

    def make(snapshot: Snapshot) -> Reply:
        found = readiness(snapshot)
        return _health_reply(state, late=0.0, is_ready=found.is_ready, text=str(found), missing=found.missing)

    def late(seconds: float) -> Reply:
        return _health_reply(state, late=seconds, is_ready=False, text=_late_text(seconds), missing=())

    return state.liveness.request(make, late, within=HEALTH_SECONDS, jobs=awaited_jobs)


def _health_reply(state: ApiState, *, late: float, is_ready: bool, text: str, missing: tuple[str, ...]) -> Reply:
    return Reply(
        200,
        {
            "start": state.program.start,
            "live": late <= LATE_SECONDS,
            "late": late,
            "ready": is_ready,
            "text": text,
            "missing": list(missing),
        },
    )


# -- for clients that nothing is known of


def answer_in_public(state: ApiState, request: Request) -> Answer:
    """Answer a client that nothing is known of: three paths, GET and HEAD. The query is not read."""
    answer = _PUBLIC.get(request.path)
    if answer is None:
        paths = ", ".join(_PUBLIC)
        return _text(404, f"cannot find {quoted(request.path)}; expected one of {paths}")
    if request.method not in ("GET", "HEAD"):
        reply = _text(405, f"cannot use method {quoted(request.method)} for {request.path}; allowed: GET, HEAD")
        return reply._replace(headers={**reply.headers, "allow": "GET, HEAD"})
    return answer(state, request)


def _zipped(reply: Reply, request: Request) -> Reply:
    """Return the reply as gzip if the client takes that: the names of metrics and jobs come again in each line."""
    if reply.text is None or not _takes(request, "accept-encoding", "gzip"):
        return reply
    packer = compressobj(_GZIP_LEVEL, wbits=31)  # gzip, without the time and the name of a file
    content = packer.compress(reply.text.encode()) + packer.flush()
    return reply._replace(text=None, content=content, headers={**reply.headers, "content-encoding": "gzip"})


def _takes(request: Request, header: str, kind: str) -> bool:
    """Return whether a header of what the client takes names this kind, and not with `q=0`."""
    for each in request.headers.get(header, "").lower().split(","):
        name, _, rest = each.partition(";")
        if name.strip() == kind:
            return not _REFUSED.intersection(rest.replace(" ", "").split(";"))
    return False


def _livez(state: ApiState) -> Answer:
    return state.liveness.request(lambda _: _text(200, "ok"), _live_although_late, within=PROBE_SECONDS, jobs=())


def _live_although_late(seconds: float) -> Reply:
    return _text(503, "late") if seconds > LATE_SECONDS else _text(200, "ok")


def _readyz(state: ApiState, *, is_verbose: bool = False) -> Answer:
    def make(snapshot: Snapshot) -> Reply:
        found = readiness(snapshot)
        status = 200 if found.is_ready else 503
        if is_verbose:
            return _text(status, _verbose_text(snapshot, status))
        return _text(status, "ready" if found.is_ready else "waiting" if found.phase is Phase.OPEN else "stopping")

    # The status of all jobs takes the scheduler's thread 50 ms for ten thousand, and this comes every second.
    jobs = None if is_verbose else first_awaited
    return state.liveness.request(make, lambda _: _text(503, "late"), within=PROBE_SECONDS, jobs=jobs)


def _verbose_text(snapshot: Snapshot, status: int) -> str:
    """Return a line for each job that counts, as Kubernetes writes the checks of its own servers."""
    lines = [] if snapshot.phase is Phase.OPEN else [f"[-]scheduler {snapshot.phase.value}"]
    for each in snapshot.jobs:
        report = each.report
        if report.starts_at_once:
            mark = "-" if is_awaited(report) else "+"
            since = f" for {measured(report.seconds)}" if mark == "-" and report.seconds else ""
            lines.append(f"[{mark}]job {report.job} {'not ready' if mark == '-' else 'ok'}{since}")
    return "\n".join([*lines, f"readyz check {'passed' if status == 200 else 'failed'}"])


def _metrics(
    state: ApiState, request: Request, pack: Callable[[Reply, Request], Reply] = lambda reply, _: reply
) -> Answer:
    try:
        # Imported at the first scrape: most programs have none.
        from taskloom.control.metrics.exposition import Format, exposition
    except (ImportError, OSError) as error:  # the latter if no descriptor is left
        why = f"cannot import prometheus_client: {error}" if has_metrics() else MISSING
        return error_reply(Refusal(501, "no-metrics", f"cannot give metrics: {why}"), state.mask)

    is_old = _takes(request, "accept", "text/plain") and not _takes(request, "accept", "application/openmetrics-text")
    written_as = Format.TEXT if is_old else Format.OPENMETRICS

    def make(snapshot: Snapshot) -> Reply:
        history, receivers = state.history.status(), state.notifications()
        text = exposition(snapshot, state.totals, state.program, history, receivers=receivers, written_as=written_as)
        headers = {"content-type": written_as.value, "vary": "accept, accept-encoding"}
        return pack(Reply(200, {}, headers, text), request)

    return state.liveness.request(make, lambda seconds: _text(503, _late_text(seconds)), within=SCRAPE_SECONDS)


def _late_text(seconds: float) -> str:
    return f"the scheduler's thread has not answered for {duration(seconds, is_rounded=True)}"


def _text(status: int, text: str) -> Reply:
    return Reply(status, {}, _PLAIN, f"{text}\n")


_PUBLIC: Mapping[str, Callable[[ApiState, Request], Answer]] = {
    "/metrics": partial(_metrics, pack=_zipped),
    "/livez": lambda state, _: _livez(state),
    "/readyz": lambda state, _: _readyz(state),
}
