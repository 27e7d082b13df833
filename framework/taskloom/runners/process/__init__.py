"""Executes each run in a process of its own, which can be killed: the side of the program."""
