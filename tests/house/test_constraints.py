"""`.ci/constraints.txt` names every package that make installs; `.ci/oldest.txt` is the lower bounds of setup.cfg."""

from __future__ import annotations

import configparser
import os
import re
import runpy
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pip._vendor.packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
CONTENT = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8")
MINORS = ("3.11", "3.12", "3.13")


def script(name: str) -> Any:
    return SimpleNamespace(**runpy.run_path(str(ROOT / ".ci" / name)))


@pytest.fixture
def constraints(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module `constraints.py`."""
    return script("constraints.py")


def test_every_line_is_one_exact_version_and_nothing_else(constraints: Any) -> None:
    lines = [line for line in CONTENT.splitlines() if not line.startswith("#")]

    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[a-z0-9.+]+( ; python_version .+)?", line), line
    for python in MINORS:
        holding = [each for each in map(Requirement, lines) if not each.marker or evaluate(each, python)]
        assert len({each.name for each in holding}) == len(holding)


def evaluate(requirement: Any, python: str) -> bool:
    return bool(requirement.marker.evaluate({"python_version": python}))


@pytest.mark.parametrize("python", MINORS)
def test_every_package_that_setup_cfg_and_the_build_require_is_named(constraints: Any, python: str) -> None:
    versions = constraints.pinned(CONTENT, python)

    for line in constraints.required():
        requirement = Requirement(line)
        version = versions[constraints.canonical(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), (line, version)


def test_every_installed_package_has_the_version_that_is_named(constraints: Any) -> None:
    choice = os.environ.get("TASKLOOM_PACKAGES") or "constraints"
    if choice != "constraints":
        pytest.skip(f"this environment holds the {choice} packages")
    setup_venv = script("setup_venv.py")
    is_ready = Path(sys.prefix) == setup_venv.VENV and setup_venv.is_ready("test", setup_venv.version_text())
    if not is_ready and not os.environ.get("CI"):
        pytest.skip("LOUD: this environment was not made by make test, so its packages may differ")

    assert is_ready
    assert constraints.check() == []


def test_the_oldest_versions_are_the_lower_bounds_of_setup_cfg() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    required = settings["options"]["install_requires"].split() + settings["options.extras_require"]["test"].split()
    oldest = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").splitlines()

    assert sorted(line for line in oldest if not line.startswith("#")) == sorted(
        re.sub(r">=([0-9.]+)(,.*)?$", r"==\1", line) for line in required
    )


def test_the_build_requires_the_setuptools_that_the_tests_require(constraints: Any) -> None:
    assert len([line for line in constraints.required() if line.startswith("setuptools")]) == 1


@pytest.mark.parametrize(
    ("versions", "lines"),
    [
        ({"3.11": "1", "3.12": "1", "3.13": "1"}, ["p==1"]),
        ({"3.12": "1"}, ["p==1"]),
        (
            {"3.11": "1", "3.12": "1", "3.13": "2"},
            ['p==1 ; python_version < "3.13"', 'p==2 ; python_version >= "3.13"'],
        ),
        (
            {"3.11": "1", "3.12": "2", "3.13": "3"},
            [
                'p==1 ; python_version < "3.12"',
                'p==2 ; python_version >= "3.12" and python_version < "3.13"',
                'p==3 ; python_version >= "3.13"',
            ],
        ),
    ],
)
def test_a_package_gets_a_line_for_each_version(constraints: Any, versions: dict[str, str], lines: list[str]) -> None:
    content = constraints.text({minor: {"p": version} for minor, version in versions.items()})

    assert content == constraints.HEADER + "".join(f"{line}\n" for line in lines)
    for minor, version in versions.items():
        assert constraints.pinned(content, minor) == {"p": version}


def test_a_package_with_another_version_or_with_no_line_is_named(constraints: Any) -> None:
    found = {"a": "1", "b": "2", "c": "3", "pip": "4", "taskloom": "5"}

    assert constraints.differences(found, {"a": "1", "b": "1"}) == [
        "b 2: .ci/constraints.txt has 1",
        "c 3: .ci/constraints.txt has no such package",
    ]


def write_wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        info = f"{name}-{version}.dist-info"
        wheel.writestr(f"{info}/METADATA", metadata + "".join(f"Requires-Dist: {each}\n" for each in requires))
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.parametrize(
    ("python", "versions"),
    [
        pytest.param("3.11.0", {"main-part": "2.0", "helper": "1.0"}, marks=pytest.mark.long),
        pytest.param("3.12.3", {"main-part": "2.0", "helper": "1.0"}, marks=pytest.mark.long),
        ("3.13.0", {"main-part": "2.0", "helper": "1.5", "extra": "1.0"}),
    ],
)
def test_the_newest_versions_are_found_for_another_python_than_the_running_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str, versions: dict[str, str]
) -> None:
    requires = ("helper", 'helper<1.5; python_version < "3.13"', 'extra; python_full_version >= "3.13.0"')
    write_wheel(tmp_path, "main_part", "1.0")
    write_wheel(tmp_path, "main_part", "2.0", *requires)
    for name, version in (("helper", "1.0"), ("helper", "1.5"), ("extra", "1.0")):
        write_wheel(tmp_path, name, version)
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": tmp_path.as_uri(), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    names = runpy.run_path(str(ROOT / ".ci" / "constraints.py"))
    names["resolve"].__globals__["required"] = lambda: ["main_part"]

    assert names["resolve"](sys.executable, python, tmp_path) == versions


def test_an_update_writes_the_file_and_prints_what_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = runpy.run_path(str(ROOT / ".ci" / "constraints.py"))
    inside = names["update"].__globals__
    inside["FILE"] = tmp_path / "constraints.txt"
    inside["FILE"].write_text(names["HEADER"] + "gone==1\nkept==1\nraised==1\n")
    inside["make_newest_pip"] = lambda folder: folder
    inside["resolve"] = lambda pip, python, folder: {"kept": "1", "raised": "2"}

    first, second = names["main"](["update"]), names["main"](["update"])

    assert (first, second) == (0, 0)
    assert inside["FILE"].read_text() == names["HEADER"] + "kept==1\nraised==2\n"
    assert capsys.readouterr().out.splitlines() == [
        "- gone==1",
        "- raised==1",
        "+ raised==2",
        ".ci/constraints.txt names the newest versions already",
    ]
