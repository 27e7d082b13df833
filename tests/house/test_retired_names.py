"""No old identifier survives beside its new one: the dialect that the code was first written in stays retired.

Names are compared exactly, by `ast`: classes, functions, parameters, attributes and variables. Words that are also
good English elsewhere (`ask`, `tell`, `look`) are retired only as the names of functions and methods.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("framework", "plugins", "tests/support")

# Old name -> its successor, for the message.
RETIRED = {
    "Books": "JobStore", "StopLadder": "StopSequence", "Firings": "ScheduleTimers",
    "Need": "Dependency", "Standing": "DependencyState", "Then": "FollowUp", "Shell": "Engine",
    "Verdict": "DependencyStatus, ReloadAction or DrillResult", "AskRun": "CancelRun", "HurryRun": "MarkUrgent",
    "NameRun": "CaptureStack", "RunNamed": "StackCaptured", "RunOver": "ReleaseRun", "WorkOver": "WorkFinished",
    "StopOver": "ShutdownFinished", "RemindStopping": "ReportStopProgress", "Bell": "WakeupFd",
    "Watchers": "Condition", "Waking": "CancelWaves", "Wakers": "CallbackPool", "Pulse": "Sampler",
    "PollSampler": "HeartbeatMonitor", "PollTrack": "HeartbeatTrack", "Promises": "LifecycleInvariants",
    "Ledger": "EventRules", "Alarms": "ExpectedDeadlines", "Naive": "ReferenceModel", "NaiveJob": "ReferenceJob",
    "Stage": "HandDrivenCore", "Judge": "InvariantChecker", "Manners": "RunBehaviour", "Trouble": "Fault",
    "Simulated": "SimulationResult", "JobTally": "JobStats", "Telling": "LogLine", "Flood": "RateLimiter",
    "Repeats": "DuplicateFilter", "Sum": "Suppressed", "Escalation": "SignalPolicy",
    "Mailbox": "SignalQueue", "Mistake": "FieldError", "JobMistakes": "JobErrors", "Parts": "MappingReader",
    "Places": "Positions", "Word": "FastEnum",
    "come_to_rest": "finish", "run_dry": "schedule_exhausted", "keep_pending": "remember_follow_up",
    "chance": "random", "todo": "actions", "is_heard": "audience", "has_listeners": "audience", "let_in": "try_acquire",
    "needs_of": "dependencies_of", "is_needed": "has_dependents", "was_woken": "callback_ran",
    "handed_out": "dispatched", "is_asked": "is_requested", "was_asked": "was_requested",
    "look_at_clock": "check_clock", "what_is_waited_for": "describe_dependency_wait", "_pump": "_drain",
    "_take_in": "_process", "_carry": "_handlers", "mistakes_of": "field_errors", "unfit": "invalid_value",
    "refusals": "errors_in_dependencies", "doubts": "warnings_in_dependencies", "span_text": "text.py's formatter",
    "books": "store or model", "in_words": "describe_schedule",
}  # fmt: skip
RETIRED_FUNCTIONS = {
    "ask": "request or query", "ask_all": "query_all", "order": "call", "tell": "post, describe or notify_all",
    "settle": "propagate", "hear": "enable_events", "entered": "add_waiter",
    "left": "remove_waiter", "ring": "set or wake", "silence": "clear", "relieve": "grow_if_stuck",
    "rouse": "resume", "look": "locate_runs, update or capture_stacks",
    "remind": "log_stop_progress", "judge": "evaluate or check", "means": "matches", "either": "join_or",
    "advice": "warnings_of_each_job", "remarks": "findings", "direct": "plain_members",
}  # fmt: skip

# Files without any of them need not be parsed.
MAY_BE_THERE = re.compile(rf"\b(?:{'|'.join(RETIRED)}|def\s+(?:{'|'.join(RETIRED_FUNCTIONS)}))\b")


def retired_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each retired identifier."""
    if not MAY_BE_THERE.search(source):
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name in RETIRED or node.name in RETIRED_FUNCTIONS:
                yield node.lineno, node.name
        elif isinstance(node, ast.ClassDef) and node.name in RETIRED:
            yield node.lineno, node.name
        elif isinstance(node, ast.Name) and node.id in RETIRED:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and node.attr in RETIRED:
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg) and node.arg in RETIRED:
            yield node.lineno, node.arg
        elif isinstance(node, ast.keyword) and node.arg in RETIRED:
            yield node.value.lineno, node.arg or ""


def test_no_retired_identifier_is_used() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {name}; use {(RETIRED | RETIRED_FUNCTIONS)[name]}"
        for place in PLACES
        for file in sorted((ROOT / place).rglob("*.py"))
        for line, name in retired_names(file.read_text(encoding="utf-8"))
    ]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source", ["class Books: pass", "x.todo.append(1)", "def tell(): pass", "def f(chance): pass", "f(is_heard=True)"]
)
def test_a_retired_identifier_is_found(source: str) -> None:
    assert list(retired_names(source))


@pytest.mark.parametrize("source", ["x.tell(1)", '"todo"', "left = 1", "class Bookshelf: pass", "# tell"])
def test_words_that_are_only_alike_are_accepted(source: str) -> None:
    assert not list(retired_names(source))
