"""Exceptions that reach the main thread while jobs run.

They come from bugs of ours, from a lack of memory, or from code of others that runs on the main thread: a signal
handler that a plugin has set may call `sys.exit`, and a library that resets SIGINT lets Ctrl-C raise KeyboardInterrupt.
The program stops its jobs then, as for any other reason; here is what it writes and the exit code that follows.
"""

from __future__ import annotations

from taskloom.cli.resources import advice_for, bug_sentence, say_traceback
from taskloom.core.report import ExitCode

__all__ = ["MOST_ERRORS", "MOST_WHILE_LISTENING", "MainThreadErrors"]

# An error that comes again each time: after these, the stop is awaited without reading signals (the watcher counts
# them all the same), and after MOST_ERRORS the program exits at once.
MOST_WHILE_LISTENING, MOST_ERRORS = 3, 10
# More tracebacks than these would hide the first.
MOST_WRITTEN = 3


class MainThreadErrors:
    """Writes each exception to the real standard error, whatever `sys.stderr` is. Only the main thread calls it."""

    def __init__(self) -> None:
        self.code = ExitCode.FINE
        """The exit code because of them, where no job gives another one."""
        self._written = 0

    def record(self, error: BaseException) -> None:
        """Write the traceback, and keep the exit code of the first one. A KeyboardInterrupt counts as SIGINT."""
        if self._written < MOST_WRITTEN:
            self._written += 1
            say_traceback(error, f"{_sentence(error)}; all jobs are stopped")
        if self.code is ExitCode.FINE:
            self.code = self._code(error)

    def _code(self, error: BaseException) -> ExitCode:
        if isinstance(error, KeyboardInterrupt):
            return ExitCode.INTERRUPTED
        return ExitCode.NO_RESOURCES if advice_for(error) else ExitCode.BUG


def _sentence(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "taskloom: Ctrl-C raised KeyboardInterrupt: a library had replaced the handler of SIGINT"
    if isinstance(error, SystemExit):
        return f"{bug_sentence()}, unless a signal handler of a plugin called sys.exit({error.code!r})"
    advice = advice_for(error)
    return f"taskloom: out of resources on the main thread; {advice}" if advice else bug_sentence()
