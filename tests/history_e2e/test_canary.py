"""A secret that a job says in every way is nowhere: in no file of the history, no log, no output, no system call."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.history_e2e.conftest import Keep, Keeper
from tests.support.postgres_server import PostgresServer
from tests.support.stored_history import StoredHistory

pytestmark = pytest.mark.long

# With characters that JSON, URLs and `repr` write in other ways.
CANARY = "kanarie/42 \"gäle\" 'vogel'+\\x"
PASSWORD = "hush-hush-password-7"
JOBS = """
taskloom: {history: HISTORY}
jobs:
  telling: {task: telltale, params: {word: "${file:word}", url: "https://me:${file:word}@host/"}}
  again: {task: telltale, params: {word: "${file:word}"}, restart: {when: on-failure, delay: 100ms}}
  apart: {task: telltale, params: {word: "${file:word}"}, runner: process}
  by-name: {task: telltale, params: {word: "${file:word}"}, schedule: {every: 200ms}}
  waiting: {task: waiter}
"""


def spellings(secret: str) -> list[bytes]:
    """Return how a secret may be written."""
    texts = [secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]]
    texts += [quote(secret), quote(secret, safe=""), base64.b64encode(secret.encode()).decode()]
    return [text.encode() for text in texts]


def check_nowhere(secret: str, places: dict[str, bytes]) -> None:
    """Check that none of these bytes have the secret."""
    found = [(place, known) for place, content in places.items() for known in spellings(secret) if known in content]
    assert found == []


def files_in(folder: Path, *but: str) -> dict[str, bytes]:
    """Return the content of all files below the folder, except for the secrets' own files."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in but}


