"""Files whose content is a value: `${file:PATH}`."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.support.every_case import every_case
from tests.support.given_catalog import GivenCatalog

from taskloom import Context
from taskloom.diagnostics import Problem
from taskloom.jobfile import CheckResult, check
from taskloom.jobfile.render import as_json, render_all
from taskloom.jobfile.syntax.document import Value
from taskloom.jobfile.syntax.interpolation import interpolate
from taskloom.jobfile.syntax.reader import read_bytes
from taskloom.jobfile.syntax.value_files import LARGEST, ValueFiles, folder_of

HIDDEN = "hunter2"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the working folder, in which the job file is `jobs/f.yaml`."""
    monkeypatch.chdir(tmp_path)
    Path("jobs").mkdir()
    return tmp_path / "jobs"


def filled(text: str, **environ: str) -> tuple[Value, list[Problem]]:
    document = read_bytes(f"a: {text}\n".encode(), "jobs/f.yaml")
    problems = interpolate(document, environ)
    assert isinstance(document.root, dict)
    return document.root["a"], problems


@pytest.mark.parametrize(
    ("content", "text", "expected"),
    [
        ("hunter2", "${file:key}", "hunter2"),
        ("hunter2\n", "${file:key}", "hunter2"),
        ("hunter2\r\n", "${file:key}", "hunter2"),
        ("hunter2\r", "'${file:key}'", "hunter2\r"),
        ("hunter2\n\n", "'${file:key}'", "hunter2\n"),
        (" hunter2 ", "'${file:key}'", " hunter2 "),
        ("a\nb\n", "${file:key}", "a\nb"),
        ("8080\n", "${file:key}", 8080),
        ("8080\n", "'${file:key}'", "8080"),
        ("true\n", "${file:key}", True),
        ("", "'${file:key}'", ""),
        ("\n", "'${file:key}'", ""),
        ("", "${file:key}", None),
        ("", "${file:key:-x}", "x"),
        ("pass\n", "Bearer ${file:key} and ${file:key}", "Bearer pass and pass"),
        ("${HOME} ${file:key} #: x", "'${file:key}'", "${HOME} ${file:key} #: x"),
        ("pässwörd", "${file:key}", "pässwörd"),
        ("x", "${file:./key}", "x"),
        ("x", "${file:../jobs/key}", "x"),
        ("x", "${file:key:-y}", "x"),
        ("x", "${file:key:?where is it}", "x"),
        ("x", "$${file:key}", "${file:key}"),
        ("x", "${file:${DIR}/key}", "x"),
        ("x", "${file:${UNSET}/key:-y}", "y"),
        ("x", "${file:other:-}", None),
        ("x", "${file:other:-a: b}", "a: b"),
        ("x", "${file:other/key:-5}", 5),
    ],
)
def test_a_value_is_the_content_of_a_file(content: str, text: str, expected: Value, folder: Path) -> None:
    (folder / "key").write_bytes(content.encode())

    value, problems = filled(f'"{text}"' if ": " in text else text, DIR=str(folder))

    assert problems == []
    assert repr(value) == repr(expected)


def test_an_absolute_path_and_links_are_followed(folder: Path, tmp_path: Path) -> None:
    # As Kubernetes mounts a secret: key -> ..data/key, ..data -> ..2026_11.
    (folder / "..2026_11").mkdir()
    (folder / "..2026_11" / "key").write_text("hunter2\n")
    (folder / "..data").symlink_to("..2026_11")
    (folder / "key").symlink_to("..data/key")

    assert filled("${file:key}") == ("hunter2", [])
    assert filled(f"${{file:{folder / 'key'}}}") == ("hunter2", [])


def test_a_path_with_colons_dashes_and_blanks_is_one_path(folder: Path) -> None:
    (folder / "my key:1-x ü").write_text("hunter2")

    assert filled("${file:my key:1-x ü}") == ("hunter2", [])


