"""Turns job files into validated jobs: reads and validates them, and reports every problem at its place."""

from __future__ import annotations

from taskloom.jobfile.loader import CheckResult, check, load

__all__ = ["CheckResult", "check", "load"]
