"""Jobs on runner `process` and jobs that are programs: what is legal together, and the words for what is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.given_catalog import GivenCatalog

from taskloom import Check, Job, Program, Scheduler, Task
from taskloom.core.model import JobSpec, JoinPolicy, Moment, Otherwise, RunnerSpec
from taskloom.core.policies import Watchdog, WatchdogThen
from taskloom.core.reload import ReloadAction
from taskloom.diagnostics import FieldError
from taskloom.errors import InvalidJob
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.jobfile.job_spec import job_spec, read_defaults, spec_of
from taskloom.jobfile.loader import CheckResult, check
from taskloom.jobfile.render import render_all
from taskloom.observe.job_data import job_as_json
from taskloom.task import Context

MIB = 1 << 20


def idle(ctx: Context, value: Any = None) -> None:
    """Do nothing."""


class Serve(Task):
    """A program."""

    code: int = 0
    port: int | None = None
    every: float = 10.0
    fails: bool = False
    line: str | None = None
    kind: Any = None

    def program(self) -> Program:
        if self.fails:
            raise OSError("no such disk")
        if self.kind is not None:
            return self.kind  # type: ignore[no-any-return]
        checked = None if self.port is None else Check(tcp=f"tcp://127.0.0.1:{self.port}", every=self.every)
        return Program(argv=("true",), success_codes=frozenset({self.code}), check=checked, ready_line=self.line)


class Runner:
    """A runner of another package, as a class with a method start."""

    def start(self, order: Any, token: Any, emit: Any) -> Any:
        """Never called."""


class Killing(Runner):
    kills = True

    @staticmethod
    def check_options(options: Mapping[str, Any]) -> Iterator[FieldError]:
        if "queue" not in options:
            yield FieldError((), "cannot do without a queue", "write {queue: NAME}")
        for name, value in options.items():
            if name == "size" and value != 5:
                yield FieldError((name,), f"cannot use {value!r} as size; expected 5")


class Remote(Runner):
    needs_reference = True
    starts_programs = True

    @staticmethod
    def check_options(options: Mapping[str, Any]) -> list[FieldError] | None:
        return None


class Odd(Runner):
    @property
    def kills(self) -> bool:
        return True

    @staticmethod
    def check_options(options: Mapping[str, Any]) -> list[FieldError]:
        raise SystemExit("no options today")


class Tuples(Runner):
    @staticmethod
    def check_options(options: Mapping[str, Any]) -> list[Any]:
        return [(("a",), "cannot use 1"), (("b",), "cannot do without b", "write b: 2")]


RUNNERS = {"tuples": Tuples, "killing": Killing, "remote": Remote, "odd": Odd, "simple": Runner}
CATALOG = GivenCatalog({"idle": idle, "serve": Serve}, RUNNERS)
KILLED = JoinPolicy(10.0, Otherwise.KILL)


def spec(task: str = "idle", /, **fields: Any) -> JobSpec:
    return job_spec("a", {"task": task, **fields}, CATALOG)


def errors(task: str = "idle", /, **fields: Any) -> list[tuple[Any, str, str]]:
    with pytest.raises(JobErrors) as caught:
        spec(task, **fields)
    return [error[:3] for error in caught.value.errors]


def checked(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> CheckResult:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(text)
    return check("a.yaml", catalog=CATALOG, environ=variables, with_origins=True)


# -- join


@every_case("join", ["10s", {"otherwise": "kill"}, {"within": "10s"}, {}], ids=str)
@every_case("daemon", [True, False])
def test_kill_is_the_default_on_process_for_daemons_too(daemon: bool, join: Any) -> None:
    assert spec(runner="process", daemon=daemon, join=join).join == KILLED
    assert spec(runner="process", daemon=daemon).join == KILLED


def test_kill_keeps_its_time() -> None:
    assert spec(runner="process", join="0s").join == JoinPolicy(0.0, Otherwise.KILL)
    assert spec(runner="process", join="wait").join == JoinPolicy(float("inf"), Otherwise.KILL)


@pytest.mark.parametrize("runner", ["process", {"process": {"nice": 1}}, "killing"], ids=str)
@pytest.mark.parametrize("otherwise", ["abandon", "exit"])
def test_other_ends_are_refused_where_runs_are_killed(otherwise: str, runner: Any) -> None:
    name = runner if isinstance(runner, str) else "process"

    assert errors(runner=runner, daemon=True, join={"otherwise": otherwise}) == [
        (
            ("join", "otherwise"),
            f"cannot {otherwise} with runner {name}: its runs are killed instead",
            "leave it out: kill is the default there",
        )
    ]


@pytest.mark.parametrize(
    "runner, why",
    [
        ({}, "cannot kill with runner thread: a thread cannot be killed"),
        ({"runner": "thread"}, "cannot kill with runner thread: a thread cannot be killed"),
        ({"runner": {"thread": {"reuse": True}}}, "cannot kill with runner thread: a thread cannot be killed"),
        ({"runner": "simple"}, "cannot kill with runner simple: it does not kill its runs"),
        ({"runner": "remote"}, "cannot kill with runner remote: it does not kill its runs"),
    ],
    ids=str,
)
def test_kill_is_refused_where_runs_cannot_be_killed(runner: dict[str, Any], why: str) -> None:
    hint = "write runner: process, whose runs can be killed"

    assert errors(**runner, daemon=True, join={"otherwise": "kill"}) == [(("join", "otherwise"), why, hint)]


@every_case("runner", ["nowhere", 5, {"process": {"nice": "x"}}, {"thread": {"x": 1}}], ids=str)
@every_case("otherwise", ["kill", "exit"])
def test_nothing_is_said_of_the_join_of_an_unknown_runner(runner: Any, otherwise: str) -> None:
    assert all(loc[0] == "runner" for loc, _, _ in errors(runner=runner, join={"otherwise": otherwise}))


def test_nothing_is_said_of_the_join_of_an_unknown_task() -> None:
    assert [loc for loc, _, _ in errors("servo", join={"otherwise": "kill"})] == [("task",)]


def test_defaults_that_do_not_fit_one_of_two_runners_name_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = checked(
        "defaults:\n  join: {otherwise: exit}\njobs:\n  a: {task: idle}\n  b: {task: idle, runner: process}\n"
        "  c: {task: idle, runner: process, join: 3s}\n",
        tmp_path,
        monkeypatch,
    )

    assert render_all(result.problems) == (
        "a.yaml:5:3: error: job 'b': cannot exit with runner process: its runs are killed instead\n"
        "  5 |   b: {task: idle, runner: process}\n"
        "    |   ^ leave it out: kill is the default there\n"
        "a.yaml:2:21: note: set here, for all jobs of the file"
    )
    assert [job.join.otherwise.value for job in result.jobs] == ["exit", "kill"]


def test_kill_as_a_default_names_each_job_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = checked(
        "defaults: {join: {otherwise: kill}}\njobs:\n  a: {task: idle}\n  b: {task: idle, runner: process}\n"
        "  c: {task: serve}\n  d: {task: idle, join: 3s}\n",
        tmp_path,
        monkeypatch,
    )

    assert [(each.job, each.message) for each in result.problems] == [
        ("a", "cannot kill with runner thread: a thread cannot be killed")
    ]
    assert [job.name for job in result.jobs] == ["b", "c", "d"]


def test_a_default_runner_is_process_for_all_jobs_that_write_no_other() -> None:
    values = read_defaults({"runner": {"process": {"nice": 3}}})

    first = job_spec("a", {"task": "idle"}, CATALOG, defaults=values)
    second = job_spec("b", {"task": "idle", "runner": "thread"}, CATALOG, defaults=values)

    assert (first.runner, first.join) == (RunnerSpec("process", {"nice": 3}), KILLED)
    assert (second.runner, second.join) == (RunnerSpec(), JoinPolicy(10.0, Otherwise.EXIT))


def test_replicas_share_one_error() -> None:
    assert len(errors(runner="process", replicas=5, join={"otherwise": "exit"})) == 1
    assert {each.join for each in spec(runner="process", replicas=5).replicated()} == {KILLED}


def test_a_folder_that_does_not_exist_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "jobs:\n  a: {task: idle, runner: {process: {cwd: sub}}}\n  b: {task: idle, runner: {process: {cwd: .}}}\n"

    result = checked(text, tmp_path, monkeypatch)
    (tmp_path / "sub").mkdir()

    assert [(each.job, each.severity, each.place.column, each.message) for each in result.problems] == [
        ("a", "warning", 43, "the process cannot start before its folder exists: 'sub'")
    ]
    assert checked(text, tmp_path, monkeypatch).problems == ()


# -- programs


def test_the_default_runner_of_a_program_is_process() -> None:
    found = spec("serve")

    assert (found.runner, found.join, found.watchdog) == (RunnerSpec("process"), KILLED, None)
    assert found.binding.program is not None
    assert found.binding.program().argv == ("true",)
    assert not found.binding.announces_ready


@pytest.mark.parametrize("runner", ["thread", {"thread": None}, {"thread": {"reuse": True}}, "simple"], ids=str)
def test_a_runner_that_starts_no_programs_is_refused_for_one(runner: Any) -> None:
    name = "simple" if runner == "simple" else "thread"

    assert errors("serve", runner=runner, daemon=True) == [
        (
            ("runner",),
            f"cannot start a program with runner {name}, and the task of this job is one",
            "write runner: process, or leave it out",
        )
    ]


@pytest.mark.parametrize("runner", ["process", {"process": {"nice": 1}}, "remote"], ids=str)
def test_a_runner_that_starts_programs_is_kept(runner: Any) -> None:
    assert spec("serve", runner=runner).runner.name in ("process", "remote")


def test_a_default_runner_thread_is_refused_for_a_program() -> None:
    with pytest.raises(JobErrors, match="cannot start a program with runner thread"):
        job_spec("a", {"task": "serve"}, CATALOG, defaults=read_defaults({"runner": "thread"}))


def test_a_check_gives_a_watchdog_unless_one_is_written() -> None:
    found = spec("serve", params={"port": 80, "every": 4})

    assert found.watchdog == Watchdog(12.0, WatchdogThen.RESTART)
    assert spec("serve", params={"port": 80}, watchdog="none").watchdog is None
    assert spec("serve", params={"port": 80}, watchdog="9s").watchdog == Watchdog(9.0, WatchdogThen.WARN)
    assert (
        job_spec("a", {"task": "serve", "params": {"port": 80}}, CATALOG, defaults={"watchdog": None}).watchdog is None
    )


def test_a_program_may_announce_that_it_is_ready() -> None:
    assert spec("serve", params={"line": "ready"}).binding.announces_ready


@pytest.mark.parametrize(
    "params, message",
    [
        ({"fails": True}, "cannot make Serve of these params: OSError: no such disk"),
        ({"code": 500}, "cannot make Serve of these params: cannot use 500 in success_codes; exit codes are 0 to 255"),
        (
            {"kind": "x"},
            "cannot make Serve of these params: its program() returned 'x', which is not a taskloom.Program",
        ),
    ],
    ids=str,
)
def test_a_program_that_cannot_be_made_is_refused_with_the_params(params: dict[str, Any], message: str) -> None:
    assert errors("serve", params=params) == [(("params",), message, "")]


def test_the_plan_shows_the_runner_and_the_watchdog_of_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = checked("jobs:\n  a: {task: serve, params: {port: 80}}\n  b: {task: idle}\n", tmp_path, monkeypatch)

    program, function = ([result.origins[job][field][:2] for field in ("runner", "watchdog")] for job in "ab")
    assert program == [("task", "process"), ("task", "{after: 30s, then: restart}")]
    assert function == [("default", "thread"), ("default", "none")]


# -- runners of other packages


def test_a_runner_of_another_package_has_options_and_kills() -> None:
    found = spec(runner={"killing": {"queue": "q", "size": 5}})

    assert (found.runner, found.join) == (RunnerSpec("killing", {"queue": "q", "size": 5}), KILLED)


def test_the_options_of_another_package_are_checked_by_it() -> None:
    assert errors(runner={"killing": {"size": 6}}) == [
        (("runner", "killing"), "cannot do without a queue", "write {queue: NAME}"),
        (("runner", "killing", "size"), "cannot use 6 as size; expected 5", ""),
    ]


def test_errors_in_options_may_be_plain_tuples() -> None:
    assert errors(runner={"tuples": {"a": 1}}) == [
        (("runner", "tuples", "a"), "cannot use 1", ""),
        (("runner", "tuples", "b"), "cannot do without b", "write b: 2"),
    ]


def test_a_runner_without_options_takes_none() -> None:
    assert spec(runner={"simple": {}}).runner == RunnerSpec("simple")
    assert errors(runner={"simple": {"a": 1}}) == [
        (("runner", "simple", "a"), "cannot use option 'a': runner 'simple' takes no options", "")
    ]


def test_a_check_of_options_that_raises_is_named() -> None:
    assert errors(runner={"odd": {"a": 1}}) == [
        (("runner", "odd"), "cannot check the options of runner 'odd': it raised SystemExit: no options today", "")
    ]


def test_a_property_is_not_an_ability() -> None:
    assert spec(runner="odd").join == JoinPolicy(10.0, Otherwise.EXIT)


# -- what crosses


def test_a_program_that_writes_no_runner_is_refused_where_there_is_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")

    assert errors("serve") == [(("runner",), "cannot use runner process on darwin: it needs Linux", "")]


@pytest.mark.parametrize("runner", ["process", "remote"])
def test_params_that_are_not_json_are_refused_at_their_place(runner: str) -> None:
    assert errors(runner=runner, params={"value": [1, {2}]}) == [
        (
            ("params", "value", 1),
            "cannot pass param 'value[1]' to a process: {2} of type set is not JSON data",
            "write a list",
        )
    ]
    assert spec(params={"value": [1, {2}]}).params == {"value": [1, {2}]}


def test_a_job_file_refuses_what_yaml_has_and_json_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = checked(
        "jobs:\n  a:\n    task: idle\n    runner: process\n    params:\n      value: [1, {b: .inf}]\n",
        tmp_path,
        monkeypatch,
    )

    assert render_all(result.problems) == (
        "a.yaml:6:22: error: job 'a': cannot pass param 'value[1].b' to a process: inf of type float is not JSON data\n"
        "  6 |       value: [1, {b: .inf}]\n"
        "    |                      ^^^^"
    )


def test_a_job_of_a_program_that_cannot_cross_is_refused_in_words() -> None:
    class Inner(Task):
        def run(self, ctx: Context) -> None:
            """Do nothing."""

    here = "test_a_job_of_a_program_that_cannot_cross_is_refused_in_words()"
    reasons = {
        Inner: f"cannot run class 'Inner' in a process: it is defined inside of {here} "
        "(define it at the top level of a module)",
        (
            lambda ctx: None
        ): "cannot run a lambda in a process: it cannot be imported by a name (write a function or a Task "
        "class at the top level of a module)",
    }
    with Scheduler(catalog=CATALOG) as scheduler:
        for task, reason in reasons.items():
            with pytest.raises(InvalidJob) as caught:
                scheduler.add(Job(name="a", task=task, runner="process"))
            assert list(caught.value.reasons) == [f"task: {reason}"]
        assert scheduler.status() == []


def test_reload_and_preview_refuse_what_add_refuses() -> None:
    with Scheduler(catalog=CATALOG) as scheduler:
        scheduler.add(Job(name="a", task=idle))
        for change in (scheduler.reload, scheduler.preview):
            with pytest.raises(InvalidJob, match="cannot pass param 'value' to a process"):
                change([Job(name="a", task=idle, params={"value": {1}}, runner="process")])

        [moved] = scheduler.preview([Job(name="a", task=idle, runner="process")])

    assert (moved.action, moved.fields) == (ReloadAction.RESTART, ("join", "runner"))


def test_params_are_copied_when_the_job_is_added() -> None:
    value = [1]
    found = spec_of(Job(name="a", task=idle, params={"value": value}, runner="process"), CATALOG)

    value.append(2)

    assert found.binding.reference is not None
    assert found.binding.reference.params == {"value": [1]}


def test_a_program_of_a_lambda_needs_no_reference() -> None:
    class Local(Task):
        value: Any = None

        def program(self) -> Program:
            return Program(argv=("true",))

    found = spec_of(Job(name="a", task=Local(value={1})), CATALOG)

    assert found.runner == RunnerSpec("process")


def test_a_library_that_writes_thread_for_a_program_is_refused() -> None:
    assert spec_of(Job(name="a", task=Serve), CATALOG).runner == RunnerSpec("process")
    with pytest.raises(InvalidJob, match="cannot start a program with runner thread"):
        spec_of(Job(name="a", task=Serve, runner="thread"), CATALOG)


# -- secrets

SECRET_ENV = """\
defaults:
  runner: {process: {env: {PASSWORD: "hunter22", "A=": x}}}
