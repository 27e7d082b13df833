"""The names of the jobs in a job file, without reading more of it than their keys."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

__all__ = ["job_names"]

_Loader: type = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Collection:
    """A mapping or a sequence that is open."""

    def __init__(self, *, is_mapping: bool) -> None:
        self._is_mapping = is_mapping
        self.is_at_key = is_mapping

    def pass_node(self) -> None:
        """Go from a key to its value, or from a value to the next key."""
        self.is_at_key = self._is_mapping and not self.is_at_key


def job_names(data: bytes) -> Iterator[str]:
    """Yield the names of the jobs of a job file, one after another; none after the first error in its text.

    For completion: nothing is checked, and no plugin is imported.
    """
    try:
        yield from _names(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        return


def _names(data: bytes) -> Iterator[str]:
    collections: list[_Collection] = []
    is_in_jobs = False
    for event in yaml.parse(data, Loader=_Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            collections.pop()
        elif isinstance(event, yaml.NodeEvent):
            if collections:
                if isinstance(event, yaml.ScalarEvent) and collections[-1].is_at_key:
                    if len(collections) == 1:
                        is_in_jobs = event.value == "jobs"
                    elif len(collections) == 2 and is_in_jobs:
                        yield event.value
                collections[-1].pass_node()
            if isinstance(event, yaml.CollectionStartEvent):
                collections.append(_Collection(is_mapping=isinstance(event, yaml.MappingStartEvent)))
