"""Where the settings of a program come from: options, the environment, env files, job files, defaults."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from taskloom.cli.drill.command import drill
from taskloom.cli.program.selection import JobFiles
from taskloom.cli.program.settings import RunSettings
from taskloom.cli.run import run
from taskloom.cli.settings import Flag, Given, Sources, misspelt_variables
from taskloom.cli.simulate.command import simulate
from taskloom.cli.validate import validate
from taskloom.control.names import checked_name
from taskloom.jobfile import check
from taskloom.jobfile.env_file import read_env_files
from taskloom.jobfile.fields.history import HISTORY, KEEP_SECONDS, SIZE_BYTES, HistoryMode, HistorySetting
from taskloom.jobfile.fields.metrics import MetricsAddress
from taskloom.jobfile.fields.settings import SETTINGS
from taskloom.jobfile.fields.spec import JobErrors
from taskloom.observe.log_format import LogFormat

A_NAME = "expected at most 64 letters, digits, '-', '_' and '.', the first a letter or a digit"
A_DURATION = "write 500ms, 10s, 5m, 2h, 1d, 1h30m or seconds; or forever"
BETWEEN = "it must be between 0 and ten years; or forever"
A_LEVEL = "expected debug, info, warning or error"
A_CONTROL = "expected true, false or the path of a socket, with a '/'"
A_PATH = "the path of a socket with a '/'"
WRITE_A_HOST = "(write 127.0.0.1:9464 for this machine alone, or 0.0.0.0:9464 for all networks)"
AN_ADDRESS = "expected HOST:PORT, [IPV6]:PORT or unix:///PATH"
A_HISTORY = (
    "expected on, off, the path of a database, with a '/', or a URL such as postgresql://host/name, or a mapping of "
    "url, keep and size"
)
A_PLACE = "expected on, off, the path of a database, with a '/', or a URL such as postgresql://host/name"
A_URL = "expected a URL that begins with sqlite://, postgresql:// or postgres://"
JOBS = "jobs: {tick: {task: countdown, params: {start: 1}}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("NAME", "STOP_WITHIN", "LOG_DIR", "LOG_FORMAT", "LOG_LEVEL", "CONTROL", "SOCKET", "HISTORY"):
        monkeypatch.delenv(f"TASKLOOM_{name}", raising=False)
    return tmp_path


def given(
    *,
    flags: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
    env_file: str = "",
    file: str = "",
) -> dict[str, Given]:
    Path("e").write_text(env_file)
    Path("a.yaml").write_text(f"taskloom: {{{file}}}\n{JOBS}")
    result = check("a.yaml")
    assert not result.errors
    options = {name: Flag(f"--{name}", value) for name, value in (flags or {}).items()}
    return Sources(options, environ or {}).with_files(read_env_files(["e"]), result.settings)


LEVELS = {"flags": "error", "environ": "warning", "env_file": "debug", "file": "info"}


@pytest.mark.parametrize("places", [each for n in range(5) for each in itertools.combinations(LEVELS, n)], ids="+".join)
def test_the_first_place_that_has_a_setting_decides(places: tuple[str, ...]) -> None:
    texts = {
        "flags": {"log_level": "error"},
        "environ": {"TASKLOOM_LOG_LEVEL": "warning"},
        "env_file": "TASKLOOM_LOG_LEVEL=debug",
        "file": "log_level: info",
    }
    found = given(**{place: texts[place] for place in places})["log_level"]  # type: ignore[arg-type]

    expected = LEVELS[places[0]] if places else "info"
    sources = {"flags": "option", "environ": "environment", "env_file": "env file", "file": "file"}
    assert (found.value, found.source) == (expected, sources[places[0]] if places else "default")


@pytest.mark.parametrize("name", ["log_dir", "control"])
def test_an_option_that_is_empty_counts_as_not_given(name: str) -> None:
    assert given(flags={name: ""}, file=f"{name}: ./here")[name].source == "file"


def test_each_setting_has_a_default() -> None:
    found = given()

    assert list(found) == list(SETTINGS)
    assert {name: each.value for name, each in found.items()} == {
        "name": None, "stop_within": 30.0, "log_dir": None, "log_format": "text", "log_level": "info", "control": True,
        "history": HistorySetting(), "http": None, "notify": None, "metrics": None,
    }  # fmt: skip
    assert RunSettings().with_given(found) == RunSettings()


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("TASKLOOM_NAME", "line-3", "name", "line-3"),
        ("TASKLOOM_NAME", "123", "name", "123"),
        ("TASKLOOM_NAME", "true", "name", "true"),
        ("TASKLOOM_STOP_WITHIN", "1m30s", "stop_within", 90.0),
        ("TASKLOOM_STOP_WITHIN", "7", "stop_within", 7.0),
        ("TASKLOOM_STOP_WITHIN", "0.5", "stop_within", 0.5),
        ("TASKLOOM_STOP_WITHIN", "forever", "stop_within", float("inf")),
        ("TASKLOOM_LOG_DIR", "/var/log/x y", "log_dir", "/var/log/x y"),
        ("TASKLOOM_LOG_DIR", "5", "log_dir", "5"),
        ("TASKLOOM_LOG_FORMAT", "json", "log_format", "json"),
        ("TASKLOOM_LOG_LEVEL", "debug", "log_level", "debug"),
        ("TASKLOOM_CONTROL", "false", "control", False),
        ("TASKLOOM_CONTROL", "true", "control", True),
        ("TASKLOOM_CONTROL", "./x.sock", "control", "./x.sock"),
        ("TASKLOOM_SOCKET", "x.sock", "control", "x.sock"),
        ("TASKLOOM_HISTORY", "off", "history", HistorySetting(HistoryMode.OFF)),
        ("TASKLOOM_HISTORY", "false", "history", HistorySetting(HistoryMode.OFF)),
        ("TASKLOOM_HISTORY", "on", "history", HistorySetting(HistoryMode.ON)),
        ("TASKLOOM_HISTORY", "true", "history", HistorySetting(HistoryMode.ON)),
        ("TASKLOOM_HISTORY", "./a b.sqlite", "history", HistorySetting(HistoryMode.ON, "./a b.sqlite")),
        ("TASKLOOM_METRICS", "localhost:9464", "metrics", MetricsAddress("localhost", 9464)),
        ("TASKLOOM_METRICS", "[::]:0", "metrics", MetricsAddress("::", 0)),
        ("TASKLOOM_METRICS", "unix:///run/m.sock", "metrics", MetricsAddress(path="/run/m.sock")),
    ],
)
@pytest.mark.parametrize("place", ["environ", "env_file"])
def test_a_variable_gives_a_setting(variable: str, text: str, name: str, value: object, place: str) -> None:
    whole: Any = {variable: text} if place == "environ" else f"{variable}='{text}'"
    found = given(**{place: whole})[name]

    assert (found.value, found.written, found.name) == (value, text, variable)
    assert str(found) == (variable if place == "environ" else f"{variable} e:1")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("TASKLOOM_NAME", "a/b", f"cannot use 'a/b' as name; {A_NAME}"),
        ("TASKLOOM_STOP_WITHIN", "soon", f"cannot read 'soon' as a duration; {A_DURATION}"),
        ("TASKLOOM_STOP_WITHIN", "-1", f"cannot use -1 as a duration; {BETWEEN}"),
        ("TASKLOOM_STOP_WITHIN", "nan", f"cannot use nan as a duration; {BETWEEN}"),
        ("TASKLOOM_STOP_WITHIN", "inf", f"cannot use inf as a duration; {BETWEEN}"),
        ("TASKLOOM_LOG_FORMAT", "xml", "cannot use 'xml' as log_format; expected text, short, full or json"),
        ("TASKLOOM_LOG_LEVEL", "Debug", f"cannot use 'Debug' as log_level; {A_LEVEL} (did you mean 'debug'?)"),
        ("TASKLOOM_CONTROL", "0", f"cannot use '0' as control; {A_CONTROL} (write false)"),
        ("TASKLOOM_HISTORY", "none", f"cannot use 'none' as history; {A_HISTORY} (write off)"),
        ("TASKLOOM_HISTORY", "1", f"cannot use '1' as history; {A_HISTORY} (write on)"),
        ("TASKLOOM_HISTORY", "Off", f"cannot use 'Off' as history; {A_HISTORY} (write off)"),
        ("TASKLOOM_HISTORY", "offf", f"cannot use 'offf' as history; {A_HISTORY} (did you mean 'off'?)"),
        ("TASKLOOM_HISTORY", "runs.sqlite", f"cannot use 'runs.sqlite' as history; {A_HISTORY} (write ./runs.sqlite)"),
        ("TASKLOOM_HISTORY", "postgre://h/d",
         f"cannot use 'postgre://h/d' as history; {A_URL} (did you mean 'postgres'?)"),
        ("TASKLOOM_HISTORY", "mysql://me:secret@h/d", f"cannot use 'mysql://me:**********@h/d' as history; {A_URL}"),
        ("TASKLOOM_HISTORY", "sqlite://", "cannot use 'sqlite://' as history; expected a path or a host after it"),
        ("TASKLOOM_METRICS", "9464",
         f"cannot use '9464' as metrics; {AN_ADDRESS} {WRITE_A_HOST}"),
        ("TASKLOOM_METRICS", ":9464",
         f"cannot use ':9464' as metrics; {AN_ADDRESS} {WRITE_A_HOST}"),
        ("TASKLOOM_METRICS", "::1:9464",
         f"cannot use '::1:9464' as metrics; {AN_ADDRESS} (write an IPv6 host in brackets, as in [::1]:9464)"),
        ("TASKLOOM_METRICS", "http://localhost:9464/metrics",
         f"cannot use 'http://localhost:9464/metrics' as metrics; {AN_ADDRESS} (write localhost:9464)"),
        ("TASKLOOM_METRICS", "localhost:70000",
         f"cannot use 'localhost:70000' as metrics; {AN_ADDRESS}, with a port of at most 65535"),
        ("TASKLOOM_METRICS", "/run/m.sock",
         f"cannot use '/run/m.sock' as metrics; {AN_ADDRESS} (write unix:///run/m.sock)"),
        ("TASKLOOM_METRICS", "unix://m.sock",
         f"cannot use 'unix://m.sock' as metrics; expected {A_PATH} after unix://, as in unix:///run/a.sock"),
    ],
)  # fmt: skip
def test_a_bad_variable_is_refused_with_its_name(variable: str, text: str, message: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        given(environ={variable: text})
    assert caught.value.message == f"{variable}: {message}"

    with pytest.raises(click.UsageError) as caught:
        given(env_file=f"\n{variable}={text}\n")
    assert caught.value.message == f"e:2:1: {variable}: {message}"


def test_a_bad_variable_in_a_file_that_the_environment_hides_is_not_read() -> None:
    found = given(environ={"TASKLOOM_LOG_LEVEL": "debug"}, env_file="TASKLOOM_LOG_LEVEL=loud\n")
    assert found["log_level"].value == "debug"


def test_an_empty_variable_counts_as_not_set() -> None:
    environ = {f"TASKLOOM_{name.upper()}": "" for name in (*SETTINGS, "socket")}
    assert given(environ=environ, env_file="TASKLOOM_NAME=\n") == given()
    assert given(environ={"TASKLOOM_NAME": ""}, env_file="TASKLOOM_NAME=x")["name"].value == "x"


@pytest.mark.parametrize(
    ("environ", "file", "value"),
    [
        ({"TASKLOOM_CONTROL": "false", "TASKLOOM_SOCKET": "/s"}, "", False),
        ({"TASKLOOM_CONTROL": "true", "TASKLOOM_SOCKET": "/s"}, "", "/s"),
        ({"TASKLOOM_SOCKET": "/s"}, "control: false", "/s"),
        ({"TASKLOOM_CONTROL": "true"}, "control: /f", True),
        ({}, "control: /f", "/f"),
        ({}, "control: false", False),
    ],
)
def test_the_control_socket_is_off_or_has_a_path(environ: dict[str, str], file: str, value: object) -> None:
    found = given(environ=environ, file=file)
    settings = RunSettings().with_given(found)

    assert found["control"].value == value
    assert settings.control is (value is not False)
    assert settings.socket == (value if isinstance(value, str) else None)


DATABASE = "postgresql://me@h/d"


@pytest.mark.parametrize(
    ("environ", "file", "setting"),
    [
        ("", "", HistorySetting()),
        ("", "{keep: 7d}", HistorySetting(HistoryMode.ON, "", 7 * 86400.0)),
        ("on", f"{{url: '{DATABASE}', size: 16MiB}}", HistorySetting(HistoryMode.ON, DATABASE, KEEP_SECONDS, 16 << 20)),
        ("off", f"{{url: '{DATABASE}', keep: 7d}}", HistorySetting(HistoryMode.OFF, "", 7 * 86400.0)),
        ("./h", f"{{url: '{DATABASE}', keep: 7d}}", HistorySetting(HistoryMode.ON, "./h", 7 * 86400.0)),
        ("on", "off", HistorySetting(HistoryMode.ON)),
        ("on", "./h", HistorySetting(HistoryMode.ON, "./h", KEEP_SECONDS, SIZE_BYTES)),
    ],
)
def test_an_option_and_a_variable_leave_the_limits_of_the_history_to_the_file(
    environ: str, file: str, setting: HistorySetting
) -> None:
    in_file = f"history: {file}" if file else ""
    as_option = HISTORY.read(environ, ("history",)) if environ else None

    assert given(environ={"TASKLOOM_HISTORY": environ}, file=in_file)["history"].value == setting
    assert given(flags={"history": as_option}, file=in_file)["history"].value == setting


def test_the_password_of_a_database_is_shown_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    Path("pw").write_text("geheim1")
    url = "postgresql://me:{}@h/d"
    by_variable = given(environ={"TASKLOOM_HISTORY": url.format("geheim1")})["history"]
    in_file = given(file=f"history: '{url.format('geheim1')}'")["history"]
    by_reference = given(file=f"history: {{url: '{url.format('${file:pw}')}'}}")["history"]

    assert {each.value.place for each in (by_variable, in_file, by_reference)} == {url.format("geheim1")}
    assert by_variable.written == url.format("**********")
    assert "geheim1" not in in_file.written + by_reference.written + str(by_variable.value)
    plan = CliRunner().invoke(
        validate, ["a.yaml", "--plan"], env={"TASKLOOM_HISTORY": url.format("geheim1")}, catch_exceptions=False
    )
    assert "geheim1" not in plan.output


@pytest.mark.parametrize("value", ["postgresql://me:geheim1@h/d", "geheim1", "runs.db", "mysql://h/d"])
def test_a_bad_place_of_the_history_on_the_command_line_is_refused(value: str) -> None:
    answer = CliRunner().invoke(run, ["a.yaml", "--history", value], catch_exceptions=False)

    expected = {
        "postgresql://me:geheim1@h/d": "cannot use 'postgresql://me:**********@h/d': a password on the command line is "
        "shown to all users of the machine; expected it in PGPASSWORD, in the file that PGPASSFILE names, or as "
        "${file:PATH} in the job file",
        "runs.db": f"cannot use 'runs.db'; {A_PLACE} (write ./runs.db)",
        "mysql://h/d": f"cannot use 'mysql://h/d'; {A_URL}",
        "geheim1": f"cannot use 'geheim1'; {A_PLACE}",
    }
    assert answer.exit_code == 2
    assert expected[value] in " ".join(answer.stderr.split())


def test_the_settings_of_a_program_are_those_of_all_places() -> None:
    found = given(
        flags={"log_format": "json", "log_level": None},
        environ={"TASKLOOM_STOP_WITHIN": "5"},
        env_file="TASKLOOM_LOG_DIR=log",
        file="name: line, log_level: error",
    )

    assert RunSettings(color="never", is_quiet=True).with_given(found) == RunSettings(
        name="line", stop_within=5.0, log_format=LogFormat.JSON, log_level="error", log_dir="log", color="never",
        is_quiet=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("TASKLOOM_LOGLEVEL", "TASKLOOM_LOG_LEVEL"),
        ("TASKLOOM_LOG_LEVLE", "TASKLOOM_LOG_LEVEL"),
        ("TASKLOOM_LOGDIR", "TASKLOOM_LOG_DIR"),
        ("TASKLOOM_STOPWITHIN", "TASKLOOM_STOP_WITHIN"),
        ("TASKLOOM_STOP_WITIN", "TASKLOOM_STOP_WITHIN"),
        ("TASKLOOM_SOCKETS", "TASKLOOM_SOCKET"),
        ("TASKLOOM_CONTROLS", "TASKLOOM_CONTROL"),
    ],
)
def test_a_misspelt_variable_is_warned_of(name: str, near: str) -> None:
    assert list(misspelt_variables({name: "x", near: "y"})) == [
        f"cannot find a setting for the environment variable {name}; did you mean '{near}'?"
    ]


def test_other_variables_are_not_warned_of() -> None:
    names = (
        "PACKAGES",
        "FUZZ_SEED",
        "DEMO_DIR",
        "COMPLETE",
        "STATE",
        "SEED",
        "LINE",
        "MUTANTS",
        "TEST_N",
        "BREAKS",
        "",
    )
    assert list(misspelt_variables([*(f"TASKLOOM_{name}" for name in names), "_TASKLOOM_COMPLETE", "LOGLEVEL"])) == []
    assert list(misspelt_variables([f"TASKLOOM_{name.upper()}" for name in (*SETTINGS, "socket")])) == []


def test_a_misspelt_variable_of_an_env_file_is_warned_of() -> None:
    Path("a.yaml").write_text(JOBS)
    Path("e").write_text("A=1\nexport TASKLOOM_LOGDIR=hidden\n")
    [warning] = JobFiles(["a.yaml"], env_files=["e"], sources=Sources({}, {})).read().warnings
    answer = CliRunner().invoke(validate, ["a.yaml", "--env-file", "e"], catch_exceptions=False)

    assert str(warning) == "e:2:8: warning: cannot find a setting for TASKLOOM_LOGDIR"
    assert (answer.exit_code, answer.stderr) == (0, f"{warning}\n  hint: did you mean 'TASKLOOM_LOG_DIR'?\n")


@pytest.mark.parametrize("name", ["a", "line-3", "0.x_y", "a" * 64, "a" * 65, "", "-a", ".a", "a b", "a/b", "ä", "a\n"])
def test_a_job_file_may_have_the_names_that_a_program_may_have(name: str) -> None:
    def is_accepted(read: Callable[[str], object]) -> bool:
        try:
            read(name)
        except (ValueError, JobErrors):
            return False
        return True

    assert is_accepted(SETTINGS["name"].read) is is_accepted(checked_name)


# -- the verbs

Call = Callable[..., Result]


@pytest.fixture(params=[validate, simulate, drill, run], ids=["validate", "simulate", "drill", "run"])
def verb(request: pytest.FixtureRequest) -> click.Command:
    command: click.Command = request.param
    return command


def test_a_verb_without_a_path_and_without_files_is_a_usage_error(verb: click.Command) -> None:
    Path("jobs.yaml").write_text(JOBS)

    answer = CliRunner().invoke(verb, [])

    assert answer.exit_code == 2
    assert (
        "cannot find 'taskloom.yaml' or 'jobs/' in the working folder; give the PATH of job files; "
        "did you mean 'jobs.yaml'?"
    ) in answer.stderr


@pytest.mark.parametrize("command", [validate, simulate], ids=["validate", "simulate"])
@pytest.mark.parametrize(
    ("files", "used"),
    [
        (["taskloom.yaml"], "taskloom.yaml"),
        (["jobs/a.yaml"], "jobs/"),
        (["jobs/a.yaml", "taskloom.yaml"], "taskloom.yaml"),
    ],
)
def test_a_verb_without_a_path_says_which_one_it_uses(command: click.Command, files: list[str], used: str) -> None:
    for file in files:
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text(JOBS)

    answer = CliRunner().invoke(command, [], catch_exceptions=False)

    assert answer.exit_code == 0
    assert answer.stderr == f"no PATH was given: using {used}\n"


def test_a_default_file_that_cannot_be_read_is_reported() -> None:
    Path("taskloom.yaml").symlink_to("nowhere")
    Path("jobs").mkdir()
    answer = CliRunner().invoke(validate, [])
    assert answer.exit_code == 2
    assert "taskloom.yaml:1:1: error: cannot read the file: no such file or directory" in answer.stderr


def test_the_plan_shows_each_setting_with_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKLOOM_LOG_LEVEL", "debug")
    monkeypatch.setenv("TASKLOOM_LOGDIR", "x")
    Path("a.yaml").write_text(f"taskloom:\n  name: '${{file:name}}'\n  log_level: error\n{JOBS}")
    Path("name").write_text("hidden-name")
    Path("e").write_text("# x\nTASKLOOM_LOG_FORMAT=json\n")
    options = ["a.yaml", "--plan", "--env-file", "e", "--stop-within", "1m"]

    text = CliRunner().invoke(validate, options, catch_exceptions=False)
    data = CliRunner().invoke(validate, [*options, "-o", "json"], catch_exceptions=False)

    near = "; did you mean 'TASKLOOM_LOG_DIR'?"
    assert text.stderr == f"warning: cannot find a setting for the environment variable TASKLOOM_LOGDIR{near}\n"
    assert text.stdout.partition("The settings of the program\n")[2].partition("\n\n")[0] == (
        "SETTING      VALUE           FROM\n"
        "name         '${file:name}'  a.yaml:2\n"
        "stop_within  1m              option --stop-within\n"
        "log_dir      -               default\n"
        "log_format   json            TASKLOOM_LOG_FORMAT e:2\n"
        "log_level    debug           TASKLOOM_LOG_LEVEL\n"
        "control      true            default\n"
        "history      -               default\n"
        "http         -               default\n"
        "notify       -               default\n"
        "metrics      -               default"
    )
    assert json.loads(data.stdout)["plan"]["settings"] == {
        "name": {"written": "'${file:name}'", "from": "file", "path": "a.yaml", "line": 2},
        "stop_within": {"written": "1m", "from": "option", "name": "--stop-within"},
        "log_dir": {"written": "", "from": "default"},
        "log_format": {"written": "json", "from": "env file", "name": "TASKLOOM_LOG_FORMAT", "path": "e", "line": 2},
        "log_level": {"written": "debug", "from": "environment", "name": "TASKLOOM_LOG_LEVEL"},
        "control": {"written": "true", "from": "default"},
        "history": {"written": "", "from": "default"},
        "http": {"written": "", "from": "default"},
        "notify": {"written": "", "from": "default"},
        "metrics": {"written": "", "from": "default"},
    }
    assert "hidden-name" not in text.output + data.output


def test_validate_takes_values_from_an_env_file() -> None:
    Path("a.yaml").write_text(
        "jobs: {tick: {task: countdown, params: {start: '1'}, timeout: 1s}}\n".replace("'1'", "1")
    )
    Path("b.yaml").write_text("jobs:\n  tock:\n    task: countdown\n    timeout: ${LIMIT}\n")
    Path("e").write_text("LIMIT=5m\n")

    assert CliRunner().invoke(validate, ["a.yaml", "b.yaml"]).exit_code == 2
    answer = CliRunner().invoke(validate, ["a.yaml", "b.yaml", "--env-file", "e"])
    assert (answer.exit_code, answer.stderr) == (0, "")


@pytest.mark.parametrize("output", ["text", "json"])
def test_validate_reports_a_bad_env_file_alone(output: str) -> None:
    Path("a.yaml").write_text("jobs: {tick: {task: countdown, timeout: '${LIMIT}'}}\n")
    Path("e").write_text("hunter2\n")

    answer = CliRunner().invoke(validate, ["a.yaml", "--env-file", "e", "-o", output], catch_exceptions=False)

    assert answer.exit_code == 2
    assert "hunter2" not in answer.output
    if output == "json":
        [problem] = json.loads(answer.stdout)["problems"]
        assert (problem["path"], problem["line"]) == ("e", 1)
    else:
        assert "e:1:1: error: cannot read this line" in answer.stderr


def test_simulate_uses_the_time_of_the_files_and_the_env_file() -> None:
    Path("a.yaml").write_text("taskloom: {stop_within: '${TIME}'}\njobs: {tick: {task: countdown}}\n")
    Path("e").write_text("TIME=2s\n")
    options = ["a.yaml", "--env-file", "e", "--for", "1h", "--stops-in", "tick=forever", "-o", "json"]

    seconds = json.loads(CliRunner().invoke(simulate, options, catch_exceptions=False).stdout)["stop_seconds"]

    assert seconds == 2.0


# -- the files of a program that are read again


def test_each_reading_reads_the_env_files_and_the_secrets_again() -> None:
    Path("a.yaml").write_text(
        "taskloom: {log_level: '${LEVEL}'}\n"
        "jobs: {tick: {task: countdown, params: {start: 1, message: 'x ${file:word} ${MORE}'}}}\n"
    )
    Path("e").write_text("LEVEL=debug\nMORE=a\n")
    Path("word").write_text("first-word")
    files = JobFiles(["a.yaml"], env_files=["e"], sources=Sources({}, {}))
    before = files.read()

    Path("e").write_text("LEVEL=error\nMORE=b\n")
    Path("word").write_text("other-word")
    after = files.read()

    assert [before.settings["log_level"].value, after.settings["log_level"].value] == ["debug", "error"]
    assert [each.specs[0].params["message"] for each in (before, after)] == ["x first-word a", "x other-word b"]
    assert [before.secrets, after.secrets] == [{"first-word"}, {"other-word"}]
    assert before.specs != after.specs
