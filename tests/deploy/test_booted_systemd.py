"""The unit and the socket of docs/deploy under a systemd that has really booted."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.booted_systemd import BootedSystemd, need_systemd

pytestmark = pytest.mark.long

DEPLOY = Path(__file__).resolve().parents[2] / "docs" / "deploy"

JOBS = """
jobs:
  syslog: {task: socket-reader, params: {listen: "fd://syslog", framing: line, output: syslog.log}, daemon: true}
  other: {task: command, params: {argv: [sleep, "1000"]}}
"""
SLOW = """
jobs:
  slow: {task: command, params: {argv: [sh, -c, "trap 'sleep 7; exit' TERM; sleep 1000 & wait"]}, join: 20s}
"""
# The program and its Python are in the folders of the user who tests. The rest of the unit is as it is.
DROP_IN = """
DynamicUser=no
PrivateTmp=no
ProtectHome=no
RestartSec=0
StandardOutput=append:{folder}/log
StandardError=append:{folder}/log
"""


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootedSystemd]:
    need_systemd()
    folder = tmp_path_factory.mktemp("systemd")
    booted = BootedSystemd(folder)
    try:
        booted.__enter__()
    except (AssertionError, OSError) as error:  # a kernel, or a container, that lets no other systemd boot
        log = folder / "systemd.log"
        pytest.skip(f"LOUD: cannot boot systemd here: {error} {log.read_text()[-2000:] if log.exists() else ''}")
    with ExitStack() as undo:
        undo.push(booted)
        yield booted


@pytest.fixture
def jobs(systemd: BootedSystemd, tmp_path: Path) -> Iterator[Path]:
    """A job file, with the unit that runs it; stopped at the end."""
    file = tmp_path / "jobs.yaml"
    file.write_text(JOBS)
    text = (DEPLOY / "taskloom.service").read_text().replace("/etc/taskloom/jobs", str(file))
    # The systemd of this machine may be older than the one of Type=notify-reload.
    text = text.replace("Type=notify-reload", "Type=notify\nExecReload=kill -HUP $MAINPID")
    text = text.replace("/opt/taskloom/bin/taskloom", f'"{sys.executable}" -m taskloom')
    (systemd.units / "taskloom.service").write_text(text)
    (systemd.units / "taskloom.socket").write_text((DEPLOY / "taskloom.socket").read_text())
    change(systemd, DROP_IN.format(folder=tmp_path), name="all")
    yield file
    systemd.systemctl("stop", "taskloom.socket", "taskloom.service")
    systemd.systemctl("reset-failed", "taskloom.service", check=False)
    shutil.rmtree(systemd.units / "taskloom.service.d")


def change(systemd: BootedSystemd, lines: str, *, name: str = "one") -> None:
    """Have other lines in the service, for this test."""
    folder = systemd.units / "taskloom.service.d"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.conf").write_text(f"[Service]\n{lines}\n")
    systemd.systemctl("daemon-reload")


def test_a_start_ends_when_the_jobs_are_ready_and_a_stop_gets_the_time_that_it_needs(
    systemd: BootedSystemd, jobs: Path
) -> None:
    jobs.write_text(SLOW)
    systemd.systemctl("start", "taskloom.service")
    started = systemd.properties("taskloom.service", "ActiveState", "StatusText")
    health = systemd.run(sys.executable, "-m", "taskloom", "health", "--ready")
    # Less than the job needs, although the program asks for more.
    change(systemd, "TimeoutStopSec=5")
    systemd.systemctl("stop", "taskloom.service")

    assert started == ["active", "1 job: 1 running"]
    assert health == "ready\n"
    assert systemd.properties("taskloom.service", "Result", "ExecMainStatus") == ["success", "0"]


def test_a_job_reads_from_the_socket_of_systemd_into_the_folder_of_its_state(
    systemd: BootedSystemd, jobs: Path
) -> None:
    systemd.systemctl("start", "taskloom.socket", "taskloom.service")
    client = "import socket; socket.create_connection(('127.0.0.1', 5514)).sendall(b'one\\n')"
    systemd.run(sys.executable, "-c", client)
    folder = "/var/lib/taskloom"

    systemd.until(lambda: "syslog.log" in systemd.run("ls", folder), lambda: systemd.run("ls", folder))
    systemd.until(lambda: systemd.read(f"{folder}/syslog.log") == "one\n", lambda: systemd.read(f"{folder}/syslog.log"))


def test_the_commands_of_the_page_give_the_socket_to_a_service_that_runs(systemd: BootedSystemd, jobs: Path) -> None:
    page = (DEPLOY.parent / "deploy.md").read_text()
    block = next(each for each in page.split("```sh\n")[1:] if "taskloom.socket" in each.split("```")[0])
    commands = [line.removeprefix("sudo ") for line in block.split("```")[0].splitlines() if "systemctl" in line]
    systemd.systemctl("start", "taskloom.service", check=False)

    for command in commands:
        # Where systemd enables units is in this machine, and not in memory.
        systemd.run(*command.replace("enable --now", "start").split())

    def log() -> str:
        return (jobs.parent / "log").read_text()

    assert len(commands) == 4
    systemd.until(lambda: "listening on fd://syslog" in log(), log)


def test_a_reload_of_systemd_applies_the_changes_of_the_file(systemd: BootedSystemd, jobs: Path) -> None:
    systemd.systemctl("start", "taskloom.socket", "taskloom.service")
    jobs.write_text(f"{JOBS}  more: {{task: command, params: {{argv: [sleep, '1000']}}}}\n")
    systemd.systemctl("reload", "taskloom.service")

    def status() -> list[str]:
        return systemd.properties("taskloom.service", "StatusText", "ActiveState")

    systemd.until(lambda: status() == ["3 jobs: 3 running", "active"], status)


def test_a_program_that_hangs_is_started_again(systemd: BootedSystemd, jobs: Path) -> None:
    change(systemd, "WatchdogSec=5")
    systemd.systemctl("start", "taskloom.socket", "taskloom.service")
    systemd.systemctl("kill", "--signal=STOP", "--kill-who=main", "taskloom.service")

    def state() -> list[str]:
        return systemd.properties("taskloom.service", "NRestarts", "ActiveState", "SubState")

    systemd.until(lambda: state() == ["1", "active", "running"], state)


def test_a_mistake_in_a_job_file_is_not_tried_again(systemd: BootedSystemd, jobs: Path) -> None:
    jobs.write_text("jobs: {one: {task: nothing}}")

    assert "failed" in systemd.systemctl("start", "taskloom.service", check=False)
    assert systemd.properties("taskloom.service", "ActiveState", "NRestarts", "ExecMainStatus") == ["failed", "0", "2"]
    assert "cannot find task 'nothing'" in (jobs.parent / "log").read_text()
