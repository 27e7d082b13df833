"""Keeps many long-running Python jobs in one process and stops every one of them on time."""

__version__ = "0.1.0"
