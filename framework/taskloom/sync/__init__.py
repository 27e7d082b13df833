"""Thread primitives that know nothing of jobs."""
