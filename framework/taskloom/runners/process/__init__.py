"""The runner `process`: each run in processes of its own, which can be killed."""
