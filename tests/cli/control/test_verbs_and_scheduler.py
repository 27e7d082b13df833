"""The verbs that act on jobs, against a real scheduler behind a real socket, in one process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.support.fake_control import short_folder

from taskloom import Context, Job, Scheduler
from taskloom.cli.entry import call
from taskloom.control import serve

PATIENCE_SECONDS = 30.0


def polite(ctx: Context) -> None:
    ctx.wait()


def bad(ctx: Context) -> None:
    raise ValueError("boom")


def quick(ctx: Context) -> None:
    pass


class Deaf:
    """A task that ends when the test releases it; it does not hear a stop."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self, ctx: Context) -> None:
        self.released.wait(PATIENCE_SECONDS)


class Program:
    """A scheduler behind a socket, and the verbs."""

    def __init__(self, capsys: pytest.CaptureFixture[str], stack: ExitStack) -> None:
        self._capsys = capsys
        self.deaf = Deaf()
        self.scheduler = stack.enter_context(Scheduler())
        stack.callback(self.deaf.released.set)
        folder = stack.enter_context(short_folder())
        self.socket = str(folder / "host.sock")
        stack.enter_context(serve(self.scheduler, name="host", socket=self.socket))

    def add(self, name: str, task: Any = polite, **fields: Any) -> None:
        """Add a job, and start it if it starts by itself."""
        for job in self.scheduler.add_all([Job(name=name, task=task, **fields)]):
            if fields.get("start") != "manual":
                job.arm()

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = call([arguments[0], "--socket", self.socket, *arguments[1:]])
        return code, *self._capsys.readouterr()


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Iterator[Program]:
    with ExitStack() as stack:
        yield Program(capsys, stack)


