"""Read what is installed: the entry points of each distribution, as they are on disk now.

A folder of packages may hold anything: an installation that was interrupted, files that cannot be read, metadata in no
encoding. Each broken part is noted in one line, and all others are found. The reader of `importlib.metadata` is not
used, since it raises at the first broken line of any distribution; only its search is.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import DistributionFinder, EntryPoint, MetadataPathFinder
from pathlib import Path
from typing import Any, NamedTuple

from taskloom.diagnostics import quoted
from taskloom.text import error_text, normalised, printable, shortened

__all__ = ["Broken", "Installed", "InstalledPoint", "read_points"]

_LONGEST_PLACE = 200
_INFO_FOLDER = re.compile(r"(?P<name>.+?)(?:-(?P<version>[^-]+)(?:-py[\d.]+)?)?\.(?:dist-info|egg-info)")
# A name or a version.
_VALID_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*", re.ASCII)
_SECTION = re.compile(r"\[(?P<name>[^\]]*)\]\s*([#;].*)?")
_NUMBER = re.compile(r"\d+")


class Broken(NamedTuple):
    """A part of an installed distribution that cannot be read."""

    place: str
    why: str

    def __str__(self) -> str:
        return printable(f"{shortened(self.place, _LONGEST_PLACE)}: {self.why}")


class InstalledPoint(NamedTuple):
    """One entry point, and the distribution that offers it."""

    point: EntryPoint
    distribution: str
    version: str
    folder: str
    """The folder with the metadata of the distribution; "" if it is in none."""


class Installed(NamedTuple):
    """The entry points of one group, and what could not be read."""

    points: list[InstalledPoint]
    broken: list[Broken]


def read_points(group: str, path: Iterable[object] | None = None) -> Installed:
    """Return the entry points of a group on the path (default: `sys.path` and the finders of this process).

    Of two distributions with one name the one that is first on the path counts; within one folder, the complete one and
    then the newer one.
    """
    importlib.invalidate_caches()
    broken: list[Broken] = []
    found: dict[str, list[_Info]] = {}
    for distribution in _distributions(path, broken):
        info = _Info(distribution)
        if info.is_left_by_pip:
            # An interrupted pip had put it aside, and pip itself ignores it.
            broken.append(Broken(info.place, "left behind by an interrupted pip"))
            continue
        info.read_points(group, broken)
        known = found.setdefault(info.key, [])
        if (info.points or info.has_metadata) and (not known or info.parent == known[0].parent):
            known.append(info)
    return Installed([point for infos in found.values() for point in _chosen(infos)], broken)


def _chosen(infos: list[_Info]) -> Iterator[InstalledPoint]:
    """Yield the entry points of what is one distribution; of two with one name that of the better metadata."""
    seen: set[str] = set()
    offering = [info for info in infos if info.points]
    # Mostly there is one, whose METADATA need not be read for that.
    for info in sorted(offering, key=_Info.quality, reverse=True) if len(offering) > 1 else offering:
        for point in info.points:
            if point.name not in seen:
                seen.add(point.name)
                yield InstalledPoint(point, info.name, info.version, info.place)


def _distributions(path: Iterable[object] | None, broken: list[Broken]) -> Iterator[Any]:
    """Yield all distributions. One finder or one entry of the path that raises does not end the search."""
    searches: list[tuple[str, Any, Any]] = []
    for entry in sys.path if path is None else path:
        if isinstance(entry, str):
            # One by one: the finder of the standard library asks all of them in one generator, which an error ends.
            # Not by PathFinder: the package importlib_metadata, which many others import, takes this method from it.
            searches.append((entry, MetadataPathFinder, DistributionFinder.Context(path=[entry])))
        else:
            broken.append(
                Broken(f"{type(entry).__name__} on sys.path", "is ignored: only text is searched for modules")
            )
    searches += (
        (getattr(finder, "__name__", type(finder).__name__), finder, DistributionFinder.Context())
        for finder in (sys.meta_path if path is None else ())
        if not _searches_the_path(finder) and hasattr(finder, "find_distributions")
    )
    for place, finder, context in searches:
        try:
            yield from finder.find_distributions(context)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - a finder is code of any package
            broken.append(Broken(place, f"cannot be searched: {error_text(error)}"))


def _searches_the_path(finder: Any) -> bool:
    """Return whether a finder finds no distribution but those on `sys.path`."""
    return finder is PathFinder or type(finder).__module__ == "importlib_metadata"


class _Info:
    """The metadata of one distribution, read only as far as it is needed."""

    def __init__(self, distribution: Any) -> None:
        self._distribution = distribution
        # None for those of other finders, which are in no folder.
        self._path = getattr(distribution, "_path", None)
        self._is_on_disk = isinstance(self._path, Path)
        self.place = str(self._path).rstrip("/") if self._path is not None else type(distribution).__name__
        self.parent = self.place.rpartition("/")[0]
        self.points: list[EntryPoint] = []
        self._folder = self.place.rpartition("/")[2]
        matched = _INFO_FOLDER.fullmatch(self._folder) if self._path is not None else None
        self._folder_name: str = matched["name"] if matched else ""
        self._folder_version: str = matched["version"] or "" if matched else ""

    @property
    def is_left_by_pip(self) -> bool:
        """True for a folder that pip had renamed, to remove it or to put it back."""
        return self._folder_name.startswith("~")

    @property
    def key(self) -> str:
        """The name by which distributions are compared."""
        return normalised(self._folder_name or self.name)

    @functools.cached_property
    def has_metadata(self) -> bool:
        """False for what an interrupted installation leaves. Only looks: most distributions have nothing for us."""
        if not self._is_on_disk:
            return True
        names = ("METADATA",) if self._folder.endswith(".dist-info") else ("PKG-INFO", "")
        return any(_has_content(os.path.join(self.place, name)) for name in names)  # noqa: PTH118 - pathlib is slow

    @property
    def name(self) -> str:
        """The name for messages."""
        return self._headers.get("name") or self._folder_name or "unknown"

    @property
    def version(self) -> str:
        """The version for messages."""
        return self._headers.get("version") or self._folder_version or "?"

    def quality(self) -> tuple[bool, list[int]]:
        """Return what to compare two distributions of one name by."""
        return self.has_metadata and len(self._headers) == 2, [int(part) for part in _NUMBER.findall(self.version)[:6]]

    @functools.cached_property
    def _headers(self) -> dict[str, str]:
        """Name and version as METADATA has them, without what is missing or no name."""
        found: dict[str, str] = {}
        text = next(filter(None, (self._text(name, []) for name in ("METADATA", "PKG-INFO", ""))), "")
        for line in text.removeprefix("\ufeff").splitlines():
            key, colon, value = (part.strip() for part in line.partition(":"))
            if not colon or len(found) == 2:
                break
            if key.lower() in ("name", "version") and _VALID_NAME.fullmatch(value):
                found.setdefault(key.lower(), value)
        return found

    def read_points(self, group: str, broken: list[Broken]) -> None:
        """Read the entry points of a group. Broken lines are added to `broken`."""
        text = self._text("entry_points.txt", broken)
        if group in text:
            file = f"{self.place}/entry_points.txt"
            self.points = list(_parsed(text.removeprefix("\ufeff"), group, file, broken))
        elif not text and not self.has_metadata:
            broken.append(Broken(self.place, self._why_empty()))

    def _why_empty(self) -> str:
        path = Path(self.place)
        try:
            if path.is_symlink() and not path.exists():
                return "is a symbolic link to nothing"
            if path.is_file():
                return "is a file where a folder is expected"
        except OSError as error:
            return _reason(error)
        return "has no METADATA that can be read, as an interrupted installation leaves it"

    def _text(self, name: str, broken: list[Broken]) -> str:
        """Return the text of a file of the metadata; "" if there is none. Bytes in no encoding are replaced.

        Files are read here: `read_text` of importlib gives no reason why one cannot be read.
        """
        try:
            if self._is_on_disk:
                # Not by pathlib, which takes four times as long, for each installed distribution.
                with open(os.path.join(self.place, name) if name else self.place, "rb", 0) as file:  # noqa: PTH118, PTH123
                    return file.read().decode("utf-8", "replace")
            return self._distribution.read_text(name) or ""
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return ""
        except MemoryError:
            raise
        except UnicodeDecodeError as error:
            return error.object.decode("utf-8", "replace")
        except Exception as error:  # noqa: BLE001 - a distribution is an object of any finder
            broken.append(Broken(f"{self.place}/{name}", _reason(error)))
            return ""


def _has_content(path: str) -> bool:
    try:
        found = os.stat(path.rstrip("/"))  # noqa: PTH116 - as above
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror.lower()}"
    return f"cannot be read: {error_text(error)}"


def _parsed(text: str, group: str, file: str, broken: list[Broken]) -> Iterator[EntryPoint]:
    """Yield the entry points of a group. A section may occur twice. A line that is none is noted, and no other."""
    names: dict[str, str] = {}
    is_ours = False
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line = line.strip()
        section = _SECTION.fullmatch(line)
        if section is not None:
            is_ours = section["name"].strip() == group
        elif line.startswith("[") and not is_ours:
            # A section whose bracket is missing: what follows may be anything.
            is_ours = False
        elif is_ours and line and line[0] not in "#;":
            name, _, value = (part.strip() for part in line.partition("="))
            problem = _problem_of(name, value, names, line)
            if problem:
                broken.append(Broken(f"{file}:{number}", problem))
            elif name not in names:
                names[name] = value
                yield EntryPoint(name, value, group)


def _problem_of(name: str, value: str, names: dict[str, str], line: str) -> str:
    """Return what is wrong with a line of entry points, or ""."""
    if not name or not value or "\ufffd" in name + value or not (name + value).isprintable():
        return f"expected name = module:object, not {quoted(line)}"
    if EntryPoint.pattern.match(value) is None:
        return f"cannot use {quoted(value)} as module:object"
    if names.get(name, value) != value:
        return f"names {name!r} a second time; the first one counts"
    return ""
