"""The project's own test machinery: reference models, random declarations, and ways to drive the core by hand."""
