"""How the main process is started: descriptors, signals, user, nice, folder, and what is said if that fails."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.supervised import Supervised, python, shell

from taskloom.runners.process.channel import Exited, ProcessStarted, StartFailed
from taskloom.runners.process.launch import CannotLaunch

pytestmark = pytest.mark.long

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user and the nice value")

# SIGCANCEL and SIGSETXID: glibc lets no program change their action.
GLIBC_SIGNALS = 1 << 31 | 1 << 32

# Without the interpreter's own imports: /root may not be readable for another user.
SHOW = """
echo "cwd $(pwd)"; echo "nice $(nice)"; echo "user $(id -u) $(id -g) $(id -G)"
"""


def failure(argv: list[str], **fields: Any) -> str:
    """Start what cannot be started; return the text."""
    with Supervised(argv, **fields) as run:
        (failed,) = run.rest()
        assert isinstance(failed, StartFailed)
        return run.launched.why_failed(failed)


def test_the_main_process_inherits_four_descriptors_and_no_other() -> None:
    source = """
import json, os
found = {}
for number in os.listdir("/proc/self/fd"):
    try:
        found[number] = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        pass  # the one that listed the folder
print(json.dumps(found))
"""
    with Supervised(python(source), control=True) as run:
        found = json.loads(run.line())

        run.rest_until_done()
        assert set(found) == {"0", "1", "2", "3"}
        assert found["0"] == "/dev/null"
        assert found["1"].startswith("pipe:")
        assert found["2"].startswith("pipe:")
        assert found["3"].startswith("socket:")


def test_without_a_control_socket_there_is_no_fourth_descriptor() -> None:
    with Supervised(shell("ls /proc/self/fd | wc -l")) as run:
        assert run.line() == "4"  # with the one by which the folder is listed
        run.rest_until_done()


def test_the_control_socket_connects_the_main_process_with_us() -> None:
    source = "import os; os.write(3, os.read(3, 5)[::-1]); os.read(3, 1)"
    with Supervised(python(source), control=True) as run:
        control = run.launched.control
        assert control is not None
        control.setblocking(True)
        control.sendall(b"hello")
        assert control.recv(5) == b"olleh"
        control.close()
        run.rest_until_done()


def test_the_end_of_the_main_process_ends_its_control_socket() -> None:
    with Supervised(["true"], control=True) as run:
        control = run.launched.control
        assert control is not None
        control.setblocking(True)
        assert control.recv(1) == b""


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_standard_input_is_what_was_given(size: int) -> None:
    with Supervised(["wc", "-c"], stdin=b"x" * size) as run:
        assert run.line() == str(size)


def test_standard_input_can_be_opened_by_its_name() -> None:
    with Supervised(["cat", "/dev/stdin"], stdin=b"hello") as run:
        assert run.output() == "hello"


def test_signals_are_as_after_a_login_and_the_group_is_its_own() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    ignored = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        script = "grep -E 'SigBlk|SigIgn' /proc/self/status; cut -d ' ' -f 5 /proc/$$/stat; echo $$"
        with Supervised(shell(script)) as run:
            lines = [run.line() for _ in range(4)]
            run.rest_until_done()
    finally:
        signal.signal(signal.SIGUSR2, ignored)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    # A process that glibc's posix_spawn has made, as make does, ignores the two signals that threads of glibc use.
    assert [int(line.split()[1], 16) & ~GLIBC_SIGNALS for line in lines[:2]] == [0, 0]
    assert lines[2] == lines[3]


def test_the_environment_is_the_given_one_and_no_other() -> None:
    with Supervised(["env"], env={"ONLY": "a b", "UTF8": "ä\udcff"}) as run:
        names = [line.partition("=")[0] for line in run.output().splitlines()]

        assert sorted(names) == ["LC_TASKLOOM_TEST", "ONLY", "PATH", "UTF8"]


def test_the_program_is_searched_for_on_the_path_of_its_own_environment(tmp_path: Path) -> None:
    (tmp_path / "not").mkdir()
    refused, program = tmp_path / "not" / "mine", tmp_path / "mine"
    refused.write_text("not executable")
    program.write_text("#!/bin/sh\necho mine\n")
    program.chmod(0o755)

    with Supervised(["mine"], env={"PATH": f"/nowhere:{refused.parent}:{tmp_path}"}) as run:
        assert run.line() == "mine"


def test_the_folder_is_relative_to_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path)

    with Supervised(["pwd"], cwd="a b") as run:
        assert Path(run.line()) == tmp_path / "a b"


@AS_ROOT
def test_the_user_has_its_groups_and_may_not_be_root_again() -> None:
    nobody = pwd.getpwnam("nobody")
    script = SHOW + "kill -0 $PPID 2>/dev/null && echo 'reaches the supervisor'; echo end"
    with Supervised(shell(script), user="nobody", nice=5, cwd="/usr") as run:
        lines = run.output().splitlines()

    assert lines == ["cwd /usr", "nice 5", f"user {nobody.pw_uid} {nobody.pw_gid} {nobody.pw_gid}", "end"]


@AS_ROOT
@pytest.mark.parametrize(
    "user, shown",
    [("12345:23456", "12345 23456"), ("0", "0 0"), ("daemon:0", "1 0"), ("1:root", "1 0"), ("1:0", "1 0")],
)
def test_a_user_can_be_a_number_and_have_another_group(user: str, shown: str) -> None:
    with Supervised(shell('echo "$(id -u) $(id -g) $(id -G)"'), user=user) as run:
        uid, gid, *groups = run.line().split()

    assert [uid, gid] == shown.split()
    assert gid in groups


@AS_ROOT
def test_a_run_of_another_user_dies_with_its_supervisor_as_well() -> None:
    with Supervised(shell("echo ready; exec sleep 1000"), user="nobody") as run:
        assert run.line() == "ready"

        run.launched.kill_supervisor()

        assert run.output() == ""
        assert {type(message) for message in run.rest()} <= {ProcessStarted}


@AS_ROOT
def test_the_nice_value_counts_for_the_session_where_the_kernel_schedules_sessions() -> None:
    with Supervised(shell("cat /proc/self/autogroup 2>/dev/null || echo none"), nice=7) as run:
        assert run.line().endswith(("nice 7", "none"))


def test_the_soft_limit_of_open_files_is_set() -> None:
    with Supervised(shell("ulimit -Sn"), no_file_limit=77) as run:
        assert run.line() == "77"


FAILURES = {
    "folder missing": ((["true"], {"cwd": "/nowhere"}), "cannot start 'true' in '/nowhere': No such file or directory"),
    "folder is a file": ((["true"], {"cwd": "/etc/passwd"}), "cannot start 'true' in '/etc/passwd': Not a directory"),
    "path": ((["/nowhere/x"], {}), "cannot start '/nowhere/x': No such file or directory"),
    "path, near": (
        (["/bin/slep"], {}),
        "cannot start '/bin/slep': No such file or directory; did you mean 'sleep'?",
    ),
    "not executable": (
        (["/etc/passwd"], {}),
        "cannot start '/etc/passwd': it is not executable, or not for this user",
    ),
    "a folder": ((["/usr"], {}), "cannot start '/usr': it is a folder"),
    "control characters": (
        (["/a\nb\x1b[1m"], {}),
        "cannot start '/a\\nb\\x1b[1m': No such file or directory",
    ),
    "too long": ((["true", "x" * 200_000], {}), "cannot start 'true': Argument list too long"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_start_is_explained(name: str) -> None:
    (argv, fields), words = FAILURES[name]

    assert failure(argv, **fields) == words


def test_why_a_script_cannot_be_executed_is_explained(tmp_path: Path) -> None:
    without, missing, windows = tmp_path / "without", tmp_path / "missing", tmp_path / "windows"
    without.write_text("echo no first line")
    missing.write_text("#! /usr/bin/nowhere -x\n")
    windows.write_bytes(b"#!/bin/sh\r\necho\r\n")
    for script in (without, missing, windows):
        script.chmod(0o755)

    assert failure([str(without)]).endswith(
        "it is neither a program of this machine nor a script that begins with `#!`"
    )
    assert failure([str(missing)]).endswith("missing': its interpreter '/usr/bin/nowhere' does not exist")
    assert "windows': its lines end as on Windows" in failure([str(windows)])


@AS_ROOT
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_a_user_without_the_right_cannot_take_another_user_or_a_higher_priority() -> None:
    source = """
