"""Rules that every history of events must keep, checked after the fact."""
