"""All fields of a job. Job files, jobs declared in code, the JSON Schema and the reference are made from this table.

A new field is a module that declares a `Field`, and a line here: the order is that of the reference.
"""

from __future__ import annotations

from collections.abc import Mapping

from taskloom.jobfile.fields import basic
from taskloom.jobfile.fields.after import AFTER
from taskloom.jobfile.fields.join import JOIN
from taskloom.jobfile.fields.restart import RESTART
from taskloom.jobfile.fields.runner import RUNNER
from taskloom.jobfile.fields.schedule import SCHEDULE
from taskloom.jobfile.fields.spec import Field
from taskloom.jobfile.fields.start import START
from taskloom.jobfile.fields.watchdog import WATCHDOG

__all__ = ["FIELDS"]

FIELDS: Mapping[str, Field] = {
    field.name: field
    for field in (
        basic.TASK,
        basic.PARAMS,
        basic.DESCRIPTION,
        basic.LABELS,
        basic.ENABLED,
        basic.DAEMON,
        basic.POLL_INTERVAL,
        JOIN,
        START,
        SCHEDULE,
        AFTER,
        RESTART,
        basic.TIMEOUT,
        basic.READY_WITHIN,
        WATCHDOG,
        basic.ESSENTIAL,
        basic.REPLICAS,
        RUNNER,
    )
}
