"""The compiled modules of Taskloom that a run's processes are given: so they neither search for them nor compile them.

If Python writes no compiled files (`PYTHONDONTWRITEBYTECODE`, a folder that cannot be written), compiling takes more
than half of the start of a worker. The program has done it once.
"""

from __future__ import annotations

import functools
import marshal
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

__all__ = ["WORKER_MODULES", "code_of", "worker_code"]

_PACKAGE = Path(__file__).absolute().parents[2]

# All that a worker imports until its task is entered; a test compares. Not `taskloom` itself: a worker compares the
# version on the disk, whose other modules it may import later, with that of the program.
WORKER_MODULES = (
    "taskloom.clock", "taskloom.core", "taskloom.core.endings", "taskloom.core.enums", "taskloom.core.run_reports",
    "taskloom.diagnostics", "taskloom.errors", "taskloom.runners", "taskloom.runners.binding",
    "taskloom.runners.cancellations", "taskloom.runners.context", "taskloom.runners.error_info",
    "taskloom.runners.forked_child", "taskloom.runners.gauges", "taskloom.runners.run_thread",
    "taskloom.runners.stack_signal", "taskloom.runners.thread", "taskloom.runners.wire", "taskloom.runners.wire_lines",
    "taskloom.runners.wire_messages", "taskloom.sync", "taskloom.sync.cancel_callback",
    "taskloom.sync.cancel_token", "taskloom.sync.gate", "taskloom.sync.kept_thread", "taskloom.sync.latch",
    "taskloom.sync.own_descriptor", "taskloom.sync.prompt_thread", "taskloom.sync.sampler", "taskloom.sync.waker",
    "taskloom.sync.wakeup_fd", "taskloom.task", "taskloom.text", "taskloom.worker", "taskloom.worker.ending",
    "taskloom.worker.forked_children", "taskloom.worker.heartbeat", "taskloom.worker.listener",
    "taskloom.worker.logging_hook", "taskloom.worker.order", "taskloom.worker.sender", "taskloom.worker.stack_dumps",
    "taskloom.worker.termination", "taskloom.worker.worker",
)  # fmt: skip


@functools.cache
def worker_code() -> bytes:
    """Return the standard input of a worker: the file and the code of each module by its name, for `marshal`.

    A module that cannot be read is not in it: the worker imports it itself, and reports what is wrong.
    """
    found = {}
    for name in WORKER_MODULES:
        try:
            found[name] = code_of(name)
        except OSError:
            pass
    return marshal.dumps(found)


def code_of(name: str) -> tuple[str, CodeType]:
    """Return the file and the code of a module of Taskloom, compiled unless that was written. Raises OSError."""
    place = _PACKAGE.joinpath(*name.split(".")[1:])
    file = str(place / "__init__.py" if place.is_dir() else place.with_suffix(".py"))
    loader = SourceFileLoader(name, file)
    # The loader says None for modules without code, such as those in C.
    return file, loader.get_code(name) or loader.source_to_code(b"", file)
