"""The command line. Each verb is a module of its own, which is imported when the verb is called."""

from __future__ import annotations

import os
import sys

# Type checkers treat this name as True. Importing `typing` takes memory that may be missing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["main"]

_NO_RESOURCES, _INTERRUPTED = 75, 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_call(given))


def _call(arguments: list[str]) -> int:
    """Call the verb. It also says what is missing where the system refuses the memory or the files of an import."""
    try:
        from taskloom.cli.resources import end_of
    except MemoryError:
        os.write(2, b"taskloom: cannot begin: out of memory; nothing was started\n")
        return _NO_RESOURCES
    try:
        if arguments[:1] == ["run"] and os.getpid() == 1:
            _put_init_in_front()
        from taskloom.cli.standard_streams import StandardStreams

        streams = StandardStreams.install()
    except (ImportError, MemoryError, OSError, SystemError) as error:
        return end_of(error)
    # Lost output never changes the exit code of a program that runs jobs.
    runs_jobs = arguments[:1] == ["run"] and not {"-h", "--help"}.intersection(arguments)
    try:
        code = _answer(arguments)
        if streams is not None:
            code = streams.final_code(code, keeps_code=runs_jobs)
            streams.restore()
    except KeyboardInterrupt:  # while it waited for the reader of a pipe
        code = _INTERRUPTED
    return code


def _answer(arguments: list[str]) -> int:
    if arguments in (["--version"], ["-V"]):
        # Scripts call this often, and importing click takes as long as three interpreter starts.
        from taskloom import __version__

        print(f"taskloom {__version__}")  # noqa: T201 - a verb's answer
        return 0
    from taskloom.cli.resources import OutOfResources, end_of, room_to_import

    try:
        room_to_import()
        from taskloom.cli.entry import call
    except (ImportError, MemoryError, OSError, OutOfResources, SystemError) as error:
        return end_of(error)
    return call(arguments)


def _put_init_in_front() -> None:
    """Continue as a child of process 1. Here, since nothing large is imported yet, and no signal has been lost."""
    from taskloom.cli.program.init import stay_in_front

    try:
        stay_in_front()
    except OSError as error:
        print(f"taskloom: cannot start the program as process 1: {error.strerror}", file=sys.stderr)  # noqa: T201
        sys.exit(_NO_RESOURCES)
