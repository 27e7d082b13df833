"""The output file is followed by name: after a rotation, in whatever way, the records go to the file at the path."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.descriptors import no_descriptor_is_left, open_descriptors
from tests.support.outputs import files, target

from taskloom import TaskFailure
from taskloom.testing import FakeContext
from taskloom_plugins import output
from taskloom_plugins.output import FileTarget, OutputError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the folder of the output; few waits, since nothing else writes there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "_UNFINISHED_SECONDS", 0.001)
    monkeypatch.setattr(output, "_CREATE_SECONDS", 0.0)
    monkeypatch.setattr(output, "_REOPEN_SECONDS", 0.0)
    monkeypatch.setattr(output, "_REOPEN_PAUSE_SECONDS", 0.0)
    Path("logs").mkdir()


def opened_logs() -> list[str]:
    """Return the paths of the open files in `logs`, as the kernel tells them."""
    found = [os.readlink(f"/proc/self/fd/{number}") for number in open_descriptors()]  # noqa: PTH115
    return [path for path in found if path.startswith(str(Path("logs").absolute()))]


def move() -> None:
    Path("logs/out").rename("logs/out.1")


def move_and_create() -> None:
    move()
    Path("logs/out").touch()


def remove() -> None:
    Path("logs/out").unlink()


def link_and_remove() -> None:
    Path("logs/out.1").hardlink_to("logs/out")
    remove()


def replace() -> None:
    Path("logs/new").write_text("theirs\n")
    Path("logs/new").replace("logs/out")


def replace_by_an_unfinished_file() -> None:
    Path("logs/new").write_text("theirs\nunfinis")
    Path("logs/new").replace("logs/out")


def replace_by_a_link() -> None:
    Path("logs/other").touch()
    remove()
    Path("logs/out").symlink_to("other")


def replace_by_a_link_to_nothing_yet() -> None:
    remove()
    Path("logs/out").symlink_to("other")


def truncate() -> None:
    os.truncate("logs/out", 0)


@pytest.mark.parametrize("anchor", ["relative", "absolute"])
@pytest.mark.parametrize(
    ("rotate", "left"),
    [
        (move, {"out.1": "1\n", "out": "2\n3\n"}),
        (move_and_create, {"out.1": "1\n", "out": "2\n3\n"}),
        (remove, {"out": "2\n3\n"}),
        (link_and_remove, {"out.1": "1\n", "out": "2\n3\n"}),
        (replace, {"out": "theirs\n2\n3\n"}),
        (replace_by_an_unfinished_file, {"out": "theirs\nunfinis\n2\n3\n"}),
        (replace_by_a_link, {"other": "2\n3\n", "out": "2\n3\n"}),
        (replace_by_a_link_to_nothing_yet, {"other": "2\n3\n", "out": "2\n3\n"}),
        (truncate, {"out": "2\n3\n"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_after_a_rotation_the_records_go_to_the_file_at_the_path(
    rotate: Callable[[], None], left: dict[str, str], anchor: str, tmp_path: Path
) -> None:
    with target("logs/out" if anchor == "relative" else tmp_path / "logs/out") as opened:
        opened.write(b"1\n")

        rotate()
        opened.write(b"2\n")
        opened.write(b"3\n")

    assert files() == left


def test_a_rotation_in_each_batch_loses_nothing() -> None:
    with target() as opened:
        for number in range(200):
            opened.write(b"%d\n" % number)
            Path("logs/out").rename(f"logs/out.{number}")

    assert files() == {f"out.{number}": f"{number}\n" for number in range(200)}


def test_a_folder_that_was_moved_away_and_made_again_gets_the_records() -> None:
    with target() as opened:
        opened.write(b"1\n")

        Path("logs").rename("old logs")
        Path("logs").mkdir()
        opened.write(b"2\n")

    assert (files("old logs"), files()) == ({"out": "1\n"}, {"out": "2\n"})


def test_a_link_to_a_folder_that_now_leads_elsewhere_is_followed() -> None:
    Path("today").symlink_to("logs")
    Path("tomorrow").mkdir()
    with target("today/out") as opened:
        opened.write(b"1\n")

        Path("today").unlink()
        Path("today").symlink_to("tomorrow")
        opened.write(b"2\n")

    assert (files(), files("tomorrow")) == ({"out": "1\n"}, {"out": "2\n"})


def move_and_write(monkeypatch: pytest.MonkeyPatch, moved: Path, third_wait: Callable[[], object]) -> None:
    """Move the file or its folder away, write, and call `third_wait` in the third wait for a new one."""
    with FakeContext() as ctx:
        opened = FileTarget(ctx, "logs/out")
        opened.write(b"1\n")
        waits: list[float] = []

        def wait(seconds: float) -> bool:
            waits.append(seconds)
            if len(waits) == 3:
                third_wait()
            return False

        monkeypatch.setattr(ctx, "wait", wait)
        moved.rename(f"old {moved.name}")
        opened.write(b"2\n")
        opened.close()
        assert len(waits) == 3


def create() -> None:
    Path("logs/out").touch()
    Path("logs/out").chmod(0o640)


def test_a_folder_that_is_made_again_a_moment_later_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_REOPEN_SECONDS", 60.0)

    move_and_write(monkeypatch, Path("logs"), Path("logs").mkdir)

    assert (files("old logs"), files()) == ({"out": "1\n"}, {"out": "2\n"})


def test_the_program_that_rotates_may_make_the_new_file_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """logrotate with `create`: the file has the owner and the permissions that it chose."""
    monkeypatch.setattr(output, "_CREATE_SECONDS", 60.0)

    move_and_write(monkeypatch, Path("logs/out"), create)

    assert (Path("old out").read_text(), files()) == ("1\n", {"out": "2\n"})
    assert stat.S_IMODE(Path("logs/out").stat().st_mode) == 0o640


def test_a_working_directory_that_is_renamed_or_changed_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path means the directory in which the program was started, whatever other jobs do."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(project)
    with target("out") as opened:
        opened.write(b"1\n")
        project.rename(tmp_path / "renamed")
        opened.write(b"2\n")
        monkeypatch.chdir(elsewhere)
        opened.write(b"3\n")
        (tmp_path / "renamed/out").rename(tmp_path / "renamed/out.1")
        opened.write(b"4\n")

    assert files(str(tmp_path / "renamed")) == {"out.1": "1\n2\n3\n", "out": "4\n"}
    assert files(str(elsewhere)) == {}


def gone() -> str:
    Path("logs").rename("old logs")
    return "no such file or directory"


def a_file_instead_of_the_folder() -> str:
    gone()
    Path("logs").touch()
    return "not a directory"


def a_folder_instead_of_the_file() -> str:
    move()
    Path("logs/out").mkdir()
    return "is a directory"


def a_pipe_without_a_reader() -> str:
    move()
    os.mkfifo("logs/out")
    return "no such device or address"


def a_link_to_itself() -> str:
    move()
    Path("logs/out").symlink_to("out")
    return "too many levels of symbolic links"


def a_socket() -> str:
    move()
    os.mknod("logs/out", stat.S_IFSOCK | 0o600)
    return "no such device or address"


@pytest.mark.parametrize(
    "rotate",
    [
        gone,
        a_file_instead_of_the_folder,
        a_folder_instead_of_the_file,
        a_pipe_without_a_reader,
        a_link_to_itself,
        a_socket,
    ],
    ids=lambda rotate: rotate.__name__,
)
def test_a_file_that_cannot_be_opened_again_is_a_failure_and_the_former_file_gets_what_was_read(
    rotate: Callable[[], str],
) -> None:
    with target() as opened:
        opened.write(b"1\n")
        why = rotate()

        with pytest.raises(OutputError) as caught:
            opened.write(b"2\n")

    assert str(caught.value) == f"cannot append to 'logs/out': {why}"
    assert isinstance(caught.value, TaskFailure)  # the log shows no traceback
    [former] = [path for path in (Path("old logs/out"), Path("logs/out.1")) if path.is_file()]
    assert former.read_text() == "1\n2\n"


def test_a_stop_does_not_wait_for_a_file_that_cannot_be_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_REOPEN_SECONDS", 3600.0)
    with FakeContext() as ctx:
        opened = FileTarget(ctx, "logs/out")
        gone()
        ctx.cancel("stop")

        with pytest.raises(OutputError):
            opened.write(b"1\n")
        opened.close()

    assert files("old logs") == {"out": "1\n"}


def test_a_path_that_may_not_be_looked_up_any_more_does_not_lead_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a change of the user. The file is open, so it is still written to."""
    with target() as opened:
        refused: Any = PermissionError(errno.EACCES, "Permission denied")

        def refuse(*args: object, **options: object) -> None:
            raise refused

        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", refuse)
            patch.setattr(os, "open", refuse)
            opened.write(b"1\n")

    assert files() == {"out": "1\n"}


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_new_file_is_never_readable_by_more_users_than_the_former_one(mode: int) -> None:
    before = os.umask(0)
    try:
        with target() as opened:
            Path("logs/out").chmod(mode)
            opened.write(b"1\n")
            opened.close()
        with target() as opened:
            move()
            opened.write(b"2\n")
    finally:
        os.umask(before)

    assert stat.S_IMODE(Path("logs/out").stat().st_mode) == mode


