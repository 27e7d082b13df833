"""A scheduler behind a control socket, in a program of its own."""

from __future__ import annotations

import gc
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.control_server import PATIENCE_SECONDS, Client, get
from tests.support.descriptors import no_descriptor_is_left
from tests.support.running_job import running_web

import taskloom.control
from taskloom import Scheduler
from taskloom.control import Control, serve
from taskloom.control.client import Connection, Program
from taskloom.control.serving import REPORT_SECONDS
from taskloom.errors import ProgramRunning

POST = b"POST /v1/shutdown HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture
def scheduler(own_runtime_folder: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
    """A scheduler with one running job; its control socket is in a folder of the test."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", own_runtime_folder)
    with running_web() as one:
        yield one


def begun_since(before: set[threading.Thread]) -> set[str]:
    return {thread.name for thread in {*threading.enumerate()} - before}


def test_it_answers_until_it_is_closed(scheduler: Scheduler) -> None:
    before = {*threading.enumerate()}
    with serve(scheduler, name="host") as control:
        with Client(control.path) as client:
            status, data = client.request(get("/v1/program"))
        assert "taskloom-control" in begun_since(before)

    assert (status, data["name"], data["pid"], data["state"]) == (200, "host", os.getpid(), "running")
    assert not Path(control.path).exists()
    assert "taskloom-control" not in begun_since(before)
    control.close()


def test_its_events_are_followed(scheduler: Scheduler) -> None:
    with serve(scheduler, name="host") as control, Client(control.path) as client:
        client.send(get("/v1/events?follow=true")).read_until(b"\r\n\r\n")

        scheduler.job("web").stop()

        assert b"event: cancel_requested" in client.read_until(b"event: ended")


def test_the_name_of_a_program_is_given_once(scheduler: Scheduler) -> None:
    with serve(scheduler, name="host"):
        with pytest.raises(ProgramRunning, match=f"^cannot use the name 'host': pid {os.getpid()} has it; "):
            serve(scheduler, name="host")
        with serve(scheduler) as other:
            assert Path(other.path).stem != "host"


@pytest.mark.parametrize("name", ["", "a b"])
def test_a_bad_name_is_refused(scheduler: Scheduler, name: str) -> None:
    with pytest.raises(ValueError, match="as the name of a program; expected"):
        serve(scheduler, name=name)


def test_a_thread_that_cannot_be_started_leaves_nothing(
    scheduler: Scheduler, own_runtime_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("taskloom.control.server.KeptThread.start", refuse)

    with no_descriptor_is_left():
        with pytest.raises(RuntimeError, match="can't start new thread"):
            serve(scheduler, name="host")
        gc.collect()  # the event of the server

    assert os.listdir(own_runtime_folder + "/taskloom") == []  # noqa: PTH208


def test_the_report_is_sent_to_a_client_that_comes_a_moment_after_its_request(scheduler: Scheduler) -> None:
    control = serve(scheduler, name="host")
    with Client(control.path) as client:
        assert client.request(POST)[0] == 202
        scheduler.wait_stopped()
        finishing = threading.Thread(
            target=control.finish, args=({"exit_code": 0}, PATIENCE_SECONDS), kwargs={"awaits_client": True}
        )
        finishing.start()

        status, report = client.request(get("/v1/stop"))
        assert (status, report["exit_code"]) == (200, 0)

        finishing.join()
    assert REPORT_SECONDS < 1.0


def test_a_client_that_asks_for_the_report_before_it_requests_the_stop_never_misses_it(scheduler: Scheduler) -> None:
    with serve(scheduler, name="host") as control:
        connection = Connection(Program("host", control.path, os.getpid(), os.geteuid()))
        asked = connection.request("/v1/stop", wait=True)
        connection.post("/v1/shutdown")

        control.finish({"exit_code": 0})

        assert asked.answer(PATIENCE_SECONDS) == {"exit_code": 0}


def test_a_forked_child_neither_listens_nor_closes_the_socket_of_its_parent(scheduler: Scheduler) -> None:
    with serve(scheduler, name="host") as control:
        listeners = {each for each in _files() if each.startswith("socket:")}
        with Client(control.path) as client:
            assert client.request(get("/v1"))[0] == 200
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    control.close()
                    left = {each for each in _files() if each in listeners or "taskloom" in each}
                    os.write(writing, repr(left).encode() or b"-")
                finally:
                    os._exit(0)
            os.close(writing)
            select.select([reading], [], [], PATIENCE_SECONDS)
            told = os.read(reading, 65_536).decode()
            os.close(reading)
            os.waitpid(child, 0)

            assert told == "set()"
            assert client.request(get("/v1"))[0] == 200
        assert Path(control.path).exists()


def _files() -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
        except OSError:
            pass  # the one that listed the folder
    return found


def test_the_package_lends_its_names() -> None:
    assert taskloom.control.serve is serve
    assert taskloom.control.Control is Control
    with pytest.raises(AttributeError, match="has no attribute 'server_of'"):
        _ = taskloom.control.server_of
