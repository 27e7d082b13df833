"""Each host is started as a real process and stopped by TERM and INT: the jobs stop in order, and nothing is left."""

from __future__ import annotations

import re
import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.child_programs import ChildProgram

INT, TERM = signal.SIGINT, signal.SIGTERM
# Measured 0.1 to 0.3 s, and 6 s on a machine with ten times more to do; a host that waits for its jobs takes for ever.
STOP_SECONDS = 20.0

each_signal = pytest.mark.parametrize("number", [TERM, INT], ids=["TERM", "INT"])


class Recipe(NamedTuple):
    """How to start a host, what it prints when it serves, and its exit code after TERM; after INT it is 0."""

    command: tuple[str, ...]
    serves: str
    after_term: int = 0
    packages: tuple[str, ...] = ()
    schedulers: int = 1
    processes: int = 1
    """How many processes print that they serve."""
    answers: bool = True
    """Whether a request is answered, with the states of the jobs."""


# Written without `print`: a child that is forked while another thread prints waits for ever for the lock of its stdout.
READY = """
import os

def post_worker_init(worker):
    os.write(1, b"worker ready\\n")
"""
GUNICORN = ("-m", "gunicorn", "--bind", "127.0.0.1:0", "--no-control-socket")
RECIPES = {
    "Flask": Recipe(("flask_host.py",), "Running on", packages=("flask",)),
    "gunicorn": Recipe(
        (*GUNICORN, "--config", "ready.py", "--workers", "2", "wsgi:app"),
        "worker ready",
        packages=("gunicorn",),
        schedulers=2,
        processes=2,
    ),
    "gunicorn, preloaded": Recipe(
        (*GUNICORN, "--config", "ready.py", "--workers", "2", "--preload", "wsgi:app"),
        "worker ready",
        packages=("gunicorn",),
        processes=2,
        answers=False,
    ),
    "gunicorn, preloaded, jobs in each worker": Recipe(
        (*GUNICORN, "--workers", "2", "--preload", "--config", "each_worker.py", "plain:app"),
        "Booting worker",
        packages=("gunicorn",),
        schedulers=2,
        answers=False,
    ),
    "Flask under gunicorn": Recipe(
        (*GUNICORN, "--config", "ready.py", "--workers", "1", "flask_wsgi:app"),
        "worker ready",
        packages=("gunicorn", "flask"),
    ),
    "FastAPI under uvicorn": Recipe(
        ("-m", "uvicorn", "--port", "0", "api:app"),
        "Uvicorn running on",
        after_term=-TERM,
        packages=("fastapi", "uvicorn"),
    ),
    "asyncio": Recipe(("aio.py",), "the loop is running", answers=False),
}


def check_end(child: ChildProgram, code: int, schedulers: int = 1) -> None:
    """Wait for the end of a host that was told to stop; check its exit code, its jobs and what it leaves."""
    got, seconds = child.end()

    assert got == code, child.output
    assert seconds < STOP_SECONDS, child.output
    assert child.output.count("reader has stopped\n") == child.output.count("store has stopped\n") == schedulers
    first_reader, last_store = child.output.index("reader has stopped"), child.output.rindex("store has stopped")
    assert first_reader < last_store
    if schedulers == 1:
        assert re.findall(r"(\w+) has stopped", child.output) == ["reader", "store"]
    assert "Traceback" not in child.output
    assert "did not stop" not in child.output
    assert child.is_gone()


@pytest.mark.long
@each_signal
@pytest.mark.parametrize("name", RECIPES)
def test_a_host_stops_its_jobs_in_order_and_leaves_nothing(
    host: Any, recipes: Path, need_package: Callable[[str], None], name: str, number: int
) -> None:
    recipe = RECIPES[name]
    for package in recipe.packages:
        need_package(package)
    (recipes / "plain.py").write_text("def app(environ, start_response):\n    raise NotImplementedError\n")
    (recipes / "ready.py").write_text(READY)
    (recipes / "flask_wsgi.py").write_text("from flask_host import app, scheduler\n\nscheduler.start()\n")
    (recipes / "background.py").write_text(visible((recipes / "background.py").read_text()))

    with host(*recipe.command) as child:
        child.wait_for(recipe.serves, recipe.processes)
        child.wait_for("reader has started", recipe.schedulers)
        # After Ctrl-C a worker of gunicorn leaves its last request by an exception, which it then logs.
        if recipe.answers and (number == TERM or "gunicorn" not in recipe.command):
            assert "running" in get(child)
        child.send(number)
        check_end(child, recipe.after_term if number == TERM else 0, recipe.schedulers)


def get(child: ChildProgram) -> str:
    """Return what the host answers to a request. After that it certainly serves."""
    address = re.search(r"http://127\.0\.0\.1:\d+", child.output)
    assert address is not None
    with urllib.request.urlopen(address[0], timeout=20) as answer:
        return str(answer.read().decode())


def visible(text: str) -> str:
    """Write what the recipe logs: most of these hosts set up no logging for us."""
    text = text.replace('ctx.log.info("%s has started", ctx.job)', 'os.write(1, f"{ctx.job} has started\\n".encode())')
    return f"import os\n{text}"


@each_signal
def test_a_script_stops_its_jobs_in_order(host: Any, recipes: Path, number: int) -> None:
    (recipes / "background.py").write_text(visible((recipes / "background.py").read_text()))
    with host("script.py") as child:
        child.wait_for("the script has started its jobs")
        child.wait_for("reader has started")
        child.send(number)
        code, seconds = child.end()

    # Ctrl-C leaves `signal.pause` as a KeyboardInterrupt, with which Python ends by the signal itself.
    assert code == (0 if number == TERM else -INT)
    assert seconds < STOP_SECONDS
    assert re.findall(r"(\w+) has stopped", child.output) == ["reader", "store"]
    assert child.is_gone()


@each_signal
def test_a_forking_server_stops_its_jobs_and_its_children_say_whose_scheduler_it_is(
    host: Any, recipes: Path, number: int
) -> None:
    (recipes / "background.py").write_text(visible((recipes / "background.py").read_text()))
    with host("forking.py") as child:
        child.wait_for("reader has started")
        child.wait_for("serving at port ")
        child.wait_for("\n", child.output.count("\n") + (not child.output.endswith("\n")))
        found = re.search(r"serving at port (\d+)", child.output)
        assert found is not None
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=20) as connection:
            answer = connection.makefile().read()
        child.send(number)
        check_end(child, 0)

    assert answer.startswith(f"cannot use the scheduler of process {child.pid} in process ")
    assert answer.endswith(": make a Scheduler after the fork\n")
