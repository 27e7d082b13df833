"""Reads the text of metrics back, with the parser of the library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

__all__ = ["families_of", "values_of"]

# The library has no types for it.
_parse: Callable[[str], Iterator[Metric]] = text_string_to_metric_families


def families_of(text: str) -> Mapping[str, Metric]:
    """Return the families by name. Raises ValueError if the text is not OpenMetrics."""
    return {family.name: family for family in _parse(text)}


def values_of(text: str, name: str) -> dict[str, float]:
    """Return the values of one metric, by the values of its labels but the task."""
    samples = [each for family in families_of(text).values() for each in family.samples if each.name == name]
    return {" ".join(v for k, v in sorted(each.labels.items()) if k != "task"): each.value for each in samples}
