"""An API over a watched scheduler, to which a test sends requests. Each JSON reply is checked against its schema."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.control.action_record import ActionRecord
from taskloom.control.api import Api
from taskloom.control.exchange import Answer, Caller, Deferred, Reply, Request, ServerSentEvent, Stream
from taskloom.control.log_source import LogLine
from taskloom.control.openapi import describe_api
from taskloom.control.program_info import ProgramInfo, RequestReload, RequestShutdown
from taskloom.control.routes import ROUTES, find_route
from taskloom.core.policies import Schedule
from taskloom.scheduler import Scheduler

__all__ = [
    "START",
    "AskedApi",
    "ListedLines",
    "awaited",
    "check_reply",
    "events_of",
    "hold",
    "outcome_of",
    "request_of",
    "until_stopped",
    "validator_of",
    "with_jobs",
]

START = "0a1b2c3d"
DOCUMENT = json.loads(json.dumps(describe_api(ROUTES)))


def validator_of(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Return a validator for a schema that may refer to the components of the OpenAPI document.

    Clients ignore members that they do not know; here, all members have to be described.
    """
    return Draft202012Validator({**schema, "components": STRICT_COMPONENTS})


def _strict(schema: Any, name: str = "") -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value, key) for key, value in schema.items()}
    if "properties" in schema and name != "Event":  # an event has the data of its kind, too
        strict["additionalProperties"] = False
    return strict


STRICT_COMPONENTS = _strict(DOCUMENT["components"])


def request_of(
    method: str,
    path: str,
    query: Mapping[str, str | Sequence[str]] | None = None,
    *,
    body: Any = b"",
    headers: Mapping[str, str] | None = None,
) -> Request:
    """Return a request; a body that is not bytes is written as JSON, with its content type."""
    values = {name: (each,) if isinstance(each, str) else tuple(each) for name, each in (query or {}).items()}
    if isinstance(body, bytes):
        return Request(method, path, values, headers or {}, body, Caller(0, 4242))
    found = {"content-type": "application/json", **(headers or {})}
    return Request(method, path, values, found, json.dumps(body).encode(), Caller(0, 4242))


class ListedLines:
    """Log lines in a list, as a log source. `number_lost`: the greatest number of a line that is no longer kept."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.number_lost = 0
        self.folder: str | None = "/var/log/jobs"
        self.problem = ""
        self._wakes: list[Callable[[], object]] = []

    def add(self, text: str, job: str = "web", level: str = "info", at: float = 1000.0) -> None:
        """Add a line, and wake the readers."""
        self.lines.append(LogLine(self.last + 1, at, level, job, f"{job}#1", text))
        for wake in list(self._wakes):
            wake()

    @property
    def last(self) -> int:
        return self.lines[-1].seq if self.lines else self.number_lost

    def since(self, jobs: Any = None) -> float | None:
        return next((line.at for line in self._of(jobs)), None)

    def lost(self, jobs: Any = None) -> int:
        return self.number_lost

    def number_before(self, instant: float) -> int:
        return max((line.seq for line in self.lines if line.at < instant), default=0)

    def after(self, number: int, jobs: Any, most: int) -> Sequence[LogLine]:
        return [line for line in self._of(jobs) if line.seq > number][:most]

    def newest(self, count: int, jobs: Any, matches: Callable[[LogLine], bool]) -> Sequence[LogLine]:
        found = [line for line in self._of(jobs) if matches(line)]
        return found[len(found) - min(count, len(found)) :]

    def wake_with(self, wake: Callable[[], object]) -> Callable[[], object]:
        self._wakes.append(wake)
        return lambda: self._wakes.remove(wake)

    def _of(self, jobs: Any) -> list[LogLine]:
        return [line for line in self.lines if jobs is None or line.job in jobs]


class AskedApi:
    """The API of a scheduler. `api` is the API itself; it gets the events of the scheduler."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        logs: ListedLines | None = None,
        reload: RequestReload | None = None,
        shutdown: RequestShutdown | None = None,
        mask: Callable[[str], str] = str,
        history: ActionRecord | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.api = Api(
            scheduler,
            program=ProgramInfo("jobs-3f2a", label="jobs", start=START, paths=("jobs.yaml",)),
            logs=logs,
            reload=reload,
            shutdown=shutdown,
            mask=mask,
            history=history,
        )
        self._listener = scheduler.listen(self.api.put)

    def flush_events(self) -> None:
        """Wait until the API has all events so far."""
        assert self._listener.flush(20.0)

    def answer(self, method: str, path: str, query: Any = None, **parts: Any) -> Answer:
        """Answer a request; check a reply against the schema of its route."""
        request = request_of(method, path, query, **parts)
        answer = self.api.answer(request)
        if isinstance(answer, Reply):
            check_reply(request, answer)
        return answer

    def get(self, path: str, query: Any = None, **parts: Any) -> Mapping[str, Any]:
        """Return the data of a reply 200 to a GET."""
        return self._data(self.answer("GET", path, query, **parts), 200)

    def post(self, path: str, body: Any = None, status: int = 200) -> Mapping[str, Any]:
        """Return the data of the reply to a POST."""
        return self._data(self.answer("POST", path, body={} if body is None else body), status)

    def refused(self, method: str, path: str, query: Any = None, **parts: Any) -> tuple[int, str, str]:
        """Return the status, the code and the message of a refusal."""
        reply = self.answer(method, path, query, **parts)
        assert isinstance(reply, Reply)
        assert reply.status >= 400, reply
        error = reply.body["error"]
        return reply.status, error["code"], error["message"]

    def open_stream(self, path: str, query: Any = None, **parts: Any) -> Stream:
        """Return the stream of a route that can be followed."""
        stream = self.answer("GET", path, {"follow": "true", **(query or {})}, **parts)
        assert not isinstance(stream, Reply | Deferred), stream
        return stream

    @staticmethod
    def _data(answer: Answer, status: int) -> Mapping[str, Any]:
        assert isinstance(answer, Reply)
        assert answer.status == status, answer
        return answer.body