def make_too_long(path: Path) -> None:
    path.write_bytes(b"hunter2 " * (LARGEST // 8) + b"x")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Path.mkdir, "it is a directory, not a regular file"),
        (make_pipe, "it is a named pipe, not a regular file"),
        (make_too_long, "it has more than 1 MiB"),
        (make_link_to_itself, "too many levels of symbolic links"),
        (make_socket, "no such device or address"),
        (lambda path: path.write_bytes(b"hunter2\0"), "it contains a NUL byte, so it is not text"),
        (lambda path: path.write_bytes(b"hunter2\xff"), "it is not UTF-8 text"),
        (lambda path: path.write_bytes("hunter2".encode("utf-16")), "it contains a NUL byte, so it is not text"),
    ],
    ids=["folder", "pipe", "too long", "link", "socket", "NUL", "bytes", "UTF-16"],
)
@pytest.mark.parametrize("default", ["", ":-x", ":?no"])
def test_a_file_that_cannot_be_used_is_reported(
    make: Callable[[Path], object], why: str, default: str, folder: Path
) -> None:
    make(folder / "key")

    value, [problem] = filled(f"x ${{file:key{default}}} y")

    assert str(problem) == f"jobs/f.yaml:1:6: error: cannot read ${{file:key}}: {why}"
    assert problem.place.length == len("${file:key}" + default)
    assert value == f"x ${{file:key{default}}} y"


def test_a_file_as_long_as_allowed_is_read(folder: Path) -> None:
    (folder / "key").write_bytes(b"x" * LARGEST)

    value, problems = filled("${file:key}")

    assert problems == []
    assert value == "x" * LARGEST


def test_a_file_that_may_not_be_opened_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert filled("${file:key:-x}")[1][0].message == "cannot read ${file:key}: permission denied"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("${file:keyx}", "cannot read ${file:keyx}: no such file or directory; did you mean 'jobs/key'?",
         "create it, or give a default: ${file:keyx:-...}"),
        ("${file:/nowhere/there}", "cannot read ${file:/nowhere/there}: no such file or directory",
         "create it, or give a default: ${file:/nowhere/there:-...}"),
        ("${file:key/x}", "cannot read ${file:key/x}: not a directory",
         "create it, or give a default: ${file:key/x:-...}"),
        ("${file:none:?mount the secret}", "cannot use ${file:none}: mount the secret", ""),
        ("${file:none:?}", "cannot use ${file:none}: it does not exist", ""),
        ("${file:empty:?}", "cannot use ${file:empty}: it is empty", ""),
        ("${file:${UNSET}/key}", "cannot use ${file:${UNSET}/key}: the environment variable 'UNSET' is not set", ""),
        ("${file:${DIR}/x}", "cannot read ${file:${DIR}/x}: no such file or directory",
         "create it, or give a default: ${file:${DIR}/x:-...}"),
        ("${file:pin}", "cannot read this as a number after its variables are replaced", "quote it, if it is a text"),
    ],
)  # fmt: skip
def test_a_reference_without_a_file_is_reported(text: str, message: str, hint: str, folder: Path) -> None:
    (folder / "key").write_text(HIDDEN)
    (folder / "pin").write_text("00314159")
    (folder / "empty").touch()

    _, [problem] = filled(text, DIR="/secret-place")

    assert (problem.message, problem.hint) == (message, hint)
    assert (problem.place.column, problem.place.length) == (4, len(text))


def test_the_second_reference_of_a_value_is_shown_at_its_place(folder: Path) -> None:
    (folder / "key").write_text("x")

    _, problems = filled("${file:${DIR}/key} ${file:${DIR}/none} ${NO}", DIR=str(folder))

    assert [(problem.place.column, problem.place.length) for problem in problems] == [(23, 19), (43, 5)]


def test_a_file_is_read_once_for_all_values(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "key").write_text("x")
    files = ValueFiles()
    assert files.value("key", "jobs").text == "x"
    (folder / "key").write_text("y")

    assert files.value("key", "jobs").text == "x"
    assert ValueFiles().value("key", "jobs").text == "y"
    assert files.contents == {"x"}


