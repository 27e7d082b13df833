"""A catalog of tasks that a test gives by name, so that nothing has to be installed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from taskloom.catalog.entry_points import Catalog, CatalogEntry, Kind, Offer

__all__ = ["GivenCatalog"]


class GivenCatalog(Catalog):
    """The given tasks, by name, and the given runners beside ours. `load` raises as it does for installed tasks."""

    def __init__(self, tasks: Mapping[str, object], runners: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self._given = dict(tasks)
        self._given_runners = dict(runners or {})

    def _offered(self, kind: Kind) -> list[Offer]:
        if kind == "runner":
            given = [
                Offer(CatalogEntry(name, "given", "", "?"), partial(_return, runner))
                for name, runner in sorted(self._given_runners.items())
            ]
            return [*(offer for offer in super()._offered(kind) if offer.entry.distribution == "taskloom"), *given]
        return [
            Offer(CatalogEntry(name, "given", "", getattr(task, "__module__", "?")), partial(_return, task))
            for name, task in sorted(self._given.items())
        ]


def _return(task: object) -> object:
    return task
