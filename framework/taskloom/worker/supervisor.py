"""The supervisor of one run: `python -I -S -E supervisor.py CHANNEL CONTROL JOB`, started by its path.

Standard input holds the compiled modules of `supervision` and the run's spec. So nothing is searched for or compiled
here, whether or not Python may write compiled files where it is installed, and no package above this file is executed.
Importing them would take longer than all else that the supervisor does.
"""

import marshal
import posix
import sys


def _start(channel: int, control: int, job: str) -> None:
    parts = []
    while part := posix.read(0, 1 << 20):
        parts.append(part)
    modules, fields = marshal.loads(b"".join(parts))
    parts.clear()
    for name, code in modules:
        module = sys.modules[name] = type(sys)(name)
        exec(code, module.__dict__)
    spec = module.Spec(**fields)
    fields.clear()  # the supervisor lives as long as the run, and keeps no copies of what the run reads
    module.main(channel, control, job, spec)


if __name__ == "__main__":
    _start(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
