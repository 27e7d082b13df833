"""The command `taskloom drill`: start, cancel and time each job alone."""
