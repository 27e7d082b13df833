"""A run below its supervisor, from the start to the end: real processes, but quick ones."""

from __future__ import annotations

import os
import signal

from tests.support.supervised import Supervised, shell

from taskloom.runners.process.channel import Continued, Done, Exited, Left, ProcessStarted, StartFailed, Stopped


def test_a_run_is_started_and_ends_with_its_status_and_output() -> None:
    with Supervised(shell("echo out; echo err >&2; exit 3")) as run:
        started, exited = run.rest_until_done()

        assert isinstance(started, ProcessStarted)
        assert isinstance(exited, Exited)
        assert os.WEXITSTATUS(exited.status) == 3
        assert 0 < exited.peak_memory < 1_000_000
        assert (run.output(1), run.output(2)) == ("out\n", "err\n")


def test_a_signal_stops_and_continues_the_main_process_and_an_order_kills_it() -> None:
    with Supervised(shell("echo ready; read nothing; exec sleep 1000"), stdin=b"x\n") as run:
        assert run.line() == "ready"

        run.send(b"signal %d\n" % signal.SIGSTOP)
        assert run.until(Stopped) == Stopped(signal.SIGSTOP)
        run.send(b"signal %d\n" % signal.SIGCONT)
        assert run.until(Continued) == Continued()
        run.send(b"kill\n")

        (exited,) = run.rest_until_done()
        assert isinstance(exited, Exited)
        assert os.WTERMSIG(exited.status) == signal.SIGKILL


def test_a_term_to_the_group_reaches_the_children_and_what_is_left_is_named_and_terminated() -> None:
    script = """
        setsid sh -c 'echo ready; exec sleep 1000' &
        sh -c 'echo ready; exec sleep 1000' & in_group=$!
        trap 'wait "$in_group"; exit 7' TERM
        echo ready
        wait
    """
    with Supervised(shell(script)) as run:
        assert [run.line() for _ in range(3)] == ["ready"] * 3

        run.send(b"group %d\n" % signal.SIGTERM)

        started, exited, left = run.rest_until_done()
        assert isinstance(started, ProcessStarted)
        assert isinstance(exited, Exited)
        assert os.WEXITSTATUS(exited.status) == 7
        assert left in (Left(1, "sleep"), Left(1, "sh"))  # it may not have executed the other program yet


def test_a_program_that_is_not_there_is_named_with_what_was_probably_meant() -> None:
    with Supervised(["sleeep", "1"]) as run:
        (failed,) = run.rest()

        assert failed == StartFailed(2, "cannot start 'sleeep': No such file or directory")
        assert isinstance(failed, StartFailed)
        assert run.launched.why_failed(failed) == (
            "cannot start 'sleeep': it is not on the PATH; did you mean 'sleep'?"
        )


def test_the_end_of_the_channel_ends_the_run() -> None:
    with Supervised(shell("trap '' HUP; echo ready; sleep 1000")) as run:
        assert run.line() == "ready"

        run.launched.channel.close()

        assert run.launched.reap(30)
        assert run.output() == ""


def test_done_is_the_last_message() -> None:
    with Supervised(["true"]) as run:
        assert isinstance(run.rest()[-1], Done)
