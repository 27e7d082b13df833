"""The scripts of `taskloom completion` in the real shells."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.shells import completed

JOBS = """\
jobs:
  web: {task: countdown}
  "two words": {task: countdown}
  "gate:tcp": {task: countdown}
  "gate.1": {task: countdown}
  "it's": {task: countdown}
"""


NeedTool = Callable[[str], str]


@pytest.fixture
def shell_env(child_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment in which `taskloom` is found, and no program of the machine; a job file in a folder."""
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "jobs.yaml").write_text(JOBS)
    path = f"{Path(sys.executable).parent}:{child_env['PATH']}"
    return {**child_env, "PATH": path, "HOME": str(tmp_path)}


@pytest.fixture(params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, need_tool: NeedTool) -> str:
    """The path of each shell on a terminal."""
    return need_tool(request.param)


COMPLETED = {
    "taskloom compl": "completion",
    "taskloom run --stop": "--stop-within",
    "taskloom drill 'a folder' --job we": "web",
    "taskloom drill a\\ fol": "a folder",
    "taskloom drill 'a folder' --job two": "two words",
    "taskloom drill 'a folder' --job 'two w": "two words",
    "taskloom drill 'a folder' --job \"two w": "two words",
    "taskloom drill 'a folder' --job two\\ w": "two words",
    "taskloom drill 'a folder' --job gate:": "gate:tcp",
    "taskloom drill 'a folder' --job 'gate:t": "gate:tcp",
    "taskloom drill 'a folder' --job gate.": "gate.1",
    "taskloom drill 'a folder' --job it": "it's",
    "taskloom drill 'a folder' --job=we": "--job=web",
    "taskloom run x --output=j": "--output=json",
    "X=1 taskloom compl": "completion",
}


@pytest.mark.long
def test_a_tab_completes_the_word(shell: str, shell_env: dict[str, str], tmp_path: Path) -> None:
    assert completed(shell, COMPLETED, shell_env, tmp_path) == COMPLETED


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("taskloom compl", ["completion"]),
        ("taskloom drill 'a folder' --job ", ["web", "two words", "gate:tcp", "gate.1", "it's"]),
        ("taskloom drill a\\ folder/jobs.yaml --job gate", ["gate:tcp", "gate.1"]),
        ("taskloom drill 'a folder/jobs.yaml' --job=we", ["--job=web"]),
        ("taskloom drill 'a fol", ["a folder/"]),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
def test_fish_is_given_the_words(
    typed: str, words: list[str], shell_env: dict[str, str], tmp_path: Path, need_tool: NeedTool
) -> None:
    quoted = typed.replace("\\", "\\\\").replace("'", "\\'")
    script = f"taskloom completion fish | source; complete --do-complete='{quoted}'"

    done = subprocess.run(
        [need_tool("fish"), "--no-config", "--command", script],
        env=shell_env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == words
    assert done.stderr == ""


def test_bash_shows_no_error_if_the_program_is_gone(
    shell_env: dict[str, str], tmp_path: Path, need_tool: NeedTool
) -> None:
    script = 'eval "$(taskloom completion bash)"; COMP_LINE="taskloom r"; COMP_POINT=10; _taskloom_completion ./gone'

    done = subprocess.run(
        [need_tool("bash"), "-c", f'{script}; echo "${{#COMPREPLY[@]}}"'],
        env=shell_env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("0\n", "")
