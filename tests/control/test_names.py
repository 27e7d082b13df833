"""The names of programs."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.every_case import every_case

from taskloom.control.names import checked_name, default_name, label_of, matches, program_name, subject_of


def digits(text: str) -> str:
    return sha256(os.fsencode(text)).hexdigest()[:4]


@pytest.mark.parametrize("name", ["a", "web-1", "A.b_c", "0", "x" * 64])
def test_a_name_that_is_legal_is_kept(name: str) -> None:
    assert checked_name(name) == name


@every_case("name", ["", ".a", "-a", "_a", "a b", "a/b", "\u00e4", "a\n", "x" * 65, "a@b"])
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^cannot use .* as the name of a program; expected at most 64 letters, "):
        checked_name(name)


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("jobs.yaml", "jobs"),
        ("my jobs.prod.yaml", "my-jobs.prod"),
        ("jobs", "jobs"),
        ("jobs.d", "jobs.d"),
        ("./jobs/../jobs", "jobs"),
        ("link", "jobs"),
        ("\u00fc.yaml", "jobs"),
        ("n" * 100 + ".yaml", "n" * 32),
        ("-.yaml", "jobs"),
    ],
)
def test_a_default_name_has_the_stem_and_a_hash_of_the_real_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, stem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("jobs", "jobs.d"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("jobs")
    if not Path(path).exists():
        (tmp_path / path).touch()

    real = str(Path(path).resolve())

    assert default_name(path) == f"{stem}-{digits(real)}"
    assert checked_name(default_name(path))
    assert subject_of(path) == real


def test_what_has_no_path_of_its_own_is_named_for_the_process() -> None:
    reading, writing = os.pipe()
    try:
        assert default_name(f"/dev/fd/{reading}") == f"pipe-{digits(f'pid {os.getpid()}')}"
        assert subject_of(f"/dev/fd/{reading}") == ""
    finally:
        os.close(reading)
        os.close(writing)
    assert default_name("-") == f"stdin-{digits(f'pid {os.getpid()}')}"
    assert subject_of("-") == ""
    assert program_name("/srv/my app.py") == f"my-app-{digits(f'pid {os.getpid()}')}"
    assert label_of(program_name("")) == "python"


def test_the_root_folder_has_a_name() -> None:
    assert default_name("/") == f"jobs-{digits('/')}"


@pytest.mark.parametrize(
    ("typed", "name", "is_meant"),
    [
        ("jobs-3f2a", "jobs-3f2a", True),
        ("jobs", "jobs-3f2a", True),
        ("job", "jobs-3f2a", False),
        ("jobs", "jobs", True),
        ("web", "web-server", False),
        ("jobs-3f2", "jobs-3f2a", False),
    ],
)
def test_the_stem_means_the_program(typed: str, name: str, is_meant: bool) -> None:
    assert matches(typed, name) is is_meant
