"""Consumers of events and lines: the console, the output thread, the event file, the summary."""
