"""The verbs name the host, the worker and the process of a run that is on a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.fake_control import job_status
from tests.support.scripted_program import Scripted, scripted_program

from taskloom.cli.control import ps as ps_module
from taskloom.cli.entry import call
from taskloom.control.finding import Program

PROCESS = {"pid": 4242, "processes": 2, "memory": 38 << 20, "cpu": 1.25, "state": "sleeping"}
PLACE = {"host": "node-7", "worker": "w3", "pid": 4242}


@pytest.fixture
def script() -> Scripted:
    """A program with a run on a cluster, one in a process and one in a thread."""
    return Scripted(
        job_status("far", "running", run="far#1", runner="dask", process=PROCESS, whereabouts=PLACE, runs=1),
        job_status("near", "running", run="near#1", runner="process", process={**PROCESS, "pid": 17}, runs=1),
        job_status("here", "running", run="here#1", runner="thread", process=None, runs=1),
    )


@pytest.fixture
def socket(script: Scripted) -> Iterator[str]:
    with scripted_program(script) as fake:
        yield str(fake.path)


@pytest.fixture
def taskloom(socket: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def taskloom(*arguments: str) -> str:
        assert call([arguments[0], "--socket", socket, *arguments[1:]]) == 0
        return capsys.readouterr().out

    return taskloom


def test_status_has_columns_for_host_and_worker(script: Scripted, taskloom: Any) -> None:
    head, *rows = taskloom("status").splitlines()
    cells = {row.split()[0]: row.split() for row in rows}

    assert head.split() == [
        "JOB",
        "STATE",
        "LAST",
        "RUNS",
        "TIME",
        "RUNNER",
        "HOST",
        "WORKER",
        "PID",
        "MEM",
        "CPU",
        "NOTE",
    ]
    assert cells["far"][-7:] == ["dask", "node-7", "w3", "4242", "38", "MiB", "1.25s"]
    assert cells["near"][-7:] == ["process", "-", "-", "17", "38", "MiB", "1.25s"]
    assert cells["here"][-6:] == ["thread", "-", "-", "-", "-", "-"]


def test_the_process_of_a_run_is_known_before_its_memory(script: Scripted, taskloom: Any) -> None:
    script.jobs["far"]["process"] = None

    [far] = [line for line in taskloom("status").splitlines() if line.startswith("far ")]

    assert far.split()[-6:] == ["dask", "node-7", "w3", "4242", "-", "-"]


def test_status_of_jobs_on_this_machine_has_no_such_columns(script: Scripted, taskloom: Any) -> None:
    head = taskloom("status", "near", "here").splitlines()[0]

    assert "HOST" not in head
    assert "WORKER" not in head


def test_ps_has_them_only_if_a_run_is_elsewhere(
    script: Scripted, socket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    near = {"job": "near", "run": "near#1", "runner": "process", "host": None, "worker": None, **PROCESS, "pid": 17}
    far = {"job": "far", "run": "far#1", "runner": "dask", "host": "node-7", "worker": "w3", **PROCESS}
    program = Program("jobs-3f2a", socket, 17, 0, "/srv/jobs")
    monkeypatch.setattr(ps_module, "list_programs", lambda *, all_users: [program])

    script.gets["/v1/processes"] = 200, {"processes": [near, far]}
    assert call(["ps"]) == 0
    both = capsys.readouterr().out.splitlines()
    assert call(["ps", "-o", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    script.gets["/v1/processes"] = 200, {"processes": [near]}
    assert call(["ps"]) == 0
    one = capsys.readouterr().out.splitlines()

    assert both[3:] == [
        "JOB   RUNNER   HOST    WORKER  PID   PROCESSES  MEM     CPU    STATE",
        "near  process  -       -       17    2          38 MiB  1.25s  sleeping",
        "far   dask     node-7  w3      4242  2          38 MiB  1.25s  sleeping",
    ]
    assert data["programs"][0]["processes"] == [near, far]
    assert one[3] == "JOB   RUNNER   PID  PROCESSES  MEM     CPU    STATE"


def test_a_stack_says_where_it_is_from(script: Scripted, taskloom: Any) -> None:
    script.stacks = [
        {"job": "far", "run": "far#1", "where": "render.py:3 in run", "poll_age": 1.5, "runner": "dask", "pid": 4242,
         "host": "node-7", "worker": "w3", "text": ""}
    ]  # fmt: skip

    out = taskloom("stack", "far")

    assert out == (
        "far#1: at render.py:3 in run, last poll 1.5 s ago, in process 4242 of worker w3 on node-7 (runner: dask)\n"
    )


def test_signal_says_to_which_host_it_was_sent(script: Scripted, taskloom: Any) -> None:
    assert taskloom("signal", "far", "HUP") == "far: sent SIGHUP to pid 4242 on node-7\n"
    assert taskloom("signal", "near", "HUP") == "near: sent SIGHUP to pid 17\n"
