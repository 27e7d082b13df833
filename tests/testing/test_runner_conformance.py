"""For each rule of RunnerConformance there is a bad runner that breaks it, and the message says how."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

from taskloom.core.inputs import RunEnded, RunReady, RunStarted, RunStartFailed
from taskloom.core.model import ErrorInfo, How, Reason, ReasonKind
from taskloom.runners import Emit, Report, Runner, RunOrder, Stack
from taskloom.runners.binding import Binding, Body
from taskloom.runners.gauges import Gauges
from taskloom.runners.process import ProcessRunner
from taskloom.runners.thread import ThreadRunner
from taskloom.sync.cancel_token import CancelToken
from taskloom.testing import RunnerConformance

# A rule whose break shows only when its time limit has passed gets this many seconds, every other one more than enough.
SHORT, LONG = 0.3, 20.0

# The tokens that bad runners have made: the test cancels them, so that no run stays.
tokens: list[CancelToken] = []
held: list[int] = []
released = threading.Event()


@pytest.fixture(autouse=True)
def end_everything() -> Iterator[None]:
    released.clear()

    yield

    released.set()
    for token in tokens:
        token.request(Reason(ReasonKind.USER, "the test is over"))
        for callback in token.take_callbacks():
            if callback.begin():
                callback()
        token.wake()
    for descriptor in held:
        os.close(descriptor)
    tokens.clear()
    held.clear()


class Bad(ThreadRunner):
    """The runner of threads, with places for a mistake."""

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> Any:
        given = self.token(token)
        if given is not token:
            tokens.append(given)

        def report(report: Report) -> None:
            for each in self.reports(report):
                emit(each)

        return self.handle(super().start(self.order(order), given, report))

    def order(self, order: RunOrder) -> RunOrder:
        return order

    def token(self, token: CancelToken) -> CancelToken:
        return token

    def handle(self, handle: Any) -> Any:
        return handle

    def reports(self, report: Any) -> Sequence[Any]:
        return [report]


class Handle:
    """A handle that passes everything on."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def bad(place: str, mistake: Callable[[Any], Any]) -> Callable[[], Runner]:
    """Return a class of a runner with a mistake at one place."""
    return type("Mistaken", (Bad,), {place: lambda self, value: mistake(value)})


def report(kind: type, mistake: Callable[[Any], Sequence[Any]]) -> Callable[[], Runner]:
    """Return a class of a runner with a mistake in one kind of report."""
    return bad("reports", lambda each: mistake(each) if isinstance(each, kind) else [each])


def order(**changes: Any) -> Callable[[], Runner]:
    """Return a class of a runner that passes on a wrong order."""
    return bad("order", lambda order: order._replace(**changes))


def handle(**members: Any) -> Callable[[], Runner]:
    """Return a class of a runner whose handles have other members."""
    return bad("handle", type("MistakenHandle", (Handle,), members))


def ended(**changes: Any) -> Callable[[], Runner]:
    """Return a class of a runner that reports a wrong end."""
    return report(RunEnded, lambda end: [end._replace(**changes)])


def without_traceback(end: RunEnded) -> list[RunEnded]:
    error = end.error
    return [end._replace(error=ErrorInfo(error.type, error.message, "") if error else None)]


def unexplained(end: RunEnded) -> list[RunEnded]:
    error = end.error
    return [end._replace(error=ErrorInfo(error.type, error.message, error.traceback) if error else None)]


def woken_by(change: Callable[[Reason], Reason] | None) -> Callable[[CancelToken], CancelToken]:
    """Return a function that gives the run a token of its own; None: that is never cancelled."""

    def own(token: CancelToken) -> CancelToken:
        mine = CancelToken()
        if change is None:
            return mine

        def pass_on() -> None:
            mine.request(change(token.reason or Reason(ReasonKind.USER)))
            mine.wake()

        token.add_observer(pass_on)
        return mine

    return own


def twice_called(given: RunOrder) -> RunOrder:
    """Return an order whose task calls every callback twice, and `terminate` whenever the run has ended."""

    def make() -> Body:
        body = given.binding.make()
        if body.terminate is None:
            return body

        def terminate() -> None:
            body.terminate()  # type: ignore[misc]
            body.terminate()  # type: ignore[misc]

        return Body(body.run, terminate)

    binding = given.binding
    return given._replace(
        binding=Binding(make, has_terminate=binding.has_terminate, announces_ready=binding.announces_ready)
    )


