"""The events of one program: written nowhere, to a file, or to standard output, which they then have for themselves."""

from __future__ import annotations

import errno
from collections.abc import Callable

import click

from taskloom.cli.program.detached import move_standard_output
from taskloom.observe.event_file import EventFile, EventSink, EventStream, is_standard_output
from taskloom.observe.masking import Masker
from taskloom.observe.output import Output

__all__ = ["EventOutput"]


class EventOutput:
    """The destination of `--events PATH`. `path`: None if it was not given. Secrets that `masker` knows are masked."""

    def __init__(self, path: str | None, masker: Masker | None = None) -> None:
        self._path = path
        self._masker = masker or Masker()
        self.is_on_stdout = is_standard_output(path)
        """Whether tasks have to print to standard error."""
        self.sink: EventSink | None = None
        """The listener for the events, after `connect`."""

    def open(self) -> None:
        """Open the file, if there is one. Raises click.UsageError if it cannot be written."""
        if self._path is None or self.is_on_stdout:
            return
        try:
            self.sink = EventFile(self._path, self._masker)
        except OSError as error:
            why = "no program has opened this pipe for reading" if error.errno == errno.ENXIO else error.strerror
            raise click.UsageError(f"cannot write events to {self._path!r}: {why}") from None

    def data_descriptor(self) -> int:
        """Return the descriptor of standard output. If the events go there, nothing else can any more."""
        return move_standard_output() if self.is_on_stdout else 1

    def connect(self, output: Output, tell: Callable[[str], object]) -> None:
        """Have the events written to this output if they go to standard output. `tell` gets each failure at once."""
        if self.is_on_stdout:
            stream = EventStream(output.data, lambda: output.is_data_ended, self._masker)
            output.data_ended = stream.report_end
            self.sink = stream
        if self.sink is not None:
            self.sink.tell = tell
