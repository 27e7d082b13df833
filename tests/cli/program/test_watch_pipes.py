"""What the program and its watcher write to each other."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from taskloom.cli.program.watch_pipes import Command, CommandReader, Order, Pipes, Told


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    for descriptor in (pipes.reading, pipes.writing, pipes.echo, pipes.echoing):
        try:
            os.close(descriptor)
        except OSError:
            pass  # the test closed it


def test_signals_and_commands_are_told_apart_wherever_the_bytes_are_cut() -> None:
    sent: list[int | Command] = [
        15,
        Command(Order.BEGIN, 30.0),
        1,
        2,
        Command(Order.STOP_BEGAN),
        Command(Order.LIMIT, 2.5),
        64,
    ]
    data = b"".join(one.encoded() if isinstance(one, Command) else bytes([one]) for one in sent)

    for size in range(1, len(data) + 1):
        reader = CommandReader()
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert [item for piece in pieces for item in reader.feed(piece)] == sent


def test_a_deadline_may_be_endless() -> None:
    assert list(CommandReader().feed(Command(Order.BEGIN, float("inf")).encoded())) == [
        Command(Order.BEGIN, float("inf"))
    ]


@pytest.mark.parametrize("is_direct", [True, False])
@pytest.mark.parametrize("counts", [True, False])
def test_a_record_arrives_as_it_was_sent(pipes: Pipes, is_direct: bool, counts: bool) -> None:
    told = [Told(15, 12.25, is_direct, counts), Told(0, 1e9, is_direct, counts, pid=2**22)]

    for one in told:
        os.write(pipes.echoing, one.encoded())

    assert Told.read(pipes.echo) == told
    assert Told.read(pipes.echo) == []


def test_a_closed_pipe_is_not_the_same_as_an_empty_one(pipes: Pipes) -> None:
    os.close(pipes.echoing)

    assert Told.read(pipes.echo) is None


def test_a_pipe_that_other_code_has_closed_is_taken_for_a_watcher_that_has_ended(pipes: Pipes) -> None:
    pipes.close_program_side()

    assert Told.read(pipes.echo) is None
    pipes.send(Order.DISMISS)
    pipes.close_program_side()


def test_an_order_to_a_watcher_that_has_ended_has_no_effect(pipes: Pipes) -> None:
    os.close(pipes.reading)

    pipes.send(Order.DISMISS)


def test_an_order_to_a_watcher_that_does_not_read_does_not_block(pipes: Pipes) -> None:
    for _ in range(10_000):
        pipes.send(Order.STOP_BEGAN)


def test_without_descriptors_for_the_second_pipe_the_first_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []
    real = os.pipe

    def pipe() -> tuple[int, int]:
        if made:
            raise OSError(errno.EMFILE, "Too many open files")
        made.append(real())
        return made[0]

    monkeypatch.setattr(os, "pipe", pipe)

    with pytest.raises(OSError, match="Too many open files"):
        Pipes()

    for descriptor in made[0]:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
