"""The files of the page: what is vendored is unchanged, all are small, and nothing leads to another host."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

from tests.support.every_case import every_case

from taskloom.web.app import STATIC

MOST_BYTES = 100_000
MODULES = sorted(STATIC.glob("*.js"))
VENDOR = STATIC / "vendor"


def test_vendored_files_have_the_recorded_hashes_and_licences() -> None:
    recorded = json.loads((VENDOR / "VENDORED.json").read_text(encoding="utf-8"))
    assert sorted(recorded) == sorted(file.name for file in VENDOR.glob("*.js"))
    for name, facts in recorded.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == facts["sha256"], name
        assert (VENDOR / f"LICENSE.{facts['package']}").read_text(encoding="utf-8").strip()
        assert facts["version"]
        assert facts["license"]


def test_the_whole_page_is_small() -> None:
    files = [file for file in STATIC.rglob("*") if file.is_file()]
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) < MOST_BYTES


@every_case("module", MODULES, ids=lambda module: module.name)
def test_each_module_imports_files_that_exist_and_sets_no_html(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    for name in re.findall(r'^(?:import|export)\b[^"\n]*(?:\n[^"\n]*)*?from "([^"]+)"', text, re.MULTILINE):
        assert name.startswith("./"), name
        assert (STATIC / name).is_file(), name
    assert re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text) is None


def test_the_page_has_no_inline_script_and_no_address_of_another_host() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page) is None
    for file in [STATIC / "index.html", STATIC / "style.css", *MODULES]:
        found = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", file.read_text(encoding="utf-8"))
        assert found == [], file.name
