"""The answer to a shell that asks for completions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.every_case import every_case

from taskloom.cli import entry
from taskloom.cli.completion.answer import VARIABLE, answer
from taskloom.cli.completion.scripts import SCRIPTS
from taskloom.jobfile.syntax.job_names import job_names


def ask(line: str, shell: str = "zsh") -> tuple[int, list[str]]:
    code, text = answer(entry._taskloom, {VARIABLE: f"{shell}_complete", "TASKLOOM_LINE": line})
    return code, text.splitlines()


def words(line: str) -> list[str]:
    return [row.split("\t")[1] for row in ask(line)[1]]


def test_every_verb_is_offered_with_its_text() -> None:
    code, rows = ask("taskloom ")

    assert code == 0
    assert [row.split("\t")[1] for row in rows] == list(entry._VERBS)
    assert all(row.split("\t")[2] for row in rows)


def test_verbs_are_offered_without_importing_one() -> None:
    program = (
        "import sys; from taskloom.cli import entry; from taskloom.cli.completion.answer import answer; "
        "answer(entry._taskloom, {'_TASKLOOM_COMPLETE': 'zsh_complete', 'TASKLOOM_LINE': 'taskloom '}); "
        "print([name for name in sys.modules if name in {module for module, *_ in entry._VERBS.values()}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "[]\n"


def test_the_options_of_the_group_and_of_a_verb_are_offered() -> None:
    assert words("taskloom --v") == ["--version"]
    assert words("taskloom run --stop") == ["--stop-within"]
    assert words("taskloom run --output ") == ["text", "json"]
    assert words("taskloom run --output=j") == ["--output=json"]
    assert words("taskloom completion ") == list(SCRIPTS)


@every_case(
    "line",
    [
        *("run ", "run --env-file ", "run --log-dir ", "run --events ", "run --socket ", "status --socket "),
        *("validate --env-file ", "drill --env-file ", "simulate --env-file ", "simulate --events "),
    ],
)
def test_a_path_is_left_to_the_shell(line: str) -> None:
    assert ask(f"taskloom {line}jo")[1] == ["file\tjo\t"]


def test_tasks_are_offered_by_name() -> None:
    assert "countdown" in words("taskloom tasks ")


def test_jobs_of_the_files_are_offered_without_importing_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("defaults: {x: 1}\njobs:\n  web: {task: no-such-task}\n  worker: {params: {b: 1}}")
    (tmp_path / "b.yml").write_text("jobs: {other: {}}\n")
    (tmp_path / "c.yaml").write_text("jobs:\n  first: {}\n  [broken")
    (tmp_path / "d.txt").write_text("jobs: {ignored: {}}")

    assert words(f"taskloom drill {tmp_path} --job ") == ["web", "worker", "other", "first"]
    assert words(f"taskloom drill {tmp_path} --job wo") == ["worker"]
    assert words(f"taskloom drill {tmp_path}/missing - --job ") == []


def test_jobs_of_the_default_files_are_offered_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert words("taskloom drill --job ") == []
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/a.yaml").write_text("jobs: {web: {}, worker: {}}\n")
    assert words("taskloom drill --job wo") == ["worker"]
    (tmp_path / "taskloom.yaml").write_text("jobs: {first: {}}\n")
    assert words("taskloom drill --job ") == ["first"]


@pytest.mark.parametrize(
    "line",
    ["taskloom bogus x", "taskloom tasks --bogus x", "taskloom tasks a b c", "taskloom schema x y "],
)
def test_a_line_that_is_wrong_has_no_completions_and_no_message(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(line)[1] == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("request_", ["bash_bogus", "tcsh_complete", "", "bash"])
def test_an_unknown_request_is_refused_in_silence(request_: str) -> None:
    assert answer(entry._taskloom, {VARIABLE: request_}) == (1, "")


def test_a_word_that_could_drive_the_terminal_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('jobs: {"a\\tb": {}, "\\e[31m": {}, "a\\nb": {}, "näme": {}}', encoding="utf-8")

    assert words(f"taskloom drill {tmp_path}/a.yaml --job ") == ["näme"]


def test_click_s_own_way_gives_the_script() -> None:
    assert answer(entry._taskloom, {VARIABLE: "fish_source"}) == (0, SCRIPTS["fish"])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("jobs: [a, b]", []),
        ("- jobs\n- {a: 1}", []),
        ("other: {a: 1}\njobs: {b: {c: 1}, d: }", ["b", "d"]),
        ("jobs: &x {a: &y 1, b: *y}\nagain: *x", ["a", "b"]),
        ("", []),
        ("\0", []),
    ],
)
def test_the_names_are_the_keys_below_jobs(text: str, names: list[str]) -> None:
    assert list(job_names(text.encode())) == names
