from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.every_case import every_case

from taskloom.diagnostics import MASK
from taskloom.history.errors import BadTarget, HistoryUnusable
from taskloom.history.location import Target, default_target, parse_target, state_folder

CWD = "/srv/app"

PATHS = [
    ("./history.sqlite", "/srv/app/history.sqlite"),
    ("data/history.sqlite", "/srv/app/data/history.sqlite"),
    ("../history.sqlite", "/srv/history.sqlite"),
    ("/var/lib/x/history.sqlite", "/var/lib/x/history.sqlite"),
    ("sqlite:///history.sqlite", "/srv/app/history.sqlite"),
    ("SQLite:///history.sqlite", "/srv/app/history.sqlite"),
    ("sqlite:////var/history.sqlite", "/var/history.sqlite"),
    ("~/history.sqlite", "/home/ada/history.sqlite"),
    ("sqlite:///~/history.sqlite", "/home/ada/history.sqlite"),
    ("./a b%20c#d?e.sqlite", "/srv/app/a b%20c#d?e.sqlite"),
    ("sqlite:///a b%20c#d?e", "/srv/app/a b%20c#d?e"),
    ("./ü\N{SNOWMAN}/\udcff.sqlite", "/srv/app/ü\N{SNOWMAN}/\udcff.sqlite"),
    ("./a?b=c", "/srv/app/a?b=c"),
    ("folder/a:b", "/srv/app/folder/a:b"),
    ("a:b/c", "/srv/app/a:b/c"),
    ("./postgresql", "/srv/app/postgresql"),
]


@pytest.mark.parametrize(("text", "path"), PATHS, ids=[ascii(text) for text, _ in PATHS])
def test_a_path_is_a_file_of_sqlite(monkeypatch: pytest.MonkeyPatch, text: str, path: str) -> None:
    monkeypatch.setenv("HOME", "/home/ada")

    target = parse_target(text, cwd=CWD)

    assert target == Target("sqlite", path=path)
    assert target.shown == path


SERVERS = [
    ("postgresql://db/app", {"host": "db", "dbname": "app"}, "postgresql://db/app"),
    ("postgres://db/app", {"host": "db", "dbname": "app"}, "postgresql://db/app"),
    ("postgresql+psycopg://db/app", {"host": "db", "dbname": "app"}, "postgresql://db/app"),
    ("postgresql://", {}, "postgresql://"),
    ("postgresql:///app", {"dbname": "app"}, "postgresql:///app"),
    (
        "postgresql://ada@db:5433/app",
        {"user": "ada", "host": "db", "port": "5433", "dbname": "app"},
        "postgresql://ada@db:5433/app",
    ),
    (
        "postgresql://a%40b@[::1]:5433/my%2Fapp?sslmode=require&connect_timeout=3",
        {
            "user": "a@b",
            "host": "::1",
            "port": "5433",
            "dbname": "my/app",
            "sslmode": "require",
            "connect_timeout": "3",
        },
        "postgresql://a%40b@[::1]:5433/my%2Fapp?sslmode=require&connect_timeout=3",
    ),
    (
        "postgresql://one:1,two:2/app",
        {"host": "one,two", "port": "1,2", "dbname": "app"},
        "postgresql://one:1,two:2/app",
    ),
    (
        "postgresql:///app?host=/run/postgresql",
        {"dbname": "app", "host": "/run/postgresql"},
        "postgresql:///app?host=%2Frun%2Fpostgresql",
    ),
]


@every_case(("text", "options", "shown"), SERVERS, ids=[text for text, _, _ in SERVERS])
def test_a_url_of_postgresql_is_what_libpq_takes(text: str, options: dict[str, str], shown: str) -> None:
    target = parse_target(text)

    assert target.kind == "postgresql"
    assert target.options == options
    assert target.shown == target.url == shown


