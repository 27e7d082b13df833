"""The command `taskloom simulate`: run the jobs in virtual time and report."""