def check_reply(request: Request, reply: Reply) -> None:
    """Check that the body of a reply is JSON data of the schema that the document has for it."""
    data = reply.text if reply.text is not None else json.loads(json.dumps(dict(reply.body), allow_nan=False))
    if request.method == "HEAD":
        return
    try:
        route, _ = find_route(request.method, request.path)
    except Exception:  # noqa: BLE001 - an unknown route, whose reply is an error as all others
        schema: Mapping[str, Any] = {"$ref": "#/components/schemas/Error"}
    else:
        responses = DOCUMENT["paths"][route.path][route.method.lower()]["responses"]
        response = responses.get(str(reply.status), responses["default"])
        assert reply.status >= 400 or str(reply.status) in responses, f"undocumented: {reply.status}"
        kind = reply.headers["content-type"].partition(";")[0] if reply.text is not None else "application/json"
        schema = response["content"][kind]["schema"]
    validator_of(schema).validate(data)


def check_event(event: ServerSentEvent) -> None:
    """Check the data of an event of a stream against its schema."""
    name = {"gap": "Gap", "end": "End", "line": "Line"}.get(event.event, "Event")
    validator_of({"$ref": f"#/components/schemas/{name}"}).validate(json.loads(json.dumps(dict(event.data))))


def events_of(stream: Stream, most: int = 1000) -> list[ServerSentEvent]:
    """Take all that is there, and check it against its schema."""
    events = list(stream.take(most) or ())
    for event in events:
        check_event(event)
    return events


def outcome_of(deferred: Answer, request: Request) -> Reply:
    """Return the reply that a deferred answer has got, checked against the schema of its route."""
    assert isinstance(deferred, Deferred)
    assert deferred.reply is not None
    check_reply(request, deferred.reply)
    return deferred.reply


def awaited(answer: Answer) -> Reply:
    """Return the reply, as soon as the scheduler's thread has given what it needs."""
    if isinstance(answer, Deferred):
        changed = threading.Event()
        answer.on_change = changed.set
        if answer.reply is None:
            assert changed.wait(20.0)
        assert answer.reply is not None
        return answer.reply
    assert isinstance(answer, Reply), answer
    return answer


def with_jobs(scheduler: WatchedScheduler, **options: Any) -> AskedApi:
    """Return the API of the scheduler, which gets three jobs."""
    asked = AskedApi(scheduler, **options)
    scheduler.add_function("web", until_stopped, manual=True, labels=("public",))
    scheduler.add_function("worker.1", until_stopped, manual=True)
    scheduler.add_function(
        "nightly", lambda ctx: None, schedule=Schedule(every=300.0, text="every 5m"), labels=("batch",)
    )
    return asked


def until_stopped(ctx: Any) -> None:
    """Wait until a stop is requested."""
    ctx.wait()


def hold(may_end: threading.Event) -> Callable[[Any], None]:
    """Return the body of a run that ends only when the test says so."""

    def run(_: Any) -> None:
        may_end.wait(20.0)

    return run
