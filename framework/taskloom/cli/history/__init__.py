"""The verbs that read the history of runs: they need no running program."""