def terminated_at_end(given: RunOrder) -> RunOrder:
    def make() -> Body:
        body = given.binding.make()

        def run(ctx: Any) -> None:
            body.run(ctx)
            if body.terminate is not None:
                body.terminate()

        return Body(run, body.terminate)

    return given._replace(binding=Binding(make, has_terminate=given.binding.has_terminate))


def without_terminate(given: RunOrder) -> RunOrder:
    return given._replace(
        binding=Binding(lambda: Body(given.binding.make().run, None), announces_ready=given.binding.announces_ready)
    )


def without_coroutine(given: RunOrder) -> RunOrder:
    """Return an order that ends a coroutine as if it was never cancelled."""

    def make() -> Body:
        body = given.binding.make()
        return Body(lambda ctx: released.wait(), body.terminate) if "Coroutine" in type(body.run).__name__ else body

    return given._replace(binding=Binding(make, has_terminate=given.binding.has_terminate))


class Leaking(Bad):
    """Leave a thread or a descriptor for each run."""

    what = "thread"

    def handle(self, handle: Any) -> Any:
        if self.what == "thread":
            threading.Thread(target=released.wait, name="left behind", daemon=True).start()
        else:
            held.extend(os.pipe())
        return handle


class LeakingDescriptors(Leaking):
    what = "descriptor"


class Placeless(Bad):
    """Know no stacks."""

    def stacks(self, handles: Any, texts: int) -> list[Stack]:
        return [Stack("", "") for _ in handles]


class Closing(Bad):
    """Cancel all runs in `close`."""

    def close(self) -> None:
        for token in self.seen:
            token.request(Reason(ReasonKind.USER))
            token.wake()

    def token(self, token: CancelToken) -> CancelToken:
        vars(self).setdefault("seen", []).append(token)
        return token

    seen: Sequence[CancelToken] = ()


class Impatient(Closing):
    """Cancel all runs in `retain`, too."""

    def retain(self, _: Any) -> None:
        self.close()


class ClosedOnce(Bad):
    def close(self) -> None:
        if vars(self).setdefault("is_closed", False):
            raise RuntimeError("closed already")
        self.is_closed = True


OTHER = ErrorInfo("Other", "something else", "Other: something else\n")
NOT_ENTERED_REPORT = lambda end: [RunStarted(end.run, True), end] if end.how is How.NOT_ENTERED else [end]  # noqa: E731

# It gives a cancel half of its patience to arrive.
PATIENT = "a_run_that_is_cancelled_while_its_task_is_made"

