"""JSON data with the secrets in its texts masked, and its words for programs as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["masked_data"]

# The names of fields whose values are identifiers or words of ours. A client could not go on without them, and a
# password may be equal to a word such as `running`.
_IDENTIFIERS = frozenset(
    {"action", "at", "code", "event", "family", "id", "job", "kind", "labels", "level", "marks", "outcome", "run"}
    | {"severity", "start", "state", "task", "waiting_for"}
)
# The names of mappings whose keys tasks have written. All other keys are ours, and programs read them.
_WITH_WRITTEN_KEYS = frozenset({"counts"})


def masked_data(mask: Callable[[str], str], data: Any, *, masks_keys: bool = False) -> Any:
    """Return the data with `mask` applied to every text in it, but for identifiers such as the name of a job.

    `masks_keys`: also to the keys of the outermost mapping.
    """
    if isinstance(data, str):
        return mask(data)
    if isinstance(data, Mapping):
        return {
            (mask(name) if masks_keys else name): value
            if name in _IDENTIFIERS and isinstance(value, str | list | tuple)
            else masked_data(mask, value, masks_keys=name in _WITH_WRITTEN_KEYS)
            for name, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [masked_data(mask, each) for each in data]
    return data
