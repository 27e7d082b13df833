"""What is installed: entry points become tasks and runners. The only importer of stevedore.

Names come from `importlib.metadata`, fresh, with the distribution that offers each; only what is asked for
is imported, through stevedore. Its own listing is not used: its disk cache serves stale entries for two
minutes after a reinstall and drops the distribution, and it sees two equal names only when they are adjacent.
"""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from taskloom.catalog.params import ShapeError, TaskShape, inspect_task
from taskloom.errors import AmbiguousTask, CatalogError, NotATask, TaskImportFailed, TaskNotFound
from taskloom.task import Task

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint
    from types import TracebackType

__all__ = ["Catalog", "CatalogEntry", "GivenCatalog", "Kind", "LoadedRunner", "LoadedTask"]

Kind = Literal["task", "runner"]
_GROUPS: Mapping[Kind, str] = {"task": "taskloom.tasks", "runner": "taskloom.runners"}
_NOT_THE_PLUGINS = ("taskloom.catalog.entry_points", "stevedore", "importlib")


class CatalogEntry(NamedTuple):
    """One name that an installed distribution offers."""

    name: str
    distribution: str
    version: str
    target: str
    """Where it stands, as `module:object`."""

    @property
    def offered_by(self) -> str:
        """The distribution with its version, for messages."""
        return f"{self.distribution} {self.version}".rstrip()


class _Offer(NamedTuple):
    entry: CatalogEntry
    load: Callable[[], Any]


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

    Reads the metadata once, at the first question; a new catalog sees what was installed since. Each plugin is
    imported at most once, and a failure is remembered too: ten thousand jobs of a broken task import it once.
    """

    def __init__(self) -> None:
        self._offers: dict[Kind, list[_Offer]] = {}
        self._tasks: dict[str, LoadedTask | CatalogError] = {}
        self._runners: dict[str, LoadedRunner | CatalogError] = {}
        self._shapes: dict[object, TaskShape] = {}

    def names(self, kind: Kind = "task") -> list[str]:
        """Return the offered names, sorted, without importing any of them."""
        return sorted({entry.name for entry in self.entries(kind)})

    def entries(self, kind: Kind = "task") -> list[CatalogEntry]:
        """Return all that is offered, sorted by name, without importing any of it. A name may come twice."""
        return [offer.entry for offer in self._offered(kind)]

    def load(self, name: str) -> LoadedTask:
        """Import a task.

        Raises TaskNotFound, AmbiguousTask, TaskImportFailed (whatever the import raised, `sys.exit()`
        included) or NotATask.
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
        """Return the shape of a class, an instance or a function that code gave; each is looked at once.

        Raises ShapeError when it is no task, or when a default does not fit.
        """
        if isinstance(target, Task):
            return self.shape_of(type(target)).of_instance(target)
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

    def _offered(self, kind: Kind) -> list[_Offer]:
        if kind not in self._offers:
            group = _GROUPS[kind]
            found = [_Offer(_entry_of(point), partial(_through_stevedore, group, point)) for point in _points(group)]
            self._offers[kind] = sorted(found, key=lambda offer: offer.entry)
        return self._offers[kind]

    def _offer(self, kind: Kind, name: str) -> _Offer:
        """Return the one offer of a name. Raises TaskNotFound or AmbiguousTask."""
        # One distribution found twice on the path with the same target is no choice to make.
        offers = {offer.entry: offer for offer in self._offered(kind) if offer.entry.name == name}
        if not offers:
            raise TaskNotFound(name, self.names(kind), kind)
        if len(offers) > 1:
            raise AmbiguousTask(name, [entry.offered_by for entry in offers], kind)
        return next(iter(offers.values()))

    def _import(self, kind: Kind, name: str) -> tuple[CatalogEntry, Any]:
        offer = self._offer(kind, name)
        try:
            return offer.entry, offer.load()
        except BaseException as error:  # noqa: BLE001 - a plugin's module may raise anything, SystemExit included
            text, trace = _told(error), _traceback_of(error)
            raise TaskImportFailed(name, offer.entry.offered_by, text, trace, kind) from None


class GivenCatalog(Catalog):
    """A catalog of tasks that code gives by name, for tests and for programs that install none.

    `load` raises as for installed tasks; the only runner is `thread`.
    """

    def __init__(self, tasks: Mapping[str, object]) -> None:
        super().__init__()
        self._given = dict(tasks)

    def _offered(self, kind: Kind) -> list[_Offer]:
        if kind == "runner":
            return [offer for offer in super()._offered(kind) if offer.entry.distribution == "taskloom"]
        return [
            _Offer(CatalogEntry(name, "given", "", getattr(task, "__module__", "?")), partial(_itself, task))
            for name, task in sorted(self._given.items())
        ]


def _checked(shape: TaskShape) -> TaskShape:
    shape.check_defaults()
    return shape


def _itself(task: object) -> object:
    return task


Loaded = TypeVar("Loaded", LoadedTask, LoadedRunner)


def _or_raise(loaded: Loaded | CatalogError) -> Loaded:
    if isinstance(loaded, CatalogError):
        # Without the traceback of the last time it was raised, which would grow and keep frames alive.
        raise loaded.with_traceback(None)
    return loaded


def _points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, as the disk has them now."""
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
    except Exception:  # noqa: BLE001 - its entry_points.txt cannot be read: it offers nothing
        return


def _entry_of(point: EntryPoint) -> CatalogEntry:
    name, version = "unknown", "?"
    if point.dist is not None:
        # Either may be missing where a half-removed distribution has left its entry points behind, and asking for
        # what is missing is None, a warning or a KeyError, by the version of Python.
        metadata = point.dist.metadata
        name = metadata["Name"] if "Name" in metadata else name  # noqa: SIM401 - the protocol has no get
        version = metadata["Version"] if "Version" in metadata else version  # noqa: SIM401
    return CatalogEntry(point.name, name, version, point.value)


def _through_stevedore(group: str, point: EntryPoint) -> Any:
    """Return what an entry point stands for. Raises whatever importing it raises."""
    from stevedore.named import NamedExtensionManager

    class OneEntryPoint(NamedExtensionManager[Any]):
        """Loads the entry point that was chosen: fresh, and never another of the same name."""

        def list_entry_points(self) -> list[EntryPoint]:
            return [point]

    failures: list[BaseException] = []
    manager = OneEntryPoint(
        group,
        [point.name],
        on_load_failure_callback=lambda _manager, _point, error: failures.append(error),
        # Otherwise a plugin that fails is logged as missing too.
        on_missing_entrypoints_callback=None,
    )
    if failures:
        raise failures[0]
    return manager.extensions[0].plugin


def _told(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({'' if error.code is None else repr(error.code)}) when imported"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _traceback_of(error: BaseException) -> str:
    """Return the traceback as text, from the plugin's first line on."""
    trace = error.__traceback__
    while trace is not None and _module_of(trace).startswith(_NOT_THE_PLUGINS):
        trace = trace.tb_next
    return "".join(tracebacks.format_exception(type(error), error, trace))


def _module_of(trace: TracebackType) -> str:
    return str(trace.tb_frame.f_globals.get("__name__", ""))
