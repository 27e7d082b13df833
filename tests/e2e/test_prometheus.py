"""The real Prometheus, with the example configuration, scrapes a real program."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "deploy" / "prometheus"
PATIENCE_SECONDS = 60.0


class Prometheus:
    """A server with its data in a folder of its own, at a free port of this machine."""

    def __init__(self, program: str, folder: Path, target: str) -> None:
        config = (EXAMPLES / "scrape.yml").read_text().replace("127.0.0.1:9464", target).replace("15s", "100ms")
        (folder / "scrape.yml").write_text(config)
        (folder / "alerts.yml").write_text((EXAMPLES / "alerts.yml").read_text())
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._place = f"127.0.0.1:{free.getsockname()[1]}"
        options = ["--config.file=scrape.yml", "--storage.tsdb.path=data", f"--web.listen-address={self._place}"]
        self.process = subprocess.Popen(
            [program, *options], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now; none while the server begins."""
        url = f"http://{self._place}/api/v1/query?query={urllib.parse.quote(expression)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as reply:
                return list(json.load(reply)["data"]["result"])
        except urllib.error.URLError:
            return []

    def wait_for(self, expression: str) -> dict[str, Any]:
        """Wait until an expression has exactly one series, and return its labels."""
        for _ in range(int(PATIENCE_SECONDS * 10)):
            found = self.query(expression)
            if len(found) == 1:
                return dict(found[0]["metric"])
            try:
                self.process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"Prometheus ended with {self.process.returncode}")
        raise AssertionError(f"{expression} never had one series: {self.query(expression)}")


@pytest.fixture
def prometheus(need_tool: Callable[[str], str], tmp_path: Path) -> Iterator[Callable[[str], Prometheus]]:
    started: list[Prometheus] = []

    def start(target: str) -> Prometheus:
        folder = tmp_path / "prometheus"
        folder.mkdir()
        started.append(Prometheus(need_tool("prometheus"), folder, target))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait(PATIENCE_SECONDS)


def test_prometheus_scrapes_a_program_and_keeps_the_names_of_its_jobs(
    start_program: Callable[..., Any], prometheus: Callable[[str], Prometheus]
) -> None:
    jobs = "jobs: {web: {task: polite}, bad: {task: bad, daemon: true}}"
    program = start_program(jobs, "--metrics", "127.0.0.1:0")
    program.wait_for("bad          failed")
    [target] = re.findall(r"metrics at http://(\S+)/metrics\n", program.stderr)

    server = prometheus(target)

    assert server.wait_for('taskloom_job_runs_total{outcome="failed"} == 1')["job"] == "bad"
    assert server.wait_for("taskloom_job_ready == 1")["job"] == "web"
    assert server.wait_for("up == 1")["job"] == "taskloom"
    assert server.wait_for('ALERTS{alertname="TaskloomJobFailed"}')["job"] == "bad"
    program.send(signal.SIGTERM)
    assert program.end() == 1
