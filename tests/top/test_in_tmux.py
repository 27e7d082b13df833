"""`taskloom top` in a real terminal, tmux, with a real program: what a user sees, and what is left when it is gone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskloom.clock import mono

pytestmark = pytest.mark.long

PATIENCE_SECONDS = 120.0
TASKLOOM = [sys.executable, "-P", "-m", "taskloom"]
JOBS = """\
jobs:
  count:
    task: countdown
    params: {start: 100000, interval: 200ms}
  flood:
    task: countdown
    params: {start: 1000000, interval: 3ms}
    daemon: true
  deaf:
    task: command
    params: {argv: [sh, -c, 'trap "" TERM; while :; do sleep 1; done']}
    daemon: true
    join: {within: 8s}
"""


class Tmux:
    """A tmux server of its own, with one window."""

    def __init__(self, binary: str, folder: Path, env: dict[str, str]) -> None:
        self._command = [binary, "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._env, self._folder = env, folder

    def start(self, command: list[str], columns: int = 80, rows: int = 24) -> None:
        """Run a command; its exit code is shown in the window after its end, as `code=0.`"""
        quoted = " ".join(f"'{part}'" for part in command)
        self._tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), f"{quoted}; echo code=$?.; stty -a; cat")

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def text(self) -> str:
        return self._tmux("capture-pane", "-p")

    def styled(self) -> str:
        return self._tmux("capture-pane", "-p", "-e")

    def wait_for(self, wanted: str | Callable[[str], object]) -> str:
        """Return the screen once it has this text."""
        end, pause, text = mono() + PATIENCE_SECONDS, threading.Event(), ""
        while mono() < end:
            text = self.text()
            if wanted in text if isinstance(wanted, str) else wanted(text):
                return text
            pause.wait(0.1)
        raise AssertionError(f"it has not come: {wanted}\n{text}")

    def close(self) -> None:
        subprocess.run([*self._command, "kill-server"], env=self._env, capture_output=True, timeout=30, check=False)

    def _tmux(self, *arguments: str) -> str:
        found = subprocess.run(
            [*self._command, *arguments], env=self._env, capture_output=True, text=True, timeout=30, check=True,
            cwd=self._folder,
        )  # fmt: skip
        return found.stdout


class Scene:
    """A program with a name, and a tmux that may look at it."""

    def __init__(self, folder: Path, env: dict[str, str], tmux: Tmux) -> None:
        self.folder, self.env, self.tmux = folder, env, tmux
        self.file = folder / "jobs.yaml"
        self.file.write_text(JOBS)
        self.program: subprocess.Popen[bytes] | None = None

    def run(self) -> subprocess.Popen[bytes]:
        """Start the program."""
        self.program = subprocess.Popen(
            [*TASKLOOM, "run", "--name", "looms", str(self.file)], env=self.env, cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.verb("status")
        return self.program

    def verb(self, *arguments: str) -> str:
        """Return what a verb prints, however it ends: a program that has just been started is not there yet."""
        end = mono() + PATIENCE_SECONDS
        while True:
            found = subprocess.run(
                [*TASKLOOM, *arguments, "--name", "looms"],
                env=self.env,
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            if found.returncode != 4 or mono() > end:
                return found.stdout

    def states(self) -> dict[str, str]:
        return {each["job"]: each["state"] for each in json.loads(self.verb("status", "-o", "json"))["jobs"]}

    def look(self, columns: int = 80, rows: int = 24, **env: str) -> Tmux:
        """Start `top`, and wait until it shows the jobs."""
        assignments = [f"{name}={value}" for name, value in env.items()]
        self.tmux.start(["env", *assignments, *TASKLOOM, "top", "--name", "looms"], columns, rows)
        self.tmux.wait_for("● running")
        return self.tmux


@pytest.fixture
def scene(
    tmp_path: Path, child_env: dict[str, str], own_runtime_folder: str, need_tool: Callable[[str], str]
) -> Iterator[Scene]:
    env = {**child_env, "TERM": "xterm-256color"}
    env.pop("TMUX", None)
    tmux = Tmux(need_tool("tmux"), Path(own_runtime_folder), env)
    found = Scene(tmp_path, env, tmux)
    yield found
    tmux.close()
    if found.program is not None:
        found.program.kill()
        found.program.wait(PATIENCE_SECONDS)


def test_quitting_restores_the_terminal_and_stops_no_job(scene: Scene) -> None:
    scene.run()

    screen = scene.look()
    screen.press("q")
    left = screen.wait_for("code=0.")

    assert "taskloom  looms" not in left  # the alternate screen is gone
    assert re.search(r"(?<!-)\bicanon\b", screen.wait_for("icanon"))
    assert {scene.states()[name] for name in ("count", "flood")} == {"running"}


@pytest.mark.parametrize(
    ("how", "code"), [("key", 130), (signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["ctrl-c", "TERM", "INT"]
)
def test_ctrl_c_and_signals_end_the_view_restore_the_terminal_and_stop_no_job(
    scene: Scene, how: str | signal.Signals, code: int
) -> None:
    scene.run()

    screen = scene.look()
    if isinstance(how, signal.Signals):
        os.kill(_pid_of_view(scene.env), how)
    else:
        screen.press("C-c")
    left = screen.wait_for(f"code={code}.")

    assert "taskloom  looms" not in left
    assert re.search(r"(?<!-)\bicanon\b", screen.wait_for("icanon"))
    assert scene.states()["count"] == "running"


def _pid_of_view(env: dict[str, str]) -> int:
    """Return the process of the view of this test."""

    def parts(file: Path) -> list[str]:
        try:
            return file.read_bytes().decode(errors="replace").split("\0")[:-1]
        except OSError:  # it has just ended
            return []

    command, home = [*TASKLOOM, "top", "--name", "looms"], f"HOME={env['HOME']}"
    for process in Path("/proc").glob("[0-9]*"):
        if parts(process / "cmdline") == command and home in parts(process / "environ"):
            return int(process.name)
    raise AssertionError("the view does not run")


def test_a_stop_is_confirmed_counted_and_its_stack_can_be_seen(scene: Scene) -> None:
    scene.run()

    screen = scene.look()
    screen.press("Down", "Down", "s")
    screen.wait_for("Stop deaf? Its run has 8s to end.")
    assert scene.states()["deaf"] == "running"
    screen.press("y")
    screen.wait_for(lambda text: re.search(r"▶deaf .*◐ stopping \d+\.\ds of 8s", text))
    screen.press("k")
    screen.wait_for(lambda text: "live stack of deaf" in text and "deaf#1: at" in text)
    screen.press("k")
    screen.wait_for(lambda text: re.search(r"▶deaf .*- stopped", text))

    assert scene.states()["count"] == "running"


def test_the_end_of_the_program_is_summed_up_and_its_next_start_is_noticed(scene: Scene) -> None:
    program = scene.run()

    screen = scene.look(160, 50)
    program.send_signal(signal.SIGINT)
    screen.wait_for("the program has ended with exit code 130")
    screen.wait_for("waiting for its next start")
    assert program.wait(PATIENCE_SECONDS) == 130
    scene.run()
    screen.wait_for("the program was started again")
    screen.press("Escape")
    screen.wait_for(lambda text: re.search(r"count .*● running", text))
    screen.press("q")
    screen.wait_for("code=0.")


def test_20_000_lines_a_minute_do_not_stall_the_keys(scene: Scene) -> None:
    scene.run()

    screen = scene.look()
    screen.press("Down")
    screen.wait_for("log [flood]  follow")
    first = _last_number(screen.wait_for(lambda text: _last_number(text) is not None))
    screen.wait_for(lambda text: (_last_number(text) or first or 0) < (first or 0) - 1000)
    for key, words in (("l", "log [flood]"), ("w", "wrapped"), ("l", "▶flood"), ("question_mark", "keys")):
        screen.press("?" if key == "question_mark" else key)
        screen.wait_for(words)
    screen.press("q")
    screen.wait_for("code=0.")


def _last_number(text: str) -> int | None:
    found = re.findall(r"INFO +(\d+)$", text, re.MULTILINE)
    return int(found[-1]) if found else None


def test_without_colour_the_screen_has_the_same_words_and_no_colour(scene: Scene) -> None:
    scene.run()

    screen = scene.look(NO_COLOR="1")
    styled = screen.styled()

    assert "● running" in screen.text()
    assert re.findall(r"\x1b\[[\d;]*\b(?:3[0-7]|9[0-7]|38|48|4[0-7])[\d;]*m", styled) == []
