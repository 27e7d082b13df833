"""The API of a running program: one method, which answers any request. It knows no socket and no HTTP framing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from taskloom.control.action_record import ActionRecord, NoRecord
from taskloom.control.api_state import ApiState, Call, Log, is_glob
from taskloom.control.event_ring import EventRing
from taskloom.control.exchange import Answer, Deferred, Reply, Request
from taskloom.control.fields import read_body, read_query
from taskloom.control.log_source import LogSource
from taskloom.control.openapi import describe_api
from taskloom.control.probes import answer_in_public
from taskloom.control.program_info import ProgramInfo, RequestReload, RequestShutdown
from taskloom.control.refusals import Refusal, error_reply, refusal_of
from taskloom.control.routes import ROUTES, Route, find_route
from taskloom.control.strict_json import read_object
from taskloom.core.events import Event
from taskloom.diagnostics import quoted
from taskloom.errors import UsageError
from taskloom.observe.masked_data import masked_data
from taskloom.scheduler.facade import Scheduler
from taskloom.scheduler.failure_log import FailureLog
from taskloom.text import error_text, traceback_of

__all__ = ["ANSWER_SECONDS", "LOGGER", "Api"]

LOGGER = "taskloom.control"
# Ten spinning tasks delay the scheduler's thread by some tenths of a second. Our clients wait for five seconds.
ANSWER_SECONDS = 4.0

_SLOW = {route.path for route in ROUTES if route.is_slow}


def _as_it_is(text: str) -> str:
    return text


class Api:
    """Answers requests about one scheduler. `answer` is called on the thread of the server; for requests that are slow
    it may be called on another one at the same time.

    `put` takes the events of the scheduler; the program passes it those of its own listener. `reload` and `shutdown`
    are how the program does these; without `shutdown` the scheduler alone is stopped. `mask` replaces secrets in a
    text. `log` gets a line for each action, with who requested it; by default the logger `taskloom.control`, on a
    thread that exists while there is something to log. `history` records the actions. `notifications`
    returns how it goes with each receiver of notifications, as JSON data.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        program: ProgramInfo,
        logs: LogSource | None = None,
        reload: RequestReload | None = None,
        shutdown: RequestShutdown | None = None,
        mask: Callable[[str], str] = _as_it_is,
        log: Log | None = None,
        history: ActionRecord | None = None,
        notifications: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    ) -> None:
        self._own_log: FailureLog | None = None
        if log is None:
            self._own_log = FailureLog(logging.getLogger(LOGGER))
            log = self._own_log.put_line
        self._log = log
        self._state = ApiState(
            scheduler,
            program,
            EventRing(),
            logs,
            reload,
            shutdown,
            mask,
            self._log,
            history or NoRecord(),
            notifications,
        )
        routes = [f"{route.method} {route.path}" for route in ROUTES]
        self._state.documents = {
            "Api": {"api": 1, "start": program.start, "routes": routes},
            "OpenApi": describe_api(ROUTES),
        }

    @property
    def events(self) -> EventRing:
        """The last events."""
        return self._state.events

    def announce_page(self, url: str, token_file: str) -> None:
        """Let clients know where the web page is, and which file has its token. Called before the first request."""
        self._state.page = {"url": url, "token_file": token_file}

    def put(self, event: Event) -> None:
        """Take an event of the scheduler. Never blocks; only one thread calls it."""
        self._state.totals.put(event)
        self._state.runs.put(event)
        self._state.events.put(event)

    def finish(self, report: Mapping[str, Any]) -> None:
        """Give the report of the stop to all clients that wait for it; only the first one counts. Any thread."""
        self._state.give_report(Reply(200, masked_data(self._state.mask, report)))

    def flush_log(self, timeout: float | None = 1.0) -> bool:
        """Wait until all requests so far are logged; return False after `timeout` seconds."""
        return self._own_log is None or self._own_log.flush(timeout)

    def answer(self, request: Request) -> Answer:
        """Answer one request; never raises. It waits at most `ANSWER_SECONDS` for the scheduler's thread."""
        try:
            return self._answer(request)
        except Refusal as refusal:
            return error_reply(refusal, self._state.mask)
        except UsageError as error:
            return error_reply(refusal_of(error), self._state.mask)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not end the server
            return error_reply(self._bug(error))

    def _bug(self, error: Exception) -> Refusal:
        self._log(f"{error_text(error)}; please report it\n{traceback_of(error, error.__traceback__)}", "CRITICAL")
        return Refusal(500, "internal-error", "internal error; the log of the program has more")

    def answer_in_public(self, request: Request) -> Answer:
        """Answer one request of a client that nothing is known of: metrics and probes alone; never raises or waits.

        Any thread may call it.
        """
        try:
            return answer_in_public(self._state, request)
        except Exception as error:  # noqa: BLE001 - the same
            return error_reply(self._bug(error))

    def is_slow(self, request: Request) -> bool:
        """Return whether the reply takes some time for each of many jobs, events or lines: others may go first."""
        if request.method not in ("GET", "HEAD") or request.path not in _SLOW:
            return False
        jobs = request.query.get("job", ())
        if request.path == "/readyz":  # with `verbose` it has a line for each job
            return "verbose" in request.query and "false" not in request.query["verbose"]
        is_stream = "true" in request.query.get("follow", ())
        return not is_stream and (request.path != "/v1/jobs" or not jobs or any(map(is_glob, jobs)))

    def _answer(self, request: Request) -> Answer:
        route, variables = find_route(request.method, request.path)
        query = read_query(route.query, request.query)
        call = Call(request, variables, query, self._read_body(route, request))
        with self._state.scheduler.answers_within(ANSWER_SECONDS):
            answer = route.handler(self._state, call)
        if request.method == "HEAD" and isinstance(answer, Deferred) and answer.deadline == inf:
            return Reply(route.status, {})  # its body is of no use, so that nothing is waited for
        return answer

    def _read_body(self, route: Route, request: Request) -> dict[str, Any]:
        if route.method == "GET":
            if request.body:
                raise Refusal(400, "unexpected-body", f"cannot use the body of a {request.method}; expected none")
            return {}
        _check_content_type(request)
        return read_body(route.body, read_object(request.body))


def _check_content_type(request: Request) -> None:
    """Refuse a body that is not JSON in UTF-8. Without a body the header may be missing."""
    written = request.headers.get("content-type")
    if written is None and not request.body:
        return
    kind, _, parameters = (written or "").partition(";")
    charset = parameters.strip().lower().replace('"', "").replace(" ", "")
    if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        shown = "none" if written is None else quoted(written)
        message = f"cannot use content-type {shown}; expected application/json"
        raise Refusal(415, "unsupported-media-type", message)
