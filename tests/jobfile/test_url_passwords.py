"""Passwords in URLs, in params and wherever a job file is quoted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.every_case import every_case
from tests.support.given_catalog import GivenCatalog

from taskloom import Context
from taskloom.diagnostics import MASK
from taskloom.jobfile import check
from taskloom.jobfile.render import as_json, render_all
from taskloom.jobfile.url_passwords import password_columns, url_passwords, without_passwords

HIDDEN = "hunter2"


def connect(ctx: Context, url: str = "", port: int = 0, words: list[str] | None = None) -> None:
    """Have a URL."""


CATALOG = GivenCatalog({"connect": connect})


@every_case(
    ("text", "shown"),
    [
        ("postgres://anna:hunter2@db/main", f"postgres://anna:{MASK}@db/main"),
        ("redis://:hunter2@db", f"redis://:{MASK}@db"),
        ("a http://x:hunter2@y z amqps://p:hunter2@q", f"a http://x:{MASK}@y z amqps://p:{MASK}@q"),
        ("kafka://a:hunter2@one,b:hunter2@two", f"kafka://a:{MASK}@two"),
        ("https://hunter2-hunter2-hunter2@host", f"https://{MASK}@host"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("https://anna@host", "https://anna@host"),
        ("tcp://[::1]:80 mail anna@host:5", "tcp://[::1]:80 mail anna@host:5"),
        ("http://host/a:b@c http://host?a:b@c", "http://host/a:b@c http://host?a:b@c"),
        ("db://anna:${PASSWORD}@host", "db://anna:${PASSWORD}@host"),
        ("db://anna:${file:key}@host", f"db://anna:{'${file:key}'}@host"),
        ("db://anna:x${PASSWORD}@host", f"db://anna:{MASK}@host"),
        ("db://anna:@host", "db://anna:@host"),
        ("db://anna:it's\"hunter2@host", f"db://anna:{MASK}@host"),
        ('["db://anna:it\'s@host", "a@b"]', f'["db://anna:{MASK}@host", "a@b"]'),
        ("['db://anna:80','a@b']", "['db://anna:80','a@b']"),
        ("", ""),
    ],
)
def test_a_password_in_a_url_is_masked(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
    assert bool(list(password_columns(text))) == (text != shown)


def test_the_passwords_of_all_hosts_are_found() -> None:
    assert set(url_passwords("kafka://a:one@x:1,b:two@y,c:three@z/t")) >= {"one", "two", "three"}


def test_a_long_line_of_almost_urls_takes_little_time() -> None:
    text = "a://b:" * 100_000 + "a" * 100_000
    assert list(password_columns(text)) == []
    assert without_passwords("a://b:c@" * 100_000) == f"a://b:{MASK}@" * 100_000
    assert list(password_columns(f"{text}@")) == [(600_000, 700_000)]


@pytest.mark.parametrize(
    "field",
    [
        "params: {port: 'db://anna:hunter2@host'}",
        "params: {words: 'db://anna:hunter2@host'}",
        "timeout: db://anna:hunter2@host",
        "after: db://anna:hunter2@host",
        "params: {url: 'db://anna:hunter2@host'}\n    dameon: true",
        "params: {url: 'db://anna:hunter2@host', prot: 5}",
        "params: {url: 'db://anna:hunter2@host', prot: 5",
        "params: {url: 'db://anna:hunter2@host', url: x}",
    ],
)
def test_no_problem_shows_the_password(field: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"jobs:\n  a:\n    task: connect\n    {field}\n")

    result = check(file, environ={}, catalog=CATALOG)

    assert result.errors
    assert HIDDEN not in render_all(result.problems) + repr(as_json(result.problems)) + repr(result.problems)


def test_the_plan_masks_the_password_and_the_param_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("jobs:\n  a:\n    task: connect\n    params: {url: 'db://anna:hunter2@host/x'}\n")

    result = check(file, environ={}, catalog=CATALOG, with_origins=True)

    assert result.origins["a"]["params"].written == f"{{url: 'db://anna:{MASK}@host/x'}}"
    assert result.jobs[0].params["url"] == "db://anna:hunter2@host/x"
    assert result.secrets == {HIDDEN}
