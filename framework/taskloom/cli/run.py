"""`taskloom run`: its command line. The work is done in `program`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from taskloom.cli.completion.known_names import complete_paths
from taskloom.cli.options import HistoryPlace, MetricsPlace, ProgramName, Seconds, env_file_option

if TYPE_CHECKING:
    from taskloom.jobfile.fields.history import HistorySetting
    from taskloom.jobfile.fields.metrics import MetricsAddress

__all__ = ["run"]


def _refuse_view(_context: click.Context, _option: click.Parameter, is_given: bool) -> None:
    """Refuse what other tools have: a view that fails or stalls must not be in the process that keeps the jobs."""
    if is_given:
        raise click.UsageError(
            "cannot show a full screen in the process that keeps the jobs; taskloom top shows it from another terminal"
        )


@click.command(short_help="Run the jobs of job files until they end or a signal stops them.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=complete_paths)
@click.option("--stop-within", type=Seconds(allows_forever=True),
              help="How long stopping all jobs may take; forever means no limit. [default: 30s]")  # fmt: skip
@env_file_option
@click.option("--events", type=click.Path(), metavar="PATH",
              help="Append every event as a JSON line to this file; - is standard output, and then what tasks print "
                   "goes to stderr.")  # fmt: skip
@click.option("-l", "--label", "labels", multiple=True, metavar="LABEL",
              help="Run only jobs with this label, and what they start after; several: any of them.")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="Format of the summary at the end: text on stderr, or JSON on stdout.")  # fmt: skip
@click.option("--log-format", type=click.Choice(["text", "short", "full", "json"]),
              help="Format of the log: short has the time, full also the date and the zone, json is an object a line, "
                   "text is short on a terminal, else full. [default: text]")  # fmt: skip
@click.option("--name", type=ProgramName(), metavar="NAME",
              help="The name by which taskloom status and the other verbs find this program. [default: that of the "
                   "first PATH, with a hash]")  # fmt: skip
@click.option("--socket", type=click.Path(), metavar="PATH",
              help="Listen for the other verbs on this unix socket. [default: in $RUNTIME_DIRECTORY, "
                   "$XDG_RUNTIME_DIR/taskloom, /run/taskloom or /tmp/taskloom-UID]")  # fmt: skip
@click.option("--no-control", is_flag=True,
              help="Listen on no socket: the other verbs do not see this program.")  # fmt: skip
@click.option(
    "--http",
    metavar="HOST:PORT",
    help="Serve the web page and the API at this address, such as 127.0.0.1:8080. Needs the extra web.",
)
@click.option(
    "--http-host",
    "http_hosts",
    multiple=True,
    metavar="NAME",
    help="A host name by which browsers reach the page, behind a proxy for instance; may be repeated.",
)
@click.option("--http-cert", type=click.Path(), metavar="PATH", help="The certificate for TLS, a PEM file.")
@click.option("--http-key", type=click.Path(), metavar="PATH", help="The key of the certificate, a PEM file.")
@click.option(
    "--http-insecure",
    is_flag=True,
    help="Let other machines reach the page without TLS, where a proxy or a private network protects it.",
)
@click.option("--new-token", is_flag=True,
              help="Make new tokens for the page; links with the old ones no longer work.")  # fmt: skip
@click.option("--history", type=HistoryPlace(), metavar="on|off|PATH|URL",
              help="Record what happens in this database, for taskloom history and taskloom report. [default: on, a "
                   "file in the state folder, if the extra history is installed]")  # fmt: skip
@click.option("--metrics", type=MetricsPlace(), metavar="ADDR",
              help="Give metrics for Prometheus, /livez and /readyz at HOST:PORT, [IPV6]:PORT or unix:///PATH, to "
                   "everyone who can reach it.")  # fmt: skip
@click.option("--fresh", is_flag=True,
              help="Begin as if the program had never run: ignore the pauses, restarts and last instants that the "
                   "history has.")  # fmt: skip
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]),
              help="Least level of the messages in the log; a job may set its own. [default: info]")  # fmt: skip
@click.option("--log-dir", type=click.Path(), metavar="PATH",
              help="Also write the output of each job to a file of its own in this folder.")  # fmt: skip
@click.option("--color", type=click.Choice(["auto", "always", "never"]),
              help="Whether the log has colours. [default: auto: on a terminal, unless NO_COLOR is set]")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True,
              help="Show only warnings, errors and the summary on stderr.")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True,
              help="Also log debug messages, and what the scheduler decides: what each job waits for, "
                   "and until when.")  # fmt: skip
@click.option("--tui", is_flag=True, hidden=True, expose_value=False, callback=_refuse_view)
def run(  # noqa: PLR0917 - click passes them by name
    paths: tuple[str, ...],
    stop_within: float | None,
    env_files: tuple[str, ...],
    events: str | None,
    labels: tuple[str, ...],
    output: str,
    log_format: str | None,
    log_level: str | None,
    log_dir: str | None,
    color: str | None,
    quiet: bool,
    name: str | None,
    socket: str | None,
    no_control: bool,
    http: str | None,
    http_hosts: tuple[str, ...],
    http_cert: str | None,
    http_key: str | None,
    http_insecure: bool,
    new_token: bool,
    history: HistorySetting | None,
    metrics: MetricsAddress | None,
    fresh: bool,
    verbose: bool,
) -> int:
    """Run the jobs of job files until they end or a signal stops them.

    Each PATH is a job file, a directory of job files, or - for standard input; without one it is taskloom.yaml, else
    jobs/. When all jobs without `daemon: true` have ended, the daemon jobs are stopped and the program ends. Log lines
    and the summary go to stderr. Options go before the variables TASKLOOM_STOP_WITHIN, TASKLOOM_LOG_FORMAT and so on,
    and these before `taskloom:` of a job file.

    \b
    Signals:
      INT, TERM   stop all jobs gracefully; the second allows 2 more seconds; the third exits at once
      HUP         read the job files again and apply all changes, or none if a file has an error;
                  if stdin is a terminal, stop all jobs like INT
      QUIT        show the state of every job and its stack; nothing stops

    \b
    Exit codes:
      0      no job failed, and all jobs stopped in time
      1      a job failed
      2      a job file or the command line has an error; nothing was started
      3      a job did not stop in time
      75     no thread, process, memory or file descriptor to begin with; nothing was started
      70     a bug in Taskloom
      130    stopped by INT (Ctrl-C)
      137    killed by the watcher, since the program did not end in time
      128+N  ended at once by a third signal with number N

    \b
    Examples:
      taskloom run jobs/quickstart.yaml
      taskloom run jobs/ --stop-within 10s --events events.jsonl
    """
    from taskloom.cli.default_paths import paths_or_default
    from taskloom.cli.http_options import http_setting
    from taskloom.cli.program.program import Program
    from taskloom.cli.program.settings import RunSettings
    from taskloom.cli.settings import Flag, Sources
    from taskloom.observe.event_file import is_standard_output

    if output == "json" and is_standard_output(events):
        raise click.UsageError(
            f"cannot write both events (--events {events}) and the summary (--output json) to standard output; "
            "expected --events PATH, or --output text"
        )
    if verbose and (quiet or log_level in ("info", "warning", "error")):
        other = "--quiet" if quiet else f"--log-level {log_level}"
        raise click.UsageError(f"cannot use --verbose with {other}; expected one of them")
    if no_control and socket:
        raise click.UsageError("cannot use both --socket and --no-control; expected one of them")
    page = http_setting(http, http_hosts, http_cert, http_key, is_insecure=http_insecure)
    if page is not None and no_control:
        raise click.UsageError("cannot use both --http and --no-control; expected one of them")
    flags = {
        "stop_within": Flag("--stop-within", stop_within),
        "log_format": Flag("--log-format", log_format),
        "log_level": Flag("--log-level", log_level),
        "log_dir": Flag("--log-dir", log_dir),
        "name": Flag("--name", name),
        "history": Flag("--history", history),
        "http": Flag("--http", page),
        "metrics": Flag("--metrics", metrics),
        "control": Flag("--no-control", False) if no_control else Flag("--socket", socket),
    }
    sources = Sources(flags, os.environ)
    program = Program(
        RunSettings(color=color or "auto", is_quiet=quiet).with_given(sources.before_files()),
        events=events,
        labels=labels,
        wants_json=output == "json",
        is_verbose=verbose,
        sources=sources,
        env_files=env_files,
        is_fresh=fresh,
        has_new_token=new_token,
    )
    return program.run(paths_or_default(paths), is_default=not paths)
