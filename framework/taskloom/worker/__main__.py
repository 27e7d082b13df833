"""Executes one run in this process: `python -P .../taskloom/worker/__main__.py CONTROL JOB`, or `-m taskloom.worker`.

CONTROL is the descriptor of the socket to the program; the messages are those of `taskloom.runners.wire`. JOB is there
for people who look at the list of processes. Standard input holds compiled modules of Taskloom, or nothing; the task
finds it empty.

Nothing but the standard library is imported before the first message has come, since that has the `sys.path` of the
program. So this module reads it by hand, and reports by hand that Taskloom cannot be imported.
"""

from __future__ import annotations

import json
import marshal
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType
from typing import NoReturn

# As in `taskloom.runners.wire_lines`, which cannot be imported yet.
LONGEST_LINE = 1024 * 1024
FAILED = 1


def main() -> NoReturn:
    """Execute the run and exit with 0; with 1 if that is not possible. Never returns: the interpreter does not end."""
    if len(sys.argv) != 3 or not sys.argv[1].isdecimal():
        sys.exit("cannot be started by hand: a program with runner process starts it")
    control = int(sys.argv[1])
    os.set_inheritable(control, False)
    line, rest = read_first_line(control)
    own_path, sys.path = sys.path, sys_path_of(line)
    sys.meta_path.insert(0, SentModules(take_standard_input()))
    try:
        from taskloom.worker.worker import execute
    except BaseException as error:  # noqa: BLE001 - even SystemExit: it is reported, and this process ends
        sys.path = own_path
        report_failed_import(control, error)
    else:
        execute(control, line, rest)
    os._exit(FAILED)


def read_first_line(control: int) -> tuple[bytes, bytes]:
    """Return the first line, and what has come after it. Exits if the program is gone or sends no line."""
    data = b""
    while b"\n" not in data:
        try:
            part = os.read(control, 65536)
        except OSError:
            part = b""
        data += part
        if not part or len(data) > 2 * LONGEST_LINE:
            os._exit(FAILED)
    line, _, rest = data.partition(b"\n")
    return line, rest


def sys_path_of(line: bytes) -> list[str]:
    """Return the `sys.path` of the first message; the rest of it is checked later. Exits if it is no such message."""
    try:
        found = json.loads(line)["spec"]["sys_path"]
        return [str(entry) for entry in found]
    except (ValueError, TypeError, LookupError, RecursionError):
        sys.exit("the program broke the protocol: its first message is not a spec")


class SentModules:
    """Finds the modules of Taskloom that the program has sent, each once: to reload one, its file is read."""

    def __init__(self, data: bytes) -> None:
        self._modules: dict[str, tuple[str, CodeType]] = marshal.loads(data) if data else {}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return how to import the module; None if it was not sent."""
        if name not in self._modules:
            return None
        file, code = self._modules.pop(name)
        folder, base = os.path.split(file)
        spec = ModuleSpec(name, SentModule(name, file, code), origin=file, is_package=base == "__init__.py")
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(folder)
        return spec


class SentModule(SourceFileLoader):
    """Imports one of them. All that looks at the module later finds its file."""

    def __init__(self, name: str, file: str, code: CodeType) -> None:
        super().__init__(name, file)
        self._codes = [code]

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code, once."""
        return self._codes.pop() if self._codes else super().get_code(fullname)


def take_standard_input() -> bytes:
    """Return all of it, and let descriptor 0 read nothing from now on."""
    parts = []
    try:
        while part := os.read(0, 1 << 20):
            parts.append(part)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
    except OSError:
        pass  # it is closed, or there are no more descriptors: it is at its end
    return b"".join(parts)


def report_failed_import(control: int, error: BaseException) -> None:
    """Report that the code of the worker cannot be imported: the package was removed or replaced, or is broken."""
    import traceback

    text = "".join(traceback.format_exception(error))[-LONGEST_LINE // 16 :]
    message = "cannot import taskloom in the process of the run: was the package replaced since the program started?"
    data = {"type": "ImportError", "message": message, "traceback": text, "is_explained": False}
    try:
        os.write(control, json.dumps({"start_failed": data}).encode() + b"\n")
    except OSError:
        pass  # the program is gone, too


if __name__ == "__main__":
    main()
