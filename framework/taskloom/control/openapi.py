"""The OpenAPI 3.1 description of the API, made from the route table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from taskloom.control.schema_types import reference
from taskloom.control.schemas import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskloom.control.fields import Field
    from taskloom.control.routes import Route

__all__ = ["describe_api"]

_ABOUT = (
    "See and steer a running Taskloom over its unix socket. Durations are in seconds, instants are RFC 3339 in UTC. An "
    "id of an event is `START.SEQ`: `start` is new for each start of the program, `seq` counts from 1 without a gap."
)
_STREAM = "text/event-stream"


def describe_api(routes: Sequence[Route]) -> Mapping[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        # The version of the API, not of Taskloom: it changes when a client has to change.
        "info": {"title": "Taskloom control API", "version": "1", "description": _ABOUT},
        "servers": [{"url": "http://localhost", "description": "over the unix socket of the program"}],
        "paths": paths,
        "components": {"schemas": dict(SCHEMAS)},
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.operation, "summary": route.summary}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.variables
    ]
    parameters += [_parameter(field) for field in route.query]
    if route.stream:
        parameters.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "The id of the last event that the client has. It counts more than `since`.",
                "schema": {"type": "string"},
            }
        )
    if parameters:
        operation["parameters"] = parameters
    if route.method != "GET":
        is_required = any(field.is_required for field in route.body)
        content = {"application/json": {"schema": _body(route.body)}}
        operation["requestBody"] = {"required": is_required, "content": content}
    operation["responses"] = _responses(route)
    return operation


def _parameter(field: Field) -> dict[str, Any]:
    parameter = {"name": field.name, "in": "query", "description": field.meaning, "schema": field.schema()}
    return {**parameter, "style": "form", "explode": True} if field.is_list else parameter


def _body(fields: Sequence[Field]) -> dict[str, Any]:
    members = {field.name: {**field.schema(), "description": field.meaning} for field in fields}
    schema = {"type": "object", "properties": members, "additionalProperties": False}
    required = [field.name for field in fields if field.is_required]
    return {**schema, "required": required} if required else schema


def _responses(route: Route) -> dict[str, Any]:
    content = {route.content: {"schema": reference(route.reply)}}
    if route.stream:
        content[_STREAM] = {"schema": reference(route.stream)}
    responses: dict[str, Any] = {str(route.status): {"description": "Done.", "content": content}}
    if route.reply == "Text":
        description = "Not alive, not ready, or too late for an answer."
        responses["503"] = {"description": description, "content": {"text/plain": {"schema": reference("Text")}}}
    if route.reply == "Reload":
        responses["422"] = _refused("The job files have errors; nothing was changed.", "InvalidFiles")
    responses["default"] = _refused("Refused; nothing was changed, unless the message says more.", "Error")
    return responses


def _refused(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": reference(schema)}}}
