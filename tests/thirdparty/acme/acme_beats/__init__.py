"""Tasks that beat."""
