"""The fields of a job: one module a field, with its reader and its JSON Schema from one Spec."""
