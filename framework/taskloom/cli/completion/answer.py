"""Answer a shell that asks what may follow on the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click
from click.shell_completion import CompletionItem, ShellComplete

from taskloom.cli.completion.scripts import SCRIPTS
from taskloom.cli.completion.words import Line, bash_word, split

__all__ = ["VARIABLE", "answer", "candidates"]

VARIABLE = "_TASKLOOM_COMPLETE"
"""Set by the scripts: `bash_complete`. Click's own form `bash_source` prints the script."""


def answer(command: click.Command, environ: Mapping[str, str]) -> tuple[int, str]:
    """Return the exit code and the lines for the shell. Whatever fails is not a completion, and never a message.

    `environ` has VARIABLE, TASKLOOM_LINE with the command line up to the cursor, and for bash TASKLOOM_BREAKS.
    """
    shell, _, request = environ[VARIABLE].partition("_")
    if shell not in SCRIPTS or request not in {"complete", "source"}:
        return 1, ""
    if request == "source":
        return 0, SCRIPTS[shell]
    line = split(environ.get("TASKLOOM_LINE", ""), environ.get("TASKLOOM_BREAKS", ""))
    try:
        return 0, "".join(_rows(candidates(command, line), line, shell))
    except Exception:  # noqa: BLE001 - a text in the middle of a command line is of no use
        return 1, ""


def candidates(command: click.Command, line: Line) -> list[CompletionItem[str]]:
    """Return what may stand for the word that is being typed, as whole words; a usage error is raised."""
    before = list(line.words[1:])
    found = ShellComplete(command, {}, "taskloom", VARIABLE).get_completions(before, line.word)
    # Click completes only the part of `--name=jo` after the sign.
    option, sign, _ = line.word.partition("=")
    prefix = option + sign if sign and option.startswith("-") else ""
    for item in found:
        if item.type == "plain" and not item.value.startswith(line.word):
            item.value = prefix + item.value
    return found


def _rows(items: list[CompletionItem[str]], line: Line, shell: str) -> Iterator[str]:
    for item in items:
        value, text = item.value, (item.help or "").replace("\t", " ")
        if item.type != "plain":
            yield f"file\t{value}\t\n"
        elif value.startswith(line.word) and value.isprintable():
            # No other word could be read back from a line, and none would be safe on a terminal.
            yield f"plain\t{bash_word(value, line) if shell == 'bash' else value}\t{_one_line(text)}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split()) if text.isprintable() or "\n" in text else ""
