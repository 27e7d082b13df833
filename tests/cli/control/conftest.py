"""Verbs that ask a scripted program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from tests.support.fake_control import FakeControl, fake_program, routes

from taskloom.cli.entry import call


class Answer(NamedTuple):
    """How a verb ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the developer's shell names a program."""
    for name in ("TASKLOOM_NAME", "TASKLOOM_SOCKET", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def play() -> Iterator[Callable[[Any], FakeControl]]:
    """Start a program that answers by these routes, or with these bytes."""
    with ExitStack() as stack:

        def play(answers: Any) -> FakeControl:
            return stack.enter_context(fake_program(answers if isinstance(answers, bytes) else routes(answers)))

        yield play


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Call a verb, in this process."""

    def ask(fake: FakeControl | None, *words: str) -> Answer:
        capsys.readouterr()
        code = call([*words, *([] if fake is None else ["--socket", str(fake.path)])])
        return Answer(code, *capsys.readouterr())

    return ask
