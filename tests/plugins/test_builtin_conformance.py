"""The built-in tasks pass the conformance tests of the testing kit."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskloom import Task
from taskloom.testing import TaskConformance
from taskloom_plugins.countdown import Countdown
from taskloom_plugins.socket_reader import SocketReader
from taskloom_plugins.socket_sender import SocketSender


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestCountdown(TaskConformance):
    def make_task(self) -> Task:
        return Countdown(start=1000, interval=0.001)


class TestStreamReader(TaskConformance):
    def make_task(self) -> Task:
        return SocketReader(listen="tcp://127.0.0.1:0", output="out.log")


class TestDatagramReader(TaskConformance):
    def make_task(self) -> Task:
        return SocketReader(listen="unix-dgram://S", output="out.log")


class TestConnectingReader(TaskConformance):
    """There is no listener, so the task is waiting to connect again most of the time."""

    def make_task(self) -> Task:
        return SocketReader(connect="unix://nobody", output="out.log", reconnect_delay=0.01)


class TestSender(TaskConformance):
    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.bind("S")
            yield

    def make_task(self) -> Task:
        return SocketSender(to="unix-dgram://S", count=0, interval=0.01)
