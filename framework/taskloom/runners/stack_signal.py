"""The signal that makes a worker write the stacks of its threads."""

from __future__ import annotations

import signal

__all__ = ["DUMP_SIGNAL"]

DUMP_SIGNAL = signal.SIGRTMAX - 2 if hasattr(signal, "SIGRTMAX") else signal.SIGUSR2
"""A real-time signal, which hardly any library uses."""
