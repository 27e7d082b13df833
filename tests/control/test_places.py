"""The folders of control sockets: which is used, which is passed over and why, and which a client trusts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.control_server import wanted

from taskloom.control import places
from taskloom.control.endpoint import Endpoint
from taskloom.control.places import client_places, is_trusted_folder, open_server_folder, open_trusted_folder

ME = os.geteuid()

needs_root = pytest.mark.skipif(ME != 0, reason="LOUD: only root can give a folder to another user")


@pytest.fixture(autouse=True)
def usual_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the usual folders be below that of the test."""
    monkeypatch.setattr(places, "_OF_ROOT", str(tmp_path / "run"))
    monkeypatch.setattr(places, "_OF_USERS", str(tmp_path / "users"))
    monkeypatch.setattr(places, "_TEMPORARY", str(tmp_path))
    return tmp_path


@pytest.fixture
def folder_for() -> Iterator[Callable[..., tuple[str, tuple[str, ...]]]]:
    """Return the path and the notes of the folder in which a program with this environment makes its socket."""
    opened: list[int] = []

    def open_it(**environ: str) -> tuple[str, tuple[str, ...]]:
        folder = open_server_folder(environ)
        opened.append(folder.descriptor)
        return folder.path, folder.notes

    yield open_it

    for descriptor in opened:
        os.close(descriptor)


def fallback(tmp_path: Path) -> str:
    return str(tmp_path / ("run" if ME == 0 else f"taskloom-{ME}"))


def mode_of(path: str | Path) -> str:
    return f"{os.stat(path).st_mode & 0o7777:04o}"  # noqa: PTH116


def test_systemds_folder_goes_first_and_is_left_as_it_is(folder_for: Callable[..., object], tmp_path: Path) -> None:
    given, other = tmp_path / "a", tmp_path / "b"
    given.mkdir(0o755)
    other.mkdir(0o700)

    found = folder_for(RUNTIME_DIRECTORY=f"{given}:{other}", XDG_RUNTIME_DIR=str(other))

    assert found == (str(given), ())
    assert mode_of(given) == "0755"


def test_a_folder_is_made_below_that_of_the_session(folder_for: Callable[..., object], tmp_path: Path) -> None:
    assert folder_for(XDG_RUNTIME_DIR=str(tmp_path)) == (str(tmp_path / "taskloom"), ())
    assert mode_of(tmp_path / "taskloom") == "0700"


def test_without_variables_a_usual_folder_is_made(folder_for: Callable[..., object], tmp_path: Path) -> None:
    assert folder_for() == (fallback(tmp_path), ())
    assert mode_of(fallback(tmp_path)) == "0700"


def test_an_empty_variable_counts_as_not_set(folder_for: Callable[..., object], tmp_path: Path) -> None:
    assert folder_for(RUNTIME_DIRECTORY="", XDG_RUNTIME_DIR="") == (fallback(tmp_path), ())


