"""The fields of a job: for each a reader and its JSON Schema."""
