"""Standard input, pipes and devices as job files. The writers are threads or have written before."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.given_catalog import GivenCatalog

from taskloom.errors import JobFileError
from taskloom.jobfile import check
from taskloom.jobfile.loader import content_of_streams
from taskloom.jobfile.syntax.inputs import bytes_of, identity_of, is_stream, stream_bytes
from taskloom.task import Context

FILE = b"jobs:\n  a: {task: idle}\n"
LIMIT = 8 * 1024 * 1024


def idle(ctx: Context) -> None:
    """Do nothing."""


CATALOG = GivenCatalog({"idle": idle})


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def pipe_with(data: bytes) -> Iterator[int]:
    """A pipe whose writer has written the data and closed it."""
    read_end, write_end = os.pipe()
    os.write(write_end, data)
    os.close(write_end)
    try:
        yield read_end
    finally:
        os.close(read_end)


@contextmanager
def standard_input(descriptor: int) -> Iterator[None]:
    """Let descriptor 0 be another one."""
    before = os.dup(0)
    os.dup2(descriptor, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


@pytest.mark.parametrize("path", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_standard_input_is_read_to_its_end(path: str) -> None:
    with pipe_with(FILE) as pipe, standard_input(pipe):
        result = check(path, catalog=CATALOG)

    assert [job.name for job in result.jobs] == ["a"]
    assert result.files == ("<stdin>" if path == "-" else path,)


@pytest.mark.parametrize("path", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_pipe_of_the_shell_is_read_after_its_writer_has_ended(path: str) -> None:
    with pipe_with(FILE) as pipe:
        result = check(path.format(pipe), catalog=CATALOG)

    assert [job.name for job in result.jobs] == ["a"]


def test_an_empty_pipe_whose_writer_has_ended_is_an_empty_file() -> None:
    with pipe_with(b"") as pipe:
        [problem] = check(f"/dev/fd/{pipe}", catalog=CATALOG).problems

    assert problem.message == "cannot find any job: there is nothing to run"


def test_problems_of_standard_input_are_placed_in_it() -> None:
    with pipe_with(b"jobs:\n  a: {task: idel}\n") as pipe, standard_input(pipe):
        [problem] = check("-", catalog=CATALOG).problems

    assert str(problem.place) == "<stdin>:2:13"


def test_a_stream_that_is_given_twice_is_read_once() -> None:
    with pipe_with(FILE) as pipe, standard_input(pipe):
        result = check("-", "-", "/dev/stdin", f"/dev/fd/{pipe}", catalog=CATALOG)

    assert [job.name for job in result.jobs] == ["a"]
    assert result.problems == ()


def test_standard_input_goes_together_with_files() -> None:
    Path("b.yaml").write_text("jobs:\n  b: {task: idle, after: a}\n")

    with pipe_with(FILE) as pipe, standard_input(pipe):
        result = check("b.yaml", "-", catalog=CATALOG)

    assert [job.name for job in result.jobs] == ["b", "a"]


@pytest.mark.parametrize("path", ["-", "/dev/stdin"])
def test_a_file_as_standard_input_is_read(path: str) -> None:
    Path("a.yaml").write_bytes(FILE)

    with Path("a.yaml").open("rb") as file, standard_input(file.fileno()):
        assert [job.name for job in check(path, catalog=CATALOG).jobs] == ["a"]


def test_a_file_named_minus_is_given_with_its_folder() -> None:
    Path("-").write_bytes(FILE)

    assert [job.name for job in check("./-", catalog=CATALOG).jobs] == ["a"]


def test_a_named_pipe_is_read_until_its_last_writer_has_closed_it() -> None:
    os.mkfifo("pipe")

    def write() -> None:
        held = []
        for part in (FILE[:5], FILE[5:]):
            first, second = (os.open("pipe", os.O_WRONLY) for _ in range(2))
            os.close(first)
            os.write(second, part)
            held.append(second)
        for each in held:
            os.close(each)

    writer = threading.Thread(target=write)
    writer.start()

    result = check("pipe", catalog=CATALOG)

    writer.join()
    assert [job.name for job in result.jobs] == ["a"]


def test_a_signal_ends_the_wait_for_a_writer() -> None:
    """The main thread waits in poll(2); the signal comes from a thread that has seen the pipe opened for reading."""
    os.mkfifo("pipe")
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        held.append(os.open("pipe", os.O_WRONLY))  # returns when the reader has opened the pipe
        signal.pthread_kill(main, signal.SIGINT)

    held: list[int] = []
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            stream_bytes("pipe", LIMIT)
    finally:
        thread.join()
        for descriptor in held:
            os.close(descriptor)


def test_a_pipe_in_a_directory_is_refused_without_waiting() -> None:
    Path("d").mkdir()
    os.mkfifo("d/pipe.yaml")

    [problem] = check("d", catalog=CATALOG).problems

    assert problem.message == "cannot read the file: it is a named pipe, not a regular file"


def test_a_directory_named_as_a_file_is_a_directory() -> None:
    Path("d.yaml").mkdir()
    Path("d.yaml/a.yaml").write_bytes(FILE)

    assert check("d.yaml", catalog=CATALOG).files == ("d.yaml/a.yaml",)


def test_an_endless_stream_is_read_up_to_the_limit() -> None:
    descriptor = os.open("/dev/zero", os.O_RDONLY)
    try:
        with standard_input(descriptor):
            [problem] = check("-", catalog=CATALOG).problems
    finally:
        os.close(descriptor)

    assert problem.message == "cannot read the file: it is larger than 8,388,608 bytes"


def test_the_null_device_is_an_empty_file_and_other_devices_are_refused() -> None:
    [null] = check("/dev/null", catalog=CATALOG).problems
    [zero] = check("/dev/zero", catalog=CATALOG).problems

    assert null.message == "cannot find any job: there is nothing to run"
    assert zero.message == "cannot read the file: it is a device, not a regular file"


def test_binary_input_is_refused_at_its_place() -> None:
    with pipe_with(b"jobs:\n  \xff\xfe") as pipe, standard_input(pipe):
        [problem] = check("-", catalog=CATALOG).problems

    assert str(problem.place) == "<stdin>:2:3"
    assert problem.message == "cannot read byte 0xff at offset 8: it is not UTF-8"


def test_a_socket_is_read_as_standard_input_and_refused_as_a_file() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX) as server:
        server.bind("s.yaml")
        ours.sendall(FILE)
        ours.shutdown(socket.SHUT_WR)
        with standard_input(theirs.fileno()):
            assert [job.name for job in check("-", catalog=CATALOG).jobs] == ["a"]
        [problem] = check("s.yaml", catalog=CATALOG).problems

    assert problem.message == "cannot read the file: no such device or address"


def test_a_terminal_is_read_until_its_user_ends_the_input() -> None:
    master, slave = os.openpty()
    try:
        os.write(master, FILE + b"\x04")
        with standard_input(slave):
            assert [job.name for job in check("-", catalog=CATALOG).jobs] == ["a"]
    finally:
        os.close(master)
        os.close(slave)


def test_a_closed_descriptor_is_told_as_that() -> None:
    before = os.dup(0)
    os.close(0)
    try:
        with pytest.raises(JobFileError, match=r"<stdin>:1:1: error: cannot read the file: it is closed"):
            stream_bytes("-", LIMIT)
        [problem] = check("/dev/fd/987", catalog=CATALOG).problems
    finally:
        os.dup2(before, 0)
        os.close(before)

    assert problem.message == "cannot read the file: no such file or directory"


def test_a_non_blocking_descriptor_is_waited_for() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)

    def write() -> None:
        os.write(write_end, FILE)
        os.close(write_end)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert stream_bytes(f"/dev/fd/{read_end}", LIMIT) == FILE
    finally:
        writer.join()
        os.close(read_end)


def test_contents_that_were_read_before_are_used() -> None:
    with pipe_with(FILE) as pipe, standard_input(pipe):
        contents = content_of_streams(["-", "/dev/stdin", "none.yaml"])

        assert list(contents.values()) == [FILE]
        assert [job.name for job in check("-", catalog=CATALOG, contents=contents).jobs] == ["a"]


def test_only_streams_are_streams() -> None:
    Path("a.yaml").write_bytes(FILE)
    os.mkfifo("pipe")

    assert [path for path in ("a.yaml", "none", ".", "a\0b", "/dev/zero", "/dev/fd/x", "") if is_stream(path)] == []
    assert is_stream("-") and is_stream("pipe") and is_stream("/dev/null")  # noqa: PT018 - three of a kind
    assert identity_of("a.yaml") == identity_of("./a.yaml")
    assert bytes_of("a.yaml", LIMIT) == FILE
