"""From bytes to values with their positions. Knows nothing of jobs; the only importer of yaml."""
