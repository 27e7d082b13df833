"""Find the installed tasks and runners by their entry points. The only importer of stevedore.

Names are read from `importlib.metadata`, without a cache, with the distribution that offers each. Only the
requested plugins are imported, through stevedore. stevedore's own listing is not used: its disk cache serves stale
entries for two minutes after a reinstall and drops the distribution, and it notices two equal names only when they
are adjacent.
"""

from __future__ import annotations

import dataclasses
import traceback as tracebacks
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from taskloom.catalog.params import ShapeError, TaskShape, inspect_task
from taskloom.errors import AmbiguousTask, CatalogError, NotATask, TaskImportFailed, TaskNotFound
from taskloom.task import Task

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

__all__ = ["AfterLoad", "Catalog", "CatalogEntry", "Kind", "LoadedRunner", "LoadedTask", "Offer"]

Kind = Literal["task", "runner"]
_GROUPS: Mapping[Kind, str] = {"task": "taskloom.tasks", "runner": "taskloom.runners"}
_NOT_THE_PLUGINS = ("taskloom.catalog.entry_points", "stevedore", "importlib")


class CatalogEntry(NamedTuple):
    """One name that an installed distribution offers."""

    name: str
    distribution: str
    version: str
    target: str
    """The object that it names, as `module:object`."""

    @property
    def offered_by(self) -> str:
        """The distribution with its version, for messages."""
        return f"{self.distribution} {self.version}".rstrip()


class Offer(NamedTuple):
    """An entry and the function that imports it."""

    entry: CatalogEntry
    load: Callable[[], Any]


AfterLoad = Callable[[Kind, CatalogEntry, BaseException | None], object]


class LoadedTask(NamedTuple):
    """A task that was imported and found usable."""

    name: str
    distribution: str
    version: str
    shape: TaskShape


class LoadedRunner(NamedTuple):
    """A runner that was imported; calling `factory` makes one."""

    name: str
    distribution: str
    version: str
    factory: Any


class Catalog:
    """The tasks and runners that installed packages offer.

    The metadata is read once, at the first call; a new catalog sees packages that were installed since. Each plugin
    is imported at most once, and a failure is remembered too: ten thousand jobs of a broken task import it once.

    `after_load` is called after each import, on the thread that imports: with the kind, the entry, and the exception
    if the import failed. An exception that it raises leaves `load`.
    """

    def __init__(self, after_load: AfterLoad | None = None) -> None:
        self._after_load = after_load
        self._offers: dict[Kind, list[Offer]] = {}
        self._tasks: dict[str, LoadedTask | CatalogError] = {}
        self._runners: dict[str, LoadedRunner | CatalogError] = {}
        self._shapes: dict[object, TaskShape] = {}

    def names(self, kind: Kind = "task") -> list[str]:
        """Return the offered names, sorted, without importing any of them."""
        return sorted({entry.name for entry in self.entries(kind)})

    def entries(self, kind: Kind = "task") -> list[CatalogEntry]:
        """Return every entry, sorted by name, without importing any plugin. A name may occur twice."""
        return [offer.entry for offer in self._offered(kind)]

    def load(self, name: str) -> LoadedTask:
        """Import a task.

        Raises TaskNotFound, AmbiguousTask, NotATask, or TaskImportFailed for any exception of the import,
        SystemExit included.
        """
        if name not in self._tasks:
            self._tasks[name] = self._load_task(name)
        return _or_raise(self._tasks[name])

    def load_runner(self, name: str) -> LoadedRunner:
        """Import a runner. Raises the same errors as `load`."""
        if name not in self._runners:
            self._runners[name] = self._load_runner(name)
        return _or_raise(self._runners[name])

    def shape_of(self, target: object) -> TaskShape:
        """Return the shape of a class, an instance or a function that was passed in Python; each is inspected once.

        Raises ShapeError when it is not a task, or when a default does not fit its type.
        """
        if isinstance(target, Task):
            return dataclasses.replace(self.shape_of(type(target)), instance=target)
        try:
            known = self._shapes.get(target)
        except TypeError:  # unhashable, such as a callable dataclass
            return _checked(inspect_task(target))
        if known is None:
            known = self._shapes[target] = _checked(inspect_task(target))
        return known

    def _load_task(self, name: str) -> LoadedTask | CatalogError:
        try:
            entry, found = self._import("task", name)
            return LoadedTask(name, entry.distribution, entry.version, self.shape_of(found))
        except ShapeError as error:
            return NotATask(name, self._offer("task", name).entry.offered_by, str(error))
        except CatalogError as error:
            return error

    def _load_runner(self, name: str) -> LoadedRunner | CatalogError:
        try:
            entry, found = self._import("runner", name)
        except CatalogError as error:
            return error
        if not callable(found) or not callable(getattr(found, "start", None)):
            why = f"{found!r:.60} is not a class with a method start"
            return NotATask(name, entry.offered_by, why, kind="runner")
        return LoadedRunner(name, entry.distribution, entry.version, found)

    def _offered(self, kind: Kind) -> list[Offer]:
        if kind not in self._offers:
            group = _GROUPS[kind]
            found = [Offer(_entry_of(point), partial(_through_stevedore, group, point)) for point in _points(group)]
            self._offers[kind] = sorted(found, key=lambda offer: offer.entry)
        return self._offers[kind]

    def _offer(self, kind: Kind, name: str) -> Offer:
        """Return the one offer of a name. Raises TaskNotFound or AmbiguousTask."""
        # One distribution may be found twice on the path, with the same target: that is one offer.
        offers = {offer.entry: offer for offer in self._offered(kind) if offer.entry.name == name}
        if not offers:
            raise TaskNotFound(name, self.names(kind), kind)
        if len(offers) > 1:
            raise AmbiguousTask(name, [entry.offered_by for entry in offers], kind)
        return next(iter(offers.values()))

    def _import(self, kind: Kind, name: str) -> tuple[CatalogEntry, Any]:
        entry, load = self._offer(kind, name)
        try:
            found, error = load(), None
        except BaseException as raised:  # noqa: BLE001 - a plugin's module may raise anything, SystemExit included
            found, error = None, raised
        if self._after_load is not None:
            self._after_load(kind, entry, error)
        if error is not None:
            raise TaskImportFailed(name, entry.offered_by, _message_of(error), _traceback_of(error), kind) from None
        return entry, found


