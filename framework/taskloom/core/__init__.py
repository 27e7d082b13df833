"""The pure core: decides, and does nothing. No thread, clock or I/O may be imported here."""
