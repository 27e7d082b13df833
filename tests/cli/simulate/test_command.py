"""`taskloom simulate`: its options, table, JSON, events and errors."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from taskloom.cli.entry import call
from taskloom.cli.simulate import report
from taskloom.errors import InternalError
from taskloom.testing import check_events
from taskloom.text import duration

JOBS = """\
jobs:
  backup:
    task: countdown
    schedule: {cron: "0 * * * *", timezone: Europe/Berlin}
  nightly:
    task: countdown
    schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}
  gateway:
    task: countdown
    restart: on-failure
    labels: [net]
    join: 5s
"""
# The night in which the clock in Berlin skips 02:30.
MARCH = ("--at", "2026-03-28T12:00:00.5+01:00")


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def simulate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Call the command on the job file above, or on another text; return its exit code and output."""
    monkeypatch.chdir(tmp_path)

    def simulate(*options: str, text: str = JOBS) -> Answer:
        Path("jobs.yaml").write_text(text, encoding="utf-8")
        code = call(["simulate", "jobs.yaml", *MARCH, *options])
        return Answer(code, *capsys.readouterr())

    return simulate


def parsed(answer: Answer) -> dict[str, Any]:
    assert answer.code == 0, answer.err
    return dict(json.loads(answer.out))


def rows(answer: Answer) -> list[list[str]]:
    """Return the cells of the table, with its header first."""
    lines = answer.out.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_the_table_has_counts_and_the_final_state_of_each_job(simulate: Callable[..., Answer]) -> None:
    answer = simulate("--for", "24h", "--work", "backup=61m", "--crash", "gateway@2h")

    assert answer.code == 0, answer.err
    head, backup, nightly, gateway = rows(answer)
    assert head[:8] == ["JOB", "FIRINGS", "RUNS", "SUCCEEDED", "FAILED", "RESTARTS", "OVERLAPS", "MISSED"]
    assert backup == [
        "backup", "24", "12", "11", "0", "0", "12", "0", "0s", "running", "Sun 2026-03-29 14:00:00 CEST",
    ]  # fmt: skip
    assert nightly[:4] == ["nightly", "1", "1", "1"]
    assert gateway == ["gateway", "-", "2", "0", "1", "1", "-", "-", "0s", "running", "-"]


def test_totals_assumptions_and_findings_are_below_the_table(simulate: Callable[..., Answer]) -> None:
    answer = simulate("--for", "24h", "--work", "backup=61m", "--fail", "gateway=5%", "--hang", "gateway@3h")

    below = answer.out.partition("\n\n")[2].splitlines()
    assert below[0].startswith("3 jobs for 1d from ")
    assert below[0].endswith("; the stop took 5s and may take up to 10s")
    usual = "runs work 1s if their job has a schedule or other jobs wait for its end, else until they are stopped"
    assert below[1:] == [
        "assumed:",
        f"  {usual}; except backup 1h1m",
        "  fail: 5% of gateway",
        "  hang: gateway at 3h",
        "",
        "backup overlapped 12 times: a run took up to 1h1m, and its schedule is cron 0 * * * *",
        "gateway had a run that did not stop within 5s",
    ]


def test_json_has_the_same_data_as_the_table(simulate: Callable[..., Answer]) -> None:
    words = ("--for", "3d", "--seed", "3", "--fail", "20%", "--work", "backup=1m..90m")

    table, data = rows(simulate(*words)), parsed(simulate(*words, "-o", "json"))

    assert [job["job"] for job in data["jobs"]] == [row[0] for row in table[1:]]
    for row, job in zip(table[1:], data["jobs"], strict=True):
        is_scheduled = job["schedule"] is not None
        counts = [job["firings"], job["runs"], job["succeeded"], job["failed"], job["restarts"]]
        of_schedule = [job["overlaps"], sum(job["missed"].values())]
        wanted = [str(count) for count in (*counts, *of_schedule)]
        assert row[1:8] == (wanted if is_scheduled else ["-", *wanted[1:5], "-", "-"])
        assert row[8] == duration(job["longest_stop"], is_rounded=True)
        assert row[9].startswith(job["state"])
    text = simulate(*words).out
    assert f"{data['runs']:,} runs, {data['events']:,} events" in text
    assert all(remark in text for remark in data["remarks"])


def test_the_same_options_give_the_same_result_and_another_seed_another(
    simulate: Callable[..., Answer],
) -> None:
    words = ("--for", "3d", "--fail", "20%", "--work", "backup=1m..90m", "--seed")

    assert simulate(*words, "1") == simulate(*words, "1")
    assert simulate(*words, "1") != simulate(*words, "2")


