"""The exact text of every error class; a class without a row fails the last test."""

from __future__ import annotations

import inspect

from tests.support.every_case import every_case

from taskloom import errors
from taskloom.control import client_errors
from taskloom.control.finding import Program
from taskloom.diagnostics import Place, Problem, Related
from taskloom.errors import TaskloomError
from taskloom.history import errors as history_errors

MISSING_LINE = Problem(Place("jobs/a.yaml", 7, 11, 9), "cannot find task 'countdwon'; installed: countdown", job="tick")
DOUBLE_KEY = Problem(
    Place("jobs/b.yaml", 3, 1),
    "cannot use key 'jobs' twice",
    severity="warning",
    related=(Related(Place("jobs/b.yaml", 1, 1), "first used here"),),
)

ROWS: list[tuple[BaseException, str]] = [
    (errors.TaskloomError("cannot go on"), "cannot go on"),
    (
        errors.JobFileError([MISSING_LINE, DOUBLE_KEY]),
        (
            "jobs/a.yaml:7:11: error: job 'tick': cannot find task 'countdwon'; installed: countdown\n"
            "jobs/b.yaml:3:1: warning: cannot use key 'jobs' twice"
        ),
    ),
    (errors.UsageError("cannot wait: not started"), "cannot wait: not started"),
    (
        errors.InvalidJob("tick", ["cannot use within -1", "cannot find task 'tock'"]),
        "cannot add job 'tick': cannot use within -1; cannot find task 'tock'",
    ),
    (
        errors.UnknownJob("tik", ["tock", "tick"]),
        "cannot find job 'tik'; known: tick, tock; did you mean 'tick'?",
    ),
    (errors.UnknownJob("other", []), "cannot find job 'other'; known: none"),
    (errors.DuplicateJob("tick"), "cannot add job 'tick': a job with this name exists"),
    (errors.AlreadyRunning("tick", "tick#1"), "cannot start job 'tick': run tick#1 is still running"),
    (errors.JobStopping("tick", "tick#1"), "cannot start job 'tick': run tick#1 is still stopping"),
    (
        errors.JobBlocked("tick", "tick#1"),
        "cannot start job 'tick': the thread of its abandoned run tick#1 is still alive",
    ),
    (
        errors.DependencyUnmet("tick", "job 'db' to be ready", is_lost=False),
        "cannot start job 'tick': needs job 'db' to be ready",
    ),
    (
        errors.DependencyUnmet("tick", "job 'db' ended failed, and was to be ready", is_lost=True),
        "cannot start job 'tick': job 'db' ended failed, and was to be ready",
    ),
    (errors.DependencyCycle(["a", "b", "a"]), "cannot order jobs that wait for each other: a -> b -> a"),
    (errors.Replicated("web", 3), "cannot add job 'web' as one: it has 3 replicas; use add_all"),
    (errors.JobDisabled("tick"), "cannot start job 'tick': it is disabled"),
    (
        errors.DependencyUnmet("tick", "job 'db' to be ready", is_lost=False, request="resume"),
        "cannot resume job 'tick': needs job 'db' to be ready",
    ),
    (
        errors.NotScheduled("pause", "tick", "stop"),
        "cannot pause job 'tick': it has no schedule; stop it instead",
    ),
    (
        errors.NotScheduled("resume", "tick", "start"),
        "cannot resume job 'tick': it has no schedule; start it instead",
    ),
    (errors.NoRun("signal", "tick", "finished"), "cannot signal job 'tick': it has no run (finished)"),
    (
        errors.NoProcess("signal", "tick", "tick#1", "thread"),
        (
            "cannot signal job 'tick': run tick#1 is not in a process of its own (runner: thread); it can be if the "
            "job has runner: process"
        ),
    ),
    (
        errors.NoProcess("signal", "tick", "tick#1", ""),
        "cannot signal job 'tick': run tick#1 has no process at the moment",
    ),
    (
        errors.UnknownSignal("HPU", "HUP"),
        "cannot use 'HPU' as a signal; expected a name such as HUP or SIGTERM, or a number; did you mean 'HUP'?",
    ),
    (errors.UnknownSignal(0, None), "cannot use 0 as a signal; expected a name such as HUP or SIGTERM, or a number"),
    (errors.SchedulerStopped("start job 'tick'"), "cannot start job 'tick': the scheduler was stopped"),
    (
        errors.ProgramRunning("jobs-3f2a", 17, "/srv/jobs", is_same=True),
        (
            "cannot run '/srv/jobs': pid 17 runs it already, as jobs-3f2a; stop it with taskloom shutdown --name "
            "jobs-3f2a, or choose another name with --name"
        ),
    ),
    (
        errors.ProgramRunning("web", 17, ""),
        (
            "cannot use the name 'web': pid 17 has it; stop it with taskloom shutdown --name web, or choose another "
            "name with --name"
        ),
    ),
    (
        errors.SchedulerBusy(is_undone=True),
        (
            "cannot get an answer in time: the scheduler's thread is busy, or a task is holding the GIL; "
            "nothing was changed"
        ),
    ),
    (
        errors.SchedulerBusy(is_undone=False),
        (
            "cannot get an answer in time: the scheduler's thread is busy, or a task is holding the GIL; the command "
            "may still take effect"
        ),
    ),
    (
        errors.SchedulerForked(17, 23),
        (
            "cannot use the scheduler of process 17 in process 23, which was forked from it: "
            "make a Scheduler after the fork"
        ),
    ),
    (
        errors.OnSchedulerThread("wait for an answer"),
        "cannot wait for an answer on the scheduler's own thread, which would wait for itself",
    ),
    (
        errors.OnSchedulerThread("wait", starts_thread=True),
        (
            "cannot wait in a finalizer while this thread starts or ends a thread: "
            "the scheduler could start none meanwhile"
        ),
    ),
    (errors.SelfJoin("tick#1"), "cannot join run tick#1 from its own thread: it would wait for itself"),
    (errors.CatalogError("cannot use it"), "cannot use it"),
    (
        errors.TaskNotFound("countdwon", ["socket-reader", "countdown"]),
        "cannot find task 'countdwon'; installed: countdown, socket-reader",
    ),
    (
        errors.TaskNotFound("beat", ["countdown"], broken=["a", "b", "c", "d"], advice="restart the program"),
        "cannot find task 'beat'; installed: countdown; broken packages: a, b, c and 1 more; restart the program",
    ),
    (
        errors.TaskImportFailed("beat", "acme 1.0", "OSError", "", advice="restart the program"),
        "cannot import task 'beat' of acme 1.0: OSError; restart the program",
    ),
    (errors.TaskNotFound("fiber", [], kind="runner"), "cannot find runner 'fiber'; installed: none"),
    (
        errors.TaskImportFailed("beat", "acme-beats 1.0", "ImportError: no module named 'acme'", "Traceback ..."),
        "cannot import task 'beat' of acme-beats 1.0: ImportError: no module named 'acme'",
    ),
    (
        errors.NotATask("beat", "acme-beats 1.0", "it is a coroutine function"),
        "cannot use task 'beat' of acme-beats 1.0: it is a coroutine function",
    ),
    (
        errors.AmbiguousTask("beat", ["other-beats 2.1", "acme-beats 1.0"]),
        (
            "cannot choose task 'beat': offered by acme-beats 1.0 and by other-beats 2.1; "
            "write acme-beats/beat or other-beats/beat"
        ),
    ),
    (errors.InternalError("a run ended twice"), "internal error: a run ended twice"),
    (errors.Cancelled(), ""),
    (errors.PermanentFailure("the disk is gone"), "the disk is gone"),
    (errors.TaskFailure("the disk is full"), "the disk is full"),
]


