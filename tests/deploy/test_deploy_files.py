"""The files for systemd, Docker and Kubernetes: verified, parsed, and their commands executed."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskloom import __version__
from taskloom.task import parse_duration

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "docs" / "deploy"
# After the deadline of the stop: exit handlers and child processes, and the watcher's last resort.
END_SECONDS = 3.0
# The version that knows Type=notify-reload.
NOTIFY_RELOAD = 253

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(DEPLOY / name)
    return parser


def docker(instruction: str) -> list[str]:
    """Return the arguments of each such instruction; lines that are continued are joined."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in text.splitlines() if line.startswith(f"{instruction} ")]


def container() -> dict[str, Any]:
    found: dict[str, Any] = manifest()["spec"]["template"]["spec"]["containers"][0]
    return found


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text())
    return found


# -- systemd


def systemd_version() -> int:
    """Return the version of systemd on this machine; fail in CI, and else skip, if it is missing."""
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("CI"):
            pytest.fail("cannot find systemd-analyze, and under CI nothing may be missing")
        pytest.skip("LOUD: cannot find systemd-analyze; install the package systemd")
    shown = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.findall(r"systemd (\d+)", shown)[0])


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that exists; for an older systemd with the type that the page names for it."""
    version = systemd_version()
    for name in ("taskloom.service", "taskloom.socket"):
        text = (DEPLOY / name).read_text().replace("/opt/taskloom/bin/taskloom", f'"{sys.executable}"')
        if version < NOTIFY_RELOAD:
            text = text.replace("Type=notify-reload", "Type=notify\nExecReload=kill -HUP $MAINPID")
        (tmp_path / name).write_text(text)
    return tmp_path


def verify(*paths: Path) -> tuple[int, str]:
    # Manual pages and the units of the machine itself are not ours.
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return result.returncode, result.stdout + result.stderr


def test_systemd_accepts_the_units(units: Path) -> None:
    assert verify(units / "taskloom.service", units / "taskloom.socket") == (0, "")


def test_systemd_would_name_a_line_that_it_does_not_know(units: Path) -> None:
    service = units / "taskloom.service"
    service.write_text(service.read_text().replace("KillMode=mixed", "KillMode=mixxed"))

    assert "mixxed" in verify(service)[1]


def test_the_service_gives_the_stop_more_time_than_it_takes() -> None:
    service = unit("taskloom.service")["Service"]
    within = parse_duration(service["ExecStart"].split("--stop-within ")[1].split()[0])

    assert service["Type"] == "notify-reload"
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > within + END_SECONDS
    assert float(service["TimeoutStartSec"]) > 60
    assert float(service["WatchdogSec"]) > 10
    assert service["RestartPreventExitStatus"] == "2"


def test_a_job_can_write_a_file_that_it_names_without_a_folder() -> None:
    service = unit("taskloom.service")["Service"]
    image = dict(each.split("=", 1) for each in docker("ENV")[0].split())
    mounts = {each["name"]: each["mountPath"] for each in container()["volumeMounts"]}

    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"
    assert docker("WORKDIR") == [image["STATE_DIRECTORY"]] == [mounts["state"]]


def test_the_image_has_this_version_and_a_user_that_kubernetes_knows_not_to_be_root() -> None:
    assert docker("ARG") == [f"VERSION={__version__}"]
    assert docker("USER") == re.findall(r"--uid (\d+)", " ".join(docker("RUN")))


def test_the_command_of_the_service_is_one_that_taskloom_takes(taskloom_cli: Cli, tmp_path: Path) -> None:
    _, *arguments, jobs = unit("taskloom.service")["Service"]["ExecStart"].split()
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "a.yaml").write_text("jobs: {a: {task: countdown, params: {start: 0}}}\n")

    assert jobs == "/etc/taskloom/jobs"
    result = taskloom_cli(*arguments, "jobs", env={"TASKLOOM_CONTROL": "false"})
    assert (result.returncode, "succeeded" in result.stderr) == (0, True)


def test_the_socket_has_the_name_that_the_page_reads_from() -> None:
    name = unit("taskloom.socket")["Socket"]["FileDescriptorName"]

    assert f'listen: "fd://{name}"' in (ROOT / "docs" / "deploy.md").read_text()
    assert unit("taskloom.socket")["Socket"]["Accept"] == "no"


# -- containers


@pytest.fixture
def image(tmp_path: Path) -> dict[str, str]:
    """The variables of the image, with its folders in this one, and its jobs."""
    variables = dict(each.split("=", 1) for each in docker("ENV")[0].split())
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        folder = tmp_path / variables[name].lstrip("/")
        folder.mkdir(parents=True, mode=0o700)
        variables[name] = str(folder)
    jobs = tmp_path / "etc" / "taskloom" / "jobs"
    jobs.mkdir(parents=True)
    (jobs / "a.yaml").write_text(
        "jobs:\n  a: {task: command, params: {argv: [sleep, '1000']}}\n"
        # Its child is an orphan, and has to be collected by process 1.
        "  b: {task: command, params: {argv: [sh, -c, '(sleep 0.1 &)']}}\n"
    )
    return {**variables, "TASKLOOM_CONTROL": "true", "TASKLOOM_HISTORY": "off"}


def inside(arguments: list[str], folder: Path) -> list[str]:
    """Return a command of the image as it is on this machine: another Python, and other folders."""
    assert arguments[0] == "taskloom"
    moved = [str(folder / each.lstrip("/")) if each.startswith("/etc/taskloom") else each for each in arguments[1:]]
    return [sys.executable, "-m", "taskloom", *moved]


def run_in(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def probes() -> dict[str, list[str]]:
    """Return all commands that ask a running container how it is."""
    found = {name: container()[name]["exec"]["command"] for name in ("livenessProbe", "readinessProbe", "startupProbe")}
    return {**found, "HEALTHCHECK": json.loads(docker("HEALTHCHECK")[0].partition(" CMD ")[2])}


def test_the_image_checks_its_jobs_when_it_is_built(
    image: dict[str, str], child_env: dict[str, str], tmp_path: Path
) -> None:
    [check] = [each for each in docker("RUN") if each.startswith("taskloom ")]

    result = run_in(inside(check.split(), tmp_path), child_env | image)

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.long
def test_the_image_runs_as_process_1_is_asked_how_it_is_and_stops(
    image: dict[str, str], child_env: dict[str, str], namespace: list[str], tmp_path: Path
) -> None:
    entry = json.loads(docker("ENTRYPOINT")[0]) + container()["args"]
    assert json.loads(docker("CMD")[0]) == container()["args"]
    env = child_env | image
    command = [*namespace, *inside(entry, tmp_path)]
    log = tmp_path / "log"
    with log.open("w") as file, subprocess.Popen(command, env=env, cwd=tmp_path, stderr=file) as outer:
        try:
            while not {("a", "started"), ("b", "succeeded")} <= told_in(log):
                assert outer.poll() is None, log.read_text()
            [init] = children_of(outer.pid)
            answers = {name: run_in(inside(probe, tmp_path), env) for name, probe in probes().items()}
            zombies = [pid for pid in descendants_of(init) if state_of(pid) == "Z"]
            os.kill(init, getattr(signal, docker("STOPSIGNAL")[0]))
            code = outer.wait(60)
        finally:
            outer.kill()

    assert {name: each.returncode for name, each in answers.items()} == dict.fromkeys(probes(), 0), answers
    assert all(json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    assert (code, zombies) == (0, [])


def told_in(log: Path) -> set[tuple[str, str]]:
    """Return the job and the first word of each line of the log so far."""
    lines = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("}\n")]
    return {(line["job"], line["message"].split()[0]) for line in lines}


@pytest.mark.long
def test_the_probes_fail_if_there_is_no_program(
    image: dict[str, str], child_env: dict[str, str], tmp_path: Path
) -> None:
    for probe in probes().values():
        assert run_in(inside(probe, tmp_path), child_env | image).returncode == 4


def test_the_pod_gives_the_stop_more_time_than_it_takes() -> None:
    variables = {each["name"]: each["value"] for each in container()["env"]}
    spec = manifest()["spec"]["template"]["spec"]
    image = dict(each.split("=", 1) for each in docker("ENV")[0].split())

    for within in (variables["TASKLOOM_STOP_WITHIN"], image["TASKLOOM_STOP_WITHIN"]):
        assert spec["terminationGracePeriodSeconds"] > parse_duration(within) + END_SECONDS
    assert manifest()["spec"]["replicas"] == 1
    assert manifest()["spec"]["strategy"] == {"type": "Recreate"}


def test_the_pod_is_consistent() -> None:
    spec = manifest()["spec"]
    labels = spec["template"]["metadata"]["labels"]
    mounted = {each["name"] for each in container()["volumeMounts"]}
    user = re.findall(r"--uid (\d+)", " ".join(docker("RUN")))

    assert spec["selector"]["matchLabels"] == labels
    assert mounted == {each["name"] for each in spec["template"]["spec"]["volumes"]}
    assert user == [str(spec["template"]["spec"]["securityContext"]["runAsUser"])]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        # `taskloom health` waits up to five seconds for an answer, and has to be loaded.
        assert container()[probe]["timeoutSeconds"] >= 10
    assert "--timeout=10s" in docker("HEALTHCHECK")[0]


# -- processes


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """The command that makes a program process 1 of a pid namespace."""
    for privileges in ([], ["--user", "--map-root-user"]):
        command = ["unshare", *privileges, "--pid", "--fork", "--kill-child", "--mount-proc"]
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        ):
            return command
    if os.environ.get("CI"):
        pytest.fail("cannot make a pid namespace with unshare, and under CI nothing may be missing")
    pytest.skip("LOUD: cannot make a pid namespace with unshare; run this test as root, or allow user namespaces")


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descendants_of(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants_of(child)]
    return found


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
