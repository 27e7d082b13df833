"""A folder of packages may be in any state. What is broken is named in one line, and hides nothing else."""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import MetadataPathFinder
from pathlib import Path
from typing import Any

import pytest
from tests.support.plugin_folder import GOOD, PluginFolder

from taskloom.catalog.entry_points import Catalog
from taskloom.errors import TaskImportFailed, TaskNotFound

Break = Callable[[Path], object]

POINTS = "[taskloom.tasks]\nodd = odd:good\n"


def write(name: str, content: bytes | str) -> Break:
    data = content.encode() if isinstance(content, str) else content
    return lambda info: (info / name).write_bytes(data)


def replace_folder(make: Callable[[Path], object]) -> Break:
    """Remove the folder of the metadata, and put something else in its place."""

    def change(info: Path) -> None:
        for file in info.iterdir():
            file.unlink()
        info.rmdir()
        make(info)

    return change


def make_unreadable(path: Path) -> None:
    """Put a folder where a file is expected: this also holds for root, who reads files of any mode."""
    path.unlink()
    path.mkdir()


# What was done to the metadata of the distribution `odd`; how it is named now, or None if its task is lost.
STATES: dict[str, tuple[Break, str | None]] = {
    "untouched": (lambda info: None, "odd 1.0"),
    "no METADATA": (lambda info: (info / "METADATA").unlink(), "odd 1.0"),
    "METADATA empty": (write("METADATA", ""), "odd 1.0"),
    "METADATA is Latin-1": (write("METADATA", b"Name: odd\nVersion: 2.0\nAuthor: J\xf6rg\n"), "odd 2.0"),
    "METADATA is UTF-16": (write("METADATA", "Name: odd\nVersion: 2.0\n".encode("utf-16")), "odd 1.0"),
    "METADATA with a byte order mark": (write("METADATA", "\ufeffName: Odd\nVersion: 2.0\n"), "Odd 2.0"),
    "METADATA with CRLF": (write("METADATA", "Name: odd\r\nVersion: 2.0\r\n\r\ntext"), "odd 2.0"),
    "METADATA of NUL bytes": (write("METADATA", bytes(4096)), "odd 1.0"),
    "METADATA cut in the middle": (write("METADATA", "Metadata-Version: 2.1\nNa"), "odd 1.0"),
    "METADATA without a name": (write("METADATA", "Version: 2.0\n"), "odd 2.0"),
    "METADATA without a version": (write("METADATA", "Name: odd\n"), "odd 1.0"),
    "METADATA with another name": (write("METADATA", "Name: even\nVersion: 2.0\n"), "even 2.0"),
    "METADATA with a name that is none": (write("METADATA", "Name: \x1b[31m\nVersion: 2.0\n"), "odd 2.0"),
    "METADATA is a folder": (lambda info: make_unreadable(info / "METADATA"), "odd 1.0"),
    "RECORD empty": (write("RECORD", ""), "odd 1.0"),
    "entry points with a byte order mark": (write("entry_points.txt", f"\ufeff{POINTS}"), "odd 1.0"),
    "entry points with CRLF": (write("entry_points.txt", POINTS.replace("\n", "\r\n")), "odd 1.0"),
    "entry points with CR": (write("entry_points.txt", POINTS.replace("\n", "\r")), "odd 1.0"),
    "entry points without a last newline": (write("entry_points.txt", POINTS.strip()), "odd 1.0"),
    "entry points indented, with blanks": (
        write("entry_points.txt", "\n [taskloom.tasks] \n\n  odd=odd:good"),
        "odd 1.0",
    ),
    "entry points with comments": (write("entry_points.txt", f"# a\n; b\n{POINTS}# c\n"), "odd 1.0"),
    "a broken line before": (write("entry_points.txt", "[taskloom.tasks]\nbad\nodd = odd:good\n"), "odd 1.0"),
    "a broken line after": (write("entry_points.txt", f"{POINTS}bad\n"), "odd 1.0"),
    "a broken section before": (write("entry_points.txt", f"[console_scripts]\nbad\n{POINTS}"), "odd 1.0"),
    "a section twice": (write("entry_points.txt", f"[taskloom.tasks]\nother = odd:good\n[x]\n{POINTS}"), "odd 1.0"),
    "a line twice": (write("entry_points.txt", f"{POINTS}odd = odd:good\n"), "odd 1.0"),
    "a name twice": (write("entry_points.txt", f"{POINTS}odd = odd:other\n"), "odd 1.0"),
    "text before the first section": (write("entry_points.txt", f"a = b\n{POINTS}"), "odd 1.0"),
    "bytes in no encoding in another line": (
        write("entry_points.txt", POINTS.encode() + b"\xff\xfe = x:y\n"),
        "odd 1.0",
    ),
    "extras after the object": (write("entry_points.txt", "[taskloom.tasks]\nodd = odd:good [fast]\n"), "odd 1.0"),
    "entry points empty": (write("entry_points.txt", ""), None),
    "no entry points": (lambda info: (info / "entry_points.txt").unlink(), None),
    "entry points are UTF-16": (write("entry_points.txt", POINTS.encode("utf-16")), None),
    "entry points of NUL bytes": (write("entry_points.txt", bytes(4096)), None),
    "entry points are a folder": (lambda info: make_unreadable(info / "entry_points.txt"), None),
    "entry points cut in the middle": (write("entry_points.txt", POINTS[:-5]), None),
    "a name without a value": (write("entry_points.txt", "[taskloom.tasks]\nodd =\n"), None),
    "a value without a name": (write("entry_points.txt", "[taskloom.tasks]\n= odd:good\n"), None),
    "a section without its bracket": (write("entry_points.txt", "[taskloom.tasks\nodd = odd:good\n"), None),
    "a value that is not a reference": (write("entry_points.txt", "[taskloom.tasks]\nodd = odd good\n"), None),
    "a file in place of the folder": (replace_folder(lambda info: info.write_text("x")), None),
    "a link to nothing": (replace_folder(lambda info: info.symlink_to("gone")), None),
    "a link to itself": (replace_folder(lambda info: info.symlink_to(info.name)), None),
    "an empty folder": (replace_folder(lambda info: info.mkdir()), None),
    "a folder that pip has put aside": (lambda info: info.rename(info.with_name("~dd-1.0.dist-info")), None),
}

