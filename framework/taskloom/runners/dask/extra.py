"""Whether the packages of extra `dask` are installed. Nothing of them is imported to find out."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["INSTALL", "RELEASE", "why_unusable"]

INSTALL = "pip install 'taskloom[dask]'"
RELEASE = "2026.8"
"""The release of Dask that setup.cfg allows. A newer one is allowed once all kills and partitions were tried."""

_PACKAGES = ("dask", "distributed")


def why_unusable() -> str:
    """Return why runner dask cannot work with the packages that are installed; "" if it can."""
    for package in _PACKAGES:
        try:
            found = version(package)
        except PackageNotFoundError:
            return f"{package} is not installed"
        if not f"{found}.".startswith(f"{RELEASE}."):
            return f"{package} {found} is installed, and release {RELEASE} is needed"
    return ""
