"""Makes docs/page.png, the picture of the web page in the README, from a real run of jobs/service.yaml.

    make browser ARGS="--collect-only -q"     once: the packages that this needs
    .venv/bin/python docs/picture.py          takes a minute and a half

It needs Debian's chromium.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "page.png"
MOST_BYTES = 150_000
SIZE = {"width": 1180, "height": 424}
# Four backups, and some failed logins.
SECONDS = 70
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def main() -> None:
    """Run the jobs, look at them, and write the picture."""
    with tempfile.TemporaryDirectory(prefix="picture-") as folder:
        environment = {**os.environ, "XDG_RUNTIME_DIR": folder, "XDG_STATE_HOME": folder}
        taskloom = [sys.executable, "-m", "taskloom"]
        options = ["jobs/service.yaml", "--http", "127.0.0.1:0", "--name", "service", "-q"]
        program = subprocess.Popen([*taskloom, "run", *options], cwd=ROOT, env=environment)
        try:
            ready = [*taskloom, "wait", "server", "--for", "ready"]
            while subprocess.run(ready, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 4:
                pass  # it does not listen yet
            link = subprocess.run(
                [*taskloom, "web", "--print"], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
            ).stdout.strip()
            look(link)
        finally:
            program.terminate()
            program.wait()
    size = PICTURE.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"cannot use a picture of over {MOST_BYTES:,} bytes")


def look(link: str) -> None:
    """Open the page, wait until there is something to see, and take the picture."""
    api: Any = importlib.import_module("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(link)
        page.wait_for_timeout(SECONDS * 1000)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
