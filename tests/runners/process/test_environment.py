"""What a run's processes inherit, and the env files of programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskloom.env_lines import LARGEST
from taskloom.runners.process.env_files import EnvFileError, read_env
from taskloom.runners.process.environment import child_environment


def test_what_is_about_the_program_itself_is_not_inherited() -> None:
    ours = ["TASKLOOM_NAME", "TASKLOOM_", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "MAINPID"]
    theirs = ["PATH", "TASKLOO", "NOTIFY_SOCKETS", "XLISTEN_FDS", "taskloom_x"]

    env = child_environment(dict.fromkeys([*ours, *theirs], "x"), "web", "web#1")

    assert env == {**dict.fromkeys(theirs, "x"), "TASKLOOM_JOB": "web", "TASKLOOM_RUN": "web#1"}


def test_the_last_value_counts_and_the_user_goes_before_what_the_job_says() -> None:
    inherited = {"HOME": "/root", "A": "ours", "B": "ours", "C": "ours"}

    env = child_environment(
        inherited, "web", "web#1", {"A": "1", "B": "1"}, {"B": "2", "USER": "own"}, account={"HOME": "/u", "USER": "u"}
    )

    assert (env["HOME"], env["USER"], env["A"], env["B"], env["C"]) == ("/u", "own", "1", "2", "ours")


def test_of_several_env_files_the_last_one_counts(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("A=1\nB='two words' # why\n")
    (tmp_path / "b").write_text("export A=3\n")

    assert read_env([str(tmp_path / "a"), str(tmp_path / "b")]) == {"A": "3", "B": "two words"}
    assert read_env([]) == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"A=1\nhunter2\n", "line 2: cannot read this line: it is not NAME=VALUE"),
        (b"A='hunter2\n", "line 1: cannot find the end of this value"),
        (b"A=\0hunter2", "it contains a NUL byte"),
        (b"A=1\nB=\xffhunter2", "line 2 is not UTF-8 text"),
        (b"#" * (LARGEST + 1), "it has more than 1 MiB"),
    ],
    ids=["no-name", "quote", "nul", "latin-1", "large"],
)
def test_a_broken_env_file_is_named_without_its_values(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "broken.env"
    path.write_bytes(content)

    with pytest.raises(EnvFileError) as caught:
        read_env([str(path)])

    assert says in str(caught.value)
    assert "broken.env" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_is_not_a_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for name, why in (("pipe", "it is not a regular file"), (".", "it is not a regular file"), ("no", "no such file")):
        with pytest.raises(EnvFileError, match=why):
            read_env([str(tmp_path / name)])
    with pytest.raises(EnvFileError):
        read_env(["a\0b"])
