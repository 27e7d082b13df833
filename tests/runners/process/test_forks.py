"""A forked child of the program keeps no descriptor of a run in a process, and disturbs no run of the parent."""

from __future__ import annotations

import os

from tests.support.descriptors import open_descriptors
from tests.support.fake_supervisor import ProcessBench, returned

from taskloom.core.inputs import RunEnded
from taskloom.core.model import How


def test_a_forked_child_closes_every_descriptor_of_ours_and_the_run_goes_on(bench: ProcessBench) -> None:
    reading, writing = os.pipe()
    before = open_descriptors()
    _, supervisor = bench.begun()
    far = {supervisor.far_channel.fileno(), supervisor.far_control.fileno(), supervisor.far_stdout}
    ours = open_descriptors() - before - {*far, supervisor.far_stderr}

    pid = os.fork()
    if pid == 0:
        try:
            bench.runner.leave_behind()
            os.write(writing, repr(sorted(ours & open_descriptors())).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    left = os.read(reading, 1000)
    os.close(reading)
    supervisor.send(returned())
    supervisor.exit()

    assert len(ours) >= 6
    assert left == b"[]"
    assert bench.end() == RunEnded("job#1", How.RETURNED, None, False, False)