EXPECTED = "expected a path with a slash, sqlite:///PATH or postgresql://USER@HOST/DATABASE"
SLASHES = "expected three slashes before a relative path, and four before an absolute one"
FOLDER = "it is a folder; expected the path of a file, such as .../history.sqlite"
MEMORY = "a database in memory ends with the program; expected the path of a file"
ESCAPES = "in a user name, a password and a database write %40 for '@', %2F for '/', %3F for '?' and %23 for '#'"
PORT = f"expected HOST or HOST:PORT with a port of 1 to 65535; {ESCAPES}"
PASSWORD = (
    "others could read the password in it; set PGPASSWORD or PGPASSFILE, or take it from a file with ${file:} in the "
    "job file"
)
REFUSED = [
    ("", "''", EXPECTED),
    (" ", "' '", EXPECTED),
    ("yes", "'yes'", EXPECTED),
    ("history.sqlite", "'history.sqlite'", f"{EXPECTED}; did you mean './history.sqlite'?"),
    ("a\0b/c", "'a\\x00b/c'", "there is a NUL character in it"),
    (":memory:", "':memory:'", MEMORY),
    ("sqlite:///:memory:", "'sqlite:///:memory:'", MEMORY),
    ("sqlite:///", "'sqlite:///'", MEMORY),
    ("sqlite://", "'sqlite://'", SLASHES),
    ("sqlite:history", "'sqlite:history'", SLASHES),
    ("sqlite://host/history", "'sqlite://host/history'", SLASHES),
    ("sqlite:/history", "'sqlite:/history'", SLASHES),
    (
        "sqlite+aiosqlite:///history",
        "'sqlite+aiosqlite:///history'",
        "sqlite has no other driver; expected sqlite:///PATH",
    ),
    (
        "sqlite:///a?mode=ro",
        "'sqlite:///a?mode=ro'",
        "sqlite:///PATH takes no options; a path with a '?' is written without sqlite:///",
    ),
    ("./data/", "'./data/'", FOLDER),
    ("/", "'/'", FOLDER),
    ("./..", "'./..'", FOLDER),
    ("~", "'~'", FOLDER),
    ("~no-such-user/x", "'~no-such-user/x'", "there is no home directory for '~no-such-user'"),
    ("C:\\data\\history", "'C:\\\\data\\\\history'", f"it is a path of Windows; {EXPECTED}"),
    ("C:/data/history", "'C:/data/history'", f"it is a path of Windows; {EXPECTED}"),
    ("sqlite:///C:/history", "'sqlite:///C:/history'", f"it is a path of Windows; {EXPECTED}"),
    ("\\\\host\\share", "'\\\\\\\\host\\\\share'", f"it is a path of Windows; {EXPECTED}"),
    ("mysql://db/app", "'mysql://db/app'", f"unknown scheme 'mysql'; {EXPECTED}"),
    ("file:///history", "'file:///history'", f"unknown scheme 'file'; {EXPECTED}"),
    (
        "postgresqll://db/app",
        "'postgresqll://db/app'",
        f"unknown scheme 'postgresqll'; {EXPECTED}; did you mean 'postgresql'?",
    ),
    (
        "postgresql+asyncpg://db/app",
        "'postgresql+asyncpg://db/app'",
        "unknown driver 'asyncpg'; expected postgresql:// or postgresql+psycopg://",
    ),
    ("postgresql:app", "'postgresql:app'", "expected postgresql://USER@HOST/DATABASE"),
    ("postgresql://db:x/app", "'postgresql://db:x/app'", PORT),
    ("postgresql://db:0/app", "'postgresql://db:0/app'", PORT),
    ("postgresql://db:65536/app", "'postgresql://db:65536/app'", PORT),
    ("postgresql://db/app/more", "'postgresql://db/app/more'", ESCAPES),
    ("postgresql://db/app#more", "'postgresql://db/app#more'", ESCAPES),
    ("postgresql://db/app%00", "'postgresql://db/app%00'", "there is a NUL character in it"),
    ("postgresql://db/app?x", "'postgresql://db/app?x'", "expected ?OPTION=VALUE&OPTION=VALUE after the database"),
    ("postgresql://ada:hidden@db/app", f"'postgresql://{MASK}'", PASSWORD),
    ("postgresql://db/app?password=hidden", f"'postgresql://{MASK}'", PASSWORD),
    ("postgresql://ada:hid/den@db/app", f"'postgresql://{MASK}'", ESCAPES),
    ("postgresql://ada:1?x=hidden@db/app", f"'postgresql://{MASK}'", ESCAPES),
    ("mysql://ada:hidden@db/app", f"'mysql://{MASK}'", f"unknown scheme 'mysql'; {EXPECTED}"),
    ("host=db dbname=app", "'host=db dbname=app'", EXPECTED),
    ("host=db password=hidden", f"'{MASK}'", EXPECTED),
    ("host=/run/postgresql password=hidden", f"'{MASK}'", EXPECTED),
    ("ada:hidden@db:5432/app", f"'{MASK}'", EXPECTED),
    ("//ada:hidden@db/app", f"'{MASK}'", EXPECTED),
    ("postgresql//ada:hidden@db/app", f"'{MASK}'", EXPECTED),
    (" postgresql://ada:hidden@db/app", f"'{MASK}'", EXPECTED),
    ("'postgresql://ada:hidden@db/app'", f"'{MASK}'", EXPECTED),
    ("jdbc:postgresql://ada:hidden@db/app", f"'{MASK}'", EXPECTED),
    ("mysql:ada:hidden@db", f"'{MASK}'", EXPECTED),
    ("sqlite://ada:hidden@db/app", f"'sqlite://{MASK}'", SLASHES),
    *(
        (f"postgresql://db/app?{option}=hidden", f"'postgresql://{MASK}'", PASSWORD)
        for option in ("Password", "pasword", "pwd", "scram_client_key", "oauth_client_secret", "token")
    ),
]


