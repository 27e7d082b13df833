#!/bin/sh
# Makes .venv ready: sh .ci/setup.sh run|test|libraries|browser|lint|bench|docs|hosts. PYTHON=... is the interpreter to use.
# This part finds a Python that is new enough, in words that the oldest shell and Python understand; the work is
# done by setup_venv.py. Everything it says goes to stderr.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONHOME PYTHONPATH
kind=$1

# The usual case, and the only one that is paid for again and again: all is there.
if [ -z "${PYTHON:-}" ] && [ -x .venv/bin/python ] && .venv/bin/python -I .ci/setup_venv.py --ready "$kind" 2>/dev/null
then
    exit 0
fi

# Prints what is wrong with an interpreter; "nothing" when it will do.
fault_of() {
    "$1" -c '
import sys
version = sys.version_info[:3]
words = "%d.%d.%d" % version
if version < (3, 11):
    print("%s is older than 3.11" % words)
elif (3, 12, 0) <= version < (3, 12, 3):
    print("%s cannot start a thread while it ends, fixed in 3.12.3" % words)
else:
    from importlib.util import find_spec
    if find_spec("ensurepip") is None or find_spec("venv") is None:
        print("%s has no ensurepip: apt install python3-venv" % words)
    else:
        print("nothing")
' 2>/dev/null || echo "it does not run"
}

if [ -n "${PYTHON:-}" ]
then
    if ! command -v "$PYTHON" >/dev/null 2>&1
    then
        echo "cannot use PYTHON=$PYTHON: no such program" >&2
        exit 2
    fi
    fault=$(fault_of "$PYTHON")
    if [ "$fault" != nothing ]
    then
        echo "cannot use PYTHON=$PYTHON: ${fault:-it is not a Python}" >&2
        exit 2
    fi
    exec "$PYTHON" -I .ci/setup_venv.py --same-version "$kind"
fi

faults=
for candidate in python3.13 python3.12 python3.11 python3
do
    command -v "$candidate" >/dev/null 2>&1 || continue
    fault=$(fault_of "$candidate")
    [ "$fault" != nothing ] || exec "$candidate" -I .ci/setup_venv.py "$kind"
    faults="$faults; $candidate: ${fault:-it is not a Python}"
done
if [ -n "$faults" ]
then
    echo "cannot find a Python for Taskloom (3.11 or newer)$faults" >&2
else
    echo "cannot find a Python for Taskloom: install Python 3.11 or newer, or name one with PYTHON=/path/to/python3" >&2
fi
exit 2