jobs:
  a: {task: idle, runner: {process: {env: {API_TOKEN: hunter33, URL: "http://u:hunter44@h/", "B=": x}}}}
"""


def test_secret_variables_are_masked_in_the_lines_of_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = render_all(checked(SECRET_ENV, tmp_path, monkeypatch).problems)

    assert text.count("error:") == 2
    assert "hunter" not in text


def test_secret_variables_are_masked_in_the_plan_and_in_the_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SECRET_ENV.replace(', "A=": x', "").replace(', "B=": x', ', LEVEL: debug, KEY: "${KEY}", PASSWORD: "${KEY}"')

    result = checked(text, tmp_path, monkeypatch, KEY="hunter55")

    assert result.problems == ()
    assert result.origins["a"]["runner"].written == (
        '{process: {env: {API_TOKEN: **********, URL: "http://u:**********@h/", LEVEL: debug, KEY: "${KEY}", '
        'PASSWORD: "${KEY}"}}}'
    )
    assert result.secrets == {"hunter33", "hunter44", "hunter55"}
    shown = job_as_json(result.jobs[0], Moment(0.0, 0.0))["runner_options"]
    assert shown == {"env": dict.fromkeys(("API_TOKEN", "URL", "LEVEL", "KEY", "PASSWORD"), "**********")}