@pytest.mark.parametrize(
    ("variable", "value", "note"),
    [
        ("XDG_RUNTIME_DIR", "{}/none", "cannot use $XDG_RUNTIME_DIR '{}/none': no such file or directory"),
        ("XDG_RUNTIME_DIR", "relative", "cannot use $XDG_RUNTIME_DIR 'relative': is not an absolute path"),
        ("XDG_RUNTIME_DIR", "{}/file", "cannot use $XDG_RUNTIME_DIR '{}/file': not a directory"),
        ("XDG_RUNTIME_DIR", "{}/linked", "cannot use $XDG_RUNTIME_DIR '{}/linked': is not a folder, or is a sym"),
        ("XDG_RUNTIME_DIR", "{}/open", "cannot use $XDG_RUNTIME_DIR '{}/open': others may write to it (mode 0770)"),
        ("RUNTIME_DIRECTORY", "{}/none:{}", "cannot use $RUNTIME_DIRECTORY '{}/none': no such file or directory"),
        ("RUNTIME_DIRECTORY", "{}/open/taskloom", "cannot use $RUNTIME_DIRECTORY '{}/open/taskloom': others may "),
        ("RUNTIME_DIRECTORY", "{}/link", "cannot use $RUNTIME_DIRECTORY '{}/link': is not a folder, or is a symbolic"),
        ("RUNTIME_DIRECTORY", "{}/file", "cannot use $RUNTIME_DIRECTORY '{}/file': is not a folder, or is a symbolic"),
    ],
    ids=str,
)
def test_a_folder_that_cannot_be_used_is_passed_over_in_words(  # noqa: PLR0917
    folder_for: Callable[..., tuple[str, tuple[str, ...]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    note: str,
) -> None:
    monkeypatch.setattr("taskloom.diagnostics._LONGEST_QUOTE", 1000)
    (tmp_path / "file").touch()
    (tmp_path / "linked").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "linked")
    (tmp_path / "linked" / "taskloom").symlink_to(tmp_path)
    (tmp_path / "open" / "taskloom").mkdir(parents=True)
    (tmp_path / "open" / "taskloom").chmod(0o770)

    path, notes = folder_for(**{variable: value.replace("{}", str(tmp_path))})

    assert path == fallback(tmp_path)
    assert len(notes) == 1
    assert notes[0].startswith(note.replace("{}", str(tmp_path)))


@needs_root
def test_a_folder_of_another_user_is_passed_over(
    folder_for: Callable[..., tuple[str, tuple[str, ...]]], tmp_path: Path
) -> None:
    """As after sudo, which may keep XDG_RUNTIME_DIR."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    os.chown(foreign, 1234, 1234)

    path, notes = folder_for(XDG_RUNTIME_DIR=str(foreign))

    assert path == fallback(tmp_path)
    assert [note.rpartition(": ")[2] for note in notes] == ["belongs to uid 1234"]
    assert not (foreign / "taskloom").exists()


@needs_root
def test_a_squatted_folder_is_not_used(tmp_path: Path) -> None:
    """Another user has made our folder in /tmp before us; no other folder is left."""
    for name in ("run", f"taskloom-{ME}"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, 1234, 1234)

    with pytest.raises(OSError, match="no folder for it can be used") as caught:
        Endpoint(wanted(), {})

    assert str(caught.value).startswith("no folder for it can be used: '")
    assert str(caught.value).count("belongs to uid 1234") == 2


def test_a_symbolic_link_in_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    for name in ("run", f"taskloom-{ME}"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="no folder for it can be used") as caught:
        open_server_folder({})

    assert str(caught.value).endswith("is not a folder, or is a symbolic link")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_folder_of_ours_with_wide_permissions_gets_narrow_ones(
    folder_for: Callable[..., object], tmp_path: Path
) -> None:
    (tmp_path / "taskloom").mkdir(0o755)

    folder_for(XDG_RUNTIME_DIR=str(tmp_path))

    assert mode_of(tmp_path / "taskloom") == "0700"


def test_clients_look_wherever_a_program_may_be(tmp_path: Path) -> None:
    expected = [
        "/run/one",
        "/session/taskloom",
        *([str(tmp_path / "run")] if ME == 0 else []),
        str(tmp_path / f"taskloom-{ME}"),
        str(tmp_path / "users" / str(ME) / "taskloom"),
        str(tmp_path / "run"),
    ]

    found = client_places({"RUNTIME_DIRECTORY": "/run/one:/run/two", "XDG_RUNTIME_DIR": "/session"})

    assert found == list(dict.fromkeys(expected))
    assert client_places({"XDG_RUNTIME_DIR": "relative"}) == client_places({})


@pytest.mark.parametrize(("mode", "is_trusted"), [(0o700, True), (0o755, True), (0o770, False), (0o702, False)])
def test_a_client_trusts_a_folder_to_which_no_other_user_may_write(tmp_path: Path, mode: int, is_trusted: bool) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    folder.chmod(mode)

    assert is_trusted_folder(folder.stat()) is is_trusted
    if is_trusted:
        os.close(open_trusted_folder(str(folder)))
    else:
        with pytest.raises(PermissionError):
            open_trusted_folder(str(folder))


def test_a_client_trusts_its_own_folders_and_those_of_root(tmp_path: Path) -> None:
    status = tmp_path.stat()

    assert is_trusted_folder(status, ME)
    assert is_trusted_folder(status, 4321) is (ME == 0)


def test_a_client_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(NotADirectoryError):
        open_trusted_folder(str(tmp_path / "link"))


def test_the_folder_of_the_system_belongs_to_the_user_of_its_service(tmp_path: Path) -> None:
    assert places.system_place() is None

    (tmp_path / "run").symlink_to(tmp_path)
    assert places.system_place() is None, "a link may lead anywhere"

    (tmp_path / "run").unlink()
    (tmp_path / "run").mkdir()
    assert places.system_place() == (str(tmp_path / "run"), ME)
