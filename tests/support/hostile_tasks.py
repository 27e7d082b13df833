"""Tasks and packages with text that tries to drive a terminal, and with every way to spoil standard output."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["HOSTILE", "RAW_CONTROL", "install_packages"]

HOSTILE = "\x1b[31m\x07\x9b2J\u202e\u2066\x7f\r\u2028"
# What no line of ours may contain: line breaks aside, since they end our own lines.
RAW_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_ESCAPED = HOSTILE.encode("unicode_escape").decode()

_HOSTILE = f'''
import threading
from taskloom import PermanentFailure, Task, param

HOSTILE = "{_ESCAPED}"

class Hostile(Task):
    __doc__ = f"Summary {{HOSTILE}}\\\\tand\\\\n\\\\na paragraph {{HOSTILE}}."

    word: str = param(f"default {{HOSTILE}}", description=f"described {{HOSTILE}}\\\\nsecond line")
    how: str = "raise"

    def run(self, ctx):
        threading.current_thread().name += HOSTILE
        ctx.log.info("logged %s\\\\nsecond line\\\\ttab", HOSTILE)
        import logging
        logging.getLogger("other" + HOSTILE + "\\\\n").warning("from another logger")
        ctx.log.log(25, "of another level")
        ctx.count("count" + HOSTILE, 1)
        if self.how == "raise":
            raise ValueError(f"failed {{HOSTILE}}\\\\nsecond line")
        if self.how == "permanent":
            raise PermanentFailure(f"failed for good {{HOSTILE}}\\\\nsecond line")
        if self.how == "deaf":
            exec(compile("import time\\\\nwhile True: time.sleep(0.01)", "file" + HOSTILE, "exec"))
        ctx.on_cancel(lambda: 1 / 0)
        ctx.wait()

import logging
logging.addLevelName(25, "LEVEL" + HOSTILE)
'''
_HOSTILE = _HOSTILE.replace("\\\\", "\\")

_BROKEN = f'raise ImportError("cannot import this {_ESCAPED}\\nsecond line")\n'

_PRINTERS = '''
import codecs, contextlib, io, logging, logging.config, sys, threading

def rest(ctx, text: str = "rest", stays: bool = False):
    """Print without a newline."""
    print(text, end="")
    if stays:
        ctx.wait()

def threaded(ctx):
    """Let a thread print without a newline, and stay."""
    thread = threading.Thread(target=lambda: print("from a thread", end=""))
    thread.start()
    thread.join()
    ctx.log.info("the thread has ended")
    ctx.wait()

def raw_bytes(ctx):
    """Print bytes that drive a terminal."""
    sys.stdout.buffer.write(b"\\x1b[31m\\xff\\x00\\n")
    print("\\x1b[0m")

def errors(ctx):
    """Print to standard error."""
    print("line on stderr", file=sys.stderr)

def talker(ctx, lines: int = 3):
    """Log at once."""
    for number in range(lines):
        ctx.log.info("line %d", number)

def spoiler(ctx, how: str):
    """Wrap, close or replace standard output."""
    before = sys.stdout
    if how == "wrap":
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        print("wrapped")
        sys.stdout = before
    elif how == "keep":
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
        print("kept")
    elif how == "close":
        sys.stdout.close()
        sys.stderr.close()
        print("closed")
    elif how == "reopen":
        sys.stdout = open(sys.stdout.fileno(), "w", closefd=False)
        print("reopened")
        sys.stdout = before
    elif how == "codecs":
        sys.stdout = codecs.getwriter("utf-8")(sys.stdout.detach())
        print("codecs")
    elif how == "reconfigure":
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)
        print("reconfigured")
    elif how == "redirect":
        with contextlib.redirect_stdout(io.StringIO()):
            print("unseen")
        print("redirected")
    elif how == "original":
        print("original", file=sys.__stdout__)
    elif how == "none":
        sys.stdout = None
        print("nothing")

def configurer(ctx, how: str):
    """Set up logging as a script does, then log."""
    if how == "force":
        logging.basicConfig(force=True, level=logging.WARNING)
    elif how == "basic":
        logging.basicConfig(level=logging.DEBUG)
    elif how == "dict":
        logging.config.dictConfig({"version": 1, "handlers": {"c": {"class": "logging.StreamHandler"}},
                                   "root": {"handlers": ["c"], "level": "ERROR"}})
    elif how == "dict without root":
        logging.config.dictConfig({"version": 1})
    elif how == "clear":
        logging.getLogger().handlers.clear()
    elif how == "disable":
        logging.disable(logging.CRITICAL)
    ctx.log.info("after %s", how)
    ctx.wait(0.01)
'''

_AT_IMPORT = '''
import io, logging, logging.config, os, sys
earlier = logging.getLogger("earlier")
how = os.environ.get("AT_IMPORT", "")
if how == "basic":
    logging.basicConfig(level=logging.WARNING)
elif how == "force":
    logging.basicConfig(level=logging.WARNING, force=True)
elif how == "dict":
    logging.config.dictConfig({"version": 1, "handlers": {"c": {"class": "logging.StreamHandler"}},
                               "root": {"handlers": ["c"], "level": "ERROR"}})
elif how == "wrap":
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    sys.stderr = io.TextIOWrapper(sys.stderr.buffer, encoding="utf-8")
elif how == "close":
    sys.stdout.close()
    sys.stderr.close()
elif how == "print":
    print("printed at import")

def at_import(ctx):
    """Log and print."""
    ctx.log.info("says hello")
    earlier.info("says hello as well")
    print("prints hello")
'''


def install_packages(folder: Path) -> Path:
    """Write the tasks into a folder as installed packages, and return it."""
    names = ("rest", "threaded", "raw_bytes", "errors", "talker", "spoiler", "configurer")
    _install(folder, "hostile", _HOSTILE, ["hostile = hostile_mod:Hostile"])
    _install(folder, "broken", _BROKEN, ["broken = broken_mod:anything"])
    _install(folder, "printers", _PRINTERS, [f"{name} = printers_mod:{name}" for name in names])
    _install(folder, "importing", _AT_IMPORT, ["at_import = importing_mod:at_import"])
    return folder


def _install(folder: Path, name: str, code: str, tasks: list[str]) -> None:
    (folder / f"{name}_mod.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[taskloom.tasks]\n" + "\n".join(tasks) + "\n")
