"""Which history is meant, and what is said if there is none or if it cannot be read."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.recorded_history import NAME, RecordedHistory

from taskloom.cli.completion.answer import VARIABLE, answer
from taskloom.cli.entry import _taskloom, call
from taskloom.history.location import Target
from taskloom.history.reader import open_reader
from taskloom.history.tables import HEAD

Ask = Callable[..., Any]


@pytest.fixture
def other(folder: Path) -> Any:
    """The history of another program of this user."""
    found = RecordedHistory(folder / "backups-1111.sqlite", name="backups-1111")
    found.start()
    found.run("night#1")
    yield found
    found.close()


def runs_of(said: Any) -> list[str]:
    assert said.code == 0, said.err
    return [run["run"] for run in json.loads(said.out)["runs"]]


def test_the_only_history_of_a_user_is_found(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.run("tick#1")

    assert runs_of(ask("history", "-o", "json")) == ["tick#1"]


def test_of_several_one_has_to_be_named(recorded: RecordedHistory, other: RecordedHistory, ask: Ask) -> None:
    recorded.run("tick#1")

    assert ask("history") == (
        2,
        "",
        "taskloom: cannot choose one of 2 histories: add --name NAME; known: backups-1111, jobs-3f2a\n",
    )
    assert runs_of(ask("history", "--name", "backups", "-o", "json")) == ["night#1"]
    assert runs_of(ask("history", "--name", "jobs-3f2a", "-o", "json")) == ["tick#1"]


def test_an_unknown_name_is_said_with_a_near_match(recorded: RecordedHistory, folder: Path, ask: Ask) -> None:
    assert ask("history", "--name", "jbos") == (
        4,
        "",
        f"taskloom: cannot find a history of 'jbos' in {folder}; known: jobs-3f2a; did you mean 'jobs'?\n",
    )


@pytest.mark.parametrize("verb", [("history",), ("report",), ("logs", "--run", "a#1")])
def test_without_any_history_it_is_said_where_it_would_be(verb: tuple[str, ...], ask: Ask, tmp_path: Path) -> None:
    place = tmp_path / "state of mine" / "taskloom"

    assert ask(*verb) == (
        4,
        "",
        f"taskloom: cannot find a history in {place}; `taskloom run` keeps one unless history is off\n",
    )


def test_a_path_a_url_and_a_folder_name_a_database(
    recorded: RecordedHistory, other: RecordedHistory, tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.close()
    place = tmp_path / "a folder" / "of history.db"
    place.parent.mkdir()
    shutil.copy(other.path, place)

    for given in (str(place), f"sqlite:///{place}"):
        assert runs_of(ask("history", "--history", given, "-o", "json")) == ["night#1"]
    assert runs_of(ask("history", "--history", str(other.path.parent), "--name", "backups", "-o", "json")) == [
        "night#1"
    ]
    monkeypatch.setenv("TASKLOOM_HISTORY", str(place))
    assert runs_of(ask("history", "-o", "json")) == ["night#1"]


@pytest.mark.parametrize("word", ["", "on", "off", "true", "FALSE"])
def test_a_variable_that_switches_the_history_names_no_place(
    word: str, recorded: RecordedHistory, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.run("tick#1")
    monkeypatch.setenv("TASKLOOM_HISTORY", word)

    assert runs_of(ask("history", "-o", "json")) == ["tick#1"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("history", "cannot use 'history' as the history: expected a path with a slash"),
        ("mysql://h/d", "unknown scheme 'mysql'"),
        ("postgresql://me:hunter2@host/db", "others could read the password in it"),
        ("postgresql+asyncpg://h/d", "unknown driver 'asyncpg'"),
    ],
)
def test_a_place_that_cannot_be_used_is_a_usage_error(url: str, message: str, ask: Ask) -> None:
    said = ask("history", "--history", url)

    assert said.code == 2
    assert message in said.err
    assert "hunter2" not in said.err


def test_job_files_say_where_their_history_is(
    recorded: RecordedHistory, tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.run("tick#1")
    recorded.close()
    place = tmp_path / "elsewhere.sqlite"
    shutil.move(recorded.path, place)
    file = tmp_path / "jobs.yaml"
    # The jobs of it cannot be run: the program is down because of them.
    file.write_text(
        f"taskloom:\n  name: {NAME}\n  history: ${{PLACE}}\njobs:\n  a:\n    task: gone\n    params: ${{NONE}}\n"
    )
    monkeypatch.setenv("PLACE", str(place))

    assert runs_of(ask("history", "--path", str(file), "-o", "json")) == ["tick#1"]
    assert runs_of(ask("history", "--path", str(tmp_path), "-o", "json")) == ["tick#1"]
    monkeypatch.delenv("PLACE")
    said = ask("history", "--path", str(file))
    assert said.code == 2
    assert "PLACE" in said.err
    assert "NONE" not in said.err


def test_job_files_without_settings_mean_the_history_of_their_name(folder: Path, tmp_path: Path, ask: Ask) -> None:
    from taskloom.control.names import default_name

    file = tmp_path / "night.yaml"
    file.write_text("jobs: {}\n")
    name = default_name(str(file))
    history = RecordedHistory(folder / f"{name}.sqlite", name=name)
    history.start()
    history.run("tick#1")
    RecordedHistory(folder / "night-0000.sqlite").close()

    assert runs_of(ask("history", "-p", str(file), "-o", "json")) == ["tick#1"]
    history.close()


@pytest.mark.parametrize("path", ["missing.yaml", "broken.yaml", "-"])
def test_job_files_that_cannot_be_read_are_said(
    path: str, tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("jobs: [")

    said = ask("history", "--path", path)

    assert said.code == 2
    assert "cannot read" in said.err or "broken.yaml:1" in said.err
    assert "Traceback" not in said.err


def test_two_programs_in_one_database_have_to_be_named(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.start("cccc3333", name="other")
    recorded.run("tick#1", name="other")

    where = ("--history", str(recorded.path))
    assert "known: jobs-3f2a, other" in ask("history", *where).err
    assert runs_of(ask("history", *where, "--name", "other", "-o", "json")) == ["tick#1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "there is none yet"),
        (b"no database, but long enough to be taken for one" * 100, "the file is not a database"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "cannot"),
    ],
    ids=["empty", "foreign", "damaged"],
)
def test_a_file_that_is_not_a_history_is_one_line(content: bytes, message: str, folder: Path, ask: Ask) -> None:
    (folder / "jobs.sqlite").write_bytes(content)

    said = ask("history")

    assert said.code == 4
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1


def test_a_damaged_page_is_one_line(recorded: RecordedHistory, ask: Ask) -> None:
    for number in range(300):
        recorded.run(f"tick#{number}", error_message="x" * 500)
    recorded.close()
    size = recorded.path.stat().st_size
    with recorded.path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * (size // 2))

    said = ask("history")

    assert said.code == 4
    assert "the file is damaged" in said.err
    assert said.err.count("\n") == 1


def test_the_history_of_a_newer_taskloom_is_left_alone(recorded: RecordedHistory, ask: Ask) -> None:
    recorded.execute("UPDATE alembic_version SET version_num = 'ffff'")

    said = ask("history")

    assert said.code == 4
    assert f"a newer Taskloom has written it (revision ffff, the newest known here is {HEAD})" in said.err


def test_reading_changes_nothing_and_needs_no_other_file(recorded: RecordedHistory, folder: Path, ask: Ask) -> None:
    recorded.run("tick#1")
    recorded.close()  # a program that ended: only the database is left
    before = recorded.path.read_bytes()
    assert [each.name for each in folder.iterdir()] == ["jobs-3f2a.sqlite"]

    assert runs_of(ask("history", "-o", "json")) == ["tick#1"]

    assert recorded.path.read_bytes() == before


def test_what_a_killed_program_has_left_is_read(recorded: RecordedHistory, tmp_path: Path, ask: Ask) -> None:
    """The log has rows that are not in the database file, and the file -shm of the killed program is gone."""
    recorded.run("tick#1")
    left = tmp_path / "left"
    left.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{recorded.path}{suffix}", left / f"jobs.sqlite{suffix}")

    assert runs_of(ask("history", "--history", str(left / "jobs.sqlite"), "-o", "json")) == ["tick#1"]


@pytest.mark.parametrize(
    "verb",
    [("history",), ("history", "--actions"), ("history", "--starts"), ("report",), ("logs", "--run", "tick#1")],
    ids=" ".join,
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_the_database_is_closed_before_anything_is_shown(
    verb: tuple[str, ...],
    output: str,
    recorded: RecordedHistory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Else a pager would hold its snapshot all day, and the program could not shorten its write-ahead log."""
    recorded.run("tick#1", outcome="failed")
    recorded.action("stop")
    recorded.tail("tick#1", "x")
    shown_before: list[str] = []

    @contextmanager
    def opened(target: Target) -> Iterator[Any]:
        with open_reader(target) as reader:
            yield reader
        shown_before.append("".join(capsys.readouterr()))

    monkeypatch.setattr("taskloom.history.reader.open_reader", opened)

    assert call([*verb, "-o", output]) == 0
    assert shown_before == [""]


