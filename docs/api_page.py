"""The page about the control API and its OpenAPI document, made from the route table. `docs/generate.py` runs it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from taskloom.control.fields import Field
from taskloom.control.openapi import describe_api
from taskloom.control.refusals import REFUSALS
from taskloom.control.routes import ROUTES, Route
from taskloom.control.schemas import SCHEMAS

__all__ = ["document", "page"]

ABOUT = """# The control API

`taskloom run` answers HTTP requests on a unix socket; `taskloom ps -o json` shows where. The verbs of the command line
use this API, and scripts may:

```text
curl --unix-socket "$XDG_RUNTIME_DIR/taskloom/jobs-3f2a.sock" http://localhost/v1/program
```

[openapi.json](openapi.json) is the same as an OpenAPI 3.1 document; a running program returns it at
`/v1/openapi.json`.

- Every reply is a JSON object, except for those of `/metrics` and the probes, which are text. Durations are in seconds,
  instants are RFC 3339 in UTC. Later versions may add members to any object; a client ignores those that it does not
  know.
- Every route that changes something is a `POST` with the header `content-type: application/json`; an empty body counts
  as `{}`. A field that a route does not have is refused.
- `start` is the id of this start of the program, and `seq` is the number of an event. Together, as `START.SEQ`, they
  are the id of an event. An action returns at once, with the `seq` of the last event before it: a client that follows
  the events from there sees everything that the action does.
- With `follow=true`, `/v1/events` and `/v1/logs` are streams of
  [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html). A client that was interrupted
  sends the id of its last event as `Last-Event-ID`. If anything between was lost, an event `gap` says why: `restart` or
  `lost`. After `scheduler_stopped` comes an event `end`, and the stream is closed.
- The log of the program has a line for each action, with the user and the process that requested it.

"""
REFUSED = """## Errors

A request that is refused changes nothing. The reply has the status, a code for programs, a message for people, and
names that may be meant:

```text
{"error": {"code": "unknown-job", "message": "cannot find job 'wbe'; did you mean 'web'?", "near": ["web"]}}
```

"""
OTHER_CODES = {
    "invalid-query": (400, "A field of the query has a value that is not legal."),
    "unknown-query-field": (400, "The route has no such field in its query."),
    "invalid-json": (400, "The body is not JSON, or two readers could understand it in two ways."),
    "invalid-body": (400, "A field of the body has a value that is not legal."),
    "unknown-body-field": (400, "The route has no such field in its body."),
    "unexpected-body": (400, "A `GET` has a body."),
    "unknown-route": (404, "There is no such path."),
    "unknown-label": (404, "No job has this label."),
    "method-not-allowed": (405, "The path has no such method; the header `allow` has those that it has."),
    "no-logs": (409, "The program keeps no log lines."),
    "no-job-files": (409, "The program was not started from job files, so it cannot reload them."),
    "not-stopping": (409, "The program is not stopping, and `wait` is not set."),
    "unsupported-media-type": (415, "The body is not `application/json` in UTF-8."),
    "invalid-files": (422, "A job file has an error; `problems` has all of them."),
    "no-metrics": (501, "The package for metrics is not installed."),
    "internal-error": (500, "A bug in Taskloom; the log of the program has more."),
}


def page() -> str:
    """Return the page."""
    parts = [ABOUT, "## Routes\n\n", *map(_route, ROUTES), REFUSED, _codes()]
    return "".join(parts)


def document() -> str:
    """Return the OpenAPI document."""
    return json.dumps(describe_api(ROUTES), indent=2, ensure_ascii=False) + "\n"


def _route(route: Route) -> str:
    lines = [f"### {route.method} {route.path}\n\n{route.summary}\n\n"]
    fields = [*route.query, *route.body]
    if fields:
        part = "query" if route.query else "body"
        lines.append(_table((f"field of the {part}", "value", "meaning"), map(_field, fields)) + "\n")
    if route.reply == "Text":
        lines.append(f"Returns {route.status} as `{route.content}`.\n\n")
    members = SCHEMAS[route.reply].get("properties", {})
    if members:
        shown = ", ".join(f"`{name}`" for name in members)
        lines.append(f"Returns {route.status} with {shown}.\n\n")
    return "".join(lines)


def _field(field: Field) -> tuple[str, str, str]:
    value = "one of the [events](events.md)" if len(field.choices) > 10 else field.expected()
    several = ", several times" if field.is_list else ""
    default = "" if field.default in (None, "") else f" (default: {json.dumps(field.default)})"
    return f"`{field.name}`", f"{value}{several}{default}", field.meaning


def _codes() -> str:
    rows: list[tuple[str, str, str]] = [
        (f"`{code}`", str(status), meaning) for code, (status, meaning) in OTHER_CODES.items()
    ]
    by_code: dict[str, tuple[int, list[str]]] = {}
    for kind, found in REFUSALS.items():
        by_code.setdefault(found.code, (found.status, []))[1].append(" ".join(_first_line(kind)))
    rows += [(f"`{code}`", str(status), " ".join(texts)) for code, (status, texts) in by_code.items()]
    return _table(("code", "status", "meaning"), sorted(rows, key=lambda row: (row[1], row[0])))


def _first_line(kind: type) -> list[str]:
    return (kind.__doc__ or "").split("\n\n")[0].split()


def _table(head: tuple[str, ...], rows: Iterable[Any]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
