"""The exact version of every package that make installs, in `.ci/constraints.txt`.

    python .ci/constraints.py update    find the newest versions and write the file
    python .ci/constraints.py check     compare the packages of this environment with the file

The file holds for each Python that Taskloom supports, and for all kinds of work: what setup.cfg requires with all its
extras, what these packages require in turn, and what builds Taskloom. Standard library and pip only.
"""

from __future__ import annotations

import configparser
import contextlib
import importlib.metadata
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ".ci/constraints.txt"
FILE = ROOT / CONSTRAINTS
# The oldest patch release of each minor version: a package may support 3.11 from 3.11.5 only.
PYTHONS = ("3.11.0", "3.12.3", "3.13.0")
# Not installed from the index: pip comes with Python.
NOT_PINNED = {"pip", "taskloom"}

HEADER = """\
# The exact version of every package that make installs, for Python 3.11, 3.12 and 3.13.
# Written by `make update`, which finds the newest versions and runs the tests with them. Do not edit it by hand.
"""

# pip resolves for another Python, but evaluates markers such as `python_version < "3.12"` for its own.
PIP_FOR_ANOTHER_PYTHON = """\
import sys
from pip._vendor.packaging import markers
full = sys.argv.pop(1)
own = markers.default_environment
versions = {"python_version": full.rpartition(".")[0], "python_full_version": full}
markers.default_environment = lambda: {**own(), **versions}
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required() -> list[str]:
    """Return what setup.cfg requires, with all extras, and what the build of Taskloom requires."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    texts = [settings["options"]["install_requires"], *settings["options.extras_require"].values(), *build]
    return sorted({line.strip() for text in texts for line in text.splitlines() if line.strip()})


def make_newest_pip(folder: Path) -> Path:
    """Make an environment with the newest pip: older ones resolve for another Python by the version of their own."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-I", "-m", "pip", "install", "-qq", "--upgrade", "pip"], check=True)
    return python


def resolve(pip_python: Path, python: str, folder: Path) -> dict[str, str]:
    """Return the newest versions that fit each other on this version of Python."""
    report = folder / f"{python}.json"
    options = ["-qq", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--target", str(folder / "none")]
    command = [pip_python, "-I", "-c", PIP_FOR_ANOTHER_PYTHON, python, "install", *options]
    environment = {name: value for name, value in os.environ.items() if name not in {"PIP_USER", "PIP_PREFIX"}}
    subprocess.run([*command, "--python-version", python, "--report", report, *required()], check=True, env=environment)
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    versions = {canonical(each["metadata"]["name"]): each["metadata"]["version"] for each in found}
    return {name: version for name, version in versions.items() if name not in NOT_PINNED}


def lines(name: str, versions: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of one package; `versions` maps each minor version of Python to a version of the package.

    The first line holds for older Pythons too, and the last for newer ones.
    """
    groups = [(version, next(minors)) for version, minors in itertools.groupby(versions, versions.__getitem__)]
    for index, (version, since) in enumerate(groups):
        bounds = [f'python_version >= "{since}"'] if index > 0 else []
        if index + 1 < len(groups):
            bounds.append(f'python_version < "{groups[index + 1][1]}"')
        yield f"{name}=={version}" + (f" ; {' and '.join(bounds)}" if bounds else "")


def text(resolved: Mapping[str, Mapping[str, str]]) -> str:
    """Return the content of the file; `resolved` maps each minor version of Python to the versions of its packages."""
    names = sorted({name for versions in resolved.values() for name in versions})
    written = (
        lines(name, {minor: versions[name] for minor, versions in resolved.items() if name in versions})
        for name in names
    )
    return HEADER + "".join(f"{line}\n" for line in itertools.chain.from_iterable(written))


def pinned(content: str, python: str) -> dict[str, str]:
    """Return the versions that the content of the file names for this minor version of Python."""
    from pip._vendor.packaging.requirements import Requirement

    requirements = [Requirement(line) for line in content.splitlines() if line and not line.startswith("#")]
    return {
        canonical(each.name): str(each.specifier).removeprefix("==")
        for each in requirements
        if each.marker is None or each.marker.evaluate({"python_version": python})
    }


def installed() -> dict[str, str]:
    """Return the packages of this environment that some kind of work needs, and their versions."""
    from pip._vendor.packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting = required()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonical(requirement.name)
        if name in found or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            distribution = importlib.metadata.distribution(requirement.name)
            found[name] = distribution.version
            waiting += distribution.requires or []
    return found


def differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Return a sentence for each package that is not named in the file, or has another version."""
    return [
        f"{name} {version}: {CONSTRAINTS} has {wanted.get(name, 'no such package')}"
        for name, version in sorted(found.items())
        if name not in NOT_PINNED and wanted.get(name) != version
    ]


def check() -> list[str]:
    """Compare the packages of this environment with the file."""
    python = ".".join(map(str, sys.version_info[:2]))
    return differences(installed(), pinned(FILE.read_text(encoding="utf-8"), python))


def update() -> None:
    """Write the file again, and print what has changed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pip_python = make_newest_pip(folder / "pip")
        resolved = {}
        for python in PYTHONS:
            print(f"finding the newest packages for Python {python.rpartition('.')[0]}", file=sys.stderr, flush=True)
            resolved[python.rpartition(".")[0]] = resolve(pip_python, python, folder)
    before = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    after = text(resolved)
    FILE.write_text(after, encoding="utf-8")
    print_changes(before.splitlines(), after.splitlines())


def print_changes(before: Iterable[str], after: Iterable[str]) -> None:
    old, new = set(before), set(after)
    for line in sorted(old ^ new, key=lambda line: (line.partition("==")[0], line in new)):
        print("+" if line in new else "-", line)
    if old == new:
        print(f"{CONSTRAINTS} names the newest versions already")


def main(arguments: list[str]) -> int:
    if arguments == ["update"]:
        try:
            update()
        except subprocess.CalledProcessError as error:
            print(f"cannot find the newest packages: pip ended with exit code {error.returncode}", file=sys.stderr)
            return 1
        return 0
    if arguments == ["check"]:
        found = check()
        print("\n".join(found) or f"every installed package has its version of {CONSTRAINTS}")
        return 1 if found else 0
    print("usage: python .ci/constraints.py update|check", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
