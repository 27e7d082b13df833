"""Whether the packages of extra `dask` are installed. Nothing of them is imported to find out."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["INSTALL", "RELEASE", "problems_here", "why_unusable"]

INSTALL = "pip install 'taskloom[dask]'"
RELEASE = "2026.8"
"""The release of Dask that setup.cfg allows. A newer one is allowed once all kills and partitions were tried."""

_PACKAGES = ("dask", "distributed")


def problems_here() -> list[str]:
    """Return what is wrong with the Dask of this worker or Dask scheduler, in words that follow its name.

    Dask itself only warns about versions that differ, and later fails at one message or another.
    """
    odd = _odd_package()
    return [f"has {odd[0]} {odd[1] or 'of an unknown version'}; this program needs release {RELEASE}"] if odd else []


def why_unusable() -> str:
    """Return why runner dask cannot work with the packages that are installed; "" if it can."""
    odd = _odd_package()
    if odd is None:
        return ""
    package, found = odd
    return (
        f"{package} {found} is installed, and release {RELEASE} is needed" if found else f"{package} is not installed"
    )


def _odd_package() -> tuple[str, str] | None:
    """Return the first package that does not fit, and its version; "" for one that is not installed."""
    for package in _PACKAGES:
        try:
            found = version(package)
        except PackageNotFoundError:
            return package, ""
        if not f"{found}.".startswith(f"{RELEASE}."):
            return package, found
    return None
