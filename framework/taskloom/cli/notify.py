"""`taskloom notify --test`: sends a test message to each receiver of the job files."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import click

from taskloom.cli.completion.known_names import complete_paths
from taskloom.cli.echo import echo, echo_json
from taskloom.cli.options import env_file_option
from taskloom.cli.standard_streams import imports_on_stderr

if TYPE_CHECKING:
    from taskloom.jobfile.fields.notify import Receivers, ReceiverSetting

__all__ = ["notify"]

# To kill a command that takes too long, and to collect it.
_GRACE_SECONDS = 2.0


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=complete_paths)
@click.option("--test", "is_test", is_flag=True, help="Send a test message to each receiver, and wait for the result.")
@env_file_option
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="Output format; json is on standard output.")  # fmt: skip
def notify(paths: tuple[str, ...], env_files: tuple[str, ...], output: str, *, is_test: bool) -> int:
    """Send a test message to the receivers that the job files have under notify.

    Each PATH is a job file, a directory of job files, or - for standard input; without one it is taskloom.yaml, else
    jobs/. The receivers are tried at the same time, each once and for at most its `within`.

    \b
    Exit codes:
      0      each receiver has taken the message
      1      a receiver has not
      2      nothing was sent: a job file or the command line has an error,
             or there is no receiver

    \b
    Examples:
      taskloom notify --test
      taskloom notify --test jobs/ -o json
    """
    from taskloom.cli.default_paths import chosen_paths

    if not is_test:
        raise click.UsageError("cannot tell what to send; expected --test")
    chosen = chosen_paths(paths)
    receivers, name, secrets = _read(chosen, env_files)
    if not receivers:
        raise click.UsageError("cannot find a receiver: the job files have no setting notify under taskloom")
    results = _send_all(receivers, name, secrets)
    if output == "json":
        echo_json({"receivers": results})
    else:
        for each in results:
            took = f"failed: {each['reason']}" if each["reason"] else "sent"
            echo(f"{each['name']}  {took}")
    return int(any(each["reason"] for each in results))


def _read(paths: tuple[str, ...], env_files: tuple[str, ...]) -> tuple[Receivers, str, frozenset[str]]:
    """Return the receivers, the name of the program, and all secrets. Raises JobFileError and click.UsageError."""
    from taskloom.cli.program.control import program_info
    from taskloom.cli.program.selection import JobFiles
    from taskloom.cli.settings import Sources
    from taskloom.jobfile.fields.notify import Receivers

    with imports_on_stderr():
        selection = JobFiles(paths, env_files=env_files, sources=Sources({}, os.environ)).read()
    receivers = selection.settings["notify"].value or Receivers()
    info = program_info(selection.settings["name"].value, paths)
    return receivers, info.name, selection.secrets | receivers.secrets


def _send_all(receivers: Receivers, name: str, secrets: frozenset[str]) -> list[dict[str, Any]]:
    """Send a test message to each, at the same time; return how that went.

    An interrupt ends all of it: a command has a process group of its own, so Ctrl-C does not reach it.
    """
    from taskloom.clock import wall
    from taskloom.notify.message import Sender, test_message
    from taskloom.observe.masking import Masker

    number, body = test_message(Sender(name, os.urandom(4).hex(), socket.gethostname(), os.getpid()), wall())
    mask = Masker(secrets).mask
    tries = [_Try(each, number, body) for each in receivers]
    try:
        for each in tries:
            each.thread.start()
        return [{"name": str(each.setting), "reason": mask(each.wait())} for each in tries]
    finally:
        for each in tries:
            each.transport.abort()


class _Try:
    """One test message to one receiver, sent by a thread of its own."""

    def __init__(self, setting: ReceiverSetting, number: str, body: bytes) -> None:
        import threading

        from taskloom.clock import mono
        from taskloom.notify.notifier import transport_of

        self.setting = setting
        self.transport = transport_of(setting)
        self._message = number, body
        self._until = mono() + setting.within
        self._reason: str | None = None
        self.thread = threading.Thread(target=self._send, daemon=True)

    def wait(self) -> str:
        """Return why the receiver has not taken the message, or "". Nothing can end the look-up of a host name."""
        from taskloom.clock import mono
        from taskloom.text import duration

        self.thread.join(max(0.0, self._until + _GRACE_SECONDS - mono()))
        reason = self._reason
        return f"no answer within {duration(self.setting.within)}" if reason is None else reason

    def _send(self) -> None:
        from taskloom.notify.transport import NotSent
        from taskloom.text import error_text

        try:
            self.transport.send(*self._message, self._until)
        except NotSent as error:
            self._reason = str(error)
        except Exception as error:  # noqa: BLE001 - the other receivers have their results
            self._reason = error_text(error)
        else:
            self._reason = ""
