"""The JSON Schema accepts what the loader accepts, and refuses typos."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel
from tests.support.every_case import every_case
from tests.support.given_catalog import GivenCatalog

from taskloom.catalog.entry_points import Catalog
from taskloom.jobfile.fields.json_schema import job_file_schema
from taskloom.jobfile.fields.registry import FIELDS
from taskloom.jobfile.fields.settings import SETTINGS
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.task import Context, Duration, Task, param

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "jobs").glob("*.y*ml"))


class Colour(enum.Enum):
    RED = "red"


class Peer(BaseModel):
    port: int


class Paint(Task):
    """Paint it.

    At length.
    """

    colour: Colour = param(description="which")
    every: Duration = param(default="1s")
    peers: list[Peer] = []
    flag: bool = False

    def run(self, ctx: Context) -> None:
        """Do nothing."""


class Other(Task):
    peers: list[Peer] = []

    def run(self, ctx: Context) -> None:
        """Do nothing."""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    catalog = GivenCatalog({"paint": Paint, "other": Other, "broken": 5})
    return json.loads(json.dumps(job_file_schema(catalog)))  # type: ignore[no-any-return]


def complaints(schema: dict[str, Any], document: object) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema)
    return [error.message for error in validator.iter_errors(document)]


def test_the_schema_is_valid(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("example", EXAMPLES, ids=[file.name for file in EXAMPLES])
def test_every_example_job_file_matches_the_schema(example: Path) -> None:
    document = yaml.safe_load(example.read_text(encoding="utf-8"))

    assert complaints(job_file_schema(Catalog()), document) == []


VALID: list[dict[str, Any]] = [
    {"task": "paint", "params": {"colour": "red"}},
    {"task": "paint", "params": {"colour": "red", "every": "5s", "peers": [{"port": 1}], "flag": True}},
    {"task": "paint", "params": {"colour": "${COLOUR}", "every": "${EVERY:-5s}", "flag": "${FLAG}"}},
    {"task": "other"},
    {"task": "other", "params": None},
    {"task": "${TASK}", "params": {"what": "ever"}},
    {"task": "broken", "params": {"what": "ever"}},
    {"task": "other", "x-note": {"any": 1}},
    {"task": "other", "daemon": True, "join": {"within": "5s", "otherwise": "abandon"}, "start": {"delay": "1s"}},
    {"task": "other", "join": "wait", "start": "manual", "poll_interval": 0.5, "runner": {"thread": {}}},
    {"task": "other", "join": 0, "labels": ["a"], "enabled": False, "description": "d"},
    {"task": "other", "join": {"within": "${WITHIN}"}, "schedule": {"cron": "${CRON}", "immediately": "${NOW}"}},
    {"task": "other", "after": ["a", {"b": "${CONDITION}"}], "restart": {"limit": {"times": "${N}", "within": "1m"}}},
]


@every_case("job", VALID, ids=map(str, VALID))
def test_a_valid_job_matches_the_schema(schema: dict[str, Any], job: dict[str, Any]) -> None:
    assert complaints(schema, {"jobs": {"a": job}}) == []


INVALID: list[dict[str, Any]] = [
    {},
    {"task": "pant"},
    {"task": "paint"},
    {"task": "paint", "params": {}},
    {"task": "paint", "params": {"colour": "blue"}},
    {"task": "paint", "params": {"colour": "red", "evry": "5s"}},
    {"task": "paint", "params": {"colour": "red", "every": "5 s"}},
    {"task": "paint", "params": {"colour": "red", "peers": [{"port": "x"}]}},
    {"task": "paint", "params": {"colour": "red", "flag": "no"}},
    {"task": "other", "params": {"colour": "red"}},
    {"task": "other", "deamon": True},
    {"task": "other", "daemon": "no"},
    {"task": "other", "restart": "allways"},
    {"task": "other", "join": {"within": "5s", "otherwise": "killed"}},
    {"task": "other", "join": {"wthin": "5s"}},
    {"task": "other", "start": "soon"},
    {"task": "other", "start": {}},
    {"task": "other", "labels": [5]},
]


@every_case("job", INVALID, ids=map(str, INVALID))
def test_an_invalid_job_does_not_match_the_schema(schema: dict[str, Any], job: dict[str, Any]) -> None:
    assert complaints(schema, {"jobs": {"a": job}}) != []


# Each value is given to the reader of its field and to the schema: either both accept it, or neither does.
TAKEN: dict[str, list[Any]] = {
    "restart": [
        *("never", "on-failure", "always", {"when": "never"}, {"delay": "1s"}),
        *({"jitter": "50%"}, {"jitter": "12.5%"}, {"jitter": 0}, {"jitter": 1}, {"jitter": 0.5}),
        {"factor": 1, "delay": 0, "max_delay": "1h", "limit": {"times": 1, "within": "1m"}},
    ],
    "schedule": [
        *("none", {"every": "5m"}, {"every": 300}, {"cron": "@daily"}),
        {"at": "2030-01-31T06:00", "timezone": "Europe/Berlin", "grace": "1d", "missed": "skip"},
        {"every": 1, "jitter": 0.5, "overlap": "queue", "missed": "once", "immediately": True},
    ],
    "after": ["a", [], ["a"], ["a", {"b": "started"}], {}, {"a": "ready", "b": "succeeded"}],
    "timeout": ["none", "5m", 0.5],
    "ready_within": ["none", "5m", 0.5],
    "watchdog": ["none", "5m", 5, {"after": "5s"}, {"after": 5, "then": "restart"}],
    "essential": [True],
    "replicas": [1, 1000],
    "runner": [
        *("thread", {"thread": None}, {"thread": {}}, {"thread": {"reuse": False}}),
        *("process", {"process": None}, {"process": {}}, {"other": {"any": ["thing"]}}),
        *({"process": {"env": {}}}, {"process": {"env": {"A": "1", "b.c-d": ""}}}, {"process": {"cwd": "a b/c"}}),
        *({"process": {"nice": -20}}, {"process": {"nice": 19}}),
        *({"process": {"user": user}} for user in (0, 65534, "www-data", "0", "a:b", "a:0", "a user:a group")),
        *({"process": {"memory_limit": limit}} for limit in ("16MiB", "1.5GiB", "300MB", "20000kB", "1TiB", 1 << 24)),
        *({"dask": {"local": 2, **more}} for more in ({}, {"wait": "5s"}, {"nice": 5, "env": {"A": "1"}})),
        *(
            {"dask": {"scheduler": address}}
            for address in ("tcp://localhost:8786", "tcp://[::1]:1", "tcp://127.0.0.9:5")
        ),
        {"dask": {"scheduler": "tcp://a:1", "insecure": True, "resources": {"GPU": 0.5}, "workers": ["a", "b"]}},
        {"dask": {"local": 1, "lease": {"ttl": "1m", "grace": 0, "period": "20s"}}},
        {"dask": {"scheduler": "tls://a:1", "insecure": False, "tls": {"ca_file": "a", "cert_file": "b"}}},
    ],
}
REFUSED: dict[str, list[Any]] = {
    "restart": [
        *("no", "Never", True, None, 5, [], {}, {"whn": "never"}, {"when": "no"}),
        *({"jitter": 50}, {"jitter": "half"}, {"jitter": -0.1}, {"jitter": None}),
        *({"factor": 0.5}, {"factor": "2"}, {"factor": 101}, {"factor": None}),
        *({"limit": 5}, {"limit": {}}, {"limit": {"times": 5}}, {"limit": {"within": "1m"}}),
        *({"limit": {"times": 0, "within": "1m"}}, {"delay": -1}, {"delay": "1 s"}, {"delay": None}),
    ],
    "schedule": [
        *("5m", None, 5, [], {}, {"jitter": "1s"}, {"evry": "5m"}, {"cron": 5}),
        *({"every": "5m", "cron": "@daily"}, {"every": "5m", "overlap": "no"}),
        *({"every": "5m", "missed": 1}, {"every": "5m", "immediately": "yes"}),
    ],
    "after": [5, None, "", [5], [""], {"a": "redy"}, {"a": None}, [{"a": "ready", "b": "ready"}]],
    "timeout": [None, "wait", -1, True],
    "ready_within": [None, "soon", -1],
    "watchdog": [None, "warn", True, {}, {"then": "warn"}, {"after": "5s", "then": "kill"}],
    "essential": ["yes", 1, None],
    "replicas": [0, 1001, 2.5, "2", True, None],
    "runner": [
        *("", [], {"thread": {"reus": True}}, {"thread": {"reuse": "yes"}}, {}, {"thread": {}, "process": {}}),
        *({"process": 5}, {"process": {"evn": {}}}, {"process": {"reuse": True}}, {"process": {"env": ["A=1"]}}),
        *({"process": {"env": {"A": value}}} for value in [1, 1.5, True, None, "a\0b"]),
        *({"process": {"env": {"A": []}}}, {"process": {"env": {"A": {}}}}),
        *({"process": {"env": {name: "x"}}} for name in ("", "A=B", "a\0b", "TASKLOOM_JOB", "TASKLOOM_RUN")),
        *({"process": {"cwd": cwd}} for cwd in ["", "~", "~/x", "a\0b", None, 5]),
        *({"process": {"nice": nice}} for nice in (-21, 20, "5", 1.5, True, None)),
        *({"process": {"user": user}} for user in (-1, "", ":", "a:", ":b", "a:b:c", " a", "a ", "a: b", True, None)),
        *(
            {"process": {"memory_limit": limit}}
            for limit in ("", "512", "512M", "512 MiB", "-1MiB", "1EiB", True, None)
        ),
        *({"dask": {"local": workers}} for workers in (0, 65, "2", True, 1.5)),
        *(
            {"dask": {"scheduler": address}}
            for address in ("", 8786, "dask:8786", "http://a:8787", "tcp://a", "tcp://a:b", "tcp://a:0", "tls://a:1")
        ),
        *("dask", {"dask": None}, {"dask": {}}, {"dask": {"nice": 5}}, {"local": 2}, {"dask": {}, "local": 2}),
        {"dask": {"scheduler": "tcp://localhost:1", "local": 2}},
        {"dask": {"scheduler": "tls://a:1", "insecure": True, "tls": {"ca_file": "a", "cert_file": "b"}}},
        {"dask": {"scheduler": "tls://a:1", "local": 1, "tls": {"ca_file": "a", "cert_file": "b"}}},
        *({"dask": {"local": 1, name: value}} for name, value in (("insecure", True), ("workers", ["a"]))),
        *({"dask": {"local": 1, "wait": wait}} for wait in (0, "0s", "0.0m")),
        *({"dask": {"local": 1, name: []}} for name in ("tls", "resources", "workers", "lease")),
        *({"dask": {"local": 1, "tls": tls}} for tls in ({}, {"ca_file": "a"}, {"ca_file": "~/a", "cert_file": "b"})),
        *({"dask": {"local": 1, "resources": resources}} for resources in ({"": 1}, {"GPU": 0}, {"GPU": "1"}, {})),
        *({"process": {"memory_limit": limit}} for limit in (0, -1, (1 << 24) - 1, 1 << 60, 2.5)),
    ],
}


def each_of(values: dict[str, list[Any]]) -> list[Any]:
    """Return the values one by one, each with its field."""
    return [pytest.param(name, each, id=f"{name}-{each}") for name, written in values.items() for each in written]


@every_case("field, value", each_of(TAKEN))
def test_what_a_reader_accepts_the_schema_accepts(schema: dict[str, Any], field: str, value: object) -> None:
    FIELDS[field].read(value)

    assert complaints(schema, {"jobs": {"a": {"task": "other", field: value}}}) == []


@every_case("field, value", each_of(REFUSED))
def test_what_a_reader_refuses_the_schema_refuses(schema: dict[str, Any], field: str, value: object) -> None:
    with pytest.raises(JobErrors):
        FIELDS[field].read(value)

    assert complaints(schema, {"jobs": {"a": {"task": "other", field: value}}}) != []


SETTINGS_TAKEN: dict[str, list[Any]] = {
    "name": ["a", "line-3", "0.1_x", "a" * 64],
    "stop_within": ["forever", "30s", "1h30m", 0, 5, 0.5],
    "log_dir": ["log", "/var/log/x y", "."],
    "log_format": ["text", "short", "full", "json"],
    "log_level": ["debug", "info", "warning", "error"],
    "control": [True, False, "./x.sock", "/run/x"],
    "history": [
        True,
        False,
        "on",
        "off",
        "./h.sqlite",
        "/var/lib/h",
        "a b/c://d",
        "sqlite:///h.db",
        "postgresql://u@h:5/d?x=1",
        "postgres://h/d",
        "postgresql+psycopg://h/d",
        {"url": "./h"},
        {"keep": "7d"},
        {"size": "16MiB"},
        {"url": "postgresql://h/d", "keep": 3600, "size": 4 << 20},
    ],
    "http": [
        "127.0.0.1:8080",
        "localhost:0",
        "[::1]:65535",
        {"listen": "0.0.0.0:8443", "names": "jobs.example.org", "cert": "a.pem", "key": "b.pem"},
        {"listen": "10.0.0.1:80", "names": ["a", "b.c"], "insecure": True},
    ],
    "notify": [
        [],
        [{"command": ["tell", "-v"]}, {"webhook": "https://x/y", "secret": "z"}],
        [{"command": ["tell"], "on": ["failed", "recovered"], "labels": ["a"], "within": "5s", "every": 0}],
        [{"command": ["${X}"], "on": ["missed"]}],
    ],
    "metrics": ["127.0.0.1:9464", "localhost:0", "[::1]:80", "[fe80::1%eth0]:80", "unix:///run/m.sock", "unix://./m"],
}
SETTINGS_REFUSED: dict[str, list[Any]] = {
    "name": ["", "a b", "-a", ".a", "a/b", "a" * 65, 5, True, None, [], {}],
    "stop_within": ["never", "", "5 s", -1, True, None, []],
    "log_dir": ["", 5, True, None, [], {}],
    "log_format": ["JSON", "xml", "", None, 5],
    "log_level": ["warn", "INFO", "", None, 20],
    "control": ["off", "x.sock", "", 0, 1, None, []],
    "history": [
        "h.sqlite",
        "",
        "none",
        0,
        1,
        None,
        [],
        {},
        "mysql://h/d",
        "postgresql://",
        {"url": "on"},
        {"url": True},
        {"keep": "soon"},
        {"size": "big"},
        {"sise": "16MiB"},
    ],
    "http": [
        8080,
        "8080",
        "127.0.0.1",
        ":1",
        "http://localhost:1",
        {},
        {"names": "a"},
        {"listen": "localhost:1", "tls": 1},
    ],
    "notify": [
        True,
        "tell",
        {"command": ["tell"]},
        ["tell"],
        [{}],
        [{"command": []}],
        [{"command": "tell"}],
        [{"command": ["tell"], "on": []}],
        [{"command": ["tell"], "on": ["faild"]}],
        [{"command": ["tell"], "within": "soon"}],
        [{"command": ["tell"], "with": "5s"}],
        [{"webhook": "ftp://x"}],
        [{"webhook": "https://x", "secret": ""}],
        [{"command": ["tell"]}] * 17,
    ],
    "metrics": [
        "",
        "9464",
        ":9464",
        9464,
        True,
        None,
        [],
        "localhost",
        "::1:80",
        "[::1]",
        "host:port",
        "a b:80",
        "u@h:80",
        "http://h:80",
        "/run/m.sock",
        "unix:///",
        "unix://m.sock",
        "unix:///run/",
    ],
}


@every_case("name, value", each_of(SETTINGS_TAKEN))
def test_the_reader_and_the_schema_accept_the_same_settings(schema: dict[str, Any], name: str, value: object) -> None:
    SETTINGS[name].read(value)

    assert complaints(schema, {"taskloom": {name: value}, "jobs": {"a": {"task": "other"}}}) == []
    assert complaints(schema, {"taskloom": {name: "${X}"}, "jobs": {"a": {"task": "other"}}}) == []


@every_case("name, value", each_of(SETTINGS_REFUSED))
def test_the_reader_and_the_schema_refuse_the_same_settings(schema: dict[str, Any], name: str, value: object) -> None:
    with pytest.raises(JobErrors):
        SETTINGS[name].read(value)

    assert complaints(schema, {"taskloom": {name: value}}) != []


def test_the_schema_knows_all_settings_and_no_others(schema: dict[str, Any]) -> None:
    assert list(schema["properties"]["taskloom"]["properties"]) == list(SETTINGS) == list(SETTINGS_TAKEN)
    assert complaints(schema, {"taskloom": {"x-note": 1}}) == []
    assert complaints(schema, {"taskloom": None}) == []
    assert complaints(schema, {"taskloom": {"nmae": "x"}}) != []
    assert complaints(schema, {"taskloom": []}) != []


@pytest.mark.parametrize(
    "document",
    [
        {"jobs": {}},
        {"jbs": {"a": {"task": "other"}}},
        {"jobs": {"a b": {"task": "other"}}},
        {"jobs": {"a": {"task": "other"}}, "defaults": {"task": "other"}},
        {"jobs": {"a": {"task": "other"}}, "defaults": {"daemn": True}},
    ],
    ids=str,
)
def test_a_mistake_outside_the_jobs_does_not_match_the_schema(schema: dict[str, Any], document: dict[str, Any]) -> None:
    assert complaints(schema, document) != []


def test_notes_and_defaults_match_the_schema(schema: dict[str, Any]) -> None:
    document = {"x-a": 1, "defaults": {"join": "5s", "x-b": 2}, "jobs": {"a": {"task": "other"}}}

    assert complaints(schema, document) == []


def test_fields_tasks_and_params_have_descriptions_for_editors(schema: dict[str, Any]) -> None:
    job = schema["$defs"]["job"]

    assert {name for name, field in job["properties"].items() if field.get("description")} == set(FIELDS)
    assert {"const": "paint", "description": "Paint it."} in job["properties"]["task"]["anyOf"]
    assert schema["$defs"]["params of paint"]["properties"]["colour"]["description"] == "which"
