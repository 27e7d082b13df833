"""How a token resumes the sampling of its polls."""

from __future__ import annotations

from typing import Protocol

__all__ = ["NoSampler", "Sampler"]


class Sampler(Protocol):
    """Samples the polls of runs. It is idle while every run waits on its token; a run that stops waiting resumes it."""

    is_idle: bool

    def resume(self) -> None:
        """Resume sampling; any thread may call it."""


class NoSampler:
    """The sampler of a token whose polls are not sampled."""

    is_idle = False

    def resume(self) -> None:
        """Do nothing."""
