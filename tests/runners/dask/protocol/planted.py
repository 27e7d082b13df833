"""Looks for a planted bug: `python -m tests.runners.dask.protocol.planted MODULE N` fails if it is found.

The bug is the N-th of `mutants/MODULE.yaml`. It is planted while the module is imported; no file is changed. N = -1
plants none. First some random networks are played, then the tables of both machines.
"""

from __future__ import annotations

import resource
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import pytest
import yaml

__all__ = ["PROTOCOL", "Mutant", "read_mutants"]

HERE = Path(__file__).parent
PROTOCOL = "taskloom.runners.dask.protocol"
TABLES = ("test_placement.py", "test_agent.py", "test_journal.py", "test_cost.py")
SCENARIOS = 15
# A mutant that loops for ever, or that fills the memory, is found too.
CPU_SECONDS, BYTES = 40, 1 << 30


class Mutant(NamedTuple):
    """A planted bug: the module of the protocol, the original text and its replacement."""

    name: str
    module: str
    number: int
    old: str
    new: str


def read_mutants() -> list[Mutant]:
    return [
        Mutant(bug["name"], file.stem, number, bug["old"], bug["new"])
        for file in sorted((HERE / "mutants").glob("*.yaml"))
        for number, bug in enumerate(yaml.safe_load(file.read_text(encoding="utf-8")))
    ]


class _Loader(SourceFileLoader):
    mutant: Mutant

    def get_code(self, fullname: str) -> CodeType:
        text = Path(self.path).read_text(encoding="utf-8")
        assert text.count(self.mutant.old) == 1
        return compile(text.replace(self.mutant.old, self.mutant.new), self.path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname != f"{PROTOCOL}.{self._mutant.module}":
            return None
        spec = PathFinder.find_spec(fullname, path)  # type: ignore[arg-type]
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(fullname, spec.origin)
        loader.mutant = self._mutant
        spec.loader = loader
        return spec


def play() -> None:
    """Play some scenarios, of which the first has no fault. Ends the process if one breaks a rule."""
    from tests.runners.dask.protocol.network_checker import violations
    from tests.runners.dask.protocol.random_network import Network

    for seed in range(SCENARIOS):
        found = violations(Network(seed).run())
        if found:
            sys.exit("\n".join(found[:3]))


def main(module: str, number: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    for mutant in read_mutants():
        if (mutant.module, mutant.number) == (module, number):
            sys.meta_path.insert(0, _Finder(mutant))
    play()
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-o", "timeout=0"]
    sys.exit(pytest.main([*options, *(str(HERE / name) for name in TABLES)]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