@pytest.fixture
def settles_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start does not wait to see whether the run stays: for tests whose tasks do not fail."""
    monkeypatch.setattr("taskloom.cli.control.follow_waits.SETTLE_SECONDS", 0.0)


@pytest.mark.usefixtures("settles_fast")
def test_a_job_is_stopped_and_started_again(program: Program) -> None:
    program.add("web")

    code, out, _ = program("stop", "web")
    assert code == 0
    assert out.startswith("web: stopped after 0.")
    assert program("stop", "web") == (0, "web: was not running (finished)\n", "")

    code, out, _ = program("start", "web")
    assert code == 0
    assert out.startswith("web: ready after 0.")
    assert program("start", "web") == (1, "", "web: cannot start: run web#2 is still running\n")

    code, out, _ = program("restart", "web")
    assert code == 0
    assert out.startswith("web: ready after 0.")
    assert program.scheduler.job("web").run is not None
    assert program.scheduler.job("web").status().report.run == "web#3"


@pytest.mark.parametrize(
    ("name", "why"),
    [("we\udce9", "it is not UTF-8"), ("x" * 2000, "expected a text"), ("x" * 20_000, "its head has more than 16 KiB")],
    ids=["no UTF-8", "long", "longer"],
)
@pytest.mark.parametrize("choice", [(), ("-l",)], ids=["job", "label"])
def test_a_name_that_no_job_can_have_is_a_usage_error(
    choice: tuple[str, ...], name: str, why: str, program: Program
) -> None:
    program.add("web")

    for verb in ("stop", "status", "stack"):
        code, out, err = program(verb, *choice, name)

        assert (code, out) == (2, "")
        assert why in err
    assert program.scheduler.job("web").run is not None


def test_a_failing_start_is_1_with_the_error(program: Program) -> None:
    program.add("bad", bad, start="manual")

    code, _, err = program("start", "bad")

    assert code == 1
    assert err.startswith("bad: failed after 0.")
    assert err.endswith(" s: ValueError: boom\n")


def test_a_run_that_fails_in_its_first_moments_is_1(program: Program) -> None:
    def soon(ctx: Context) -> None:
        ctx.wait(0.02)
        raise ValueError("no such host")

    program.add("soon", soon, start="manual")

    code, _, err = program("start", "soon")

    assert code == 1
    assert err.endswith(" s: ValueError: no such host\n")


def test_a_run_that_ends_well_at_once_is_a_good_start(program: Program) -> None:
    program.add("quick", quick, start="manual")

    code, out, _ = program("start", "quick")

    assert code == 0
    assert out.partition(" after")[0] in {"quick: ready", "quick: ended"}


def test_the_stop_of_a_deaf_run_is_3_and_says_where_it_is(program: Program) -> None:
    program.add("deaf", program.deaf, join="100ms", daemon=True)

    code, _, err = program("stop", "deaf")
    assert code == 3
    assert "of stopping, at " in err
    assert "in __call__" in err or "in wait" in err

    code, _, err = program("stop", "deaf")
    assert (code, err) == (3, "deaf: cannot be stopped any further: the thread of its abandoned run is still alive\n")


def test_the_restart_of_a_deaf_run_is_3(program: Program) -> None:
    program.add("deaf", program.deaf, join={"within": "100ms", "otherwise": "exit"})

    code, _, err = program("restart", "deaf")

    assert code == 3
    assert "the new one follows its end" in err


def test_the_deadline_of_the_client_comes_first(program: Program) -> None:
    program.add("deaf", program.deaf, join="20s")

    code, _, err = program("stop", "deaf", "--timeout", "200ms")

    assert code == 3
    assert err.startswith("deaf: still running after 0.")
    assert ", at " in err


@pytest.mark.usefixtures("settles_fast")
def test_an_extra_run_of_a_scheduled_job_and_its_restart(program: Program) -> None:
    program.add("nightly", polite, schedule={"every": "1h"})

    assert program("start", "nightly")[0] == 0
    assert program.scheduler.job("nightly").status().report.run == "nightly#1"
    assert program("restart", "nightly")[0] == 0
    assert program.scheduler.job("nightly").status().report.run == "nightly#2"
    assert program("stop", "nightly")[0] == 0
    assert program.scheduler.job("nightly").status().report.next_firing is None


def test_a_start_before_its_dependency_is_refused_with_the_way_around_it(program: Program) -> None:
    program.add("db", start="manual")
    program.add("web", start="manual", after={"db": "ready"})

    code, _, err = program("start", "web")
    assert code == 1
    assert err.startswith("web: cannot start: needs ")
    assert err.endswith("; --now starts it all the same\n")
    assert program("restart", "web")[2].startswith("web: cannot restart: needs ")
    assert program("start", "web", "--now")[0] == 0


def test_resume_has_no_way_around_a_dependency(program: Program) -> None:
    program.add("db", start="manual")
    program.add("nightly", schedule={"every": "1h"}, after={"db": "ready"})
    program("stop", "nightly")

    code, _, err = program("resume", "nightly")

    assert code == 1
    assert err.startswith("nightly: cannot resume: needs job 'db' ")
    assert "--now" not in err


def test_a_schedule_is_paused_and_resumed(program: Program) -> None:
    program.add("nightly", polite, schedule={"every": "1h"})
    program.add("web")

    assert program("pause", "nightly") == (
        0, "nightly: paused; its firings are missed until it is resumed\n", ""
    )  # fmt: skip
    assert program.scheduler.job("nightly").status().report.is_paused
    code, out, _ = program("resume", "nightly")
    assert code == 0
    assert out.startswith("nightly: resumed; its next firing is in ")
    assert not program.scheduler.job("nightly").status().report.is_paused
    for verb in ("pause", "resume"):
        code, _, err = program(verb, "web")
        assert code == 1
        assert err.startswith(f"web: cannot {verb}: ")
        assert "schedule" in err


def test_pausing_all_jobs_means_those_with_a_schedule(program: Program) -> None:
    program.add("nightly", polite, schedule={"every": "1h"})
    program.add("web", labels=["x"])

    assert program("pause", "--all") == (
        0, "nightly: paused; its firings are missed until it is resumed\n1 job without a schedule: web\n", ""
    )  # fmt: skip
    assert program("resume", "-l", "x") == (0, "1 job without a schedule: web\n", "")
    assert json.loads(program("pause", "--all", "-o", "json")[1])["exit_code"] == 0


def test_a_job_that_gave_up_is_reset(program: Program) -> None:
    program.add("web", bad, start="manual", restart={"when": "on-failure", "delay": "1h"})
    program("start", "web")

    code, out, _ = program("reset", "web")

    assert code == 0
    assert out.startswith("web: reset; ")


@pytest.mark.usefixtures("settles_fast")
def test_all_replicas_are_meant_by_the_declared_name(program: Program) -> None:
    program.add("crew", polite, replicas=3, start="manual", labels=["team"])

    code, out, _ = program("start", "crew")
    assert code == 0
    assert sorted(line.split(":")[0] for line in out.splitlines()) == ["crew.1", "crew.2", "crew.3"]
    code, out, _ = program("stop", "crew", "crew.1", "crew.*", "-o", "json")
    jobs = json.loads(out)["jobs"]
    assert sorted(job["job"] for job in jobs) == ["crew.1", "crew.2", "crew.3"]
    assert program("start", "-l", "team", "--no-wait")[0] == 0
    assert program("stop", "--all")[0] == 0


def test_an_unknown_job_is_2_with_a_near_match(program: Program) -> None:
    program.add("web")

    code, _, err = program("stop", "web", "wbe")

    assert (code, err) == (2, "taskloom: cannot find job 'wbe'; did you mean 'web'?\n")
    assert program.scheduler.job("web").status().state == "running"


def test_wait_for_ready_and_finished(program: Program) -> None:
    program.add("web")
    program.add("quick", quick)
    program.add("bad", bad)

    assert program("wait", "web", "--for", "ready") == (0, "web: ready\n", "")
    assert program("wait", "quick", "--for", "finished") == (0, "quick: finished, succeeded\n", "")
    assert program("wait", "bad", "--for", "finished") == (1, "", "bad: finished, failed: ValueError: boom\n")
    code, _, err = program("wait", "web", "--for", "finished", "--timeout", "50ms")
    assert code == 1
    assert err.startswith("web: not finished after 0.")


def test_wait_sees_what_happens_while_it_waits(program: Program) -> None:
    program.add("deaf", program.deaf)
    results: list[int] = []
    with ExitStack() as stack:
        waiting = threading.Thread(
            target=lambda: results.append(call(["wait", "deaf", "--for", "finished", "--socket", program.socket]))
        )
        waiting.start()
        stack.callback(waiting.join, PATIENCE_SECONDS)
        program.deaf.released.set()

    assert results == [0]


@pytest.mark.usefixtures("settles_fast")
def test_two_clients_at_once_get_their_own_results(program: Program) -> None:
    program.add("web", start="manual")
    codes: list[int] = []

    def client(verb: str) -> None:
        codes.append(call([verb, "web", "--socket", program.socket, "--timeout", "20s"]))

    for _ in range(3):
        threads = [threading.Thread(target=client, args=(verb,)) for verb in ("restart", "stop", "restart", "stop")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)

    # A restart that a stop has overtaken is 1; nothing waits for its deadline.
    assert len(codes) == 12
    assert set(codes) <= {0, 1}


def test_the_stop_of_the_scheduler_ends_a_wait(program: Program) -> None:
    program.add("web")
    begun = threading.Event()
    results: list[int] = []

    def client() -> None:
        begun.set()
        results.append(call(["wait", "web", "--for", "finished", "--socket", program.socket, "--timeout", "20s"]))

    waiting = threading.Thread(target=client)
    waiting.start()
    begun.wait(PATIENCE_SECONDS)
    program.scheduler.stop()
    waiting.join(PATIENCE_SECONDS)

    assert results == [0]
