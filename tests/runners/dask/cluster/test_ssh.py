"""The recipe of docs/dask.md for SSH, with a server of OpenSSH on loopback that has keys of its own."""

from __future__ import annotations

import os
import re
import selectors
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import write_certificates
from tests.support.dask_cluster import ROOT, DaskProcess, free_port

from taskloom.clock import mono

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

PATIENCE_SECONDS = 60.0
_BLOCK = re.compile(r"```text\n(import dask\nfrom distributed import SSHCluster\n.*?)```", re.DOTALL)
_ADDRESS = re.compile(r"(tls://\S+:\d+): Enter ends it")


def recipe(folder: Path, ssh_port: int) -> str:
    """Return the program of the docs for three hosts that are all this machine."""
    text: str
    [text] = _BLOCK.findall((ROOT / "docs" / "dask.md").read_text(encoding="utf-8"))
    login = {"port": ssh_port, "client_keys": [str(folder / "id")], "known_hosts": str(folder / "known_hosts")}
    changes = {
        '["dask.example", "node-1", "node-2"],': f'["127.0.0.1"] * 3, connect_options={login!r},',
        '"port": 8786': '"port": 0, "host": "127.0.0.1", "dashboard": False',
        '"nthreads": 64': '"nthreads": 4, "host": "127.0.0.1", "dashboard": False',
        "/srv/venv/bin/python": shlex.quote(sys.executable),  # Dask joins the words of the command
        "/srv/dask/me.pem": str(folder / "cert.pem"),
        "/srv/dask/me.key": str(folder / "key.pem"),
        "/srv/dask/ca.pem": str(folder / "ca.pem"),
    }
    for old, new in changes.items():
        assert text.count(old) == 1, f"the recipe has no {old}"
        text = text.replace(old, new)
    return text


@pytest.fixture
def ssh_port(need_tool: Callable[[str], str], need_package: Callable[[str], None], tmp_path: Path) -> Iterator[int]:
    """The port of a server that accepts `id` as its only key. All that it has started ends with it."""
    need_package("asyncssh")
    keygen, server, port = need_tool("ssh-keygen"), need_tool("sshd"), free_port()
    for name in ("host_key", "id"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    host_key = " ".join((tmp_path / "host_key.pub").read_text().split()[:2])
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host_key\nAuthorizedKeysFile {tmp_path}/id.pub\n"
        "StrictModes no\nPasswordAuthentication no\nUsePAM no\nPidFile none\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as its unit does: sshd does not begin without it
    log = tmp_path / "sshd.log"
    with log.open("wb") as output:
        command = [server, "-D", "-e", "-f", str(tmp_path / "sshd_config")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=output, start_new_session=True)
    sshd = DaskProcess("sshd", log, process, "Server listening on")
    try:
        sshd.await_ready()
        yield port
    finally:
        sshd.end()


def await_address(program: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address that the recipe prints."""
    assert program.stdout is not None
    until, text = mono() + PATIENCE_SECONDS, ""
    with selectors.DefaultSelector() as selector:
        selector.register(program.stdout, selectors.EVENT_READ)
        while (found := _ADDRESS.search(text)) is None:
            assert selector.select(until - mono()), f"no address: {text}\n{log.read_text()}"
            read = os.read(program.stdout.fileno(), 65536)
            assert read, f"it has ended: {text}\n{log.read_text()}"
            text += read.decode()
    return found[1]


def write_jobs(folder: Path, address: str) -> None:
    files = "{ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem}"
    (folder / "jobs.yaml").write_text(
        f'defaults:\n  runner:\n    dask:\n      scheduler: "{address}"\n      tls: {files}\n'
        "jobs:\n  far: {task: countdown, params: {start: 2, interval: 10ms}, replicas: 6}\n"
    )


def test_the_recipe_for_ssh(ssh_port: int, tmp_path: Path, child_env: dict[str, str]) -> None:
    for name, path in write_certificates(tmp_path / "certificates").items():
        path.rename(tmp_path / f"{name.removesuffix('_file')}.pem")
    (tmp_path / "recipe.py").write_text(recipe(tmp_path, ssh_port), encoding="utf-8")
    env = child_env | {"DASK_CONFIG": os.devnull, "DASK_TEMPORARY_DIRECTORY": str(tmp_path / "space")}
    given: dict[str, Any] = {"cwd": tmp_path, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    log = tmp_path / "recipe.log"

    with (
        log.open("wb") as output,
        subprocess.Popen([sys.executable, "recipe.py"], **given, env=env, stderr=output) as program,
    ):
        try:
            write_jobs(tmp_path, await_address(program, log))
            command = [sys.executable, "-m", "taskloom", "run", "jobs.yaml"]
            ran = subprocess.run(
                command,
                cwd=tmp_path,
                env=child_env,
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
                check=False,
            )
            program.communicate(b"\n", PATIENCE_SECONDS)
        finally:
            program.kill()

    assert ran.returncode == 0, ran.stderr
    ended = {line.split()[2] for line in ran.stderr.splitlines() if "succeeded" in line}
    assert ended >= {f"far.{number}" for number in range(1, 7)}, ran.stderr
    assert program.returncode == 0, log.read_text()
