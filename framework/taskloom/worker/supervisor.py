"""The supervisor of one run: `python -I -S -E supervisor.py CHANNEL CONTROL JOB`; the spec is its standard input.

This file is executed by its path, so it is compiled at each start. It is short for that reason: the code is in
`supervision`, which is loaded compiled. The packages above it are not executed, because their imports would take longer
than all else that the supervisor does.
"""

import sys

if __name__ == "__main__":
    _here = __file__.rpartition("/")[0] or "."
    for _name in ("taskloom", "taskloom.worker"):
        _package = sys.modules[_name] = type(sys)(_name)
        _package.__path__ = [_here]

    from taskloom.worker.supervision.main import main

    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
