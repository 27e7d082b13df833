"""The OpenAPI document: made from the route table, complete, and valid in itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from tests.support.every_case import every_case

from taskloom.control.fields import Field, Kind
from taskloom.control.openapi import describe_api
from taskloom.control.routes import ROUTES
from taskloom.control.schemas import SCHEMAS

DOCUMENT = json.loads(json.dumps(describe_api(ROUTES)))
FILE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "openapi.json"


def everything_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield each object of the document, at any depth."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from everything_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from everything_in(each)


def test_the_published_document_is_that_of_the_code() -> None:
    """`python docs/generate.py` writes it."""
    assert json.loads(FILE.read_text(encoding="utf-8")) == DOCUMENT


def test_each_route_is_described_once() -> None:
    described = [(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods]

    assert sorted(described) == sorted((route.method, route.path) for route in ROUTES)
    operations = [route.operation for route in ROUTES]
    assert len(set(operations)) == len(operations)


def test_each_reference_leads_to_a_schema_and_each_schema_is_used() -> None:
    references = {found["$ref"] for found in everything_in(DOCUMENT) if "$ref" in found}

    assert references == {f"#/components/schemas/{name}" for name in SCHEMAS}


@every_case("name", SCHEMAS)
def test_a_schema_is_valid(name: str) -> None:
    Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])


def test_each_variable_of_a_path_is_a_parameter() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            given = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
            assert given == re.findall(r"\{(\w+)\}", path)


def test_the_table_keeps_its_own_rules() -> None:
    for route in ROUTES:
        assert route.method in ("GET", "POST")
        # Monitoring systems expect its own routes without a version.
        assert re.fullmatch(r"/v1(/[a-z.]+|/\{job\})*|/[a-z]+", route.path)
        assert route.path.startswith("/v1") or route.reply == "Text"
        assert route.reply in SCHEMAS
        assert not (route.body and route.method == "GET")
        assert not (route.query and route.method == "POST")
        assert not any(field.is_list for field in route.body)
        assert route.summary.endswith(".")


FIELDS = [each for route in ROUTES for each in (*route.query, *route.body)]


@every_case("field", FIELDS, ids=[field.name for field in FIELDS])
def test_the_default_of_a_field_is_legal(field: Field) -> None:
    schema = field.schema()

    Draft202012Validator.check_schema(schema)
    if field.default is not None:
        Draft202012Validator(schema).validate(field.default)
    assert field.kind is not Kind.SECONDS or field.least >= 0
