"""Where a program can be reached: which of two has the name, what was left behind, and what is made again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.control_server import wanted

from taskloom.control import places
from taskloom.control.discovery import running_programs
from taskloom.control.endpoint import Endpoint
from taskloom.errors import ProgramRunning

FIND = """
import os, sys
from taskloom.control.discovery import running_programs
print([each.socket for each in running_programs(everywhere="everywhere" in sys.argv)])
"""


@pytest.fixture
def usual(own_runtime_folder: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only usual folder."""
    place = Path(own_runtime_folder) / "usual"
    monkeypatch.setattr(places, "_OF_ROOT", str(place))
    monkeypatch.setattr(places, "_OF_USERS", str(place / "none"))
    monkeypatch.setattr(places, "_TEMPORARY", str(place))
    place.mkdir(0o700)
    return place


class Open:
    """Opens endpoints, and closes them after the test."""

    def __init__(self, folder: str) -> None:
        self.environ = {"XDG_RUNTIME_DIR": folder}
        self.endpoints: list[Endpoint] = []

    def __call__(self, name: str = "web", environ: dict[str, str] | None = None, **fields: Any) -> Endpoint:
        endpoint = Endpoint(wanted(name, **fields), self.environ if environ is None else environ)
        self.endpoints.append(endpoint)
        return endpoint


@pytest.fixture
def open_endpoint(own_runtime_folder: str, usual: Path) -> Iterator[Open]:
    opened = Open(own_runtime_folder)
    yield opened
    for endpoint in opened.endpoints:
        endpoint.close()


def can_connect(path: str | Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def mode_of(path: str) -> int:
    return os.stat(path).st_mode & 0o7777  # noqa: PTH116


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o277])
def test_the_socket_is_for_the_user_alone(open_endpoint: Open, umask: int) -> None:
    before = os.umask(umask)
    try:
        endpoint = open_endpoint()
    finally:
        os.umask(before)

    assert can_connect(endpoint.path)
    assert mode_of(endpoint.path) == 0o600
    assert mode_of(os.path.dirname(endpoint.path)) == 0o700  # noqa: PTH120


def test_nothing_is_left_after_the_end(open_endpoint: Open, usual: Path) -> None:
    endpoint = open_endpoint()
    endpoint.close()
    endpoint.close()

    assert os.listdir(os.path.dirname(endpoint.path)) == []  # noqa: PTH120, PTH208
    assert list(usual.iterdir()) == []


def test_a_second_program_with_the_name_is_refused(open_endpoint: Open) -> None:
    first = open_endpoint(path="/srv/jobs")
    os.unlink(first.path)  # noqa: PTH108 - the name is taken, whether the socket is there or not

    with pytest.raises(ProgramRunning) as caught:
        open_endpoint(path="/srv/other")

    assert (caught.value.name, caught.value.pid, caught.value.path) == ("web", os.getpid(), "/srv/jobs")


def test_the_same_jobs_are_refused_unless_another_name_is_given(open_endpoint: Open) -> None:
    open_endpoint("chosen", path="/srv/jobs")

    with pytest.raises(ProgramRunning, match=r"^cannot run '/srv/jobs': pid \d+ runs it already, as chosen; "):
        open_endpoint("jobs-3f2a", is_named=False, path="/srv/jobs")

    open_endpoint("other", path="/srv/jobs")
    open_endpoint("stdin-0001", is_named=False, path="")
    open_endpoint("stdin-0002", is_named=False, path="")


def test_a_program_in_another_folder_counts_as_well(open_endpoint: Open, usual: Path) -> None:
    open_endpoint(environ={}, path="/srv/jobs")

    with pytest.raises(ProgramRunning):
        open_endpoint()


def test_a_socket_of_a_killed_program_is_replaced(open_endpoint: Open, own_runtime_folder: str) -> None:
    folder = Path(own_runtime_folder) / "taskloom"
    folder.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "web.sock"))
    assert not can_connect(folder / "web.sock")

    assert can_connect(open_endpoint().path)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_anything_else_is_left_alone(open_endpoint: Open, own_runtime_folder: str, kind: str) -> None:
    place = Path(own_runtime_folder) / "taskloom" / "web.sock"
    place.parent.mkdir(0o700)
    if kind == "link":
        place.symlink_to("/nowhere")
    elif kind == "file":
        place.write_text("mine")
    else:
        place.mkdir()

    with pytest.raises(OSError, match=r"there is a file at .* that is not a socket"):
        open_endpoint()

    assert place.is_symlink() or place.exists()
    assert [each.name for each in place.parent.iterdir()] == ["web.sock"]


def test_a_removed_socket_is_made_anew(open_endpoint: Open) -> None:
    endpoint = open_endpoint()
    assert not endpoint.check()
    os.unlink(endpoint.path)  # noqa: PTH108

    assert endpoint.check()
    assert can_connect(endpoint.path)
    assert not endpoint.check()


def test_a_replaced_socket_is_made_anew(open_endpoint: Open, own_runtime_folder: str) -> None:
    endpoint = open_endpoint()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(own_runtime_folder + "/other")
        os.rename(own_runtime_folder + "/other", endpoint.path)  # noqa: PTH104

        assert endpoint.check()
        assert can_connect(endpoint.path)


def test_a_removed_folder_is_made_anew_with_all_that_was_in_it(open_endpoint: Open, own_runtime_folder: str) -> None:
    endpoint = open_endpoint()
    shutil.rmtree(own_runtime_folder + "/taskloom")

    assert endpoint.check()

    assert can_connect(endpoint.path)
    assert mode_of(own_runtime_folder + "/taskloom") == 0o700
    assert [each.name for each in running_programs(open_endpoint.environ)] == ["web"]