def test_each_reopening_is_logged_and_leaves_no_descriptor_open() -> None:
    the_file = [str(Path("logs/out").absolute())]
    with FakeContext() as ctx:
        opened = FileTarget(ctx, "logs/out")
        for _ in range(3):
            remove()
            opened.write(b"1\n")
            assert opened_logs() == the_file, "and not the removed one"
        opened.close()

        assert ctx.messages == ["opened logs/out again: the former file was moved or removed"] * 3
    assert opened_logs() == []


def test_a_relative_path_in_a_working_directory_that_is_gone_is_a_clear_failure(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")  # the fixture goes back
    (tmp_path / "gone").rmdir()

    with pytest.raises(OutputError, match="cannot append to 'out': no such file or directory"), target("out"):
        pass


def test_a_file_that_cannot_be_opened_leaves_no_descriptor_open() -> None:
    with no_descriptor_is_left():
        for path in ("missing/out", "logs", "/", "x" * 300, "a\0b"):
            with pytest.raises(OutputError), target(path):
                pass


def test_a_last_line_that_another_writer_is_about_to_end_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write of another program becomes visible page by page: the newline comes while we wait."""
    Path("logs/out").write_text("begin")
    with FakeContext() as ctx:

        def wait(seconds: float) -> bool:
            with Path("logs/out").open("a") as other:
                other.write("ning\n")
            return False

        monkeypatch.setattr(ctx, "wait", wait)
        opened = FileTarget(ctx, "logs/out")
        opened.write(b"2\n")
        opened.close()

    assert files() == {"out": "beginning\n2\n"}
