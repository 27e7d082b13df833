"""Finds the file that a misspelt path means. Paths are texts here, as they were typed: pathlib would change them."""

# ruff: noqa: PTH110, PTH111, PTH112, PTH119, PTH120, PTH122

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from itertools import islice

from taskloom.diagnostics import near_match

__all__ = ["near_file", "near_in_directory"]

_SUFFIXES = (".yaml", ".yml")
# In a larger directory only the first names are compared, so that a hint takes little time.
_MOST_NAMES = 4000
# The folders of the working directory in which a file of the same name is searched.
_MOST_FOLDERS = 200
_DEEPEST = 40


def near_file(path: str) -> str | None:
    """Return the path that is most likely meant by one that does not exist, or None. Raises nothing."""
    try:
        return next(filter(None, _candidates(path)), None)
    except (OSError, ValueError):
        return None


def near_in_directory(directory: str) -> str | None:
    """Return what is most likely meant by a directory without job files: a file with an odd name, or a folder in it."""
    try:
        names = _names(directory)
        for name in names:
            lower = name.lower()
            if not name.startswith(".") and (lower.endswith(_SUFFIXES) or any(f"{end}." in lower for end in _SUFFIXES)):
                return _joined(directory, name)
        for name in names:
            folder = _joined(directory, name)
            if not name.startswith(".") and os.path.isdir(folder) and any(map(_is_yaml, _names(folder))):
                return folder
    except (OSError, ValueError):
        pass
    return None


def _candidates(path: str) -> Iterator[str | None]:
    """Yield the paths that may be meant, the most likely first."""
    plain = path.strip().removeprefix("file://")
    for changed in (plain, plain.strip("\"'"), plain.rstrip("/"), plain.replace("\\", "/"), os.path.expanduser(plain)):
        yield _existing(changed, path)
    stem, suffix = os.path.splitext(plain.rstrip("/"))
    for end in ("", *_SUFFIXES):
        if suffix in ("", *_SUFFIXES):
            yield _existing(stem + end, path)
        yield _existing(plain + end, path)
    if any(mark in os.path.basename(plain) for mark in "*?["):  # a pattern that matched nothing
        yield _existing(os.path.dirname(plain), path)
    yield _repaired(plain)
    yield _elsewhere(os.path.basename(plain.rstrip("/")))


def _existing(changed: str, path: str) -> str | None:
    return changed if changed and changed != path and os.path.exists(changed) else None


def _repaired(path: str) -> str | None:
    """Return the path with each misspelt part replaced by the near name in its folder; None if there is none."""
    found = "/" if path.startswith("/") else ""
    parts = [part for part in path.split("/") if part]
    for index, part in enumerate(parts[:_DEEPEST]):
        inner = _joined(found, part)
        if not os.path.exists(inner):
            is_last = index == len(parts) - 1
            name = _near_name(part, [name for name in _names(found or ".") if is_last or _is_folder(found, name)])
            if name is None:
                return None
            inner = _joined(found, name)
        found = inner
    return _existing(found, path)


def _near_name(wanted: str, names: list[str]) -> str | None:
    """Return the near name: the same without regard to case and composition, else one that is similar."""
    folded = {_folded(name): name for name in names}
    same = folded.get(_folded(wanted))
    if same is not None:
        return same
    stem, suffix = os.path.splitext(wanted)
    # Without their equal ends, which would make any two names of job files similar.
    stems = {os.path.splitext(name)[0].lower(): name for name in names if not name.startswith(".")}
    if suffix in ("", *_SUFFIXES):
        stems = {key: name for key, name in stems.items() if _is_yaml(name) or "." not in name}
    near = near_match(stem.lower(), stems)
    return stems[near] if near is not None else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _elsewhere(name: str) -> str | None:
    """Return where a file of this name, or of a near one, is: in the working directory or in one of its folders."""
    if not name or name in (".", ".."):
        return None
    stem = os.path.splitext(name)[0]
    folders = [each for each in _names(".") if not each.startswith(".") and _is_folder("", each)][:_MOST_FOLDERS]
    for folder in ("", *folders):
        for end in (name, *(stem + suffix for suffix in _SUFFIXES)):
            if os.path.exists(_joined(folder, end)):
                return _joined(folder, end)
    for folder in folders:
        near = _near_name(name, [each for each in _names(folder) if _is_yaml(each)])
        if near is not None:
            return _joined(folder, near)
    return None


def _names(directory: str) -> list[str]:
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in islice(entries, _MOST_NAMES))


def _is_folder(parent: str, name: str) -> bool:
    return os.path.isdir(_joined(parent, name))


def _is_yaml(name: str) -> bool:
    return name.endswith(_SUFFIXES)


def _joined(parent: str, name: str) -> str:
    return name if not parent else f"{parent.rstrip('/')}/{name}"