import sys
from taskloom.runners.process.channel import parse_message
from taskloom.runners.process.launch import LaunchSpec, launch
for fields in ({"user": "nobody"}, {"nice": -5}):
    launched = launch(LaunchSpec(argv=["true"], env={}, job="a", **fields))
    launched.channel.setblocking(True)
    print(launched.why_failed(parse_message(launched.channel.makefile().readline().rstrip())))
    launched.reap(30)
    launched.close()
"""
    without = ["setpriv", "--bounding-set=-setuid,-setgid,-sys_nice"]

    told = subprocess.run([*without, sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout

    assert told.splitlines() == [
        "cannot start 'true' as user 65534: only root can run a job as another user",
        "cannot start 'true' with nice -5: only root can raise a priority",
    ]


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"argv": []}, "there is no program to start"),
        ({"argv": [""]}, "there is no program to start"),
        ({"argv": ["a", "b\0c"]}, "argument 'b\\x00c' has a NUL character"),
        ({"argv": ["a", "\ud800"]}, "argument '\\ud800' has characters that cannot be encoded"),
        ({"env": {"A": "secret\0"}}, "environment variable 'A' has a NUL character"),
        ({"env": {"A=B": "1"}}, "'A=B' cannot be the name of an environment variable"),
        ({"env": {"": "1"}}, "'' cannot be the name of an environment variable"),
        ({"cwd": "\0"}, "cwd '\\x00' has a NUL character"),
        ({"user": "nobdy"}, "there is no user 'nobdy' here; did you mean 'nobody'?"),
        ({"user": "nobody:rot"}, "there is no group 'rot' here; did you mean 'root'?"),
        ({"user": ""}, "there is no user '' here"),
        ({"user": "54321"}, "user 54321 has no entry in the user database: write `54321:GROUP`"),
        ({"user": "99999999999"}, "there is no user '99999999999' here"),
    ],
)
def test_what_the_kernel_would_refuse_is_refused_before_any_start(fields: dict[str, Any], words: str) -> None:
    given = {"argv": ["true"], "env": {}} | fields
    with pytest.raises(CannotLaunch) as caught:
        Supervised(given.pop("argv"), **given)

    assert str(caught.value) == f"cannot start a process for job 'job': {words}"


def test_a_supervisor_that_is_killed_takes_the_main_process_along() -> None:
    with Supervised(shell("trap '' TERM HUP; echo ready; while :; do :; done")) as run:
        assert run.line() == "ready"

        run.launched.kill_supervisor()

        assert not any(isinstance(message, Exited) for message in run.rest())
        assert run.output() == ""
