"""The built-in tasks; each imports what a stranger's package would."""
