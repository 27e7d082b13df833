"""A catalog of tasks that a test gives by name, so that nothing has to be installed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from taskloom.catalog.entry_points import Catalog, CatalogEntry, Kind, Offer

__all__ = ["GivenCatalog"]


class GivenCatalog(Catalog):
    """The given tasks, by name; the only runner is `thread`. `load` raises as it does for installed tasks."""

    def __init__(self, tasks: Mapping[str, object]) -> None:
        super().__init__()
        self._given = dict(tasks)

    def _offered(self, kind: Kind) -> list[Offer]:
        if kind == "runner":
            return [offer for offer in super()._offered(kind) if offer.entry.distribution == "taskloom"]
        return [
            Offer(CatalogEntry(name, "given", "", getattr(task, "__module__", "?")), partial(_return, task))
            for name, task in sorted(self._given.items())
        ]


def _return(task: object) -> object:
    return task
