"""The private names of Dask that a connection relies on: a release that drops one fails here, and not on a cluster.

dask_client says why there is no public way. The test has a process of its own, since Dask changes its process for good:
its logs, its exit handlers, and on Python 3.11 the search for distributions.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import pytest

PARAMETERS = {"_reconnect": ["self"], "_handle_report": ["self"], "_close": ["self", "fast"]}
# Those that ours take the place of: if nothing called them, a lost connection would never be seen.
CALLED = ("_reconnect", "_handle_report")


@pytest.mark.alone
def test_the_private_methods_of_dask_are_there_and_are_called() -> None:
    from distributed import Client

    release = f"Client of distributed {version('distributed')}"

    def method(name: str) -> Any:
        found = getattr(Client, name, None)
        assert found is not None, f"{release} has no method {name} any more"
        return inspect.unwrap(found)  # without its decorators

    methods = [inspect.unwrap(each) for each in vars(Client).values() if inspect.isfunction(each)]

    for name, parameters in PARAMETERS.items():
        assert inspect.iscoroutinefunction(method(name)), name
        assert list(inspect.signature(method(name)).parameters) == parameters, name
    for name in CALLED:
        assert any(name in each.__code__.co_names for each in methods), f"nothing in {release} calls {name} any more"
