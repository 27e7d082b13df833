"""The tokens of a program, in files that only its user can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from taskloom.web.tokens import TokenError, token_folder, tokens_of


def test_tokens_are_made_once_and_survive(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "taskloom"

    first = tokens_of("jobs", folder)
    second = tokens_of("jobs", folder)

    assert first == second
    assert first.act != first.read
    assert len(first.act) >= 22
    assert [stat.S_IMODE(file.stat().st_mode) for file in (first.act_file, first.read_file)] == [0o600, 0o600]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(each.name for each in folder.iterdir()) == ["jobs.read-token", "jobs.token"]


def test_the_umask_opens_no_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        found = tokens_of("jobs", tmp_path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(found.act_file.stat().st_mode) == 0o600


def test_new_tokens_replace_both(tmp_path: Path) -> None:
    first = tokens_of("jobs", tmp_path)

    second = tokens_of("jobs", tmp_path, is_new=True)

    assert {first.act, first.read}.isdisjoint({second.act, second.read})
    assert tokens_of("jobs", tmp_path) == second


def test_each_program_has_its_own(tmp_path: Path) -> None:
    assert tokens_of("a", tmp_path).act != tokens_of("b", tmp_path).act


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    tokens_of("jobs", tmp_path).act_file.chmod(mode)

    with pytest.raises(TokenError, match="other users can read or change it; remove it"):
        tokens_of("jobs", tmp_path)


@pytest.mark.parametrize("content", ["", "short", "with blanks in the middle of it", "é" * 30, "x" * 5000])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: str) -> None:
    file = tokens_of("jobs", tmp_path).act_file
    file.write_text(content, "utf-8")

    with pytest.raises(TokenError, match="it has no token; remove it"):
        tokens_of("jobs", tmp_path)


def test_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x" * 40)
    (tmp_path / "a.token").symlink_to(tmp_path / "real")
    (tmp_path / "b.token").mkdir()

    for name in ("a", "b"):
        with pytest.raises(TokenError, match="cannot use the token file"):
            tokens_of(name, tmp_path)


def test_a_link_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.token").symlink_to(tmp_path / "nowhere")

    with pytest.raises(TokenError, match="it is a symbolic link; remove it"):
        tokens_of("a", tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    file = tokens_of("jobs", tmp_path).act_file
    os.chown(file, 12345, -1)

    with pytest.raises(TokenError, match="other users can read or change it"):
        tokens_of("jobs", tmp_path)


def test_programs_that_start_together_have_the_same_tokens(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    children = []
    for _ in range(8):
        child = os.fork()
        if not child:
            found = tokens_of("jobs", tmp_path)
            os.write(writer, f"{found.act} {found.read}\n".encode())
            os._exit(0)
        children.append(child)
    os.close(writer)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    with os.fdopen(reader) as file:
        lines = file.read().splitlines()

    assert statuses == [0] * 8
    assert len(lines) == 8
    assert set(lines) == {f"{tokens_of('jobs', tmp_path).act} {tokens_of('jobs', tmp_path).read}"}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["jobs.read-token", "jobs.token"]


def test_both_tokens_differ(tmp_path: Path) -> None:
    found = tokens_of("jobs", tmp_path)
    found.read_file.write_text(found.act)

    with pytest.raises(TokenError, match=r"it has the same token as jobs\.token"):
        tokens_of("jobs", tmp_path)


def test_the_folder_is_that_of_the_state(tmp_path: Path) -> None:
    assert token_folder({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "taskloom"
    assert token_folder({"STATE_DIRECTORY": "/var/lib/x"}) == Path("/var/lib/x")