BAD: list[tuple[str, Callable[[], Runner], str]] = [
    ("a_run_is_reported_once_when_it_begins", report(RunStarted, lambda each: []), "reported .* instead of"),
    ("a_run_is_reported_once_when_it_begins", report(RunEnded, lambda each: [each, each]), "reported .* instead of"),
    ("start_returns_while_the_run_goes_on", handle(join=lambda self, timeout=None: True), "during the run is_alive"),
    ("the_task_sees_which_run_it_is", order(attempt=1), "the context says"),
    ("the_task_sees_which_run_it_is", order(poll_interval=1.0), "the context says"),
    ("runs_side_by_side_do_not_mix", order(run="conformance#1"), "no RunEnded or RunStartFailed"),
    (
        "a_constructor_that_raises_is_a_failed_start",
        report(RunStartFailed, lambda each: [RunEnded(each.run, How.RAISED, each.error, False, False)]),
        "instead of RunStartFailed",
    ),
    (
        "a_constructor_that_raises_is_a_failed_start",
        report(RunStartFailed, lambda each: [RunStarted(each.run, True), each]),
        "only the end was right",
    ),
    ("a_run_waits_for_the_terminate_of_the_run_before", order(terminate_returned=None), "entered before"),
    ("a_run_that_waits_for_the_run_before_it_can_be", bad("token", woken_by(None)), "no RunEnded .* within 300ms"),
    (
        "counters_and_progress_are_seen_during_the_run",
        handle(gauges=property(lambda self: Gauges())),
        "not within 300ms: the counters are",
    ),
    ("everything_that_a_task_logs_arrives_in_order", order(job="another"), "the records belong to"),
    ("ready_is_reported_once_between_start_and_end", report(RunReady, lambda each: [each, each]), "instead of"),
    ("ready_is_reported_once_between_start_and_end", report(RunReady, lambda each: []), "instead of"),
    ("polls_are_counted_and_waits_are_seen", bad("token", woken_by(lambda why: why)), "300ms: token.polls rises"),
    (
        "a_run_that_never_polls_does_not_count_as_waiting",
        bad("token", lambda token: token.add_waiter() and token),
        "token.is_waiting was True",
    ),
    ("a_run_with_terminate_is_seen_to_be_wakeable", bad("order", without_terminate), "token.is_wakeable"),
    ("the_stack_of_a_run_that_is_stuck_is_found", Placeless, "the run is in stuck_here, and the runner says ''"),
    ("an_error_arrives_with_its_type_message_and", report(RunEnded, without_traceback), "not in the traceback"),
    ("whatever_leaves_the_task_is_its_error", ended(how=How.CANCELLED), "instead of RAISED"),
    ("an_error_that_cannot_be_shown_is_reported", ended(error=None), "the error is None"),
    ("an_error_with_an_endless_message_is_reported", ended(error=OTHER), "the error is"),
    ("a_permanent_failure_is_told_apart", ended(how=How.RAISED), "instead of PERMANENT"),
    ("a_task_failure_is_explained", report(RunEnded, unexplained), "its message is all that users need"),
    ("cancelled_without_a_request_is_told_apart", ended(was_requested=True), "no stop was requested"),
    ("a_task_that_returns_a_generator_has_failed", ended(how=How.RETURNED), "instead of RAISED"),
    ("a_value_that_a_task_returns_is_ignored", ended(how=How.RAISED), "instead of RETURNED"),
    (
        "a_cancel_arrives_with_its_reason",
        bad("token", woken_by(lambda why: why._replace(signal=None))),
        "the task saw the reason",
    ),
    ("a_run_that_only_polls_sees_the_cancel", bad("token", woken_by(None)), "no RunEnded .* within 300ms"),
    ("a_run_that_raises_cancelled_was_cancelled", ended(was_requested=False), "was_requested is False"),
    ("an_error_while_stopping_is_the_error_of_the_run", ended(error=None), "no error was reported"),
    ("terminate_is_called_once", bad("order", twice_called), "terminate has written 'once.nonce"),
    ("terminate_is_not_called_after_the_end", bad("order", terminated_at_end), "terminate has written 'once"),
    ("a_callback_of_the_cancel_is_called_once", ended(callback_ran=False), "callback_ran is False"),
    ("a_task_with_a_coroutine_sees_the_cancel", bad("token", woken_by(None)), "no RunEnded .* within 300ms"),
    ("a_coroutine_that_awaits_something_else_is", bad("order", without_coroutine), "no.* within 300ms"),
    ("a_run_that_was_cancelled_before_its_start_never", bad("token", woken_by(None)), "no RunEnded .* within 300ms"),
    ("a_run_that_was_cancelled_before_its_start_never", report(RunEnded, NOT_ENTERED_REPORT), "reported"),
    (PATIENT, bad("token", woken_by(None)), "reported"),
    (
        "a_cancel_that_races_with_the_end_ends_the_run",
        report(RunEnded, lambda end: [end, end]),
        "reported the end 2 times",
    ),
    ("the_runner_may_be_closed_while_a_run_goes_on", Closing, "close has ended the run"),
    ("what_no_job_needs_is_released_after", Impatient, "retain has ended the run"),
    ("closing_twice_does_no_harm", ClosedOnce, "closed already"),
    ("nothing_is_left_after_the_end", Leaking, "threads are left: left behind"),
    ("nothing_is_left_after_the_end", LeakingDescriptors, "descriptors are left open"),
]


def conformance_of(make: Callable[[], Runner], patience: float) -> RunnerConformance:
    class Conformance(RunnerConformance):
        def make_runner(self) -> Runner:
            return make()

    conformance = Conformance()
    conformance.patience = patience
    return conformance


def test_named(start: str) -> str:
    [name] = [name for name in dir(RunnerConformance) if name.startswith(f"test_{start}")]
    return name


test_named.__test__ = False  # type: ignore[attr-defined]


class Killing(ProcessRunner):
    """The runner of processes, with handles that a mistake changes."""

    members: Mapping[str, Any] = MappingProxyType({})
    reports: Callable[[Any], Any] = staticmethod(lambda each: each)

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> Any:
        started = super().start(order, token, lambda each: emit(self.reports(each)))
        return type("MistakenHandle", (Handle,), dict(self.members))(started)


def killing(reports: Callable[[Any], Any] = lambda each: each, **members: Any) -> Callable[[], Runner]:
    """Return a class of a runner that kills, with a mistake in its reports or handles."""
    return type("Mistaken", (Killing,), {"members": members, "reports": staticmethod(reports)})


def nothing(*_: Any) -> None:
    """Do nothing."""


def refuse(*_: Any) -> None:
    raise ProcessLookupError("no such process")


def as_raised(each: Any) -> Any:
    return each._replace(how=How.RAISED) if isinstance(each, RunEnded) else each


