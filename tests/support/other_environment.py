"""Virtual environments with other versions than ours, for processes that have to work together across versions."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from tests.support.dask_cluster import ROOT

__all__ = ["give_up", "make_environment", "other_python", "taskloom_needs"]

INSTALL_SECONDS = 400.0
_ROOTS = (ROOT, ROOT / "framework", ROOT / "plugins")


def give_up(reason: str) -> None:
    """Skip the test with this reason; fail it under CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and under CI nothing may be missing")
    pytest.skip(f"LOUD: {reason}")


def other_python(*versions: str) -> str:
    """Return the first of these versions of Python that is installed and is not ours, such as `3.13`."""
    here = "{}.{}".format(*sys.version_info)
    for each in versions:
        candidates = [f"python{each}", *map(str, sorted(Path.home().glob(f".pyenv/versions/{each}.*/bin/python3")))]
        for python in candidates if each != here else []:
            if _prints(python, each):
                return python
    give_up(f"cannot find a Python of version {' or '.join(versions)} beside {here}")
    raise AssertionError


def make_environment(folder: Path, python: str, *requirements: str, shares_ours: bool) -> str:
    """Make an environment with these packages and nothing that they need; return its interpreter.

    `shares_ours`: whether it also has all packages of ours, behind its own. Taskloom is that of this checkout.
    """
    subprocess.run([python, "-m", "venv", str(folder)], check=True, timeout=INSTALL_SECONDS)
    made = str(folder / "bin" / "python")
    command = [made, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", *requirements]
    installed = subprocess.run(
        command, env=_pip_environment(), capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if installed.returncode:
        give_up(f"cannot install {' '.join(requirements)}: {installed.stderr.strip()[-300:]}")
    paths = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()] if shares_ours else _ROOTS
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "zz-ours.pth").write_text("".join(f"{path}\n" for path in paths))
    return made


def taskloom_needs(extra: str) -> list[str]:
    """Return all packages that Taskloom needs with an extra, each in the version that is installed here."""
    found: dict[str, None] = {}
    new = [*_needs("taskloom", extra)]
    while new:
        name = new.pop()
        if name not in found:
            found[name] = None
            new += _needs(name, "")
    return [f"{name}=={version(name)}" for name in found]


def _needs(distribution: str, extra: str) -> list[str]:
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in requires(distribution) or ()]
    return [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": extra})]


def _prints(python: str, wanted: str) -> bool:
    """Return whether this is an interpreter of the version: one of pyenv may be there without a version behind it."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        found = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return False
    return found.stdout.strip() == wanted


def _pip_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PIP_CONSTRAINT", "PYTHONPATH")}
