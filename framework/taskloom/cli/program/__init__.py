"""The program that `taskloom run` starts: signals, reload, shutdown and the watcher process."""
