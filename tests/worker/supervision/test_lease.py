"""The lease of a run: when it ends, nothing of the run is left, whatever the program does or does not do."""

from __future__ import annotations

import os
import select
import signal

import pytest
from tests.support.supervised import Supervised, await_none_marked, marked, shell
from tests.support.supervised_parent import FAMILY, SupervisedParent

from taskloom.clock import boottime
from taskloom.runners.process.channel import Exited, LeaseEnded, ProcessStarted
from taskloom.worker.supervision.lease import Lease


def test_a_lease_ends_once_and_is_checked_once_a_second_until_then() -> None:
    lease = Lease(boottime() + 1000)

    assert not lease.has_ended(50.0)
    assert lease.check_at == 51.0
    assert not Lease(boottime() + 0.25).has_ended(50.0)

    over = Lease(boottime() - 1)
    assert over.check_at < 50.0
    assert over.has_ended(50.0)
    assert over.check_at == float("inf")


def test_a_lease_is_checked_when_it_ends_not_a_second_later() -> None:
    lease = Lease(boottime() + 0.25)

    lease.has_ended(50.0)

    assert 50.0 < lease.check_at <= 50.25


def test_a_lease_is_never_moved_back_and_what_is_not_a_number_changes_nothing() -> None:
    until = boottime() + 1000
    lease = Lease(until)

    for word in (b"12.5", b"nan", b"", b"soon", repr(until).encode()):
        lease.renew(word)

    assert not lease.has_ended(50.0)
    lease = Lease(boottime() - 1)
    lease.renew(repr(until).encode())
    assert not lease.has_ended(50.0)


def test_a_run_without_a_lease_is_never_checked() -> None:
    assert Lease(None).check_at == float("inf")


@pytest.mark.long
def test_nothing_is_left_of_a_run_whose_lease_has_ended() -> None:
    until = boottime() + 0.5
    with Supervised(shell(FAMILY), lease=until) as run:
        assert run.line() == "ready"

        messages = run.rest_until_done()

        assert boottime() >= until
        assert [type(message) for message in messages] == [ProcessStarted, LeaseEnded, Exited]


@pytest.mark.long
def test_a_renewed_lease_ends_later() -> None:
    until = boottime() + 1.0
    with Supervised(shell(FAMILY), lease=until) as run:
        run.send(f"lease {until + 1000}\n".encode())
        assert run.line() == "ready"
        assert isinstance(run.next_message(), ProcessStarted)
        poller = select.poll()
        poller.register(run.launched.channel.fileno(), select.POLLIN)

        assert poller.poll((until - boottime()) * 1000 + 200) == []

        run.send(b"kill\n")
        assert [type(message) for message in run.rest_until_done()] == [Exited]


@pytest.mark.long
def test_the_lease_of_a_run_ends_although_its_program_is_stopped() -> None:
    after = 'print(os.read(launched.stdout, 6).decode(), end="", flush=True); import signal; signal.pause()'
    with SupervisedParent(shell(FAMILY), after=after, lease=boottime() + 2.0) as program:
        assert [program.line(), program.line()] == ["launched", "ready"]

        os.kill(program.pid, signal.SIGSTOP)

        # The supervisor is a zombie now, since its parent does not collect it.
        assert await_none_marked(program.mark, but=frozenset({program.pid})) == {}
        assert list(marked(program.mark)) == [program.pid]
