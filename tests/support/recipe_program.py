"""A real `taskloom run` with one job, whose task is a recipe of the documentation."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "RecipeProgram", "install_recipes", "recipes"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "client-libraries.md"
PATIENCE_SECONDS = 30.0

_BLOCK = re.compile(r"^```python\n# clients/(with_\w+)\.py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The task of a recipe is its last function.
_FUNCTION = re.compile(r"^(?:async )?def (\w+)\(", re.MULTILINE)


def recipes() -> dict[str, str]:
    """Return the recipes of the page: module name and source."""
    return dict(_BLOCK.findall(PAGE.read_text(encoding="utf-8")))


def install_recipes(folder: Path, start_method: str = "spawn") -> None:
    """Install the recipes as a distribution in a folder; its tasks are named like the modules.

    Those that start processes with `spawn` do so with `start_method` instead.
    """
    info = folder / "clients-1.0.dist-info"
    info.mkdir()
    entries = []
    for name, source in recipes().items():
        (folder / f"{name}.py").write_text(source.replace('"spawn"', f'"{start_method}"'), encoding="utf-8")
        entries.append(f"{name} = {name}:{_FUNCTION.findall(source)[-1]}\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: clients\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[taskloom.tasks]\n" + "".join(entries))


class RecipeProgram:
    """A running program. Its job is named `client`."""

    def __init__(self, task: str, params: dict[str, Any], folder: Path, env: dict[str, str]) -> None:
        fields = {"task": task, "params": params, "poll_interval": "200ms", "join": "10s"}
        (folder / "jobs.yaml").write_text(json.dumps({"jobs": {"client": fields}}))
        self._events = folder / "events.jsonl"
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "taskloom", "run", "jobs.yaml", "--events", str(self._events)],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._output.read_text(errors="replace")

    def event(self, name: str) -> dict[str, Any] | None:
        """Return the first event of this name that concerns the job, or None."""
        if not self._events.exists():
            return None
        *lines, _ = self._events.read_text().split("\n")
        events = map(json.loads, lines)
        return next((event for event in events if event["event"] == name and event.get("job") == "client"), None)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition is true. Raises AssertionError if the program ends before."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < limit, self.output
            self.pass_time(0.02)

    def pass_time(self, seconds: float) -> None:
        """Let the program go on; it must not end meanwhile."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise AssertionError(f"it ended with {self.process.returncode}:\n{self.output}")

    def stop(self) -> tuple[float, dict[str, Any]]:
        """Send TERM and wait for the end; return the seconds until the run had ended, and the event of its end."""
        assert self.event("ended") is None, self.output
        sent = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)
        ended = self.event("ended")
        assert ended is not None, self.output
        return ended["mono"] - sent, ended

    def kill(self) -> None:
        """End it in any case."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
