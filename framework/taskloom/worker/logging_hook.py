"""Sends log records as soon as something imports `logging`, which takes longer than all of the worker's own code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from taskloom.runners.wire import Logged

__all__ = ["send_logs"]

_NAME = "logging"


def send_logs(send: Callable[[Logged], object], levels: Mapping[str, int]) -> None:
    """Pass the records of all loggers to `send`: from now on, or from the import of `logging` on."""
    if _NAME in sys.modules:
        _install(send, levels)
    else:
        sys.meta_path.insert(0, _Hook(lambda: _install(send, levels)))


def _install(send: Callable[[Logged], object], levels: Mapping[str, int]) -> None:
    from taskloom.worker.log_records import install

    install(send, levels)


class _Hook:
    """Stands first among the finders of modules until `logging` is imported, and calls `imported` right after that."""

    def __init__(self, imported: Callable[[], object]) -> None:
        self._imported = imported

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """Return the spec of `logging` as the other finders have it; None for every other module."""
        if name != _NAME:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return self._with_call(spec)
        return None

    def _with_call(self, spec: ModuleSpec) -> ModuleSpec:
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            spec.loader.exec_module = execute  # type: ignore[union-attr,method-assign]
            self._imported()

        loader.exec_module = exec_module
        return spec
