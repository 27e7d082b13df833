"""All kinds of mistakes in the supervision fields, with the exact report; both YAML parsers read each file.

The tables are in `bad_jobs/`, one file per topic. `said` is the output of `taskloom validate`, or "" if nothing is
wrong. `idle` is a function, `slow` a task that announces that it is ready.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.every_case import every_case
from tests.support.given_catalog import GivenCatalog

from taskloom.jobfile import check
from taskloom.jobfile.render import render_all
from taskloom.task import Context, Task

TABLES = sorted((Path(__file__).parent / "bad_jobs").glob("*.yaml"))


def idle(ctx: Context, n: int = 1) -> None:
    """Do nothing."""


class Slow(Task):
    announces_ready = True

    def run(self, ctx: Context) -> None:
        """Do nothing."""


CATALOG = GivenCatalog({"idle": idle, "slow": Slow})
ROWS: list[dict[str, Any]] = [row for table in TABLES for row in yaml.safe_load(table.read_text("utf-8"))]


@every_case("with_libyaml", [True, False], ids=["libyaml", "python"])
@every_case("row", ROWS, ids=[row["summary"] for row in ROWS])
def test_a_bad_job_is_reported(
    row: dict[str, str], with_libyaml: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(yaml, "__with_libyaml__", with_libyaml)
    Path("a.yaml").write_text(row["text"], encoding="utf-8")

    result = check("a.yaml", catalog=CATALOG, environ={})

    assert render_all(result.problems) == row["said"].rstrip("\n")


def test_there_are_at_least_120_bad_jobs_and_none_twice() -> None:
    assert len({row["text"] for row in ROWS}) == len(ROWS) >= 120
    assert [table.stem for table in TABLES] == [
        "clusters",
        "dependencies",
        "limits",
        "restarts",
        "schedules",
        "settings",
    ]
