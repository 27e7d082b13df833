"""The command line. Each verb is a module of its own, which is imported when the verb is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from taskloom.cli.standard_streams import StandardStreams

__all__ = ["main"]

_INTERRUPTED, _NO_RESOURCES = 130, 75


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"] and os.getpid() == 1:
        _put_init_in_front()
    streams = StandardStreams.install()
    # Lost output never changes the exit code of a program that runs jobs.
    runs_jobs = given[:1] == ["run"] and not {"-h", "--help"}.intersection(given)
    try:
        code = _answer(given)
        if streams is not None:
            code = streams.final_code(code, keeps_code=runs_jobs)
            streams.restore()
    except KeyboardInterrupt:  # while it waited for the reader of a pipe
        code = _INTERRUPTED
    sys.exit(code)


def _answer(given: list[str]) -> int:
    if given in (["--version"], ["-V"]):
        # Scripts call this often, and importing click takes as long as three interpreter starts.
        from taskloom import __version__

        print(f"taskloom {__version__}")  # noqa: T201 - a verb's answer
        return 0
    from taskloom.cli.entry import call

    return call(given)


def _put_init_in_front() -> None:
    """Continue as a child of process 1. Here, since nothing large is imported yet, and no signal has been lost."""
    from taskloom.cli.program.init import stay_in_front

    try:
        stay_in_front()
    except OSError as error:
        print(f"taskloom: cannot start the program as process 1: {error.strerror}", file=sys.stderr)  # noqa: T201
        sys.exit(_NO_RESOURCES)
