"""The verb `simulate`: run the jobs in virtual time and report."""
