"""The client of a running program: `find` it, ask it with `Connection.get` and `.post`, follow what happens there.

Each call has one absolute deadline and a connection of its own, so that a program that was restarted meanwhile is
reached as well. Everything that can go wrong is a `ControlError`, whatever the peer sends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any
from urllib.parse import quote, urlencode

import h11

from taskloom.clock import mono
from taskloom.control.client_call import Call, connect_to
from taskloom.control.client_errors import ControlError, NoAnswer, NoProgram, Refused, SeveralPrograms
from taskloom.control.finding import Program, find, list_programs
from taskloom.control.follower import Follower
from taskloom.control.no_answer import is_running
from taskloom.control.reply_fields import Fields

__all__ = [
    "ASK_SECONDS",
    "Asked",
    "Connection",
    "ControlError",
    "Follower",
    "NoAnswer",
    "NoProgram",
    "Program",
    "Refused",
    "SeveralPrograms",
    "find",
    "job_path",
    "list_programs",
]

ASK_SECONDS = 5.0
"""Seconds in which a program answers, unless the call says otherwise. It answers in milliseconds while it is well."""

# A deadline that is nearer, or over, is not a reason to take a program for silent that answers in milliseconds.
_LEAST_SECONDS = 0.5
_FIRST_FAILURE = 400
_JSON = {"accept": "application/json"}


def job_path(job: str, action: str = "") -> str:
    """Return the path of a job in the API, or of an action on it: `/v1/jobs/web/stop`."""
    path = f"/v1/jobs/{quote(job, safe='')}"
    return f"{path}/{action}" if action else path


class Connection:
    """A running program, to be asked. It holds nothing open; any thread may use it.

    Each call ends after `seconds`, and none lasts beyond `until`, a second of the monotonic clock; but each has the
    short time in which a program answers that is well.
    """

    def __init__(self, program: Program, seconds: float = ASK_SECONDS, *, until: float = inf) -> None:
        self.program = program
        self._seconds, self._until = seconds, until

    @property
    def who(self) -> str:
        """The program, as an error names it."""
        return self.program.who

    def get(self, path: str, /, *, timeout: float | None = None, **query: object) -> dict[str, Any]:
        """Return the answer to a GET request. A value of `query` may be a list; None leaves it out.

        `timeout`: the seconds for all of it. Raises ControlError: Refused if the program says no.
        """
        return self._call("GET", path + _query(query), None, timeout)

    def post(
        self, path: str, /, body: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> dict[str, Any]:
        """Return the answer to a POST request with this JSON body, an empty one by default. As `get`."""
        return self._call("POST", path, {} if body is None else body, timeout)

    def request(self, path: str, /, **query: object) -> Asked:
        """Send a GET request whose answer may take long. The program takes it before any request that is sent later.

        Raises NoProgram or NoAnswer.
        """
        deadline = mono() + self._seconds
        call = self._opened(deadline)
        try:
            call.send("GET", path + _query(query), None, _JSON, deadline)
        except BaseException:
            call.close()
            raise
        return Asked(call)

    def fields(self, answer: Mapping[str, Any]) -> Fields:
        """Return an answer of this program as values that are checked when they are read."""
        return Fields(answer, self.who)

    def follow(self, path: str, /, *, since: str | None = None, **query: object) -> Follower:
        """Follow a stream of server-sent events; close it after use. Returns before anything is sent.

        `since`: the id after which it begins, `START.SEQ`, or an instant.
        """
        target = path + _query({**query, "follow": True, "since": since})

        def opened(last_id: str, deadline: float) -> Call:
            resumed = path + _query({**query, "follow": True}) if last_id else target
            headers = {"accept": "text/event-stream", **({"last-event-id": last_id} if last_id else {})}
            return self._opened_stream(resumed, headers, deadline)

        return Follower(opened, self.program, self._allowed())

    def _opened_stream(self, target: str, headers: Mapping[str, str], deadline: float) -> Call:
        call = self._opened(deadline)
        try:
            call.send("GET", target, None, headers, deadline)
            response = call.head(deadline)
            if response.status_code >= _FIRST_FAILURE:
                raise _refused(response, call.body(response, deadline), call)
            call.check_type(response, "text/event-stream")
        except BaseException:
            call.close()
            raise
        return call

    def _call(self, method: str, target: str, body: Mapping[str, Any] | None, timeout: float | None) -> dict[str, Any]:
        deadline = mono() + (self._allowed() if timeout is None else timeout)
        with self._opened(deadline) as call:
            try:
                call.send(method, target, body, _JSON, deadline)
                return _answer(call, deadline)
            except NoAnswer as error:
                error.may_act_later = method != "GET" and is_running(error.pid)
                raise

    def _allowed(self) -> float:
        """Return the seconds that a call may take now."""
        return min(self._seconds, max(_LEAST_SECONDS, self._until - mono()))

    def _opened(self, deadline: float) -> Call:
        return Call(connect_to(self.program, deadline), self.program.socket)


class Asked:
    """A request that the program has, and its answer to come."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def answer(self, timeout: float) -> dict[str, Any]:
        """Return the answer, and close the connection. Raises as `Connection.get`."""
        with self._call:
            return _answer(self._call, mono() + timeout)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._call.close()

    def abort(self) -> None:
        """Let `answer`, which another thread has called, raise ConnectionLost at once."""
        self._call.abort()


def _answer(call: Call, deadline: float) -> dict[str, Any]:
    response = call.head(deadline)
    answer = call.body(response, deadline)
    if response.status_code >= _FIRST_FAILURE:
        raise _refused(response, answer, call)
    return answer


def _refused(response: h11.Response, answer: Mapping[str, Any], call: Call) -> Refused:
    error = Fields(answer, call.who).object("error")
    message = error.text("message") or f"{call.who} answers with status {response.status_code}"
    return Refused(response.status_code, error.text("code"), message, error.texts("near"), answer)


def _query(values: Mapping[str, object]) -> str:
    """Return the query of a request with its `?`; "" for none."""
    pairs = [(name, _text(each)) for name, value in values.items() for each in _each(value)]
    # An argument of the command line may have bytes that are not UTF-8. The program refuses them.
    return f"?{urlencode(pairs, quote_via=quote, errors='surrogateescape')}" if pairs else ""


def _each(value: object) -> Sequence[object]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
