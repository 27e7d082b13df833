"""The code of a run that is executed in a process of its own. Nothing imports it: it is started by its path."""
