"""The logs of jobs in a real `taskloom run`: whose line it is, what is masked, log files, and `taskloom logs`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskloom.control.client import Connection, find

Start = Callable[..., Any]
Call = Callable[..., subprocess.CompletedProcess[str]]

# In parts, so that these tests do not have it in one piece either.
CANARY = "canary-" + "Zx81!kQ"
FILE_CANARY = "file-canary-" + "55%aa"
URL_CANARY = "url-canary-" + "0042"

TASKS = f'''
import asyncio, logging, os, sys, threading, warnings
from concurrent.futures import ThreadPoolExecutor

from pydantic import SecretStr

def loose(ctx, password: SecretStr, url: str = "", header: str = ""):
    """Show its secrets in every way, and fail or stay."""
    secret = password.get_secret_value()
    ctx.log.info("the password is %s, header %s, url %s", secret, header, url)
    logging.getLogger("lib").warning("repr %r json", {{"password": secret}})
    print("printed", secret, url)
    print("error", header, file=sys.stderr)
    sys.stdout.write(secret[:8]); sys.stdout.flush()
    print(secret[8:])
    sys.stdout.buffer.write(secret.encode() + b"\\n")
    ctx.progress(1, 2, secret)
    if ctx.job == "fails":
        raise ValueError("cannot log in with {CANARY}")  # {CANARY}
    hold(ctx, secret)

def hold(ctx, secret):
    """Wait at a line that shows the secret."""
    ctx.ready(); ctx.log.info("holding"); ctx.wait()  # {CANARY}

def spread(ctx):
    """Print and log from everywhere."""
    def work(name):
        print("print of", name)
        print("stderr of", name, file=sys.stderr)
        logging.getLogger("lib").info("log of %s", name)
    def broken():
        raise OSError("thread is broken")
    def outer():
        work("outer")
        inner = threading.Thread(target=work, args=("inner",)); inner.start(); inner.join()
    for target in (outer, broken):
        thread = threading.Thread(target=target); thread.start(); thread.join()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work, "pool").result()
    async def main():
        await asyncio.to_thread(work, "to_thread")
        work("loop")
    asyncio.run(main())
    work("run")
    warnings.simplefilter("always")
    warnings.warn("a warning")
    logging.captureWarnings(True)
    warnings.warn("captured")
    logging.getLogger("lib").debug("debug of lib")
    ctx.log.debug("debug of ctx")
    pid = os.fork()
    if not pid:
        work("child"); sys.stdout.flush(); sys.stderr.flush(); os._exit(0)
    os.waitpid(pid, 0)

def talker(ctx):
    """Say that it is here, and stay until asked to stop."""
    ctx.log.info("here I am")
    ctx.wait()
'''


@pytest.fixture
def packages(tmp_path: Path) -> str:
    folder = tmp_path / "with logs"
    info = folder / "loose_tasks-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "loose_tasks.py").write_text(TASKS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loose-tasks\nVersion: 1.0\n")
    names = ("loose", "spread", "talker")
    entries = "".join(f"{name} = loose_tasks:{name}\n" for name in names)
    (info / "entry_points.txt").write_text(f"[taskloom.tasks]\n{entries}")
    return str(folder)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def answers_of(socket: str) -> bytes:
    """Return all that the program tells of itself."""
    connection = Connection(find(None, socket), 30.0)
    routes = ("program", "jobs", "jobs/stays", "jobs/stays/why", "jobs/fails/why", "stacks", "events", "logs", "next")
    return json.dumps([connection.get(f"/v1/{route}") for route in routes]).encode()


def test_no_byte_that_is_written_or_sent_has_a_secret(
    start_program: Start, packages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.txt").write_text(FILE_CANARY + "\n")
    params = f"{{password: '{CANARY}', url: 'https://me:{URL_CANARY}@localhost/', header: '${{file:secret.txt}}'}}"
    jobs = f"jobs: {{stays: {{task: loose, params: {params}}}, fails: {{task: loose, params: {params}}}}}"
    with (tmp_path / "out").open("wb") as out:
        program = start_program(
            jobs, "--log-dir", "logs", "--log-format", "json", "-v", "--socket", "s", stdout=out,
            env={"PYTHONPATH": packages},
        )  # fmt: skip
        program.wait_for_event("ready", "stays")
        program.wait_for_event("ended", "fails")
        program.wait_for('"holding"')
        monkeypatch.chdir(tmp_path)  # the path of a socket may have 107 bytes
        told = answers_of("s")
        program.send(signal.SIGQUIT)
        program.wait_for("stays#1 is at")
        program.send(signal.SIGTERM)
        assert program.end() == 1

    written = {path.name: path.read_bytes() for path in (tmp_path / "logs").iterdir()}
    written |= {"out": (tmp_path / "out").read_bytes(), "events": program.events_path.read_bytes()}
    written |= {"log": program.stderr.encode(), "answers": told}
    assert {"stays.log", "fails.log", "_taskloom.log"} <= set(written)
    for name, content in written.items():
        for canary in (CANARY, FILE_CANARY, URL_CANARY):
            assert canary.encode() not in content, name
    for name in ("out", "events", "log", "answers", "stays.log", "fails.log"):
        assert b"**********" in written[name], name
    assert b"cannot log in with" in written["fails.log"]
    assert written["out"].count(b"**********\n") >= 4


@pytest.mark.long
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_drill_shows_no_secret(taskloom_cli: Call, packages: str, tmp_path: Path, output: str) -> None:
    (tmp_path / "secret.txt").write_text(FILE_CANARY + "\n")
    (tmp_path / "jobs.yaml").write_text(
        f"jobs: {{fails: {{task: loose, params: {{password: '{CANARY}', header: '${{file:secret.txt}}'}}}}}}"
    )

    answer = taskloom_cli("drill", "jobs.yaml", "-o", output, env={"PYTHONPATH": packages})

    assert answer.returncode == 1
    assert "cannot log in with **********" in answer.stdout
    assert "header **********" in answer.stderr
    assert CANARY not in answer.stdout + answer.stderr
    assert FILE_CANARY not in answer.stdout + answer.stderr


@pytest.mark.long
def test_each_line_belongs_to_the_job_whose_thread_has_written_it(
    start_program: Start, packages: str, tmp_path: Path
) -> None:
    jobs = "jobs: {a: {task: spread, log: debug}, b: {task: spread, log: {level: warning, file: other/b.log}}}"
    program = start_program(jobs, "--log-dir", "logs", "--log-format", "json", env={"PYTHONPATH": packages})
    assert program.end() == 0

    a, b = lines_of(tmp_path / "logs" / "a.log"), lines_of(tmp_path / "other" / "b.log")
    names = ("outer", "inner", "pool", "to_thread", "loop", "run")
    texts = [line["message"] for line in a]
    for name in names:
        for kind in ("print", "stderr", "log"):
            assert f"{kind} of {name}" in texts
            assert (f"{kind} of {name}" in [line["message"] for line in b]) is (kind != "log")
    assert {line["job"] for line in a} == {"a"}
    assert {line.get("run", "a#1") for line in a} == {"a#1"}
    assert texts[0] == "started"
    assert texts[-1].startswith("succeeded after")
    for text in ("a warning", "captured", "thread is broken", "debug of lib", "debug of ctx"):
        assert any(text in each for each in texts), text
    assert not any("of child" in each for each in texts)  # Python itself may warn of a fork
    assert not any("debug of" in line["message"] for line in b)
    # Of the log, b has warnings and worse; a, all.
    log = [json.loads(line) for line in program.stderr.splitlines() if line.startswith("{")]
    assert {line["level"] for line in log if line["job"] == "b"} == {"WARNING", "ERROR"}
    assert {"DEBUG", "INFO"} <= {line["level"] for line in log if line["job"] == "a"}


@pytest.mark.long
def test_quiet_leaves_warnings_on_standard_error_and_all_lines_in_the_files(
    start_program: Start, packages: str, tmp_path: Path
) -> None:
    program = start_program(
        "jobs: {a: {task: spread}}", "-q", "--log-dir", "logs", "--log-format", "full", env={"PYTHONPATH": packages}
    )
    assert program.end() == 0

    assert " INFO " not in program.stderr
    assert "succeeded" in program.stderr  # in the table
    assert " INFO    a            log of run" in (tmp_path / "logs" / "a.log").read_text()


@pytest.mark.long
def test_a_reload_changes_the_log_of_a_job_in_place(start_program: Start, packages: str, tmp_path: Path) -> None:
    program = start_program("jobs: {a: {task: talker, log: error}}", "--log-dir", "logs", env={"PYTHONPATH": packages})
    program.wait_for_event("started")
    program.reload("jobs: {a: {task: talker, log: {file: new.log}}}")
    program.wait_for("changed in place (a)")
    program.send(signal.SIGTERM)
    assert program.end() == 0

    assert program.told("started") == ["started a"]
    assert "stopping: SIGTERM" in (tmp_path / "new.log").read_text()
    assert not (tmp_path / "logs" / "a.log").exists()


@pytest.mark.long
def test_a_restart_appends_and_the_verb_shows_the_lines(
    start_program: Start, packages: str, tmp_path: Path, child_env: dict[str, str]
) -> None:
    for count in (1, 2):
        program = start_program(
            "jobs: {a: {task: talker}}", "--log-dir", "logs", "--socket", "s", env={"PYTHONPATH": packages}
        )
        program.wait_for("here I am")
        verb = [sys.executable, "-m", "taskloom", "logs", "a", "--socket", "s", "-n", "1", "--grep", "here I [a]m"]
        shown = subprocess.run(verb, cwd=tmp_path, env=child_env, capture_output=True, text=True, check=False)
        program.send(signal.SIGTERM)
        assert program.end() == 0

        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout.endswith(" INFO    here I am\n")
        assert (tmp_path / "logs" / "a.log").read_text().count("here I am") == count


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--log-dir", "jobs.yaml"), "cannot write log files to 'jobs.yaml': it is not a folder"),
        (("--log-dir", "jobs.yaml/x"), "cannot write log files to 'jobs.yaml/x': not a directory"),
        (("-v", "-q"), "cannot use --verbose with --quiet"),
        (("-v", "--log-level", "error"), "cannot use --verbose with --log-level error"),
        (("--log-level", "loud"), "'loud' is not one of"),
    ],
    ids=["a file", "below a file", "quiet", "level", "unknown level"],
)
def test_a_command_line_that_cannot_be_used(start_program: Start, options: tuple[str, ...], message: str) -> None:
    program = start_program("jobs: {a: {task: polite}}", *options)

    assert program.end() == 2
    assert message in " ".join(program.stderr.split())
