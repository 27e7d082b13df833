"""The place where the run of a job executes, in the words of the verbs."""

from __future__ import annotations

from taskloom.control.reply_fields import Fields

__all__ = ["host_text"]


def host_text(status: Fields) -> str:
    """Return ` on HOST` for the run of a job that is elsewhere; "" for one that is here."""
    place = status.object("whereabouts")
    return f" on {place.text('host')}" if place.has("host") else ""