def _checked(shape: TaskShape) -> TaskShape:
    _ = shape.takes.defaults  # raises ShapeError when a default does not fit its own type or constraints
    return shape


Loaded = TypeVar("Loaded", LoadedTask, LoadedRunner)


def _or_raise(loaded: Loaded | CatalogError) -> Loaded:
    if isinstance(loaded, CatalogError):
        # Each raise would add to the stored traceback, which would grow and keep frames alive.
        raise loaded.with_traceback(None)
    return loaded


def _points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, as they are on disk now."""
    import importlib
    import importlib.metadata

    importlib.invalidate_caches()
    try:
        return list(importlib.metadata.entry_points(group=group))
    except Exception:  # noqa: BLE001 - one broken distribution must not hide all others
        return [point for dist in importlib.metadata.distributions() for point in _points_of(dist, group)]


def _points_of(distribution: Distribution, group: str) -> Iterator[EntryPoint]:
    try:
        yield from distribution.entry_points.select(group=group)
    except Exception:  # noqa: BLE001 - its entry_points.txt cannot be read, so it offers nothing
        return


def _entry_of(point: EntryPoint) -> CatalogEntry:
    name, version = "unknown", "?"
    if point.dist is not None:
        # A half-removed distribution may have left its entry points behind without a name or a version. A missing
        # key gives None, a warning or a KeyError, depending on the version of Python.
        metadata = point.dist.metadata
        name = metadata["Name"] if "Name" in metadata else name  # noqa: SIM401 - the protocol has no get
        version = metadata["Version"] if "Version" in metadata else version  # noqa: SIM401
    return CatalogEntry(point.name, name, version, point.value)


def _through_stevedore(group: str, point: EntryPoint) -> Any:
    """Return the object that an entry point names. Raises whatever its import raises."""
    from stevedore.named import NamedExtensionManager

    class OneEntryPoint(NamedExtensionManager[Any]):
        """Load exactly this entry point: not one from the cache, and never another of the same name."""

        def list_entry_points(self) -> list[EntryPoint]:
            return [point]

    failures: list[BaseException] = []
    manager = OneEntryPoint(
        group,
        [point.name],
        on_load_failure_callback=lambda _manager, _point, error: failures.append(error),
        # With a callback here stevedore would also log a plugin that fails as missing.
        on_missing_entrypoints_callback=None,
    )
    if failures:
        raise failures[0]
    return manager.extensions[0].plugin


def _message_of(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({'' if error.code is None else repr(error.code)}) when imported"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _traceback_of(error: BaseException) -> str:
    """Return the traceback as text, beginning at the plugin's first frame."""
    trace = error.__traceback__
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith(_NOT_THE_PLUGINS):
        trace = trace.tb_next
    return "".join(tracebacks.format_exception(type(error), error, trace))
