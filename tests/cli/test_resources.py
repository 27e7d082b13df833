"""A lack of resources is recognized in every disguise, and nothing else is taken for it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap

import pytest
from tests.support.every_case import every_case

from taskloom.cli import main, resources
from taskloom.cli.resources import (
    BUG_EXIT_CODE,
    EXIT_CODE,
    IMPORT_BYTES,
    OutOfResources,
    advice_for,
    end_of,
    needed,
    room_to_import,
)
from taskloom.core.report import ExitCode

NO_THREAD = RuntimeError("can't start new thread")


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


LACKING = [
    (MemoryError(), "memory"),
    (NO_THREAD, "ulimit -u"),
    (os_error(errno.ENOMEM), "memory"),
    (os_error(errno.EMFILE), "ulimit -n"),
    (os_error(errno.ENFILE), "fs.file-max"),
    (ImportError("x.so: failed to map segment from shared object", path="x.so"), "memory"),
    (ImportError("x.so: cannot open shared object file: Too many open files", path="x.so"), "ulimit -n"),
    (RuntimeError("cannot start the scheduler's thread: can't start new thread"), "ulimit -u"),
    (caused(ImportError("numpy could not be imported"), MemoryError()), "memory"),
    (caused(ValueError("no"), caused(ValueError("no"), NO_THREAD)), "ulimit -u"),
    (ExceptionGroup("two", [ValueError(), os_error(errno.EMFILE)]), "ulimit -n"),
    (OutOfResources("fork", os_error(errno.EAGAIN)), "ulimit -u"),
]


@every_case(("error", "advice"), LACKING, ids=repr)
def test_a_lack_of_resources_is_recognized(error: BaseException, advice: str) -> None:
    assert advice in advice_for(error)


OTHERS = [
    ValueError("can't start new thread"),
    RuntimeError("other"),
    # What a package says by itself decides no exit code.
    RuntimeError("my pool says: can't start new thread"),
    ImportError("this package is out of memory cards"),
    ImportError("No module named 'numpy'"),
    os_error(errno.ENOENT),
    # Writing to a full pipe or a full disk gives these.
    os_error(errno.EAGAIN),
    os_error(errno.ENOSPC),
    KeyboardInterrupt(),
    SystemExit(75),
]


@every_case("error", OTHERS, ids=repr)
def test_other_errors_are_not_a_lack_of_resources(error: BaseException) -> None:
    assert advice_for(error) == ""


def test_an_error_that_was_raised_from_none_does_not_count_its_context() -> None:
    error = ValueError("no such value")
    error.__context__, error.__suppress_context__ = MemoryError(), True

    assert advice_for(error) == ""


def test_a_circle_of_causes_is_followed_once() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first

    assert advice_for(first) == ""


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE])
def test_what_cannot_be_made_is_named_in_one_sentence(number: int) -> None:
    with pytest.raises(OutOfResources) as caught, needed("fork the watcher process"):
        raise os_error(number)

    told = str(caught.value)
    assert told.startswith(f"cannot fork the watcher process: {os.strerror(number).lower()}; ")
    assert "\n" not in told


def test_another_error_passes_unchanged() -> None:
    with pytest.raises(ValueError, match="mine"), needed("start a thread"):
        raise ValueError("mine")


def test_the_codes_are_those_of_the_documented_enum() -> None:
    assert (EXIT_CODE, BUG_EXIT_CODE) == (ExitCode.NO_RESOURCES, ExitCode.BUG)


def test_the_codes_are_documented_in_the_order_in_which_they_apply() -> None:
    assert [code.value for code in ExitCode] == [2, 75, 137, 3, 1, 130, 0, 70]


LAST_WORDS = """
    import os, sys
    from taskloom.cli.resources import say
    if sys.argv[1] == "full pipe":
        reading, writing = os.pipe()
        os.dup2(writing, 2)
        os.set_blocking(2, False)
        try:
            while True:
                os.write(2, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(2, True)
    elif sys.argv[1] == "closed":
        os.close(2)
    elif sys.argv[1] == "/dev/full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
    sys.stderr = None
    say("the last words\\n")
    print("went on")
"""


@pytest.mark.parametrize("state", ["well", "full pipe", "closed", "/dev/full"])
def test_the_last_words_never_hold_or_break_the_program(child_env: dict[str, str], state: str) -> None:
    program = textwrap.dedent(LAST_WORDS)

    answer = subprocess.run(
        [sys.executable, "-c", program, state], env=child_env, capture_output=True, text=True, timeout=30, check=False
    )

    assert (answer.returncode, answer.stdout) == (0, "went on\n")
    assert ("the last words" in answer.stderr) is (state == "well")


@pytest.mark.parametrize("name", ["click", "taskloom.cli.entry"])
def test_an_import_of_ours_that_finds_no_memory_ends_in_words(child_env: dict[str, str], name: str) -> None:
    program = f"""
        import sys
        class NoMemory:
            def find_spec(self, name, path=None, target=None):
                if name == {name!r}:
                    raise MemoryError
        sys.meta_path.insert(0, NoMemory())
        from taskloom.cli import main
        main(["run", "jobs.yaml"])
    """

    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=child_env, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert answer.returncode == 75
    assert answer.stderr.startswith("taskloom: cannot begin: MemoryError; ")
    assert answer.stderr.count("\n") == 1


def test_a_verb_whose_modules_find_no_memory_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With 9 MiB left, `hashlib` logged 60 lines before the sentence."""
    left = [IMPORT_BYTES - 1]
    monkeypatch.setattr(resources, "memory_limits", lambda: [("ulimit -v", -1, 0), ("ulimit -d", 100 + left[0], 100)])

    with pytest.raises(SystemExit) as end:
        main(["tasks"])
    left[0] = IMPORT_BYTES
    room_to_import()

    assert end.value.code == EXIT_CODE
    said = capfd.readouterr().err
    assert said.startswith("taskloom: cannot find 16 MiB for the modules of Taskloom: ulimit -d is ")
    assert said.endswith("; nothing was started\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "lost",
    [
        SystemError("error return without exception set"),
        ImportError("cannot import name 'sha256' from 'hashlib'", name="hashlib", path="/lib/hashlib.py"),
    ],
    ids=["in C code of CPython", "in hashlib"],
)
def test_a_lost_memory_error_is_recognized_only_where_little_is_left(
    lost: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    left = [IMPORT_BYTES - 1]
    monkeypatch.setattr(resources, "memory_limits", lambda: [("ulimit -v", 100 + left[0], 100), ("ulimit -d", -1, 0)])

    assert end_of(lost) == EXIT_CODE
    assert "out of memory" in capfd.readouterr().err
    left[0] = IMPORT_BYTES
    assert end_of(lost) == BUG_EXIT_CODE
    left[0] = 0
    assert end_of(ValueError("a bug")) == BUG_EXIT_CODE
