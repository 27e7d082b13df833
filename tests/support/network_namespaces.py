"""Experiments with readers in a network namespace of their own, which has nothing but a few virtual interfaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["CABLES", "allows_namespaces", "run_in_namespace"]

# Interfaces: lo, and the pairs a0-a1 and b0-b1, which are joined by a virtual cable. Reads the experiment from its
# input and prints the result as JSON.
_PROGRAM = """
import json, os, socket, subprocess, sys, threading
from taskloom.testing import FakeContext
from taskloom_plugins.socket_reader import SocketReader
from taskloom_plugins.socket_sender import SocketSender

for command in sys.stdin.read().splitlines():
    subprocess.run([sys.argv[1], *command.split()], check=True)

class Context(FakeContext):
    def __init__(self, *, job="job"):
        super().__init__(job=job)
        self.changed = threading.Condition()
        self.failure = ""

    def ready(self):
        with self.changed:
            super().ready()
            self.changed.notify_all()

    def count(self, name, n=1):
        with self.changed:
            super().count(name, n)
            self.changed.notify_all()

class Reader:
    def __init__(self, **params):
        self.ctx, self.output = Context(), os.path.abspath("out-%d" % len(readers))
        self.thread = threading.Thread(target=self.run, args=(params,))
        self.thread.start()
        readers.append(self)
        with self.ctx.changed:
            assert self.ctx.changed.wait_for(lambda: self.ctx.is_ready.is_set() or self.ctx.failure, 20)

    def run(self, params):
        try:
            SocketReader(output=self.output, format="json", **params).run(self.ctx)
        except Exception as error:
            with self.ctx.changed:
                self.ctx.failure = str(error)
                self.ctx.changed.notify_all()

    def wait(self, frames):
        with self.ctx.changed:
            assert self.ctx.changed.wait_for(lambda: self.ctx.counts["frames"] >= frames, 20), self.ctx.messages

    def end(self):
        self.ctx.cancel("end")
        self.thread.join(20)
        records = [json.loads(line) for line in open(self.output)] if os.path.exists(self.output) else []
        return {
            "said": self.ctx.messages, "failure": self.ctx.failure,
            "data": [record["data"] for record in records], "from": [record["from"] for record in records],
        }

def send(to, text, **params):
    with Context() as ctx:
        SocketSender(to=to, line=text, count=1, **params).run(ctx)

readers = []
try:
    exec(sys.argv[2])
finally:
    results = [reader.end() for reader in readers]
print(json.dumps(results))
"""

# "nodad": the kernel would first check for a second that no other machine has the address.
CABLES = """\
link set lo up
link add a0 type veth peer name a1
link add b0 type veth peer name b1
link set a0 addrgenmode none
link set b0 addrgenmode none
address add 10.0.1.1/24 dev a0
address add 10.0.2.1/24 dev b0
address add fd00:1::1/64 dev a0 nodad
address add fd00:2::1/64 dev b0 nodad
address add fe80::a/64 dev a0 nodad
address add fe80::b/64 dev b0 nodad
link set a0 up
link set a1 up
link set b0 up
link set b1 up
"""


def _command(unshare: str) -> list[str]:
    return [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--map-root-user", "--net"]


def allows_namespaces(unshare: str, ip: str) -> bool:
    """Return whether this machine allows a network namespace with virtual interfaces."""
    command = [*_command(unshare), ip, "link", "add", "a0", "type", "veth"]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def run_in_namespace(
    unshare: str, ip: str, experiment: str, *, setup: str, folder: Path, env: dict[str, str]
) -> list[dict[str, Any]]:
    """Set up interfaces with the commands of `ip`, run an experiment, and return what each of its readers saw."""
    command = [*_command(unshare), sys.executable, "-c", _PROGRAM, ip, experiment]
    result = subprocess.run(
        command, input=setup, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    seen: list[dict[str, Any]] = json.loads(result.stdout)
    return seen
