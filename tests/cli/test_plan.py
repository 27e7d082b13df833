"""`taskloom validate --plan`: which jobs start and when, which do not and why, and where each value comes from."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.terminals import on_a_terminal

from taskloom.cli.format_job import format_restart, format_start, schedule_lines
from taskloom.cli.plan import plan_of
from taskloom.cli.validate import validate
from taskloom.core.model import JobSpec, Moment, StartMode, StartPolicy
from taskloom.core.policies import Condition, Dependency, RestartLimit, RestartPolicy, RestartWhen, Schedule

FILE = """\
defaults: {restart: {delay: 1s, limit: {times: 5, within: 10m}}}
jobs:
  web:
    task: countdown
    after: [db, {migrate: succeeded}]
    params: {start: 5, message: "${SECRET}"}
    replicas: 3
  db: {task: countdown, daemon: true, join: 20s}
  migrate: {task: countdown, after: db, essential: true, restart: never}
  man: {task: countdown, start: manual}
  waits: {task: countdown, after: man}
  off: {task: countdown, enabled: false}
"""

PLAN = """\
Jobs that start, in this order
LEVEL  JOB                  STARTS                                      RESTARTS
1      db (daemon)          at the start                                on failure, after 1s, growing to 30s; \
at most 5 in 10m
2      migrate (essential)  when db is ready                            never
3      web (3 replicas)     when db is ready and migrate has succeeded  on failure, after 1s, growing to 30s; \
at most 5 in 10m

Jobs that do not start by themselves
JOB    WHY
man    starts only by hand (job plan.yaml:10)
waits  waits for man, which does not start by itself
off    disabled (job plan.yaml:12)

Where the values come from
JOB      FIELD      VALUE                                        FROM
web      task       countdown                                    job plan.yaml:4
web      params     {start: 5, message: "${SECRET}"}             job plan.yaml:6
web      after      [db, {migrate: succeeded}]                   job plan.yaml:5
web      restart    {delay: 1s, limit: {times: 5, within: 10m}}  defaults: plan.yaml:1
web      replicas   3                                            job plan.yaml:7
db       task       countdown                                    job plan.yaml:8
db       daemon     true                                         job plan.yaml:8
db       join       20s                                          job plan.yaml:8
db       restart    {delay: 1s, limit: {times: 5, within: 10m}}  defaults: plan.yaml:1
migrate  task       countdown                                    job plan.yaml:9
migrate  after      db                                           job plan.yaml:9
migrate  restart    never                                        job plan.yaml:9
migrate  essential  true                                         job plan.yaml:9
man      task       countdown                                    job plan.yaml:10
man      start      manual                                       job plan.yaml:10
man      restart    {delay: 1s, limit: {times: 5, within: 10m}}  defaults: plan.yaml:1
waits    task       countdown                                    job plan.yaml:11
waits    after      man                                          job plan.yaml:11
waits    restart    {delay: 1s, limit: {times: 5, within: 10m}}  defaults: plan.yaml:1
off      task       countdown                                    job plan.yaml:12
off      enabled    false                                        job plan.yaml:12
off      restart    {delay: 1s, limit: {times: 5, within: 10m}}  defaults: plan.yaml:1

All other values are defaults: params {}, labels [], enabled true, daemon false, poll_interval 1s, join 10s, \
start auto, schedule none, after [], timeout none, ready_within none, watchdog none, essential false, log {}, \
replicas 1, runner thread

The settings of the program
SETTING      VALUE  FROM
name         -      default
stop_within  30s    default
log_dir      -      default
log_format   text   default
log_level    info   default
control      true   default
history      -      default
notify       -      default
metrics      -      default

Longest stop: web (10s) -> migrate (10s) -> db (20s)

