"""The variables of sd_notify(3), and the messages that are sent."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tests.support.every_case import every_case
from tests.support.notify_socket import FakeServiceManager

from taskloom.cli.program.notify_socket import NotifySocket, take_notify_socket


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_message_is_one_datagram_of_lines(tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "n") if kind == "path" else f"@taskloom-test-{os.getpid()}"
    with FakeServiceManager(address) as manager:
        found, problem = take_notify_socket({"NOTIFY_SOCKET": address})
        assert found is not None
        assert problem == ""
        assert found.send("READY=1", "STATUS=all is well")
        manager.wait_for("READY")

    assert manager.messages == ["READY=1\nSTATUS=all is well"]


def test_the_variables_are_removed_so_that_no_child_speaks_for_the_program() -> None:
    environ = {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/root"}

    take_notify_socket(environ)

    assert environ == {"HOME": "/root"}


ME = os.getpid()


@every_case(
    ("environ", "found", "problem"),
    [
        ({}, None, ""),
        ({"WATCHDOG_USEC": "1000000"}, None, ""),
        ({"NOTIFY_SOCKET": "/n"}, NotifySocket("/n"), ""),
        ({"NOTIFY_SOCKET": "@n"}, NotifySocket("\0n"), ""),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, None,
         "cannot notify the service manager at 'vsock:2:1'; expected NOTIFY_SOCKET=/PATH or @NAME"),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000"}, NotifySocket("/n", 3.0), ""),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(ME)}, NotifySocket("/n", 3.0), ""),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, NotifySocket("/n"), ""),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "5"}, NotifySocket("/n", 0.1), ""),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, NotifySocket("/n"),
         "cannot use WATCHDOG_USEC='0'; expected microseconds"),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "often"}, NotifySocket("/n"),
         "cannot use WATCHDOG_USEC='often'; expected microseconds"),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "9" * 5000}, NotifySocket("/n"),
         f"cannot use WATCHDOG_USEC='{'9' * 40}'; expected microseconds"),
    ],
)  # fmt: skip
def test_what_the_variables_say(environ: dict[str, str], found: NotifySocket | None, problem: str) -> None:
    assert take_notify_socket(environ, {ME, 77}) == (found, problem)


def test_the_process_may_be_known_by_the_pid_of_the_init_in_front() -> None:
    environ = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}

    assert take_notify_socket(environ, {ME, 1}) == (NotifySocket("/n", 3.0), "")


def test_a_message_that_cannot_be_sent_costs_no_time(tmp_path: Path) -> None:
    assert not NotifySocket(str(tmp_path / "nothing")).send("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(tmp_path / "full"))
        notify = NotifySocket(str(tmp_path / "full"))
        while notify.send("WATCHDOG=1"):
            pass  # until its queue is full
