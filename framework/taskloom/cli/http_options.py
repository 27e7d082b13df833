"""The options of `taskloom run` for its web page, as one setting."""

from __future__ import annotations

from collections.abc import Sequence

import click

from taskloom.jobfile.fields.http import HttpSetting, errors_in, read_address

__all__ = ["http_setting"]


def http_setting(
    address: str | None, names: Sequence[str], cert: str | None, key: str | None, *, is_insecure: bool
) -> HttpSetting | None:
    """Return the setting that the options are; None without an address. Raises click.UsageError."""
    options = {"--http-host": names, "--http-cert": cert, "--http-key": key, "--http-insecure": is_insecure}
    if address is None:
        given = next((option for option, value in options.items() if value), None)
        if given is not None:
            raise click.UsageError(f"cannot use {given} without --http; give --http HOST:PORT")
        return None
    try:
        setting = read_address(address)
    except ValueError as error:
        raise click.UsageError(f"--http: {error}") from None
    setting = setting._replace(
        names=tuple(name.lower().rstrip(".") for name in names),
        cert=cert or "",
        key=key or "",
        is_insecure=is_insecure,
    )
    for _, message in errors_in(setting):
        raise click.UsageError(f"--http: {message}")
    return setting
