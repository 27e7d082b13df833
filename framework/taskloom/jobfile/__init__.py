"""From the text of job files to validated jobs: read, interpolate, validate, and say what is wrong where."""

from __future__ import annotations

from taskloom.jobfile.loader import CheckResult, check, load

__all__ = ["CheckResult", "check", "load"]
