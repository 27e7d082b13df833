"""`taskloom run`: the verb. What it does is in `program`."""

from __future__ import annotations

import click

from taskloom.cli.options import Seconds

__all__ = ["run"]


@click.command(short_help="Run the jobs of job files until they end or a signal comes.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--stop-within", type=Seconds(allows_forever=True), default="30s", show_default=True,
              help="How long a whole stop may take; forever lifts the limit.")  # fmt: skip
@click.option("--events", metavar="PATH", help="Append every event as a JSON line to this file.")
@click.option("-l", "--label", "labels", multiple=True, metavar="LABEL",
              help="Run only jobs with this label, and those that they start after; several: any of them.")  # fmt: skip
@click.option("-o", "output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How the job table is given at the end: as text on stderr, or as JSON on stdout.")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Show debug lines too.")
def run(  # noqa: PLR0917 - click gives them by name
    paths: tuple[str, ...],
    stop_within: float,
    events: str | None,
    labels: tuple[str, ...],
    output: str,
    verbose: bool,
) -> int:
    """Run the jobs of job files until they end or a signal comes.

    Each PATH is a job file or a folder of them. The program ends when every job that is no daemon has ended; it
    then stops the daemons. Log lines and the summary go to stderr.

    \b
    Signals:
      INT, TERM   stop gracefully; a second one leaves 2 more seconds; a third leaves at once
      HUP         read the job files again: all of what they say now takes effect, or, where one cannot be used,
                  none of it; at a terminal, which is then gone, stop gracefully
      QUIT        say how every job stands, with all stacks; nothing stops

    \b
    Exit codes:
      0  fine          1  some job failed          2  job files or usage invalid, nothing started
      3  a job outlived its join policy            130  stopped by INT
      137  ended by the watcher, or 128+n by a third signal n          70  a bug of ours

    \b
    Examples:
      taskloom run jobs/quickstart.yaml
      taskloom run jobs/ --stop-within 10s --events events.jsonl
    """
    from taskloom.cli.program.program import Program

    program = Program(stop_within, events=events, labels=labels, wants_json=output == "json", is_verbose=verbose)
    return program.run(paths)
