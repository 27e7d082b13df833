"""The settings of one `taskloom run`: from its command line, the environment, the job files, or the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from taskloom.core.policies import STOP_WITHIN_SECONDS
from taskloom.jobfile.fields.history import HistorySetting
from taskloom.jobfile.fields.metrics import MetricsAddress
from taskloom.jobfile.fields.notify import Receivers
from taskloom.observe.log_format import LogFormat

if TYPE_CHECKING:
    from taskloom.cli.settings import Given
    from taskloom.jobfile.fields.http import HttpSetting

__all__ = ["RunSettings"]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings of a whole program, beside its jobs."""

    name: str | None = None
    """By which other programs find it; None: made from its first path."""
    stop_within: float = STOP_WITHIN_SECONDS
    """Seconds for the whole stop, inf for no deadline."""
    log_format: LogFormat | None = None
    """None: the one that suits the terminal."""
    log_level: str = "info"
    """The least level that is written to stderr: `debug`, `info`, `warning` or `error`."""
    log_dir: str | None = None
    """The folder of one log file a job; None: no files."""
    color: str = "auto"
    """`auto`, `always` or `never`."""
    is_quiet: bool = False
    """Whether only warnings, errors and the summary are written to stderr."""
    control: bool = True
    """Whether the program listens for control requests."""
    socket: str | None = None
    """The path of the control socket; None: in the first folder that suits."""
    history: HistorySetting = field(default_factory=HistorySetting)
    """Whether and where the program records what happened."""
    http: HttpSetting | None = None
    """The address at which it serves its web page; None for none."""
    notify: Receivers | None = None
    """The receivers of notifications; None for none."""
    metrics: MetricsAddress | None = None
    """The address at which the program gives its metrics; None: none."""
    metrics_from: str = ""
    """The option, the variable or the place in a file that has set this address."""

    def with_given(self, given: Mapping[str, Given]) -> RunSettings:
        """Return these settings with those that the environment and the job files may have, too."""
        log_format, control = given["log_format"].value, given["control"].value
        return replace(
            self,
            name=given["name"].value,
            stop_within=given["stop_within"].value,
            log_format=None if log_format == "text" else LogFormat(log_format),
            log_level=given["log_level"].value,
            log_dir=given["log_dir"].value,
            control=control is not False,
            socket=control if isinstance(control, str) else None,
            history=given["history"].value,
            http=given["http"].value,
            notify=given["notify"].value,
            metrics=given["metrics"].value,
            metrics_from="" if given["metrics"].value is None else str(given["metrics"]),
        )
