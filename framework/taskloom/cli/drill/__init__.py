"""The verb `drill`: start, cancel and time each job alone."""
