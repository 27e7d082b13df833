"""`taskloom schema`: the JSON Schema, printed or written."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from click.testing import CliRunner

from taskloom.cli.schema import schema


def test_the_schema_has_the_installed_tasks() -> None:
    answer = CliRunner().invoke(schema, catch_exceptions=False)

    printed = json.loads(answer.stdout)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert answer.exit_code == 0
    assert "params of countdown" in printed["$defs"]


def test_the_same_schema_is_written_to_a_file(tmp_path: Path) -> None:
    place = tmp_path / "taskloom.schema.json"

    printed = CliRunner().invoke(schema, catch_exceptions=False).stdout
    answer = CliRunner().invoke(schema, ["-o", str(place)], catch_exceptions=False)

    assert (answer.exit_code, answer.stdout) == (0, "")
    assert place.read_text(encoding="utf-8") == printed


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    answer = CliRunner().invoke(schema, ["-o", str(tmp_path / "no" / "where.json")])

    assert answer.exit_code == 1
    assert "cannot write" in answer.stderr
    assert "No such file or directory" in answer.stderr
