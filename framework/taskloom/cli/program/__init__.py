"""The verb `run` at work: signals, reload, shutdown and the watcher process."""
