"""The supervisor's own code: a small process with one thread that starts a run and leaves nothing of it behind.

It is started once for each run, so its start is part of the run's. Only built-in modules are imported here: `os`,
`signal`, `ctypes` and `typing` would each take longer than all of this. For the same reason there are no enums.

How nothing is left: the supervisor adopts orphans (PR_SET_CHILD_SUBREAPER), so that each descendant of the run has the
supervisor above it, whatever forks, sessions and groups it makes. When the supervisor has no child, no process of the
run is left. The main process of the run dies with the supervisor (PR_SET_PDEATHSIG).
"""
