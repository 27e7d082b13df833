"""The option type for a duration, as every verb uses it."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from taskloom.cli.options import Seconds


def invoke(option: Seconds, *words: str) -> str:
    """Return what a command with that option prints: the seconds, or the error."""

    @click.command()
    @click.option("--within", type=option, default="30s")
    def command(within: float) -> None:
        click.echo(within)

    return CliRunner().invoke(command, words).output.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ([], "30.0"),
        (["--within", "1h30m"], "5400.0"),
        (["--within", "200ms"], "0.2"),
        (["--within", "2.5"], "2.5"),
        (["--within", "0"], "0.0"),
    ],
)
def test_a_duration_is_read_as_in_a_job_file(words: list[str], seconds: str) -> None:
    assert invoke(Seconds(), *words) == seconds


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("soon", "cannot read 'soon' as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds"),
        ("-5", "cannot use -5 as a duration; it must be between 0 and ten years"),
        ("inf", "cannot use inf as a duration; it must be between 0 and ten years"),
        ("forever", "cannot read 'forever' as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds"),
    ],
)
def test_other_text_is_refused_with_the_legal_forms(text: str, error: str) -> None:
    assert invoke(Seconds(), "--within", text) == f"Error: Invalid value for '--within': {error}"


def test_forever_is_infinity_where_it_is_allowed_and_is_named_in_errors() -> None:
    assert invoke(Seconds(allows_forever=True), "--within", "forever") == "inf"
    assert invoke(Seconds(allows_forever=True), "--within", "soon").endswith("1h30m or seconds; or forever")


def test_0_is_refused_where_the_duration_has_to_be_positive() -> None:
    assert invoke(Seconds(is_positive=True), "--within", "0s") == (
        "Error: Invalid value for '--within': cannot use '0s' as a duration; it must be more than 0"
    )
