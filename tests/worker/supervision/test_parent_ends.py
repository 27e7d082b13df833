"""Nothing of a run is left when the program that has started it is killed, whatever it was doing."""

from __future__ import annotations

import os
import signal

import pytest
from tests.support.supervised import await_none_marked, marked, shell
from tests.support.supervised_parent import FAMILY, SupervisedParent

pytestmark = pytest.mark.long

# What the program does when it is killed. Each ends with a line on standard output.
OCCUPATIONS = {
    "reads": 'print("ready", flush=True)',
    # A C call that holds the GIL for ever: no thread of the program runs any Python.
    "holds the GIL": 'print("ready", flush=True); re.match(r"(a+)+$", "a" * 60 + "b")',
    # The copy has the channel open, so that it has no end of file.
    "has a forked copy": """
import signal
if os.fork() == 0:
    signal.alarm(60)
    print("ready", flush=True)
signal.pause()
""",
    "started it from a thread that has ended": """
def again():
    global launched
    launched.close()
    launched.reap(30)
    launched = launch(LaunchSpec(argv=launched.spec.argv, env=dict(os.environ), job="job", grace=0.1))
    launched.channel.setblocking(True)
    os.set_blocking(launched.stdout, True)
thread = threading.Thread(target=again)
thread.start()
thread.join()
print(os.read(launched.stdout, 6).decode(), end="", flush=True)
""",
    "is stopped": 'import signal; print("ready", flush=True); os.kill(os.getpid(), signal.SIGSTOP)',
}


@pytest.mark.parametrize("occupation", OCCUPATIONS)
def test_nothing_is_left_of_a_run_whose_program_is_killed(occupation: str) -> None:
    with SupervisedParent(shell(FAMILY), after="os.read(launched.stdout, 6)\n" + OCCUPATIONS[occupation]) as program:
        assert program.line() == "launched"
        assert program.line() == "ready"
        copies = frozenset(pid for pid, name in marked(program.mark).items() if "LaunchSpec" in name)

        os.kill(program.pid, signal.SIGKILL)

        assert await_none_marked(program.mark, but=copies - {program.pid}) == {}


def test_a_run_that_obeys_has_its_grace() -> None:
    script = "trap 'echo obeys >&2; exit' TERM; echo ready; while :; do sleep 0.01; done"
    with SupervisedParent(
        shell(script), after='print(os.read(launched.stdout, 6).decode(), end="")', grace=60.0
    ) as program:
        assert program.line() == "launched"
        assert program.line() == "ready"

        os.kill(program.pid, signal.SIGKILL)

        assert await_none_marked(program.mark) == {}


@pytest.mark.parametrize("name", ["supervisor", "main"])
def test_the_program_learns_that_the_others_were_killed(name: str) -> None:
    after = 'print(os.read(launched.stdout, 6).decode(), end="", flush=True)'
    with SupervisedParent(shell(FAMILY), after=after) as program:
        assert [program.line(), program.line()] == ["launched", "ready"]
        roles = program.roles()

        os.kill(getattr(roles, name), signal.SIGKILL)
        words = [line.split()[0] for line in program.rest()]

        assert program.wait() == 0
        left = set(marked(program.mark))
        if name == "main":
            assert words == ["started", "exited", "left", "done"]
            assert left == set()
        else:  # the one exception: what the main process has started is left, but not the main process
            assert words == ["started"]
            assert left
            assert not left & set(roles)
