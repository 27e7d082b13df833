"""The lines of the jobs are kept here: in the ring, and in the log files. Also decides which messages are logged.

A message is dropped if its level is below that of its job, or of the program if the job sets none. Prints have no
level: they are always kept. Everything that comes here is masked already.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from taskloom.clock import wall
from taskloom.core.model import JobSpec
from taskloom.observe.log_file import file_name
from taskloom.observe.log_files import FileLine, LogFiles
from taskloom.observe.log_format import LogFormat, LogMessage
from taskloom.observe.log_ring import LogRing, Origin
from taskloom.text import shortened

__all__ = ["PROGRAM_FILE", "JobLogs", "level_number"]

PROGRAM_FILE = "_taskloom"
"""The log file of lines that are about no job. No job has such a name."""
UNKNOWN = "unknown"
"""In the place of the job, for prints of a thread whose job is not known."""
# A longer line loses its middle. A traceback has as much.
MOST_LINE = 64 * 1024
_NUMBERS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


def level_number(level: str) -> int:
    """Return the number of a level; that of INFO if it is not known."""
    found = _NUMBERS.get(level) or logging.getLevelName(level)
    return found if isinstance(found, int) else logging.INFO


class _JobLog(NamedTuple):
    level: int
    path: str | None


class JobLogs:
    """The logs of all jobs of one program. Any thread may call any method; none of them blocks.

    `folder`: that of the log files, which exists; None for none. `tell` gets a sentence when files cannot be written.
    """

    def __init__(
        self,
        *,
        level: int = logging.INFO,
        folder: str | None = None,
        log_format: LogFormat = LogFormat.FULL,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.ring = LogRing()
        """The last lines of each job."""
        self.ring.folder = folder
        self.printed: Callable[[bytes, str], object] = self.ring.add_print
        """Keeps a line that a run has printed ("" for an unknown one), with its line break if it has one.

        Looked up for each print, and without a layer in between: a flood of prints comes through here.
        """
        self.least_level = level
        """The lowest of all levels: what is below is logged nowhere."""
        self._level = level
        self._folder = folder
        # Paths of the job files are relative to it, also after a task has changed the working directory.
        self._working_folder = _working_folder()
        self._jobs: Mapping[str, _JobLog] = {}
        self._program = _JobLog(level, self._path(PROGRAM_FILE))
        self._files = LogFiles(folder, tell, log_format=log_format)
        self._files.on_problem = partial(setattr, self.ring, "problem")
        self._is_detached = False

    @property
    def problem(self) -> str:
        """Why log files cannot be written at the moment; "" if they can."""
        return self._files.problem

    @property
    def dropped(self) -> int:
        """How many lines of log files were dropped."""
        return self._files.dropped

    def apply(self, specs: Iterable[JobSpec]) -> None:
        """Use the `log` of these jobs from now on. Raises RuntimeError if files need a thread, and none can be had.

        Jobs that are no longer declared are remembered: their last lines may still come.
        """
        jobs = {each.name: self._of(each) for spec in specs for each in spec.replicated()}
        files = {log.path for log in jobs.values()}
        self._files.jobs = max(1, len(files))
        if self._folder is not None or files != {None}:
            self._files.start()
            self.printed = self.print_to_files
        self._jobs = {**self._jobs, **jobs}
        self.least_level = min([self._level, *(log.level for log in jobs.values())])

    def passes(self, level: int, job: str) -> bool:
        """Return whether messages of this level are logged for a job; for the program, if it is none."""
        return level >= self._jobs.get(job, self._program).level

    def message(self, message: LogMessage, at: float) -> None:
        """Keep a message. `at`: seconds since the epoch."""
        if self._is_detached:
            return
        text, log = _cut(message.text), self._jobs.get(message.job)
        key = message.job if log is not None or message.run else ""
        self.ring.add(at, text, Origin(key, message.level, message.job, message.run))
        path = (self._program if log is None else log).path
        if path is not None:
            self._files.put(path, FileLine(at, message.level, message.job, message.run, text))

    def print_to_files(self, line: bytes, run: str) -> None:
        """Keep a line that a run has printed, also in its file."""
        self.ring.add_print(line, run)
        job = run.rpartition("#")[0]
        path = self._jobs.get(job, self._program).path
        if path is not None:
            self._files.put(path, FileLine(wall(), "INFO", job or UNKNOWN, run, line))

    def finish(self, seconds: float) -> int:
        """Write what is queued for the files within `seconds`; return how many lines were lost."""
        return self._files.finish(seconds)

    def detach(self) -> None:
        """Keep nothing any more: called in a forked child, which has neither the ring nor the thread for files."""
        self._is_detached = True
        self.printed = _drop

    def _of(self, spec: JobSpec) -> _JobLog:
        level = self._level if spec.log.level is None else level_number(spec.log.level.value.upper())
        return _JobLog(level, self._path_of(spec))

    def _path_of(self, spec: JobSpec) -> str | None:
        file = spec.log.file
        if file is None:
            return None
        if not file:
            return self._path(spec.name)
        return os.path.normpath(os.path.join(self._working_folder, file))  # noqa: PTH118 - paths are text

    def _path(self, job: str) -> str | None:
        return None if self._folder is None else os.path.join(self._folder, file_name(job))  # noqa: PTH118


def _working_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - paths are text
    except OSError:
        return ""  # it was removed


def _drop(line: bytes, run: str) -> None:
    """Keep nothing."""


def _cut(text: str) -> str:
    return shortened(text.removesuffix("\n"), MOST_LINE, joint="\n")
