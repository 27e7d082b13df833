"""The command line of a worker, and its first message."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import worker_tasks

from taskloom import __version__
from taskloom.catalog.params import inspect_task
from taskloom.runners import RunOrder
from taskloom.runners.process.worker_command import log_levels, sent_path, spec_of, worker_command
from taskloom.runners.wire import decode_down, encode


def test_the_command_starts_the_same_python_with_the_same_flags() -> None:
    command = worker_command(3, "a job")

    assert command[0] == sys.executable
    assert command[-4] == "-P"
    assert Path(command[-3]).parts[-3:] == ("taskloom", "worker", "__main__.py")
    assert Path(command[-3]).is_file()
    assert command[-2:] == ["3", "a job"]


def test_the_spec_has_the_run_the_task_and_absolute_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", ["", "sub", "/usr/lib"])
    monkeypatch.chdir(tmp_path)
    values, binding = inspect_task(worker_tasks.Reporter).bind({"every": "250ms"})
    assert binding.reference is not None
    order = RunOrder("job#3", "job", "report", 2, 1, True, 0.5, binding)

    spec = spec_of(order, binding.reference)

    assert spec.version == __version__
    assert spec.sys_path == [str(tmp_path), str(tmp_path / "sub"), "/usr/lib"]
    assert (spec.job, spec.run, spec.task, spec.attempt, spec.replica) == ("job", "job#3", "report", 2, 1)
    assert (spec.daemon, spec.poll_interval) == (True, 0.5)
    assert (spec.module, spec.qualname) == ("tests.support.worker_tasks", "Reporter")
    assert (spec.params, spec.values) == ({"every": "250ms"}, values)
    assert decode_down(encode(spec)) == spec


def test_the_path_keeps_the_names_of_hooks_and_drops_what_an_import_ignores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def hook(entry: str) -> object:
        if entry != "__editable__.x.finder.__path_hook__":
            raise ImportError
        return object()

    monkeypatch.setattr(sys, "path_hooks", [*sys.path_hooks, hook])
    monkeypatch.setattr(sys, "path", ["no-folder", Path("/x"), b"/y", None, "__editable__.x.finder.__path_hook__"])
    monkeypatch.chdir(tmp_path)

    assert sent_path() == [str(tmp_path / "no-folder"), "__editable__.x.finder.__path_hook__"]


def test_an_entry_relative_to_a_folder_that_is_gone_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "path", ["", "sub", "/usr/lib"])

    assert sent_path() == ["/usr/lib"]


@pytest.fixture
def loggers() -> Iterator[None]:
    """Two loggers with levels of their own, and no other change of the logging of this process."""
    names, disabled = ("test_worker_command.a", "test_worker_command.b"), logging.root.manager.disable
    logging.getLogger(names[0]).setLevel(logging.DEBUG)
    logging.getLogger(names[1])
    yield
    logging.root.manager.disable = disabled
    for name in names:
        del logging.root.manager.loggerDict[name]


@pytest.mark.usefixtures("loggers")
def test_the_levels_of_all_loggers_that_have_one_are_sent() -> None:
    found = log_levels()

    assert found[""] == logging.root.level
    assert found["test_worker_command.a"] == logging.DEBUG
    assert "test_worker_command.b" not in found


@pytest.mark.usefixtures("loggers")
def test_levels_that_are_disabled_are_not_sent() -> None:
    logging.disable(logging.INFO)

    found = log_levels()

    assert found["test_worker_command.a"] == logging.INFO + 1
    assert found[""] > logging.INFO
