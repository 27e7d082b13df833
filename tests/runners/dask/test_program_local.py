"""Runner dask with Dask itself: a local cluster, its end with the program, and clusters that cannot be used."""

from __future__ import annotations

import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from taskloom import Job, Scheduler
from taskloom.core.model import Outcome

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

SOON = 60.0


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    with Scheduler() as made:
        yield made


def countdown(name: str, start: int, **options: object) -> Job:
    params = {"start": start, "interval": "50ms"}
    return Job(name=name, task="countdown", params=params, runner={"dask": options}, start="manual")


def test_runs_on_a_local_cluster_log_end_and_are_cancelled(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    short = scheduler.add(countdown("short", 2, local=2)).start()
    long = scheduler.add(countdown("long", 100_000, local=2)).start()
    assert short.join(SOON)
    long.cancel("enough")

    assert long.join(SOON)
    assert (short.outcome, long.outcome) == (Outcome.SUCCEEDED, Outcome.CANCELLED)
    lines = [each.getMessage() for each in caplog.records if getattr(each, "run", "") == "short#1"]
    assert "liftoff" in lines


def test_nothing_that_listens_is_an_error_in_words(scheduler: Scheduler) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    run = scheduler.add(countdown("none", 1, scheduler=f"tcp://127.0.0.1:{port}", wait="1s")).start()

    assert run.join(SOON)
    assert run.outcome is Outcome.START_FAILED
    assert run.error is not None
    assert str(run.error) == f"cannot reach the cluster at tcp://127.0.0.1:{port} within 1s: Connection refused"


def test_a_listener_that_is_not_a_scheduler_is_an_error_in_words(scheduler: Scheduler) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        run = scheduler.add(countdown("silent", 1, scheduler=f"tcp://127.0.0.1:{port}", wait="1s")).start()
        assert run.join(SOON)

    assert run.error is not None
    assert str(run.error) == (
        f"cannot use the cluster at tcp://127.0.0.1:{port}: what listens there does not answer as a Dask scheduler; "
        "a scheduler with TLS needs tls:// and certificates"
    )


def test_a_scheduler_with_other_certificates_is_an_error_in_words(scheduler: Scheduler, tmp_path: Path) -> None:
    ours, theirs = certificates(tmp_path, "ours"), certificates(tmp_path, "theirs")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs["cert_file"], theirs["key_file"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        handshakes = threading.Thread(target=answer, args=(server, context))
        handshakes.start()
        port = server.getsockname()[1]
        run = scheduler.add(countdown("tls", 1, scheduler=f"tls://127.0.0.1:{port}", tls=ours, wait="5s")).start()
        assert run.join(SOON)
        server.shutdown(socket.SHUT_RDWR)
        handshakes.join(SOON)

    assert run.error is not None
    assert str(run.error).startswith(f"cannot use the cluster at tls://127.0.0.1:{port}: TLS: ")
    assert str(run.error).endswith("; see that ca_file has signed the certificates of both sides")


def certificates(folder: Path, name: str) -> dict[str, str]:
    """Write new certificates that sign themselves; return the options for them."""
    from distributed import Security

    made = Security.temporary()
    (folder / f"{name}.pem").write_text(made.tls_client_cert, encoding="ascii")
    (folder / f"{name}.key").write_text(made.tls_client_key, encoding="ascii")
    certificate, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    return {"ca_file": certificate, "cert_file": certificate, "key_file": key}


def answer(server: socket.socket, context: ssl.SSLContext) -> None:
    """Answer every client with these certificates, until the server is shut down."""
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, suppress(OSError):
            client.settimeout(SOON)
            context.wrap_socket(client, server_side=True).close()


PROGRAM = """
    import os, sys
    from taskloom import Job, Scheduler

    with Scheduler() as scheduler:
        params = {"start": 1_000_000, "interval": "100ms"}
        runner = {"dask": {"local": 2}}
        job = scheduler.add(Job(name="long", task="countdown", params=params, runner=runner, start="manual"))
        run = job.start()
        while not ((place := run.whereabouts) and place.pid):
            run.join(0.05)
        print(place.pid, flush=True)
        %s
"""


def programs_of(session: int) -> list[str]:
    """Return the processes of a session that are not zombies."""
    found = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(session)], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if " Z" not in line]


def run_program(then: str) -> tuple[subprocess.Popen[str], int, int]:
    """Start a program with a run on a local cluster; return it, the run's main process and the cluster's session."""
    text = textwrap.dedent(PROGRAM) % then
    program = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    main = int(program.stdout.readline())
    children = Path(f"/proc/{program.pid}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in file.read_text(encoding="ascii").split()]
    (host,) = [pid for pid in pids if "local_host" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")]
    return program, main, host


def wait_until_gone(pid: int) -> None:
    """Wait until a process that is not a child of ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    try:
        assert poll.poll(SOON * 1000)
    finally:
        os.close(descriptor)


def test_a_local_cluster_ends_with_a_program_that_is_killed() -> None:
    program, main, host = run_program("run.join()")
    program.send_signal(signal.SIGKILL)
    program.communicate()
    wait_until_gone(host)
    wait_until_gone(main)

    assert programs_of(host) == []


def test_a_program_ends_on_time_and_leaves_nothing() -> None:
    program, main, host = run_program("report = scheduler.stop(within=60); print(report.seconds < 30)")
    out, err = program.communicate(timeout=SOON)

    assert (out, program.returncode) == ("True\n", 0)
    assert "Traceback" not in err
    assert programs_of(host) == []
    assert not Path(f"/proc/{main}").exists()


def test_a_forked_child_does_not_keep_the_cluster_alive() -> None:
    then = """
        if not os.fork():
            os.close(1)
            os.read(0, 1)  # until the test ends
            os._exit(0)
        run.join()
    """
    text = textwrap.indent(textwrap.dedent(then).strip(), " " * 4).strip()
    read, write = os.pipe()
    saved = os.dup(0)
    os.dup2(read, 0)
    try:
        program, _, host = run_program(text)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(read)
    try:
        program.send_signal(signal.SIGKILL)
        program.wait()
        wait_until_gone(host)
    finally:
        os.close(write)
        program.communicate()

    assert programs_of(host) == []
