"""The limit of open files is raised for our own program, and the processes of runs get the old one."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
from taskloom.runners.process.file_limit import limit_of_children, raise_limit
found = [limit_of_children(), raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE), limit_of_children()]
print(found, raise_limit(), limit_of_children())
"""


def test_the_soft_limit_is_raised_to_the_hard_one_and_remembered() -> None:
    output = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout

    assert output == "[None, 300, (300, 300), 100] 300 100\n"
