"""The lists in setup.cfg agree with the tree and with the wheel."""

from __future__ import annotations

import configparser
import importlib
import importlib.metadata
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = {"taskloom": ROOT / "framework", "taskloom_plugins": ROOT / "plugins"}


@pytest.fixture(scope="module")
def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def entry_points(settings: configparser.ConfigParser) -> list[importlib.metadata.EntryPoint]:
    named = [
        (line.partition("="), group)
        for group, lines in settings["options.entry_points"].items()
        for line in lines.splitlines()
        if line.strip()
    ]
    return [importlib.metadata.EntryPoint(name.strip(), value.strip(), group) for (name, _, value), group in named]


def packages_in_the_tree() -> set[str]:
    return {
        ".".join(init.parent.relative_to(source_root).parts)
        for name, source_root in SOURCE_ROOTS.items()
        for init in (source_root / name).rglob("__init__.py")
    }


def test_the_packages_listed_by_hand_are_those_in_the_tree(settings: configparser.ConfigParser) -> None:
    listed = settings["options"]["packages"].split()

    assert set(listed) == packages_in_the_tree()
    assert listed == sorted(listed)


def test_every_folder_with_code_is_a_package() -> None:
    folders = {file.parent for root in SOURCE_ROOTS.values() for file in root.rglob("*.py")}

    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()


def test_every_entry_point_can_be_imported(settings: configparser.ConfigParser) -> None:
    points = entry_points(settings)

    assert {point.group for point in points} >= {"console_scripts", "taskloom.tasks", "taskloom.runners"}
    for point in points:
        assert callable(point.load()), point


def test_the_installed_entry_points_are_those_of_setup_cfg(settings: configparser.ConfigParser) -> None:
    """An entry point is read at install time: after adding one, install again."""
    installed = importlib.metadata.distribution("taskloom").entry_points

    assert {(point.group, point.name, point.value) for point in installed} == {
        (point.group, point.name, point.value) for point in entry_points(settings)
    }


def test_the_version_is_defined_once() -> None:
    module = importlib.import_module("taskloom")

    assert importlib.metadata.version("taskloom") == module.__version__


def test_a_built_wheel_holds_every_module_and_the_type_marker(wheel: Path) -> None:
    wanted = {
        str(file.relative_to(source_root))
        for name, source_root in SOURCE_ROOTS.items()
        for file in (source_root / name).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }

    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()

    assert held == wanted
    assert "License-Expression: MIT" in metadata
    assert "Requires-Python: !=3.12.0,!=3.12.1,!=3.12.2,>=3.11" in metadata
