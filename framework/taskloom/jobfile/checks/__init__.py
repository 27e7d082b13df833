"""Checks of whole jobs, or of all jobs together: what one field alone cannot show."""
