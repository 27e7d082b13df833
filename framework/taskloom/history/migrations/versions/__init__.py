"""One module a revision. Each names its own columns: `tables` has those of the newest revision alone."""
