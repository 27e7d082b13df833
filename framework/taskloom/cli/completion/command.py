"""`taskloom completion`: the script that makes a shell complete the command line."""

from __future__ import annotations

import click

from taskloom.cli.completion.scripts import SCRIPTS, SHELLS

__all__ = ["completion"]


@click.command(short_help="Print the script that completes the command line in bash, zsh or fish.")
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def completion(shell: str) -> None:
    """Print the script for SHELL: bash, zsh or fish.

    It completes verbs, options, paths, the names of tasks, and the names of jobs: those of the files on the command
    line, or of the running program.

    \b
    To install it:
      bash   echo 'eval "$(taskloom completion bash)"' >> ~/.bashrc
      zsh    echo 'eval "$(taskloom completion zsh)"' >> ~/.zshrc (after compinit)
      fish   taskloom completion fish > ~/.config/fish/completions/taskloom.fish

    \b
    Exit codes:
      0  the script was printed
      2  no such shell

    \b
    Examples:
      eval "$(taskloom completion bash)"
      taskloom completion zsh > ~/.zfunc/_taskloom
    """
    click.echo(SCRIPTS[shell], nl=False)
