"""Which program is meant, found by real lock files in folders of the test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.fake_control import short_folder

from taskloom.control import discovery, finding
from taskloom.control.client_errors import NoProgram, SeveralPrograms
from taskloom.control.finding import Program, find, list_programs, short_names
from taskloom.control.identity import Claim, Holder


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only folder in which clients look."""
    with short_folder() as made:
        for module in (discovery, finding):
            monkeypatch.setattr(module, "client_places", lambda *_: [str(made)])
        monkeypatch.setattr(discovery, "system_place", lambda: None)
        yield made


@pytest.fixture
def run(folder: Path) -> Iterator[Callable[..., Holder]]:
    """Hold the lock of a program, as a running one does."""
    with ExitStack() as stack:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, opened)

        def run(name: str, *, file: str | None = None, socket: str | None = None) -> Holder:
            path = str(folder / f"{name}.sock") if socket is None else socket
            holder = Holder(name, os.getpid(), "0a1b2c3d", 1_795_000_000.0, f"/srv/{name}", path)
            claim = Claim(opened, file or f"{name}.lock", holder)
            stack.callback(claim.release, opened)
            return holder

        yield run


def test_the_only_program_is_meant(run: Callable[..., Holder], folder: Path) -> None:
    run("jobs-3f2a")

    assert find() == Program(
        "jobs-3f2a", str(folder / "jobs-3f2a.sock"), os.getpid(), os.geteuid(), "/srv/jobs-3f2a", 1_795_000_000.0
    )
    assert find("jobs") == find("jobs-3f2a") == find()


def test_a_lock_that_no_process_holds_is_a_leftover(run: Callable[..., Holder], folder: Path) -> None:
    run("jobs-3f2a")
    (folder / "old-0000.lock").write_text((folder / "jobs-3f2a.lock").read_text())
    (folder / "old-0000.sock").touch()

    assert [each.name for each in list_programs()] == ["jobs-3f2a"]


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777], ids=oct)
def test_a_folder_that_others_can_write_to_is_not_looked_into(
    mode: int, run: Callable[..., Holder], folder: Path
) -> None:
    run("jobs-3f2a")
    folder.chmod(mode)

    with pytest.raises(NoProgram):
        find()


def test_a_link_to_a_folder_is_not_followed(
    run: Callable[..., Holder], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("jobs-3f2a")
    link = folder / "link"
    link.symlink_to(folder)
    for module in (discovery, finding):
        monkeypatch.setattr(module, "client_places", lambda *_: [str(link)])

    assert list_programs() == []


def test_a_program_without_a_socket_cannot_be_asked(run: Callable[..., Holder]) -> None:
    run("quiet", socket="")

    assert list_programs() == []


def test_two_programs_are_chosen_by_name_or_stem(run: Callable[..., Holder]) -> None:
    for name in ("jobs-3f2a", "jobs-77aa", "other-0000"):
        run(name)

    assert find("other").name == "other-0000"
    assert find("jobs-77aa").name == "jobs-77aa"
    with pytest.raises(SeveralPrograms) as caught:
        find("jobs")
    assert [each.name for each in caught.value.programs] == ["jobs-3f2a", "jobs-77aa"]
    with pytest.raises(SeveralPrograms):
        find()


def test_a_program_with_other_variables_is_found_if_none_is_nearer(
    run: Callable[..., Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    run("far-0000", file="far-0000@0a1b2c3d.lock", socket="/elsewhere/far-0000.sock")
    assert find().name == "far-0000"

    run("near-0000")

    assert find().name == "near-0000"
    assert find("far").name == "far-0000"
    assert [each.name for each in list_programs()] == ["far-0000", "near-0000"]


def test_root_also_finds_the_program_of_a_service_that_has_its_own_user(
    run: Callable[..., Holder], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.geteuid() or 1000
    for module in (discovery, finding):
        monkeypatch.setattr(module, "client_places", lambda *_: [])
    monkeypatch.setattr(discovery, "system_place", lambda: (str(folder), owner))
    run("line")

    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    with pytest.raises(NoProgram):
        find()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (find().name, find("line").uid) == ("line", owner)
    with pytest.raises(NoProgram, match="running: line; did you mean 'line'"):
        find("lime")


def test_a_socket_is_matched_with_its_program(run: Callable[..., Holder], folder: Path) -> None:
    holder = run("jobs-3f2a")
    (folder / "jobs-3f2a.sock").touch()
    link = folder / "link.sock"
    link.symlink_to("jobs-3f2a.sock")

    for path in (holder.socket, str(link), os.path.relpath(holder.socket)):
        program = find(socket=path)
        assert (program.name, program.pid, program.is_locked) == ("jobs-3f2a", os.getpid(), True)
        assert program.socket == os.path.abspath(path)  # noqa: PTH100 - a link stays a link


def test_a_socket_without_a_known_program_is_asked_all_the_same(folder: Path) -> None:
    program = find(socket=str(folder / "other.sock"))

    assert (program.pid, program.is_locked) == (0, False)
    assert program.who == f"the program at {folder / 'other.sock'}"


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["jobs-3f2a", "other"], ["jobs", "other"]),
        (["jobs-3f2a", "jobs-77aa"], ["jobs-3f2a", "jobs-77aa"]),
        (["jobs-3f2a", "jobs"], ["jobs-3f2a", "jobs"]),
        (["a-b-c-0000", "jobs-xyz1"], ["a-b-c", "jobs-xyz1"]),
    ],
)
def test_a_name_is_shown_without_its_hash_while_that_is_unique(names: list[str], shown: list[str]) -> None:
    assert short_names(Program(name, "/x", 1, 1) for name in names) == shown
