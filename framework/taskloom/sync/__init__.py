"""Thread primitives that do not depend on jobs."""