# A line of these is told with a task that cannot be found.
TOLD = {
    "entry points are UTF-16": "",
    "entry points of NUL bytes": "",
    "entry points cut in the middle": "entry_points.txt:2: cannot use 'odd:' as module:object",
    "a name without a value": "entry_points.txt:2: expected name = module:object, not 'odd ='",
    "a value without a name": "entry_points.txt:2: expected name = module:object, not '= odd:good'",
    "a value that is not a reference": "entry_points.txt:2: cannot use 'odd good' as module:object",
    "a file in place of the folder": "odd-1.0.dist-info: is a file where a folder is expected",
    "a link to nothing": "odd-1.0.dist-info: is a symbolic link to nothing",
    "a link to itself": "odd-1.0.dist-info",
    "an empty folder": "odd-1.0.dist-info: has no METADATA that can be read, as an interrupted installation leaves it",
    "a folder that pip has put aside": "~dd-1.0.dist-info: left behind by an interrupted pip",
}


@pytest.mark.parametrize("state", STATES)
def test_metadata_in_any_state_takes_no_other_task_away(packages: PluginFolder, state: str) -> None:
    change, offered_by = STATES[state]
    change(packages.add("odd", GOOD, odd="good"))
    packages.add_good()

    catalog = Catalog()

    assert catalog.load("good").offered_by == "neighbour 1.0"
    assert catalog.load("countdown").distribution == "taskloom"
    if offered_by is not None:
        assert catalog.load("odd").offered_by == offered_by
        return
    with pytest.raises(TaskNotFound) as caught:
        catalog.load("odd")
    assert TOLD.get(state, "") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.EACCES, "permission denied"), (errno.EIO, "input/output error"), (errno.ELOOP, "too many")],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    packages: PluginFolder, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    info = packages.add("odd", GOOD, odd="good")
    packages.add_good()

    def open_others(path: str, *options: Any) -> Any:
        if path.startswith(str(info)):
            raise OSError(number, os.strerror(number), path)
        return open(path, *options)  # noqa: PTH123 - what it stands for

    # Not by the mode of the file: root reads files of any mode.
    monkeypatch.setattr("taskloom.catalog.installed.open", open_others, raising=False)
    catalog = Catalog()

    assert catalog.load("good").distribution == "neighbour"
    with pytest.raises(TaskNotFound) as caught:
        catalog.load("odd")
    assert f"odd-1.0.dist-info/entry_points.txt: cannot be read: {reason}" in str(caught.value)