def as_other(each: Any) -> Any:
    return each._replace(error=OTHER) if isinstance(each, RunEnded) else each


BAD_KILLERS: list[tuple[str, Callable[[], Runner], str]] = [
    ("a_run_that_ignores_everything_can_be_killed", killing(kill=nothing), "no RunEnded .* within"),
    ("a_run_that_ignores_everything_can_be_killed", killing(as_other), "is_explained is not set"),
    ("a_run_whose_process_is_stopped_can_be_killed", killing(as_raised), "instead of KILLED"),
    ("terminate_ends_a_run_that_does_not_poll", killing(terminate=nothing), "no RunEnded .* within"),
    ("a_process_that_dies_unasked_has_failed", killing(as_other), "is_explained is not set"),
    ("a_process_that_exits_without_a_word_has_failed", killing(as_other), "is_explained is not set"),
    ("a_signal_reaches_the_main_process_of_the_run", killing(signal=nothing), "has not come to 'signalled'"),
    ("the_processes_of_a_run_are_seen", killing(process=None), "handle.process has the processes of the run"),
    ("everything_that_can_be_done_to_a_run_is_harmless", killing(kill=refuse), "no such process"),
    ("a_run_that_ignores_the_stop_is_killed", killing(kill=nothing, terminate=nothing), "outcome is|exit code"),
]
BAD_JOBS: list[tuple[str, Callable[[], Runner], str]] = [
    (
        "a_run_that_stops_in_time_is_cancelled",
        bad("token", woken_by(lambda why: why._replace(text="another"))),
        "the task saw the reason",
    ),
    ("a_run_that_stops_by_terminate_is_cancelled", ended(was_requested=False), "the outcome is"),
    ("a_start_that_fails_is_the_outcome_of_the_run", report(RunStartFailed, lambda each: []), "has ended"),
    ("a_failed_run_is_followed_by_a_second_attempt", order(attempt=1), "the task has come to"),
    ("a_run_that_takes_too_long_has_timed_out", ended(was_requested=False), "the outcome is"),
]


@pytest.mark.long
@pytest.mark.parametrize(("rule", "make", "message"), BAD_JOBS, ids=[f"{rule} {text:.9}" for rule, _, text in BAD_JOBS])
def test_a_bad_runner_breaks_the_rule_about_jobs(rule: str, make: Callable[[], Runner], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        getattr(conformance_of(make, 3.0), test_named(rule))()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the runner process needs Linux")
@pytest.mark.parametrize(
    ("rule", "make", "message"), BAD_KILLERS, ids=[f"{rule} {text:.9}" for rule, _, text in BAD_KILLERS]
)
def test_a_bad_runner_that_kills_breaks_the_rule(rule: str, make: Callable[[], Runner], message: str) -> None:
    with pytest.raises(Exception, match=message):
        getattr(conformance_of(make, 5.0), test_named(rule))()


def must_expire(message: str) -> bool:
    """Return whether the message comes only when the time limit has passed."""
    return any(word in message for word in ("300ms", "left", "no RunEnded", "token."))


def marks_of(rule: str, message: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.long] if rule == PATIENT or must_expire(message) else []


CASES = [pytest.param(*row, id=f"{row[0]} {row[2]:.20}", marks=marks_of(row[0], row[2])) for row in BAD]


@pytest.mark.parametrize(("rule", "make", "message"), CASES)
def test_a_bad_runner_breaks_the_rule(rule: str, make: Callable[[], Runner], message: str) -> None:
    conformance = conformance_of(make, SHORT if must_expire(message) else LONG)

    with pytest.raises(Exception, match=message):
        getattr(conformance, test_named(rule))()


def test_there_is_a_bad_runner_for_every_rule_of_a_single_run() -> None:
    from taskloom.testing.run_rules import RunRules
    from taskloom.testing.stop_rules import StopRules

    rules = {name for part in (RunRules, StopRules) for name in vars(part) if name.startswith("test_")}

    assert rules == {test_named(rule) for rule, _, _ in BAD}


def test_options_reach_the_runner() -> None:
    seen: list[Any] = []

    def note(order: RunOrder) -> RunOrder:
        seen.append(order.options)
        return order._replace(options={})

    conformance = conformance_of(bad("order", note), LONG)
    conformance.options = MappingProxyType({"pool": 3})
    conformance.test_a_value_that_a_task_returns_is_ignored()

    assert seen == [{"pool": 3}]


def test_a_class_without_make_runner_cannot_be_instantiated() -> None:
    with pytest.raises(TypeError, match="make_runner"):
        type("Empty", (RunnerConformance,), {})()