6 jobs in 1 file: 2 warnings; worst-case stop 40s
"""

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.delenv("TASKLOOM_HISTORY")
    Path("plan.yaml").write_text(FILE)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(validate, ["--plan", *arguments], catch_exceptions=False)

    return call


def test_the_plan_shows_what_starts_and_where_each_value_comes_from(call: Call) -> None:
    answer = call("plan.yaml")

    assert answer.exit_code == 0
    assert answer.stdout == PLAN


def test_a_value_of_the_environment_is_shown_as_it_is_written(call: Call) -> None:
    for answer in (call("plan.yaml"), call("plan.yaml", "-o", "json")):
        assert "hunter2" not in answer.output
        assert "${SECRET}" in answer.output


def test_the_plan_is_in_the_json_output(call: Call) -> None:
    plan = json.loads(call("plan.yaml", "-o", "json").stdout)["plan"]

    assert plan["starts"][1] == {
        "level": 2,
        "job": "migrate",
        "when": "when db is ready",
        "restart": "never",
    }
    assert plan["stays"] == [
        {"job": "man", "why": "starts only by hand"},
        {"job": "waits", "why": "waits for man, which does not start by itself"},
        {"job": "off", "why": "disabled"},
    ]
    assert plan["values"]["web"]["restart"] == {
        "written": "{delay: 1s, limit: {times: 5, within: 10m}}",
        "from": "defaults",
        "path": "plan.yaml",
        "line": 1,
    }
    assert plan["values"]["web"]["join"] == {"written": "10s", "from": "default"}
    assert plan["worst_stop"] == {
        "seconds": 40.0,
        "chain": [
            {"job": "web", "seconds": 10.0},
            {"job": "migrate", "seconds": 10.0},
            {"job": "db", "seconds": 20.0},
        ],
    }


def test_files_with_errors_have_no_plan(call: Call) -> None:
    Path("bad.yaml").write_text("jobs:\n  a: {task: countdown, after: b}\n")

    answer = call("bad.yaml")
    data = json.loads(call("bad.yaml", "-o", "json").stdout)

    assert (answer.exit_code, answer.stdout) == (2, "1 file: 1 error\n")
    assert "plan" not in data


def test_a_value_from_an_alias_or_a_merge_key_is_shown_with_its_line(call: Call) -> None:
    Path("alias.yaml").write_text(
        "x-join: &join {within: 5s}\n"
        "x-more: &more\n"
        "  daemon: true\n"
        "jobs:\n"
        "  a:\n"
        "    <<: *more\n"
        "    task: countdown\n"
        "    join: *join\n"
    )

    values = json.loads(call("alias.yaml", "-o", "json").stdout)["plan"]["values"]["a"]

    assert values["daemon"] == {"written": "true", "from": "job", "path": "alias.yaml", "line": 3}
    assert values["join"] == {"written": "{within: 5s}", "from": "job", "path": "alias.yaml", "line": 8}


@pytest.mark.parametrize("variables", [{}, pytest.param({"NO_COLOR": "1"}, marks=pytest.mark.long)])
def test_a_terminal_gets_coloured_tables_unless_no_color_is_set(
    call: Call, child_env: dict[str, str], tmp_path: Path, variables: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "taskloom", "validate", "--plan", "plan.yaml"]
    env = child_env | {"SECRET": "x", "TERM": "xterm-256color", "COLUMNS": "120"} | variables

    shown = on_a_terminal(command, env, tmp_path, is_stderr_too=False).text

    assert "─────" in shown
    assert ("\x1b[1;36mlevel" in shown) is (not variables)
    assert "restarts" in shown


def job(name: str, *needs: Dependency | str, **fields: object) -> JobSpec:
    after = tuple(each if isinstance(each, Dependency) else Dependency(each) for each in needs)
    return JobSpec(name=name, task="idle", after=after, **fields)  # type: ignore[arg-type]


def test_a_job_is_on_the_level_after_its_last_dependency() -> None:
    jobs = [job("d", "c", "a"), job("c", "b"), job("b", "a"), job("a"), job("e", "a")]

    plan = plan_of(jobs)

    assert [(start.level, start.job.name) for start in plan.starts] == [
        (1, "a"), (2, "b"), (2, "e"), (3, "c"), (4, "d"),
    ]  # fmt: skip


def test_a_job_does_not_start_if_a_dependency_does_not() -> None:
    jobs = [job("c", "b"), job("b", "a"), job("a", start=StartPolicy(StartMode.MANUAL)), job("x")]

    plan = plan_of(jobs)

    assert [start.job.name for start in plan.starts] == ["x"]
    assert [(stay.job.name, stay.why) for stay in plan.not_started] == [
        ("c", "waits for b, which does not start by itself"),
        ("b", "waits for a, which does not start by itself"),
        ("a", "starts only by hand"),
    ]


@pytest.mark.parametrize(
    "policy, words",
    [
        (RestartPolicy(), "never"),
        (RestartPolicy(RestartWhen.ON_FAILURE), "on failure, after 500ms, growing to 30s"),
        (RestartPolicy(RestartWhen.ALWAYS, delay=5.0, factor=1.0), "always, after 5s"),
        (
            RestartPolicy(RestartWhen.ALWAYS, delay=60.0, max_delay=60.0, limit=RestartLimit(3, 90.0)),
            "always, after 1m; at most 3 in 1m30s",
        ),
    ],
)
def test_a_restart_policy_is_written_in_words(policy: RestartPolicy, words: str) -> None:
    assert format_restart(policy) == words


@pytest.mark.parametrize(
    "spec, words",
    [
        (job("a"), "at the start"),
        (job("a", start=StartPolicy(delay_seconds=5.0)), "5s after the start"),
        (job("a", "b", start=StartPolicy(delay_seconds=5.0)), "when b is ready, 5s later"),
        (
            job(
                "a",
                Dependency("b", Condition.STARTED),
                Dependency("c", Condition.SUCCEEDED),
                Dependency("d", Condition.FINISHED),
            ),
            "when b has started, c has succeeded and d has finished",
        ),
        (job("a", schedule=Schedule(every=300.0)), "every 5m, drift-free; overlap skipped"),
        (
            job("a", "b", schedule=Schedule(every=60.0)),
            "when b is ready, then every 1m, drift-free; overlap skipped",
        ),
        (job("a", "b", start=StartPolicy(StartMode.MANUAL)), "when it is started by hand"),
    ],
)
def test_the_start_of_a_job_is_written_in_words(spec: JobSpec, words: str) -> None:
    assert format_start(spec) == words


def test_a_schedule_is_shown_with_its_next_three_start_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    spec = job("tick", schedule=Schedule(every=90.0, immediately=True))

    lines = list(schedule_lines(spec, Moment(0.0, 1_800_000_000.0)))

    assert lines[0] == "tick: every 1m30s, at once and then drift-free; overlap skipped"
    assert lines[1].startswith("  next: ")
    assert [text.split()[2] for text in lines[1].removeprefix("  next: ").split(", ")] == [
        "08:00:00", "08:01:30", "08:03:00",
    ]  # fmt: skip


def test_a_full_second_among_start_times_with_fractions_has_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    spec = job("tick", schedule=Schedule(every=0.1, immediately=True))

    _, line = schedule_lines(spec, Moment(0.0, 1_799_999_999.9))

    assert [text.split()[2] for text in line.removeprefix("  next: ").split(", ")] == [
        "07:59:59.900", "08:00:00.000", "08:00:00.100",
    ]  # fmt: skip


def test_a_job_without_a_schedule_has_no_line() -> None:
    assert list(schedule_lines(job("tick"), Moment(0.0, 0.0))) == []