# The module of the task `odd`, as an interrupted installation or a copy to another machine leaves it.
MODULES: dict[str, tuple[dict[str, bytes], str]] = {
    "removed": ({}, "ModuleNotFoundError: No module named 'odd'"),
    "cut in the middle": ({"odd.py": b"def good(ctx,"}, "SyntaxError: '(' was never closed (odd.py, line 1)"),
    "of NUL bytes": ({"odd.py": bytes(64)}, "null bytes"),
    "in another encoding": ({"odd.py": b"x = '\xff'\n"}, "SyntaxError: (unicode error) 'utf-8' codec can't decode"),
    "of an encoding that is unknown": ({"odd.py": b"# coding: klingon\n"}, "klingon"),
    "empty": ({"odd.py": b""}, "AttributeError: module 'odd' has no attribute 'good'"),
    "a folder without the module": ({"odd/data.txt": b""}, "AttributeError: module 'odd' has no attribute 'good'"),
    "a stale compiled file alone": ({"odd.pyc": b"\x00\x00\x0d\x0a" + bytes(12)}, "bad magic number in 'odd'"),
    "a library that cannot be loaded": ({"odd.so": b"\x7fELF"}, "ImportError: "),
    "an empty library": ({"odd.so": b""}, "ImportError: "),
}


@pytest.mark.parametrize("state", MODULES)
def test_a_module_in_any_state_is_the_failure_of_its_own_task(packages: PluginFolder, state: str) -> None:
    files, told = MODULES[state]
    packages.add("odd", GOOD, odd="good")
    packages.add_good()
    (packages.path / "odd.py").unlink()
    for name, content in files.items():
        (packages.path / name).parent.mkdir(exist_ok=True)
        (packages.path / name).write_bytes(content)
    importlib.invalidate_caches()
    catalog = Catalog()

    with pytest.raises(TaskImportFailed) as caught:
        catalog.load("odd")

    assert str(caught.value).startswith("cannot import task 'odd' of odd 1.0: ")
    assert told in str(caught.value)
    assert catalog.load("good").distribution == "neighbour"


class RaisingFinder:
    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> None:
        """Find no module."""

    @classmethod
    def find_distributions(cls, context: object) -> Iterator[object]:
        raise RuntimeError("no distributions today")


class EndingFinder(RaisingFinder):
    @classmethod
    def find_distributions(cls, context: object) -> Iterator[object]:
        yield RaisingDistribution()
        raise RuntimeError("no more of them")


class RaisingDistribution(importlib.metadata.Distribution):
    def read_text(self, filename: str) -> str:
        raise OSError(5, "Input/output error")

    def locate_file(self, path: object) -> Path:
        return Path("nowhere")


@pytest.mark.parametrize("finder", [RaisingFinder, EndingFinder])
def test_a_finder_that_raises_hides_nothing(
    packages: PluginFolder, monkeypatch: pytest.MonkeyPatch, finder: type
) -> None:
    packages.add_good()
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    catalog = Catalog()

    assert catalog.load("good").distribution == "neighbour"
    with pytest.raises(TaskNotFound, match=f"{finder.__name__}: cannot be searched: RuntimeError: no "):
        catalog.load("odd")