JOBS = Program("jobs-3f2a", "/run/jobs-3f2a.sock", 17, 1000)
OTHER = JOBS._replace(name="other-0000", socket="/run/other-0000.sock")

CLIENT_ROWS: list[tuple[BaseException, str]] = [
    (client_errors.ControlError("cannot ask it"), "cannot ask it"),
    (client_errors.NoProgram("cannot find a running program"), "cannot find a running program"),
    (
        client_errors.SeveralPrograms([JOBS, OTHER]),
        "cannot choose one of 2 running programs: add --name NAME",
    ),
    (
        client_errors.SeveralPrograms([JOBS, JOBS], "jobs"),
        "cannot choose one of 2 running programs named 'jobs': add --socket PATH",
    ),
    (
        client_errors.NoAnswer(17, "/run/jobs.sock", "a task may be holding the GIL"),
        "pid 17 does not answer: a task may be holding the GIL",
    ),
    (client_errors.NoAnswer(0, "/run/jobs.sock"), "the program at /run/jobs.sock does not answer"),
    (
        client_errors.ConnectionLost(17, "/run/jobs.sock"),
        "cannot read the whole answer of pid 17: it closed the connection",
    ),
    (
        client_errors.BadReply("pid 17", "it is not a JSON object"),
        "cannot read the answer of pid 17: it is not a JSON object",
    ),
    (client_errors.Refused(404, "unknown-job", "cannot find job 'wbe'", ["web"]), "cannot find job 'wbe'"),
]