def test_a_folder_that_is_gone_for_good_is_replaced_by_the_next_one(
    open_endpoint: Open, own_runtime_folder: str, usual: Path
) -> None:
    session = Path(own_runtime_folder) / "session"
    session.mkdir(0o700)
    endpoint = open_endpoint(environ={"XDG_RUNTIME_DIR": str(session)})
    shutil.rmtree(session)  # as at the end of a session

    assert endpoint.check()

    assert endpoint.path.startswith(str(usual))
    assert can_connect(endpoint.path)
    assert [each.socket for each in running_programs({})] == [endpoint.path]


def test_a_change_in_the_folder_is_noticed(open_endpoint: Open) -> None:
    endpoint = open_endpoint()
    assert endpoint.watch is not None
    endpoint.watch.clear()
    os.unlink(endpoint.path)  # noqa: PTH108

    assert os.read(endpoint.watch.fileno(), 4096)


def test_without_inotify_it_works_as_well(open_endpoint: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def __init__(self, *_: object, **__: object) -> None: ...

    monkeypatch.setattr("ctypes.CDLL", Library)

    endpoint = open_endpoint()

    assert endpoint.watch is None
    assert can_connect(endpoint.path)


# -- a path that was given


def test_a_long_path_that_is_given_works(open_endpoint: Open, own_runtime_folder: str) -> None:
    folder = Path(own_runtime_folder, *["a long name" * 5] * 4)
    folder.mkdir(parents=True)
    path = str(folder / "s.sock")
    assert len(path) > 200

    endpoint = open_endpoint(socket=path)

    assert endpoint.path == path
    descriptor = os.open(folder, os.O_RDONLY)
    assert can_connect(f"/proc/self/fd/{descriptor}/s.sock")
    os.close(descriptor)
    assert {each.name for each in folder.iterdir()} == {"s.sock", "s.lock"}
    assert [each.socket for each in running_programs(open_endpoint.environ)] == [path]


def test_a_file_name_that_is_too_long_is_refused_in_words(open_endpoint: Open, own_runtime_folder: str) -> None:
    with pytest.raises(OSError, match=r"the file name 'nnn.* is too long; choose a shorter one"):
        open_endpoint(socket=own_runtime_folder + "/" + "n" * 120)


def test_a_long_path_of_a_runtime_folder_works(open_endpoint: Open, own_runtime_folder: str) -> None:
    folder = Path(own_runtime_folder, "x" * 120)
    folder.mkdir(0o700)

    endpoint = open_endpoint(environ={"XDG_RUNTIME_DIR": str(folder)})

    assert os.path.exists(endpoint.path)  # noqa: PTH110


@pytest.mark.parametrize(
    ("path", "why"),
    [("{}/none/s", "cannot open the folder '.*none': no such"), ("{}/wide/s", "other users may replace files in")],
)
def test_a_path_that_cannot_be_used_is_refused_in_words(
    open_endpoint: Open, own_runtime_folder: str, path: str, why: str
) -> None:
    wide = Path(own_runtime_folder) / "wide"
    wide.mkdir()
    wide.chmod(0o777)

    with pytest.raises(OSError, match=why):
        open_endpoint(socket=path.replace("{}", own_runtime_folder))


def test_two_names_cannot_have_one_path(open_endpoint: Open, own_runtime_folder: str) -> None:
    open_endpoint("one", socket=own_runtime_folder + "/s.sock")

    with pytest.raises(ProgramRunning, match=r"^cannot use the name 'one': "):
        open_endpoint("two", socket=own_runtime_folder + "/s.sock")


# -- found from elsewhere


def find(folder: Path, *arguments: str, **environ: str) -> str:
    """Return what another process finds, with these variables. Its usual folders are those of the machine."""
    patch = f"from taskloom.control import places; places._OF_ROOT = places._TEMPORARY = {str(folder)!r}\n"
    command = [sys.executable, "-c", patch + FIND, *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_a_program_is_found_without_the_variable_that_it_was_started_with(open_endpoint: Open, usual: Path) -> None:
    endpoint = open_endpoint()

    assert find(usual) == f"['{endpoint.path}']"
    assert find(usual, XDG_RUNTIME_DIR=str(usual / "other")) == "[]"


def test_a_program_is_found_with_a_variable_that_it_was_started_without(open_endpoint: Open, usual: Path) -> None:
    endpoint = open_endpoint(environ={})

    assert find(usual, XDG_RUNTIME_DIR=str(usual)) == f"['{endpoint.path}']"


def test_a_program_in_a_usual_folder_goes_before_those_elsewhere(open_endpoint: Open, usual: Path) -> None:
    elsewhere, here = open_endpoint("elsewhere"), open_endpoint("here", environ={})

    assert find(usual) == f"['{here.path}']"
    assert find(usual, "everywhere") == f"['{elsewhere.path}', '{here.path}']"


def test_programs_in_folders_of_their_own_do_not_see_each_other(open_endpoint: Open, usual: Path) -> None:
    """As two checkouts whose tests run side by side."""
    open_endpoint()

    assert find(usual, "everywhere", XDG_RUNTIME_DIR=str(usual / "other")) == "[]"


def test_a_service_is_found_by_clients_with_the_other_variables_of_its_user(
    open_endpoint: Open, usual: Path, own_runtime_folder: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    given = {"XDG_RUNTIME_DIR": own_runtime_folder}
    endpoint = open_endpoint(environ={**given, "RUNTIME_DIRECTORY": str(tmp_path)})

    assert find(usual, "everywhere", **given) == f"['{endpoint.path}']"


def test_announcements_of_killed_programs_are_removed(open_endpoint: Open, usual: Path) -> None:
    (usual / "old@0000.lock").write_text("{}")

    open_endpoint()

    assert [each.name for each in usual.iterdir()] == ["web@0a1b2c3d.lock"]