class FinderOfTheBackport(RaisingFinder):
    """What importlib_metadata puts beside PathFinder, in place of the method that it takes away."""

    __module__ = "importlib_metadata"

    @classmethod
    def find_distributions(cls, context: Any) -> Iterator[object]:
        yield from MetadataPathFinder.find_distributions(context)


def test_a_program_that_has_imported_importlib_metadata_finds_all_tasks(
    packages: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.add_good()
    (packages.add("odd", GOOD, odd="good") / "entry_points.txt").write_text("[taskloom.tasks]\nodd odd:good\n")
    monkeypatch.delattr(PathFinder, "find_distributions", raising=False)  # a test may have imported it
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, FinderOfTheBackport()])
    catalog = Catalog()

    assert catalog.load("good").distribution == "neighbour"
    with pytest.raises(TaskNotFound) as caught:
        catalog.load("odd")
    assert str(caught.value).count("entry_points.txt:2: expected name = module") == 1
    assert "cannot be searched" not in str(caught.value)


def test_entries_of_the_path_that_are_not_folders_hide_nothing(
    packages: PluginFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packages.add_good()
    (tmp_path / "no.zip").write_bytes(b"no archive")
    (tmp_path / "file").write_text("text")
    odd = [str(tmp_path / name) for name in ("gone", "no.zip", "file", "file/below")]
    entries: list[object] = [*odd, "\udcff", "x" * 5000, None, 5, b"bytes", tmp_path, *sys.path]
    monkeypatch.setattr(sys, "path", entries)
    catalog = Catalog()

    assert catalog.load("good").distribution == "neighbour"
    with pytest.raises(TaskNotFound, match=r"NoneType on sys\.path: is ignored"):
        catalog.load("odd")


def test_a_distribution_in_an_archive_is_found(
    packages: PluginFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    info = packages.add("zipped", GOOD, zipped="good")
    archive = tmp_path / "zipped.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.write(packages.path / "zipped.py", "zipped.py")
        for file in info.iterdir():
            written.write(file, f"{info.name}/{file.name}")
    monkeypatch.setattr(sys, "path", [str(archive), *sys.path[1:]])
    importlib.invalidate_caches()

    assert Catalog().load("zipped").offered_by == "zipped 1.0"
    sys.modules.pop("zipped", None)


def test_of_two_versions_in_one_folder_the_newer_complete_one_counts(packages: PluginFolder) -> None:
    info = packages.add("twice", GOOD, twice="good")
    for version in ("1.10", "1.9"):
        newer = info.with_name(f"twice-{version}.dist-info")
        newer.mkdir()
        (newer / "METADATA").write_text(f"Name: twice\nVersion: {version}\n")
        (newer / "entry_points.txt").write_text("[taskloom.tasks]\ntwice = twice:good\n")
    unfinished = info.with_name("twice-2.0.dist-info")
    unfinished.mkdir()
    (unfinished / "entry_points.txt").write_text("[taskloom.tasks]\ntwice = twice:gone\n")

    assert Catalog().load("twice").offered_by == "twice 1.10"


def test_the_first_of_two_folders_on_the_path_counts(
    packages: PluginFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packages.add("twice", GOOD, twice="good")
    first = PluginFolder(tmp_path / "first")
    first.path.mkdir()
    info = first.add("twice", GOOD, twice="good")
    (info / "METADATA").write_text("Name: twice\nVersion: 0.5\n")
    monkeypatch.syspath_prepend(str(first.path))

    assert Catalog().load("twice").offered_by == "twice 0.5"
    first.forget_modules()


def test_an_empty_folder_hides_no_complete_distribution_behind_it(
    packages: PluginFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packages.add("twice", GOOD, twice="good")
    (tmp_path / "first" / "twice-2.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "first"))

    assert Catalog().load("twice").offered_by == "twice 1.0"
