"""The route table: all that the API offers, and nothing else.

A request finds its function here by its path, as text; never by an attribute whose name came with the request. The
readers of queries and bodies, the list at `/v1`, the replies 404 and 405, the OpenAPI document, the reference and the
tests that try all routes are made from the same table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from taskloom.control import job_routes, probes, program_routes, run_routes, watch_routes
from taskloom.control.api_state import ApiState, Call
from taskloom.control.exchange import Answer, Reply
from taskloom.control.fields import LONGEST_TEXT, Field, Kind
from taskloom.control.refusals import Refusal
from taskloom.core.events import EventName
from taskloom.diagnostics import near_match, quoted
from taskloom.text import suggest

__all__ = ["ROUTES", "Route", "find_route"]

Handler = Callable[[ApiState, Call], Answer]


class Route(NamedTuple):
    """One route. `reply` is the name of the schema of what it returns, `stream` that of the events of its stream."""

    method: str
    path: str
    operation: str
    """The name of the operation in the OpenAPI document."""
    summary: str
    handler: Handler
    reply: str
    query: Sequence[Field] = ()
    body: Sequence[Field] = ()
    status: int = 200
    stream: str = ""
    content: str = "application/json"
    """The content type of the reply."""
    is_slow: bool = False
    """Whether the reply may have thousands of parts: it is made on a thread of its own, one at a time."""

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the parts of the path that differ."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    @property
    def pattern(self) -> re.Pattern[str]:
        """The pattern of all paths of this route."""
        return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(self.path)))


def _document(name: str, state: ApiState, _: Call) -> Answer:
    return Reply(200, state.documents[name])


_JOB = Field("job", Kind.TEXT, "Only these jobs; each may be a glob, such as `web*`.", is_list=True)
_LABEL = Field("label", Kind.TEXT, "Only jobs with one of these labels.", is_list=True)
_TEXT = Field("text", Kind.TEXT, "Why: it becomes part of the reason in events, status and log.", default="")
_SIGNAL = Field(
    "signal", Kind.TEXT, "A name, such as `HUP` or `SIGHUP`, or a number as text, such as `1`.", is_required=True
)
_NOW = Field("now", Kind.BOOLEAN, "Whether to start it although a dependency is not satisfied.", default=False)
_FOLLOW = Field("follow", Kind.BOOLEAN, "Whether to go on, as a stream of server-sent events.", default=False)
_SINCE = Field(
    "since",
    Kind.TEXT,
    "What comes after this id, or from this instant on (RFC 3339; UTC without an offset). The header `Last-Event-ID` "
    "counts more.",
)

_VERBOSE = Field(
    "verbose",
    Kind.TEXT,
    "Whether to list the jobs that count; `?verbose` alone means `true`.",
    default="false",
    choices=("true", "false", ""),
)
_PLAIN = "text/plain"

_EVENT = Field(
    "event", Kind.TEXT, "Only events with these names.", is_list=True, choices=tuple(name.value for name in EventName)
)

ROUTES: Sequence[Route] = (
    Route("GET", "/v1", "getApi", "List the routes.", partial(_document, "Api"), "Api"),
    Route("GET", "/v1/openapi.json", "getOpenApi", "Describe this API.", partial(_document, "OpenApi"), "OpenApi"),
    Route("GET", "/v1/health", "getHealth", "Report whether the program lives, and is ready.", probes.health, "Health"),
    Route("GET", "/v1/program", "getProgram", "Describe the program.", program_routes.program, "Program"),
    Route(
        "GET",
        "/v1/jobs",
        "listJobs",
        "List the status of jobs.",
        job_routes.jobs,
        "Jobs",
        query=(_JOB, _LABEL),
        is_slow=True,
    ),
    Route("GET", "/v1/jobs/{job}", "getJob", "Give the status of one job.", job_routes.one_job, "Job"),
    Route("GET", "/v1/jobs/{job}/why", "why", "Explain why a job is, or is not, running.", watch_routes.why, "Why"),
    Route(
        "GET",
        "/v1/jobs/{job}/declaration",
        "getDeclaration",
        "Give the declaration of a job, with its secrets masked.",
        run_routes.declaration,
        "Declaration",
    ),
    Route(
        "GET",
        "/v1/runs",
        "listRuns",
        "List the last runs: those that have not ended, and those that the program keeps in memory.",
        run_routes.runs,
        "Runs",
        query=(
            _JOB,
            Field("since", Kind.TEXT, "Only runs that have not ended before this instant (RFC 3339)."),
            Field(
                "count",
                Kind.INTEGER,
                "At most this many, the latest ones.",
                default=1000,
                least=1,
                most=run_routes.MOST_RUNS_ASKED,
            ),
            Field(
                "history",
                Kind.BOOLEAN,
                "Whether to add those of the history, also of earlier starts; at most "
                f"{run_routes.MOST_RECORDED_RUNS:,} of them.",
                default=False,
            ),
        ),
        is_slow=True,
    ),
    Route(
        "GET",
        "/v1/next",
        "listNext",
        "List the coming firings of the schedules, soonest first.",
        watch_routes.next_firings,
        "Next",
        query=(Field("count", Kind.INTEGER, "At most this many.", default=20, least=1, most=1000), _JOB),
        is_slow=True,
    ),
    Route(
        "GET",
        "/v1/stacks",
        "listStacks",
        "Give the stack of each run that may be executing.",
        watch_routes.stacks,
        "Stacks",
        query=(_JOB,),
        is_slow=True,
    ),
    Route(
        "GET",
        "/v1/processes",
        "listProcesses",
        "List the runs that are in processes of their own.",
        watch_routes.processes,
        "Processes",
        query=(_JOB,),
        is_slow=True,
    ),
    Route(
        "GET",
        "/v1/events",
        "listEvents",
        "Give the events after a place, or the newest ones; once, or as a stream.",
        watch_routes.events,
        "Events",
        query=(
            _SINCE,
            _JOB,
            _EVENT,
            Field(
                "count",
                Kind.INTEGER,
                "At most this many: the first ones after `since`, or the newest ones; by default 1000. A stream "
                "without `since` begins with the newest ones, by default with none.",
                least=0,
                most=watch_routes.MOST_EVENTS_ASKED,
            ),
            _FOLLOW,
        ),
        stream="EventStream",
        is_slow=True,
    ),
    Route(
        "GET",
        "/v1/logs",
        "listLogLines",
        "Give the newest log lines of jobs; once, or as a stream.",
        watch_routes.logs,
        "Logs",
        query=(
            _JOB,
            Field(
                "lines",
                Kind.INTEGER,
                "At most this many, the newest ones. By default 100, and 10000 with `since`.",
                least=0,
                most=watch_routes.MOST_LINES,
            ),
            _SINCE,
            Field(
                "grep",
                Kind.TEXT,
                "Only lines that contain this text. It is not a pattern; in small letters it also matches capitals.",
            ),
            Field("level", Kind.TEXT, "Only lines of this level or a higher one.", choices=watch_routes.LEVELS),
            _FOLLOW,
        ),
        stream="LogStream",
        is_slow=True,
    ),
    *(
        Route("POST", f"/v1/jobs/{{job}}/{verb}", f"{verb}Job", summary, handler, "Action", body=body)
        for verb, summary, handler, body in (
            ("start", "Start a run now; for a scheduled job it is an extra one.", job_routes.start, (_NOW, _TEXT)),
            (
                "stop",
                "Stop the job by its join policy. It stays stopped until it is started or resumed.",
                job_routes.stop,
                (_TEXT,),
            ),
            (
                "restart",
                "Stop the run, if there is one, and start another when it has ended.",
                job_routes.restart,
                (_NOW, _TEXT),
            ),
            ("pause", "Pause the schedule: each firing is missed until `resume`.", job_routes.pause, (_TEXT,)),
            ("resume", "Resume the schedule after a pause or a stop; no run begins.", job_routes.resume, (_TEXT,)),
            ("reset", "Forget the failures of the job, and its restart delay.", job_routes.reset, (_TEXT,)),
            (
                "signal",
                "Send a signal to the process of the job's run: to the worker, or to the program.",
                job_routes.signal,
                (_SIGNAL, _TEXT),
            ),
        )
    ),
    Route(
        "POST",
        "/v1/reload",
        "reload",
        "Read the job files again and apply what has changed.",
        program_routes.reload,
        "Reload",
        body=(Field("preview", Kind.BOOLEAN, "Whether only to report what would change.", default=False),),
    ),
    Route(
        "POST",
        "/v1/shutdown",
        "shutdown",
        "Stop the program. A second request may allow the stop less time.",
        program_routes.shutdown,
        "Shutdown",
        body=(Field("within", Kind.SECONDS, "Seconds for the whole stop, from now."), _TEXT),
        status=202,
    ),
    Route(
        "GET",
        "/v1/stop",
        "getStop",
        "Give the report of the stop, once it is over.",
        program_routes.stop_report,
        "StopReport",
        query=(Field("wait", Kind.BOOLEAN, "Whether to wait also for a stop that has not begun.", default=False),),
    ),
    Route(
        "GET",
        "/metrics",
        "getMetrics",
        "Give the metrics for Prometheus.",
        probes.metrics,
        "Text",
        content="application/openmetrics-text",
        is_slow=True,
    ),
    Route(
        "GET",
        "/livez",
        "getLivez",
        "Report whether the scheduler's thread does its work: 503 if it is late by more than ten seconds.",
        probes.livez,
        "Text",
        content=_PLAIN,
    ),
    Route(
        "GET",
        "/readyz",
        "getReadyz",
        "Report whether the program is ready: 503 before that, and while it is being stopped.",
        probes.readyz,
        "Text",
        query=(_VERBOSE,),
        content=_PLAIN,
        is_slow=True,
    ),
)

_PATTERNS = {path: next(each.pattern for each in ROUTES if each.path == path) for path in {r.path for r in ROUTES}}


def find_route(method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """Return the route of a request, and the variable parts of its path. HEAD finds what GET does. Raises Refusal."""
    for template, pattern in _PATTERNS.items():
        found = pattern.fullmatch(path)
        if found is None:
            continue
        routes = {route.method: route for route in ROUTES if route.path == template}
        route = routes.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join([*routes, *(["HEAD"] if "GET" in routes else [])])
            message = f"cannot use method {quoted(method)} for {template}; allowed: {allowed}"
            raise Refusal(405, "method-not-allowed", message, headers={"allow": allowed})
        return route, found.groupdict()
    near = near_match(path[:LONGEST_TEXT], _PATTERNS)
    message = f"cannot find route {quoted(path)}; GET /v1 lists all{suggest(near, before='; ')}"
    raise Refusal(404, "unknown-route", message, near=() if near is None else (near,))
