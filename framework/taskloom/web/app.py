"""The web application: the page, its files, and the route table of the control API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from taskloom.control.refusals import Refusal, error_reply
from taskloom.text import to_json
from taskloom.web.guard import SECURITY_HEADERS, Access, Asked, Rules, check
from taskloom.web.relay import Connect, Exchange, read_body
from taskloom.web.verbs import Verbs, history_arguments, task_arguments

__all__ = ["ACCESS_PATH", "OWN_PATHS", "STATIC", "WebApp"]

STATIC = Path(__file__).parent / "static"
ACCESS_PATH, _TASKS, _HISTORY = "/v1/access", "/v1/tasks", "/v1/history"
OWN_PATHS = (ACCESS_PATH, _TASKS, _HISTORY)
"""The routes that only the page has, beside `/v1/tasks/NAME`; all of them only read."""
_ONE_TASK = "/v1/tasks/"
_INDEX = "index.html"
_READING = ("GET", "HEAD")


class WebApp:
    """The ASGI application. `program`: what `/v1/access` says beside the rights of the token."""

    def __init__(self, connect: Connect, rules: Rules, program: Mapping[str, Any]) -> None:
        self._connect = connect
        self._rules = rules
        self._program = program
        self._files = StaticFiles(directory=STATIC)
        self._verbs = Verbs()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or end at once what is not HTTP."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_security(message.get("headers", []))
            await send(message)

        try:
            await self._answer(scope, receive, send_guarded)
        except Refusal as refusal:
            await _reply(error_reply(refusal, str))(scope, receive, send_guarded)
        except OSError:  # of a connection to the control server
            ended = Refusal(503, "ended", "cannot answer: the program is ending, or has no descriptor left")
            await _reply(error_reply(ended, str))(scope, receive, send_guarded)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        is_page = path == "/" or path.startswith("/static/")
        access = check(_asked(scope), self._rules, is_open=is_page)
        if is_page:
            await self._send_file(path, scope, receive, send)
        elif path in OWN_PATHS or path.startswith(_ONE_TASK):
            response = await self._answer_itself(path, access, scope)
            await response(scope, receive, send)
        else:
            await self._relay(scope, receive, send)

    async def _send_file(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in _READING:
            raise Refusal(405, "method-not-allowed", f"cannot use {scope['method']} here; allowed: GET, HEAD")
        if path == "/":
            response: Response = FileResponse(STATIC / _INDEX)
        else:
            inner = {**scope, "root_path": scope.get("root_path", "") + "/static"}
            response = await self._file(path.removeprefix("/static/"), inner)
        await response(scope, receive, send)

    async def _file(self, name: str, scope: Scope) -> Response:
        from starlette.exceptions import HTTPException

        try:
            return await self._files.get_response(name, scope)
        except HTTPException as error:
            raise Refusal(error.status_code, "unknown-file", f"cannot find the file {name!r}") from None

    async def _answer_itself(self, path: str, access: Access | None, scope: Scope) -> Response:
        """Answer what the control API does not have."""
        if scope["method"] not in _READING:
            raise Refusal(405, "method-not-allowed", f"cannot use {scope['method']} here; allowed: GET, HEAD")
        if path == ACCESS_PATH:
            data: Any = {"may_act": access is Access.ACT, **self._program}
        elif path == _HISTORY:
            query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            program, url = await self._history_place()
            data = await self._verbs.data(history_arguments(program, url, query))
        else:
            name = path.removeprefix(_ONE_TASK) if path != _TASKS else None
            data = await self._verbs.data(task_arguments(name))
        return Response(to_json(data), media_type="application/json", headers={"cache-control": "no-store"})

    async def _history_place(self) -> tuple[str, str]:
        """Return the name of the program, and where its history is. Raises Refusal if there is none."""
        async with Exchange(self._connect, "the web page") as exchange:
            await exchange.request("GET", b"/v1/program", [], b"")
            program = json.loads(b"".join([part async for part in exchange.body()]))
        if program["history"]["state"] == "off":
            raise Refusal(404, "no-history", "cannot show the history: this program records none")
        return str(program["name"]), str(program["history"]["url"] or "")

    async def _relay(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and the reply back, until either side has gone."""
        body = await read_body(receive, _length_of(scope))
        client = scope.get("client")
        via = f"the web page, from {client[0]}" if client else "the web page"
        target = scope.get("raw_path") or scope["path"].encode()
        target += b"?" + scope["query_string"] if scope["query_string"] else b""
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        async with Exchange(self._connect, via) as exchange:
            head = await exchange.request(scope["method"], target, headers, body)
            await send({"type": "http.response.start", "status": head.status, "headers": head.headers})
            await _send_parts(exchange, receive, send)


async def _send_parts(exchange: Exchange, receive: Receive, send: Send) -> None:
    """Send the body of the reply as it comes; a client that has gone ends it."""

    async def copy() -> None:
        async for part in exchange.body():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = {asyncio.ensure_future(copy()), asyncio.ensure_future(watch())}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _length_of(scope: Scope) -> int:
    """Return the length that the client has announced; 0 if it has none."""
    written = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(written)  # h11 has refused everything but digits


def _asked(scope: Scope) -> Asked:
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    return Asked(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers)


def _with_security(headers: Any) -> list[tuple[bytes, bytes]]:
    found = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    names = {name for name, _ in found}
    added = {**SECURITY_HEADERS, "cache-control": "no-cache"}
    return found + [(key.encode(), value.encode()) for key, value in added.items() if key.encode() not in names]


def _reply(reply: Any) -> Response:
    headers = {"cache-control": "no-store", **reply.headers}
    return Response(to_json(reply.body), status_code=reply.status, media_type="application/json", headers=headers)