def test_a_firing_in_the_night_of_a_clock_change_is_in_the_events(simulate: Callable[..., Answer]) -> None:
    assert simulate("--for", "1d", "--events", "events.jsonl").code == 0

    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    queued = [event["at"] for event in events if event["event"] == "queued" and event["job"] == "nightly"]
    assert queued == ["2026-03-29T01:00:00.000000Z"]


def test_the_event_file_is_overwritten_and_its_events_break_no_rule(simulate: Callable[..., Answer]) -> None:
    for _ in range(2):
        data = parsed(simulate("--fail", "30%", "--events", "events.jsonl", "-o", "json"))

    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert len(events) == data["events"]
    assert check_events(events, is_whole=True) == []


def test_labels_select_jobs(simulate: Callable[..., Answer]) -> None:
    data = parsed(simulate("-l", "net", "-o", "json"))

    assert [job["job"] for job in data["jobs"]] == ["gateway"]


def test_warnings_about_the_files_go_to_stderr(simulate: Callable[..., Answer]) -> None:
    answer = simulate("-o", "json", text=JOBS.replace("join: 5s", "join: wait"))

    assert "warning" in answer.err
    assert parsed(answer)["worst_stop_seconds"] == 30.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--crash", "gatewy@1h"], "cannot find job 'gatewy'; jobs: backup, nightly, gateway; did you mean 'gateway'?"),
        (["--work", "x-*=1s"], "cannot find job 'x-*'; jobs: backup, nightly, gateway"),
        (["--fail", "backups=5%"], "cannot find job 'backups'; jobs: backup, nightly, gateway; did you mean 'backup'?"),
        (["--hang", "gateway@25h"], "cannot hang 'gateway' at 1d1h: the simulated time is over after 1d"),
        (["--crash", "gateway"], "cannot read 'gateway'; write JOB@2h: the job, and how long after the beginning"),
        (["--crash", "gateway@soon"], "cannot read 'soon' as a duration"),
        (["--work", "backup"], "cannot read 'backup'; write JOB=5s, JOB=1s..10s or JOB=forever"),
        (["--work", "backup=9s..1s"], "cannot use '9s..1s' as a span; the shorter time comes first, 1s..9s"),
        (["--stops-in", "backup=-1s"], "cannot read '-1s' as a duration"),
        (["--fail", "5"], "cannot read '5' as a share of runs; write 5% or JOB=5%, from 0% to 100%"),
        (["--fail", "101%"], "cannot read '101%' as a share of runs; write 5% or JOB=5%, from 0% to 100%"),
        (["--clock-step", "1h@5h"], "cannot read '1h@5h'; write +1h@5h or -30m@2d"),
        (["--clock-step", "+1h@2d"], "cannot set the clock at 2d: the simulated time is over after 1d"),
        (["--for", "0s"], "cannot use '0s' as a duration; it must be more than 0"),
        (["--for", "a week"], "cannot read 'a week' as a duration"),
        (
            ["--stop-within", "never"],
            "cannot read 'never' as a duration; write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds;",
        ),
        (["--at", "tomorrow"], "cannot use 'tomorrow' as at; expected a date and a time like 2026-12-24T18:00"),
        (["-l", "nett"], "cannot find a job with label 'nett'; labels: net"),
        (["--events", "no/such/folder"], "cannot write events to 'no/such/folder': No such file or directory"),
    ],
)
def test_an_unusable_option_is_refused_with_a_message(
    simulate: Callable[..., Answer], options: list[str], message: str
) -> None:
    answer = simulate(*options)

    assert answer.code == 2
    assert message in answer.err
    assert answer.out == ""


def test_of_many_jobs_the_error_names_a_few(simulate: Callable[..., Answer]) -> None:
    text = "jobs:\n" + "".join(f"  job-{number}: {{task: countdown}}\n" for number in range(1000))

    answer = simulate("--crash", "jab-5@1h", text=text)

    assert "job-6, job-7 and 992 more; did you mean 'job-5'?" in answer.err


def test_errors_in_a_job_file_are_shown_with_their_place(simulate: Callable[..., Answer]) -> None:
    answer = simulate(text=JOBS.replace("join: 5s", "join: soon"))

    assert answer.code == 2
    assert "jobs.yaml:12:11: error: job 'gateway': cannot " in answer.err


