"""Metrics for Prometheus: their names, their text, and the address at which a program gives them."""
