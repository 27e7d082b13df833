"""The folder of `--log-dir`: made before the jobs start, so that a mistake in it is told at once."""

from __future__ import annotations

import errno
import os

import click

from taskloom.observe.log_file import make_folder

__all__ = ["open_log_folder"]

# These pass: a full disk gets room again, and the jobs need not wait for that.
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)


def open_log_folder(path: str | None) -> str | None:
    """Make the folder if it is missing; return its absolute path, since a task may change the working directory.

    Raises click.UsageError if it cannot be made, is not a folder or may not be written.
    """
    if path is None:
        return None
    try:
        folder = os.path.abspath(path)  # noqa: PTH100 - paths are text here
        make_folder(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
    except FileExistsError:
        raise click.UsageError(f"cannot write log files to {path!r}: it is not a folder") from None
    except ValueError as error:  # a null byte
        raise click.UsageError(f"cannot write log files to {path!r}: {error}") from None
    except OSError as error:
        if error.errno not in _PASSING:
            raise click.UsageError(
                f"cannot write log files to {path!r}: {(error.strerror or str(error)).lower()}"
            ) from None
    return folder
