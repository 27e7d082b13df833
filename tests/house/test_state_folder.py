"""No test reaches the history of a real program: that of the user who runs the tests, or of the machine."""

from __future__ import annotations

import os
from pathlib import Path


def test_a_program_that_inherits_the_environment_of_the_tests_has_no_history(no_history: str) -> None:
    assert os.environ["TASKLOOM_HISTORY"] == "off"
    assert os.environ["XDG_STATE_HOME"] == no_history
    assert not Path(no_history).is_relative_to(Path.home() / ".local")
    assert "STATE_DIRECTORY" not in os.environ


def test_the_programs_of_a_test_have_no_history_and_a_state_folder_of_their_own(
    child_env: dict[str, str], tmp_path: Path
) -> None:
    assert child_env["TASKLOOM_HISTORY"] == "off"
    assert "STATE_DIRECTORY" not in child_env
    assert Path(child_env["XDG_STATE_HOME"]).is_relative_to(tmp_path.parent)
    assert Path(child_env["XDG_STATE_HOME"]) != Path(os.environ["XDG_STATE_HOME"])
