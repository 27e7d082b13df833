"""Opens the output of one `taskloom run`, as its settings say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from taskloom.cli.program.event_output import EventOutput
from taskloom.cli.program.log_folder import open_log_folder
from taskloom.cli.program.settings import RunSettings
from taskloom.cli.program.shutdown import FLUSH_SECONDS
from taskloom.cli.resources import needed
from taskloom.observe.masking import Masker
from taskloom.observe.program_output import ProgramOutput

__all__ = ["open_output"]


def open_output(
    settings: RunSettings,
    events: EventOutput,
    masker: Masker,
    *,
    is_verbose: bool,
    warn: Callable[[str], object],
    undo: ExitStack,
) -> ProgramOutput:
    """Open the file of the events and the folder of the log files, and take over the standard streams.

    `undo` takes how to give them back. Raises OutOfResources if there is no thread for the output.
    """
    events.open()
    folder = open_log_folder(settings.log_dir)
    with needed("start the output thread"):
        shown = ProgramOutput(
            log_format=settings.log_format,
            level="debug" if is_verbose else settings.log_level,
            is_quiet=settings.is_quiet,
            color=settings.color,
            folder=folder,
            masker=masker,
            data_to_log=events.is_on_stdout,
            data=events.data_descriptor(),
        )
        events.connect(shown.output, warn)
        undo.callback(shown.output.close, FLUSH_SECONDS)
        shown.install()
        undo.callback(shown.remove)
    return shown
