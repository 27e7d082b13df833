"""The page about commands: each setting of supervisord has its row, and each parameter of the task is on the page."""

from __future__ import annotations

from pathlib import Path

from taskloom.catalog.params import inspect_task
from taskloom_plugins.command import Command

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")

# The settings of `[program:x]`, from the manual of supervisord 4.2.
SUPERVISORD = """
command process_name numprocs numprocs_start priority autostart startsecs startretries autorestart exitcodes stopsignal
stopwaitsecs stopasgroup killasgroup user redirect_stderr stdout_logfile stdout_logfile_maxbytes stdout_logfile_backups
stdout_capture_maxbytes stdout_events_enabled stdout_syslog stderr_logfile stderr_logfile_maxbytes
stderr_logfile_backups stderr_capture_maxbytes stderr_events_enabled stderr_syslog environment directory umask serverurl
""".split()  # noqa: SIM905 - as a list it would be a page long


def test_each_setting_of_supervisord_has_a_row() -> None:
    table = PAGE.partition("## Coming from supervisord")[2].partition("\n## ")[0]
    first_cells = "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))

    assert [name for name in SUPERVISORD if f"`{name}`" not in first_cells] == []


def test_each_parameter_of_the_task_is_on_the_page() -> None:
    assert [param.name for param in inspect_task(Command).params if f"`{param.name}" not in PAGE] == []
