"""Errors that many jobs have for one cause: each is one problem, since one cause is fixed once."""

from __future__ import annotations

from collections.abc import Iterator

from taskloom.diagnostics import FieldError, MachineError, Place, Problem, Related
from taskloom.text import plural

__all__ = ["RepeatedErrors"]

_OPTIONS_OF_PROCESSES = (("runner", "process"), ("runner", "dask"))


class RepeatedErrors:
    """Finds the errors that an earlier job of the files has had, and counts the jobs that have them."""

    def __init__(self) -> None:
        self._said_of_defaults: set[tuple[Place, str]] = set()
        # The problem of the first job, and how many other jobs have it, by message.
        self._of_machine: dict[str, tuple[Problem, int]] = {}

    def takes(self, problem: Problem, error: FieldError, in_defaults: tuple[Related, ...]) -> bool:
        """Return whether the caller must not report this problem: an earlier job has it, or `problems` yields it.

        `in_defaults`: the place in `defaults:` of the value, if it is there and not in the job.
        """
        if isinstance(error, MachineError):
            first, others = self._of_machine.get(problem.message, (problem, -1))
            self._of_machine[problem.message] = first, others + 1
            return True
        # These options are files and users of this machine: one that is missing would be an error of a thousand jobs.
        if not in_defaults or error.loc[:2] not in _OPTIONS_OF_PROCESSES:
            return False
        key = in_defaults[0].place, error.message
        is_known = key in self._said_of_defaults
        self._said_of_defaults.add(key)
        return is_known

    def problems(self) -> Iterator[Problem]:
        """Yield the errors of this machine, each at the first job that has it and with the number of the others."""
        for first, others in self._of_machine.values():
            same = f" (the same for {plural(others, 'other job')})" if others else ""
            yield first._replace(message=f"{first.message}{same}")
