"""A program that records some actions, waits until all are written, and ends; its system calls fail as strace says.

python -m tests.support.recorded_program DATABASE COUNT SECONDS

It prints what it found as JSON. It does not wait longer than SECONDS for what it has recorded to be written.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from taskloom.history.location import parse_target
from taskloom.history.model import ActionRow, StartInfo
from taskloom.history.recorder import Recorder


def main(database: str, count: int, seconds: float) -> None:
    """Record this number of actions, one after the other."""
    said: list[str] = []
    acknowledged: list[str] = []
    recorder = Recorder(
        parse_target(database), name="recorded", start=StartInfo("start-1", time.time(), os.getpid()),
        log=lambda level, text: said.append(f"{level}: {text}"),
    )  # fmt: skip
    recorder.open()
    for number in range(count):
        text = f"action {number}"
        answered = threading.Event()

        def done(is_recorded: bool, text: str = text, answered: threading.Event = answered) -> None:
            if is_recorded:
                acknowledged.append(text)
            answered.set()

        recorder.put_action(ActionRow(time.time(), "start", ("job",), {}, text), done)
        answered.wait(0.3)
    bound = time.monotonic() + seconds
    never = threading.Event()
    while (recorder.state.kind != "on" or recorder.state.queued) and time.monotonic() < bound:
        never.wait(0.02)
    state = recorder.state
    is_complete = recorder.finish({}, 0, time.monotonic() + 2.0)
    recorder.close()
    found = {"acknowledged": acknowledged, "said": said, "is_complete": is_complete, "state": state.kind}
    print(json.dumps(found | {"reason": state.reason, "dropped": state.dropped}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