@every_case(
    ("path", "folder_of_it"),
    [
        ("jobs/f.yaml", "jobs"),
        ("f.yaml", ""),
        ("<stdin>", ""),
        ("/dev/fd/3", ""),
        ("/dev/stdin", ""),
        ("/proc/self/fd/3", ""),
        ("/dev/shm/jobs/f.yaml", "/dev/shm/jobs"),
        ("/f", "/"),
    ],
)
def test_paths_are_relative_to_the_folder_of_the_job_file(path: str, folder_of_it: str) -> None:
    assert folder_of(path) == folder_of_it


NO_PASSWORD = SecretStr("")


def login(
    ctx: Context, password: SecretStr = NO_PASSWORD, token: str = "", port: int = 0, keys: list[str] | None = None
) -> None:
    """Have secrets and other values."""


CATALOG = GivenCatalog({"login": login})


def checked(folder: Path, text: str, **options: bool) -> CheckResult:
    file = folder / "f.yaml"
    file.write_text(text)
    return check(str(file), environ={}, catalog=CATALOG, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "field",
    [
        "params: {port: '${file:key}'}",
        "params: {port: '1${file:key}'}",
        "params: {keys: '${file:key}'}",
        "params: {password: ['${file:key}']}",
        "params: {'password': {a: '${file:key}'}}",
        "timeout: ${file:key}",
        "task: ${file:key}",
        "after: ${file:key}",
        "after: ['${file:key}']",
        "after: [{job: '${file:key}'}]",
        "schedule: ${file:key}",
        "schedule: {cron: '${file:key}'}",
        "start: ${file:key}",
        "join: {within: '${file:key}', otherwise: '${file:key}'}",
        "labels: ${file:key}",
        "runner: ${file:key}",
        "enabled: ${file:key}",
        "x: ${file:key}",
        "params: ${file:key}",
    ],
)
def test_no_problem_shows_the_content(field: str, folder: Path) -> None:
    (folder / "key").write_text(f"{HIDDEN}\n")
    task = "" if field.startswith("task") else "    task: login\n"

    result = checked(folder, f"jobs:\n  a:\n{task}    {field}\n")

    assert result.problems
    assert HIDDEN not in render_all(result.problems) + repr(as_json(result.problems)) + repr(result.problems)
    assert "${file:key}" in render_all(result.problems)


def test_the_content_is_a_secret_of_the_program_also_within_a_text(folder: Path) -> None:
    (folder / "key").write_text(f"{HIDDEN}\n")
    result = checked(folder, "jobs:\n  a:\n    task: login\n    params:\n      token: Bearer ${file:key}\n")

    assert result.problems == ()
    assert result.jobs[0].params["token"] == f"Bearer {HIDDEN}"
    assert result.secrets == {HIDDEN}


def test_the_plan_shows_the_reference_and_no_content(folder: Path) -> None:
    (folder / "key").write_text(f"{HIDDEN}\n")
    result = checked(
        folder,
        "jobs:\n  a:\n    task: login\n    description: ${file:key}\n"
        "    params: {token: 'x ${file:key}', password: '${file:key}'}\n",
        with_origins=True,
    )

    written = {field: origin.written for field, origin in result.origins["a"].items()}
    assert written["params"] == "{token: 'x ${file:key}', password: '${file:key}'}"
    assert written["description"] == "${file:key}"
    assert HIDDEN not in repr(written)


def test_a_default_of_a_secret_is_masked_in_the_plan(folder: Path) -> None:
    result = checked(
        folder,
        f"jobs:\n  a:\n    task: login\n    params:\n      password: ${{file:key:-{HIDDEN}}}\n",
        with_origins=True,
    )

    assert HIDDEN not in repr(result.origins)


def test_changed_content_is_another_job(folder: Path) -> None:
    text = "jobs:\n  a:\n    task: login\n    params:\n      token: ${file:key}\n"
    (folder / "key").write_text("one")
    before = checked(folder, text).jobs
    assert checked(folder, text).jobs == before

    (folder / "key").write_text("two")
    assert checked(folder, text).jobs != before


def test_a_reference_that_cannot_be_read_has_no_consequences(folder: Path) -> None:
    result = checked(folder, "jobs:\n  a:\n    task: login\n    params:\n      port: ${file:none}\n")

    assert [problem.message for problem in result.problems if re.match("cannot", problem.message)] == [
        "cannot read ${file:none}: no such file or directory"
    ]
