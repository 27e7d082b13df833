"""Find the installed tasks and runners by their entry points. The only importer of stevedore.

Names are read from the metadata of the distributions, without a cache. Only the requested plugins are imported, through
stevedore. stevedore's own listing is not used: its disk cache serves stale entries for two minutes after a reinstall
and drops the distribution, and it notices two equal names only when they are adjacent.

A name that several distributions offer is chosen with the distribution: `acme-beats/countdown`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from taskloom.catalog.params import ShapeError, TaskShape, inspect_task
from taskloom.diagnostics import FieldError, quoted
from taskloom.errors import AmbiguousTask, CatalogError, NotATask, TaskImportFailed, TaskNotFound
from taskloom.runners.error_info import frames_of
from taskloom.task import Task
from taskloom.text import error_text, normalised, traceback_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from taskloom.catalog.installed import Broken, InstalledPoint

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

    @property
    def qualified(self) -> str:
        """The name with the distribution, which chooses one of several: `acme-beats/countdown`."""
        return f"{normalised(self.distribution)}/{self.name}"


class Offer(NamedTuple):
    """An entry and the function that imports it."""

    entry: CatalogEntry
    load: Callable[[], Any]
    advice: Callable[[BaseException], str] = lambda _: ""
    """Returns what to do about an error of the import, or ""."""


AfterLoad = Callable[[Kind, CatalogEntry, BaseException | None], object]


class LoadedTask(NamedTuple):
    """A task that was imported and found usable."""

    name: str
    distribution: str
    version: str
    shape: TaskShape

    @property
    def offered_by(self) -> str:
        """The distribution with its version, for messages."""
        return f"{self.distribution} {self.version}".rstrip()


CheckOptions = Callable[[Mapping[str, Any]], Iterable[FieldError]]


class LoadedRunner(NamedTuple):
    """A runner that was imported; calling `factory` makes one. Its abilities are attributes of its class."""

    name: str
    distribution: str
    version: str
    factory: Any
    kills: bool = False
    """Whether its runs can be killed: `otherwise: kill` is legal, and the default."""
    needs_reference: bool = False
    """Whether it imports the task elsewhere, by `order.binding.reference`, so that task and params have to cross."""
    starts_programs: bool = False
    """Whether it starts the programs that `order.binding.program` describes."""
    check_options: CheckOptions | None = None
    """Yields the errors in the options of a job; None for a runner that takes no options."""


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
        self._broken: dict[Kind, list[Broken]] = {}
        self._added: dict[Kind, dict[str, str]] = {}
        # By the name as it was requested, and by entry: a task may be requested by two names.
        self._tasks: dict[str, LoadedTask | CatalogError] = {}
        self._loaded: dict[CatalogEntry, LoadedTask | CatalogError] = {}
        self._runners: dict[str, LoadedRunner | CatalogError] = {}
        self._shapes: dict[object, TaskShape] = {}

    def names(self, kind: Kind = "task") -> list[str]:
        """Return the offered names, sorted, without importing any of them."""
        return sorted({entry.name for entry in self.entries(kind)})

    def entries(self, kind: Kind = "task") -> list[CatalogEntry]:
        """Return every entry, sorted by name, without importing any plugin. A name may occur twice."""
        return [offer.entry for offer in self._offered(kind)]

    def spellings(self) -> dict[str, CatalogEntry]:
        """Return each task by the shortest name that chooses it, sorted. It has the distribution if two offer it."""
        entries = list(dict.fromkeys(self.entries()))
        offered = Counter(entry.name for entry in entries)
        names = {entry.name if offered[entry.name] == 1 else entry.qualified: entry for entry in entries}
        return dict(sorted(names.items()))

    def broken(self) -> list[str]:
        """Return a line for each part of an installed distribution that cannot be read, and may offer tasks."""
        self._offered("task")
        return list(map(str, self._broken.get("task", ())))

    def load(self, name: str) -> LoadedTask:
        """Import a task by its name, or by that of its distribution and its own: `acme-beats/countdown`.

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
            offer = self._offer("task", name)
        except CatalogError as error:
            return error
        if offer.entry not in self._loaded:
            self._loaded[offer.entry] = self._load_offer(offer)
        return self._loaded[offer.entry]

    def _load_offer(self, offer: Offer) -> LoadedTask | CatalogError:
        entry = offer.entry
        try:
            found = self._import("task", offer)
        except CatalogError as error:
            return error
        try:
            shape = dataclasses.replace(self.shape_of(found), offered_at=entry.target)
            return LoadedTask(entry.name, entry.distribution, entry.version, shape)
        except (MemoryError, KeyboardInterrupt):
            raise
        except ShapeError as error:
            return NotATask(entry.name, entry.offered_by, str(error))
        except BaseException as error:  # noqa: BLE001 - a metaclass, an annotation or a default may raise anything
            return NotATask(entry.name, entry.offered_by, f"reading its parameters raised {error_text(error)}")

    def _load_runner(self, name: str) -> LoadedRunner | CatalogError:
        try:
            offer = self._offer("runner", name)
            found = self._import("runner", offer)
        except CatalogError as error:
            return error
        entry = offer.entry
        try:
            is_runner = callable(found) and callable(getattr(found, "start", None))
            abilities = _abilities_of(found)
        except (MemoryError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - a metaclass or a `__getattr__` may raise anything
            why = f"reading its method start raised {error_text(error)}"
            return NotATask(entry.name, entry.offered_by, why, kind="runner")
        if not is_runner:
            why = f"{quoted(found)} is not a class with a method start"
            return NotATask(entry.name, entry.offered_by, why, kind="runner")
        return LoadedRunner(entry.name, entry.distribution, entry.version, found, *abilities)

    def _offered(self, kind: Kind) -> list[Offer]:
        if kind not in self._offers:
            from taskloom.catalog.installed import read_points

            installed = read_points(_GROUPS[kind])
            self._broken[kind] = installed.broken
            self._offers[kind] = sorted(map(_offer_of, installed.points), key=lambda offer: offer.entry)
        return self._offers[kind]

    def _offer(self, kind: Kind, name: str) -> Offer:
        """Return the one offer of a name. Raises TaskNotFound or AmbiguousTask."""
        distribution, slash, own = name.partition("/")
        wanted = f"{normalised(distribution)}/{own}"
        found = [offer for offer in self._offered(kind) if slash and offer.entry.qualified == wanted]
        # One distribution may be found twice on the path, with the same target: that is one offer.
        offers = {offer.entry: offer for offer in found or self._offered(kind) if found or offer.entry.name == name}
        if not offers:
            raise self._not_found(kind, name)
        if len(offers) > 1:
            raise AmbiguousTask(name, [entry.offered_by for entry in offers], kind)
        return next(iter(offers.values()))

    def _not_found(self, kind: Kind, name: str) -> TaskNotFound:
        entries = self.entries(kind)
        known = {entry.qualified if "/" in name else entry.name for entry in entries}
        if kind not in self._added:
            from taskloom.catalog.restart_advice import added_at_next_start

            self._added[kind] = added_at_next_start(_GROUPS[kind])
        advice = self._added[kind].get(name.rpartition("/")[2], "")
        return TaskNotFound(name, known, kind, broken=map(str, self._broken.get(kind, ())), advice=advice)

    def _import(self, kind: Kind, offer: Offer) -> Any:
        entry = offer.entry
        try:
            found, error = offer.load(), None
        except BaseException as raised:  # noqa: BLE001 - a plugin's module may raise anything, SystemExit included
            found, error = None, raised
        if self._after_load is not None:
            self._after_load(kind, entry, error)
        if error is not None:
            advice, text = offer.advice(error), _message_of(error)
            raise TaskImportFailed(
                entry.name, entry.offered_by, text, _traceback_of(error), kind, advice=advice
            ) from None
        return found


def _abilities_of(runner: object) -> tuple[bool, bool, bool, CheckOptions | None]:
    """Return the abilities of a runner's class, in the order of LoadedRunner's fields."""
    check = getattr(runner, "check_options", None)
    # A property of the class, which only its instances could answer, is neither.
    kills, needs, starts = (
        getattr(runner, name, False) is True for name in ("kills", "needs_reference", "starts_programs")
    )
    return kills, needs, starts, check if callable(check) else None


def _checked(shape: TaskShape) -> TaskShape:
    _ = shape.takes.defaults  # raises ShapeError when a default does not fit its own type or constraints
    return shape


Loaded = TypeVar("Loaded", LoadedTask, LoadedRunner)


def _or_raise(loaded: Loaded | CatalogError) -> Loaded:
    if isinstance(loaded, CatalogError):
        # Each raise would add to the stored traceback, which would grow and keep frames alive.
        raise loaded.with_traceback(None)
    return loaded


def _offer_of(installed: InstalledPoint) -> Offer:
    point = installed.point
    entry = CatalogEntry(point.name, installed.distribution, installed.version, point.value)
    return Offer(entry, partial(_through_stevedore, point.group, point), partial(_advice_for_import, installed))


def _advice_for_import(installed: InstalledPoint, error: BaseException) -> str:
    from taskloom.catalog.restart_advice import advice_for_import

    return advice_for_import(installed, error)


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
    if issubclass(type(error), SystemExit):
        code = SystemExit.__dict__["code"].__get__(error)  # the class may have a property of that name
        return f"it called sys.exit({'' if code is None else quoted(code)}) when imported"
    return error_text(error)


def _traceback_of(error: BaseException) -> str:
    """Return the traceback as text, beginning at the plugin's first frame."""
    trace = frames_of(error)
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith(_NOT_THE_PLUGINS):
        trace = trace.tb_next
    return traceback_of(error, trace)
