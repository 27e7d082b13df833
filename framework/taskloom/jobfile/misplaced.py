"""A key that is legal, but at another level of a job: a param beside `params`, a field or a runner's option in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskloom.diagnostics import FieldError
from taskloom.jobfile.fields.process_options import PROCESS_OPTIONS
from taskloom.jobfile.fields.registry import FIELDS

if TYPE_CHECKING:
    from taskloom.catalog.params import TaskShape

__all__ = ["told_level"]


def told_level(error: FieldError, shape: TaskShape) -> FieldError:
    """Return the error with a hint that names the level of its key; as it is if the key belongs to none.

    A near match among the fields of the job stays.
    """
    if not error.at_key:
        return error
    params = {param.name for param in shape.params}
    match error.loc:
        case (str(key),) if key not in FIELDS and key in params and not error.hint:
            return error._replace(hint=f"write it below params: {key} is a parameter of the task")
        case ("params", str(key)) if key not in params and key in FIELDS:
            return error._replace(hint=f"write it beside params: {key} is a field of the job")
        case (str(key),) | ("params", str(key)) if key not in FIELDS and key not in params and key in PROCESS_OPTIONS:
            return error._replace(hint=f"write runner: {{process: {{{key}: ...}}}}")
    return error