@pytest.mark.parametrize("name", ["jobs", "unknown"])
def test_without_the_extra_the_command_that_installs_it_is_shown(
    recorded: RecordedHistory, ask: Ask, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "taskloom.history.reader", None)
    monkeypatch.setattr("taskloom.history.is_installed", lambda: False)

    said = ask("history", "--name", name)

    assert said.code == 2
    assert said.err.endswith("SQLAlchemy is not installed; pip install 'taskloom[history]'\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("taskloom history --name b", ["backups-1111"]),
        ("taskloom history --name backups-1111 n", ["night"]),
        ("taskloom history --name backups-1111 night n", []),
        ("taskloom report --name backups-1111 a", ["aaaa1111"]),
        ("taskloom logs --name backups-1111 --run b", ["broken#1"]),
        ("taskloom history --history postgresql://nowhere/x n", []),
        ("taskloom history --history /nowhere/x n", []),
        ("taskloom history n", []),
        ("taskloom hist", ["history"]),
    ],
)
def test_names_are_completed(line: str, words: list[str], recorded: RecordedHistory, other: RecordedHistory) -> None:
    other.run("broken#1", outcome="failed")

    code, text = answer(_taskloom, {VARIABLE: "zsh_complete", "TASKLOOM_LINE": line})

    assert code == 0
    assert [each.split("\t")[1] for each in text.splitlines()] == words