def run_verb(keeper: Keeper, env: dict[str, str], *words: str) -> bytes:
    """Run a verb in the folder of the program; return all that it prints."""
    command = [sys.executable, "-m", "taskloom", *words]
    done = subprocess.run(
        command,
        cwd=keeper.program.folder,
        env=env,
        capture_output=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout + done.stderr


def traced(need_tool: Callable[[str], str], log: Path) -> list[str]:
    """Return the command that writes down all that a program writes."""
    calls = "trace=write,writev,pwrite64,pwritev"
    return [need_tool("strace"), "-D", "-f", "-qq", "-y", "-s", "1000000", "-xx", "-o", str(log), "-e", calls]


_CALL = re.compile(r"\w+\(\d+<([^>]*)>, (.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def written_to_files(log: Path) -> bytes:
    """Return all bytes of a trace that went to files.

    The pipes and sockets to the process of a run have the secret, as they must, and a task's own print is its own.
    """
    found = []
    for line in log.read_text(errors="replace").splitlines():
        call = _CALL.search(line)
        if call is None:
            continue
        place = _bytes_of(call[1])
        if place.startswith(b"/") and not place.startswith(b"/dev/"):
            found += [_bytes_of(text[1]) for text in _TEXT.finditer(call[2])]
    return b"".join(found)


def _bytes_of(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def test_a_secret_is_in_no_file_no_output_and_no_system_call(
    keep: Keep, tmp_path: Path, need_tool: Callable[[str], str], child_env: dict[str, str]
) -> None:
    (tmp_path / "word").write_text(CANARY)
    stored = StoredHistory(str(tmp_path / "runs.sqlite"))
    keeper = keep(
        JOBS.replace("HISTORY", "on"), stored, "--log-dir", "logs", "-v", prefix=traced(need_tool, tmp_path / "trace")
    )
    keeper.until_row("runs", job="telling", outcome="failed")
    keeper.until_row("runs", lambda row: row["attempt"] > 1, job="again", outcome="failed")
    keeper.until_row("runs", job="apart", outcome="failed")
    keeper.until_row("log_tails")
    keeper.ask("/v1/jobs/waiting/restart", text=f"because {CANARY}")
    keeper.until_row("actions", lambda row: "because" in row["reason"])
    live = files_in(tmp_path, "word", "trace")
    assert {"runs.sqlite", "runs.sqlite-wal"} <= {Path(name).name for name in live}
    check_nowhere(CANARY, live)

    keeper.kill()
    again = keep(JOBS.replace("HISTORY", "on"), stored)
    again.until_row("starts", how="lost")
    assert again.stop()[0] in (0, 1)

    check_nowhere(CANARY, files_in(tmp_path, "word", "trace"))
    trace = written_to_files(tmp_path / "trace")
    assert len(trace) > 100_000
    check_nowhere(CANARY, {"trace": trace})
    env = child_env | {"TASKLOOM_HISTORY": stored.place}
    place = ("--history", stored.place, "--name", "kept")
    run = stored.rows("runs", job="telling")[0]
    said = {
        " ".join(words): run_verb(keeper, env, *words)
        for words in (
            ("history", *place, "-o", "json"),
            ("history", *place, "telling"),
            ("report", *place),
            ("logs", *place, "--run", f"{run['run']}@{run['start']}"),
        )
    }
    for words, text in said.items():
        assert text, words
        assert b"cannot" not in text, (words, text)
    assert b"telling" in said[" ".join(("history", *place, "-o", "json"))]
    check_nowhere(CANARY, said | {"stderr": keeper.program.stderr.encode() + again.program.stderr.encode()})


def test_a_file_that_is_moved_aside_has_no_secret_either(keep: Keep, tmp_path: Path) -> None:
    (tmp_path / "word").write_text(CANARY)
    folder = tmp_path / "state" / "taskloom"
    stored = StoredHistory(str(folder / "kept.sqlite"))
    options = ("--history", "on")
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    keeper = keep(JOBS.replace("HISTORY", "on"), stored, *options, env=env)
    keeper.until_row("log_tails")
    assert keeper.stop()[0] in (0, 1)  # all is in the one file now
    with Path(stored.place).open("r+b") as file:
        file.write(b"no database at all")

    again = keep(JOBS.replace("HISTORY", "on"), stored, *options, env=env)
    again.until("a new file", lambda: list(folder.glob("*corrupt-*")))
    again.until_state("on")
    assert again.stop()[0] in (0, 1)

    check_nowhere(CANARY, files_in(tmp_path, "word"))


def test_the_password_of_the_server_is_shown_nowhere(
    keep: Keep, tmp_path: Path, postgres: PostgresServer, child_env: dict[str, str]
) -> None:
    """The server of the tests asks for none, so any password is right."""
    (tmp_path / "word").write_text(CANARY)
    (tmp_path / "pass").write_text(PASSWORD)
    url = postgres.make_database()
    stored = StoredHistory(url)
    with_password = url.replace("postgres@", "postgres:${file:pass}@")
    jobs = JOBS.replace("HISTORY", f'"{with_password}"')
    keeper = keep(jobs, stored, "--log-dir", "logs", "-v", is_placed=False)
    keeper.until_row("runs", job="telling", outcome="failed")
    status = json.dumps(keeper.history())
    assert "postgresql://" in status

    postgres.stop()
    keeper.until_state("degraded")
    in_trouble = json.dumps(keeper.history())
    postgres.start()
    keeper.until_state("on")
    assert keeper.stop()[0] in (0, 1)

    env = child_env
    said = {
        " ".join(words): run_verb(keeper, env, *words)
        for words in (("history", "jobs.yaml", "-o", "json"), ("validate", "jobs.yaml", "--plan"))
    }
    said |= {"status": status.encode(), "in trouble": in_trouble.encode(), "stderr": keeper.program.stderr.encode()}
    check_nowhere(PASSWORD, said)
    check_nowhere(PASSWORD, files_in(tmp_path, "pass"))
    dump = [
        f"{postgres.binaries}/pg_dump",
        "-h",
        "127.0.0.1",
        "-p",
        str(postgres.port),
        "-U",
        "postgres",
        url.rpartition("/")[2],
    ]
    everything = subprocess.run(dump, capture_output=True, check=True).stdout
    assert b"telling" in everything
    check_nowhere(PASSWORD, {"dump": everything})
    check_nowhere(CANARY, {"dump": everything} | said)
