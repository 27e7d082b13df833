"""Names that other people's programs depend on stay as they were recorded."""

from __future__ import annotations

import json
from pathlib import Path

from tests.house.machine_names import collect, json_keys, schema_keys

RECORDED: dict[str, list[str]] = json.loads(Path(__file__).with_name("machine_names.json").read_text(encoding="utf-8"))


def test_no_name_is_lost_and_a_new_one_is_recorded() -> None:
    """One test, since collecting the names starts each verb of the program."""
    names = collect()

    changed = [kind for kind in names.keys() | RECORDED.keys() if names.get(kind) != RECORDED.get(kind)]
    assert changed == [], "run: python tests/house/machine_names.py > tests/house/machine_names.json"


def test_every_kind_of_name_was_recorded() -> None:
    assert all(RECORDED[kind] for kind in RECORDED if kind != "names of taskloom_plugins")


def test_keys_are_found_at_every_depth() -> None:
    assert sorted(set(json_keys({"a": [{"b": 1}, {"c": {"d": 2}}]}))) == ["a", "a[].b", "a[].c", "a[].c.d"]
    assert list(schema_keys({"properties": {"when": {"enum": ["never", "always"]}}})) == [
        ".when", ".when = never", ".when = always",
    ]  # fmt: skip