@every_case(("text", "shown", "reason"), REFUSED, ids=[ascii(text) for text, _, _ in REFUSED])
def test_what_is_no_place_is_refused_with_the_legal_ones(text: str, shown: str, reason: str) -> None:
    with pytest.raises(BadTarget) as caught:
        parse_target(text, cwd=CWD)

    assert str(caught.value) == f"cannot use {shown} as the history: {reason}"


def test_a_relative_path_needs_a_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert parse_target("/x").path == "/x"
    with pytest.raises(BadTarget, match="it is relative, and the working directory was deleted"):
        parse_target("./x")


def test_a_password_from_a_file_is_used_and_never_shown() -> None:
    text = "postgresql://ada:se%40cret@db/app?sslmode=require&sslpassword=hidden"

    target = parse_target(text, is_password_allowed=True)

    assert (target.options["password"], target.options["sslpassword"]) == ("se@cret", "hidden")
    assert target.shown == "postgresql://ada@db/app?sslmode=require"
    assert target.masked("wrong: se@cret, hidden, se%40cret") == f"wrong: {MASK}, {MASK}, {MASK}"
    assert "cret" not in repr(target) + target.in_quotes
    assert "hidden" not in repr(target) + target.in_quotes


@given(st.sampled_from(["", "5", "QjXw"]), st.text("a1:/@?#&=%[],. ", min_size=1), st.booleans())
def test_no_part_of_a_password_is_shown_however_it_is_written(
    first: str, middle: str, is_password_allowed: bool
) -> None:
    text = f"postgresql://ada:{first}{middle}ZkVq@db/app"
    try:
        target = parse_target(text, is_password_allowed=is_password_allowed)
    except BadTarget as error:
        shown = str(error) + repr(error) + error.shown
    else:
        shown = target.shown + repr(target) + target.in_quotes

    assert "QjXw" not in shown
    assert "ZkVq" not in shown


FOLDERS = [
    ({"STATE_DIRECTORY": "/var/lib/app:/var/lib/more", "XDG_STATE_HOME": "/x"}, 1000, "/var/lib/app"),
    ({"STATE_DIRECTORY": "", "XDG_STATE_HOME": "/x"}, 1000, "/x/taskloom"),
    ({"STATE_DIRECTORY": "relative", "XDG_STATE_HOME": "/x"}, 0, "/x/taskloom"),
    ({"XDG_STATE_HOME": "relative"}, 0, "/var/lib/taskloom"),
    ({"XDG_STATE_HOME": "relative", "HOME": "/home/ada"}, 1000, "/home/ada/.local/state/taskloom"),
    ({"HOME": ""}, 1000, "/home/eve/.local/state/taskloom"),
    ({"HOME": "/root"}, 0, "/var/lib/taskloom"),
]


@pytest.mark.parametrize(("environ", "uid", "folder"), FOLDERS, ids=[str(row[0]) for row in FOLDERS])
def test_the_state_is_in_the_folder_of_the_service_or_of_the_user(
    environ: dict[str, str], uid: int, folder: str
) -> None:
    assert state_folder(environ, uid, "/home/eve") == folder


def test_a_user_without_a_home_is_told_how_to_give_a_folder() -> None:
    with pytest.raises(HistoryUnusable, match="there is no home directory; set XDG_STATE_HOME"):
        state_folder({"HOME": "relative"}, 1000)


def test_each_program_has_its_own_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", os.fspath(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)

    target = default_target("jobs-3f2a")

    assert target == Target("sqlite", path=f"{tmp_path}/taskloom/jobs-3f2a.sqlite", is_in_state_folder=True)
    assert not (tmp_path / "taskloom").exists()
