"""Checks that one field alone does not allow: of whole jobs, of whole files, and of all jobs together."""
