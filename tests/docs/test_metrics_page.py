"""The page about metrics has the table of the code, and the files for Prometheus are what its own tool accepts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from taskloom.control.metrics.names import METRICS

DOCS = Path(__file__).resolve().parents[2] / "docs"
FOLDER = DOCS / "deploy" / "prometheus"
SUFFIXES = {"counter": "_total", "info": "_info"}
ROW = re.compile(r"^\| `(taskloom_\w+)` \| (\w+) \| (.+) \| (.+) \|$", re.MULTILINE)


def test_the_page_has_each_metric_as_the_code_does() -> None:
    rows = [
        (
            f"{each.name}{SUFFIXES.get(each.kind, '')}",
            each.kind,
            ", ".join(f"`{label}`" for label in each.labels) or "-",
            each.meaning,
        )
        for each in METRICS.values()
    ]

    assert ROW.findall((DOCS / "metrics.md").read_text(encoding="utf-8")) == rows


def test_the_alert_rules_use_only_metrics_that_exist() -> None:
    samples = {f"{each.name}{SUFFIXES.get(each.kind, '')}" for each in METRICS.values()}
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]

    assert {name for rule in rules for name in re.findall(r"taskloom_\w+", rule["expr"])} <= samples


def test_the_page_and_the_series_have_each_alert() -> None:
    names = {rule["alert"] for rule in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]}
    [quiet, loud] = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]

    assert set(re.findall(r"^\| `(Taskloom\w+)` \|", (DOCS / "metrics.md").read_text(), re.MULTILINE)) == names
    assert {each["alertname"] for each in quiet["alert_rule_test"]} == names
    assert {each["alertname"] for each in loud["alert_rule_test"]} == names
    assert all(each["exp_alerts"] for each in loud["alert_rule_test"])


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yml"), ("check", "config", "scrape.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_promtool_accepts(arguments: tuple[str, ...], need_tool: Callable[[str], str]) -> None:
    done = subprocess.run(
        [need_tool("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout + done.stderr
