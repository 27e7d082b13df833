"""Installed tasks and runners: their entry points, signatures and parameters."""
