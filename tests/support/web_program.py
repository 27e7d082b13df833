"""A real program with its page: `taskloom run --http` in a process of its own."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import textwrap
import urllib.error
import urllib.request
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

from tests.support.child_programs import PATIENCE_SECONDS, ChildProgram

from taskloom.clock import mono

__all__ = ["WebProgram"]

_ADDRESS = re.compile(r"web page (http://127\.0\.0\.1:(\d+)/)")
_LOOK_SECONDS = 0.05


class WebProgram:
    """A program that runs `jobs`, the text of a job file, and serves its page at `port`; 0 chooses one.

    `folder` has its job file and its state, so that a second one in the same folder is the next start of the first.
    """

    def __init__(self, folder: Path, jobs: str, *, port: int = 0, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._file = folder / "jobs.yaml"
        self.write(jobs)
        # Not below `folder`: the path of a unix socket is short.
        self._sockets = tempfile.TemporaryDirectory(prefix="page-")
        state = {"XDG_RUNTIME_DIR": self._sockets.name, "XDG_STATE_HOME": str(folder / "state")}
        command = [sys.executable, "-m", "taskloom", "run", str(self._file), "--http", f"127.0.0.1:{port}"]
        command += ["--history", "on", *options]
        self.process = ChildProgram(command, {**os.environ, **state}, cwd=folder)
        self.url, self.port, self.token, self.read_token = "", 0, "", ""

    def write(self, jobs: str) -> None:
        """Write its job file again."""
        self._file.write_text(textwrap.dedent(jobs), encoding="utf-8")

    def __enter__(self) -> Self:
        try:
            self._wait_for_page()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait_for_page(self) -> None:
        while (found := _ADDRESS.search(self.process.output)) is None:
            self.process.wait_for("\n", self.process.output.count("\n") + 1)
        self.url, self.port = found[1], int(found[2])
        tokens = {file.suffix: file.read_text().strip() for file in (self.folder / "state" / "taskloom").glob("*token")}
        self.token, self.read_token = tokens[".token"], tokens[".read-token"]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.__exit__(kind, error, trace)
        self._sockets.cleanup()

    @property
    def link(self) -> str:
        """The address with the token, as `taskloom web` opens it."""
        return f"{self.url}#token={self.token}"

    def get(self, path: str) -> Any:
        """Return the JSON data of a path of the API."""
        request = urllib.request.Request(f"{self.url.rstrip('/')}{path}", headers={"Authorization": self._bearer})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return json.load(response)

    @property
    def _bearer(self) -> str:
        return f"Bearer {self.token}"

    def job(self, name: str) -> dict[str, Any]:
        """Return the status of a job."""
        found: dict[str, Any] = self.get(f"/v1/jobs/{name}")["job"]
        return found

    def wait_for(self, name: str, **expected: object) -> dict[str, Any]:
        """Wait until there is a job with these values of its status, which is returned: the page is there before it."""
        until, pause = mono() + PATIENCE_SECONDS, Event()
        while True:
            status = self._known(name)
            if status is not None and all(status[key] == value for key, value in expected.items()):
                return status
            assert mono() < until, f"expected {expected}, not {status}"
            pause.wait(_LOOK_SECONDS)

    def _known(self, name: str) -> dict[str, Any] | None:
        try:
            return self.job(name)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            error.close()
            return None
