"""The private names of Dask that a connection relies on: a release that drops one fails here, and not on a cluster.

dask_client says why there is no public way.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import pytest
from distributed import Client


def method(name: str) -> Any:
    """Return the method of Dask's client, without its decorators."""
    found = getattr(Client, name, None)
    assert found is not None, f"Client of distributed {version('distributed')} has no method {name} any more"
    return inspect.unwrap(found)


@pytest.mark.parametrize(
    ("name", "parameters"), [("_reconnect", ["self"]), ("_handle_report", ["self"]), ("_close", ["self", "fast"])]
)
def test_a_private_method_of_dask_is_there(name: str, parameters: list[str]) -> None:
    assert inspect.iscoroutinefunction(method(name))
    assert list(inspect.signature(method(name)).parameters) == parameters


@pytest.mark.parametrize("name", ["_reconnect", "_handle_report"])
def test_a_private_method_of_dask_is_still_called(name: str) -> None:
    """Otherwise the one that takes its place would never see that a connection was lost."""
    methods = [inspect.unwrap(each) for each in vars(Client).values() if inspect.isfunction(each)]

    callers = [each.__name__ for each in methods if name in each.__code__.co_names]

    assert callers, f"nothing in Client of distributed {version('distributed')} calls {name} any more"
