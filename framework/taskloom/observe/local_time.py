"""Instants for people, in local time."""

from __future__ import annotations

from taskloom.text import local_time

__all__ = ["local_time"]
