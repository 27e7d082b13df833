"""The time of `taskloom status` matters: a shell waits for it. Counts are asserted, and no times."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.fake_control import job_status, program_status

HEAVY = {"asyncio", "pydantic", "rich", "stevedore", "yaml", "taskloom.scheduler", "taskloom.core.model"}
PROGRAM = """
import sys
from taskloom.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules, sep="\\n", file=sys.stderr)
"""


@pytest.mark.parametrize("verb", ["status", "next", "stack", "ps"])
def test_a_verb_that_asks_imports_nothing_heavy(verb: str, play: Callable[..., Any], child_env: dict[str, str]) -> None:
    fake = play(
        {
            "/v1/program": program_status(),
            "/v1/jobs": {"jobs": [job_status("web")]},
            "/v1/next": {"firings": [{"job": "web", "at": "2036-01-01T00:00:00Z", "in": 3.0}]},
            "/v1/stacks": {"stacks": [{"job": "web", "text": "x"}]},
        }
    )
    words = [verb] if verb == "ps" else [verb, "--socket", str(fake.path)]

    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], env=child_env, capture_output=True, text=True, timeout=30, check=False
    )

    assert answer.returncode == 0, answer.stderr
    assert HEAVY.intersection(answer.stderr.split()) == set()