def test_only_the_first_of_many_findings_are_printed(simulate: Callable[..., Answer]) -> None:
    text = "jobs:\n" + "".join(f"  job-{number}: {{task: countdown, start: manual}}\n" for number in range(100))

    answer, data = simulate(text=text), parsed(simulate("-o", "json", text=text))

    assert len(data["remarks"]) == 101
    assert answer.out.count("was never started") == report.MOST_FINDINGS - 1
    assert answer.out.endswith("... and 71 more remarks; -o json has all of them\n")


def test_a_broken_invariant_is_reported_as_a_bug_with_the_seed(
    simulate: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    class LyingChecker:
        def __init__(self, seed: int, stop_within: float, steps: int | None) -> None:
            self.seed = seed

        def check_step(self, *step: object) -> bool:
            raise InternalError(f"seed {self.seed}: I3 at 12: two runs of one job")

    monkeypatch.setattr("taskloom.simulation.invariant_check.InvariantChecker", LyingChecker)

    broken, unchecked = simulate("--seed", "9"), simulate("--seed", "9", "--no-check")

    assert broken.code == 70
    assert "internal error: seed 9: I3 at 12: two runs of one job" in broken.err
    assert "please report the lines above with your job file and --seed 9" in broken.err
    assert unchecked.code == 0


def test_it_begins_now_by_default(
    taskloom_cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBS)

    answer = taskloom_cli("simulate", "jobs.yaml", "--for", "1h")

    assert answer.returncode == 0, answer.stderr
    assert "3 jobs for 1h from " in answer.stdout
    assert answer.stderr == ""


def test_no_task_really_runs(simulate: Callable[..., Answer], tmp_path: Path) -> None:
    text = "jobs:\n  reader:\n    task: socket-reader\n    params: {listen: 'unix://here.sock', output: here.log}\n"

    assert simulate(text=text).code == 0

    assert sorted(each.name for each in tmp_path.iterdir()) == ["jobs.yaml"]


@pytest.mark.parametrize("path", ["-", "/dev/stdout"])
def test_events_to_standard_output_leave_the_table_to_standard_error(
    simulate: Callable[..., Answer], path: str
) -> None:
    answer = simulate("--events", path)

    assert answer.code == 0
    events = [json.loads(line) for line in answer.out.splitlines()]
    assert check_events(events, is_whole=True) == []
    assert answer.err.startswith("JOB ")


@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_events_and_json_do_not_share_standard_output(simulate: Callable[..., Answer], path: str) -> None:
    answer = simulate("--events", path, "-o", "json")

    assert (answer.code, answer.out) == (2, "")
    assert f"cannot write both events (--events {path}) and the result (--output json) to standard output" in answer.err


def test_the_next_firings_between_full_seconds_have_fractions(simulate: Callable[..., Answer]) -> None:
    text = """\
jobs:
  tenth: {task: countdown, schedule: {every: 100ms}}
  minute: {task: countdown, schedule: {every: 1m}}
  jittered: {task: countdown, schedule: {every: 1m, jitter: 10s}}
"""
    answer = simulate("--at", "2026-01-01T00:00Z", "--for", "9900ms", text=text)

    tenth, minute, jittered = (row[-1].split()[2] for row in rows(answer)[1:])
    assert tenth == "00:00:10.000"
    assert minute == "00:01:00"
    assert len(jittered) == len("00:01:00.000")


@pytest.mark.parametrize(
    ("expression", "step", "runs"),
    [
        ("* * * * *", "-2h50m@30m", 240),
        ("* * * * *", "-3h1m@30m", 240),
        ("* * * * *", "-1d@30m", 240),
        ("*/5 * * * *", "-2h50m@30m", 48),
        ("@hourly", "-2h50m@30m", 4),  # 10, 11, 12 and 13 o'clock of the new time
        ("30 12 * * *", "-2h50m@30m", 1),
        ("0,30 9-17 * * *", "-2h50m@30m", 2),  # 12:30, and 13:00 when the clock has caught up
        ("30 12 * * *", "-4h@30m", 1),  # it runs again by the new time, but only after these four hours
        ("30 12 * * *", "+2h@10m", 0),  # older than the grace of an hour
        ("30 12 * * *", "+1h@10m", 1),
    ],
)
def test_a_clock_that_is_set_moves_the_firings_as_in_debians_cron(
    simulate: Callable[..., Answer], expression: str, step: str, runs: int
) -> None:
    text = f"jobs: {{beat: {{task: countdown, schedule: {{cron: '{expression}', timezone: UTC}}}}}}\n"

    data = parsed(
        simulate("--at", "2026-05-05T12:00:10Z", "--for", "4h", f"--clock-step={step}", "-o", "json", text=text)
    )

    assert data["jobs"][0]["runs"] == runs