PLACE = "'/srv/jobs.sqlite'"
HISTORY_ROWS: list[tuple[BaseException, str]] = [
    (history_errors.HistoryError("cannot go on"), "cannot go on"),
    (
        history_errors.BadTarget("'mysql://db/app'", "unknown scheme 'mysql'"),
        "cannot use 'mysql://db/app' as the history: unknown scheme 'mysql'",
    ),
    (
        history_errors.PackageMissing("sqlalchemy", "history"),
        "cannot use the history: sqlalchemy is not installed; pip install 'taskloom[history]'",
    ),
    (
        history_errors.PackageMissing("psycopg", "postgres", "no pq wrapper available"),
        (
            "cannot use the history: psycopg cannot be imported (no pq wrapper available); pip install "
            "'taskloom[postgres]'"
        ),
    ),
    (
        history_errors.HistoryUnusable(PLACE, "it belongs to uid 17"),
        "cannot open the history '/srv/jobs.sqlite': it belongs to uid 17",
    ),
    (history_errors.HistoryAbsent(PLACE), "cannot read the history '/srv/jobs.sqlite': there is none yet"),
    (
        history_errors.HistoryCorrupt(PLACE, "the file is damaged"),
        "cannot use the history '/srv/jobs.sqlite': the file is damaged",
    ),
    (
        history_errors.HistoryFailed(PLACE, "the disk is full"),
        "cannot use the history '/srv/jobs.sqlite' at the moment: the disk is full",
    ),
    (
        history_errors.HistoryHeld("jobs-3f2a", history_errors.Holder(17)),
        "cannot write the history of jobs-3f2a: pid 17 holds it",
    ),
    (
        history_errors.HistoryHeld("jobs-3f2a", history_errors.Holder(17, "10.0.0.3", "session 23 of PostgreSQL")),
        "cannot write the history of jobs-3f2a: pid 17 (session 23 of PostgreSQL) on 10.0.0.3 holds it",
    ),
    (
        history_errors.HistoryHeld("jobs-3f2a", history_errors.Holder(0, "", "session 23 of PostgreSQL")),
        "cannot write the history of jobs-3f2a: another program (session 23 of PostgreSQL) holds it",
    ),
    (
        history_errors.HistoryTooNew(PLACE, "0009", "0003"),
        (
            "cannot use the history '/srv/jobs.sqlite': a newer Taskloom has written it (revision 0009, the newest "
            "known here is 0003)"
        ),
    ),
    (
        history_errors.HistoryOutdated(PLACE, "0001", "0003"),
        (
            "cannot read the history '/srv/jobs.sqlite': an older Taskloom has written it (revision 0001 instead of "
            "0003), and the next run with this one brings it up to date"
        ),
    ),
]


@every_case(("error", "text"), HISTORY_ROWS, ids=[type(error).__name__ for error, _ in HISTORY_ROWS])
def test_an_error_of_the_history_says_exactly_this(error: BaseException, text: str) -> None:
    assert str(error) == text
    assert isinstance(error, history_errors.HistoryError)


def test_every_error_class_of_the_history_has_a_row() -> None:
    assert {type(error).__name__ for error, _ in HISTORY_ROWS} == set(history_errors.__all__) - {"Holder"}


@every_case(("error", "text"), CLIENT_ROWS, ids=[type(error).__name__ for error, _ in CLIENT_ROWS])
def test_an_error_of_a_client_says_exactly_this(error: BaseException, text: str) -> None:
    assert str(error) == text
    assert isinstance(error, client_errors.ControlError)


def test_every_error_class_of_clients_has_a_row() -> None:
    assert {type(error).__name__ for error, _ in CLIENT_ROWS} == set(client_errors.__all__)


@every_case(("error", "text"), ROWS, ids=[type(error).__name__ for error, _ in ROWS])
def test_an_error_says_exactly_this(error: BaseException, text: str) -> None:
    assert str(error) == text


def test_every_error_class_has_a_row() -> None:
    classes = {
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == errors.__name__
    }

    assert classes - {type(error) for error, _ in ROWS} == set()


def test_every_error_class_is_a_public_name() -> None:
    assert {type(error).__name__ for error, _ in ROWS} <= set(errors.__all__)


def test_every_error_text_is_one_sentence_without_a_full_stop() -> None:
    for error, text in [*ROWS, *HISTORY_ROWS]:
        assert not text.endswith("."), type(error)
        if isinstance(error, TaskloomError) and not isinstance(error, errors.JobFileError):
            assert text.startswith(("cannot ", "internal error: ")), type(error)


def test_a_job_file_error_keeps_its_problems_for_tools() -> None:
    error = errors.JobFileError([MISSING_LINE, DOUBLE_KEY])

    assert error.problems == (MISSING_LINE, DOUBLE_KEY)
    assert str(error.problems[1].related[0].place) == "jobs/b.yaml:1:1"


def test_the_errors_of_tasks_are_separate_from_those_of_taskloom() -> None:
    assert not issubclass(errors.Cancelled, Exception)
    assert not issubclass(errors.PermanentFailure, TaskloomError)
