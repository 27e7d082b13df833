"""Tasks that run in a worker process: good ones, and those that do everything to the process that they should not."""

from __future__ import annotations

import asyncio
import atexit
import faulthandler
import itertools
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from taskloom import AsyncContext, Cancelled, Context, Duration, PermanentFailure, Task, TaskFailure

FOR_EVER = 1000.0


class Reporter(Task):
    """Reports all that there is, and waits for the stop."""

    every: Duration = 0.25

    def run(self, ctx: Context) -> None:
        print("printed")
        sys.stderr.write("on stderr\n")
        ctx.log.info("every %s", self.every, extra={"answer": 42, "odd": {1}})
        ctx.log.debug("not wanted")
        ctx.progress(1, 3, "steps")
        ctx.count("seen", 2)
        ctx.wait()
        ctx.progress(2, 3, "steps")
        ctx.count("seen")
        ctx.log.info("stopped: %s %s", ctx.reason, ctx.urgent)


class Announcer(Task):
    """Announces that it is ready, and is woken by `terminate`."""

    announces_ready = True

    def __init__(self) -> None:
        self.woken = threading.Event()

    def run(self, ctx: Context) -> None:
        ctx.on_cancel(bad_callback)
        ctx.ready()
        self.woken.wait(FOR_EVER)

    def terminate(self) -> None:
        self.woken.set()
        logging.getLogger("mine").warning("terminated on %s", threading.current_thread().name)


def bad_callback() -> None:
    raise ValueError("bad callback")


class LateTerminate(Task):
    """Its `terminate` goes on after the end of the run."""

    def run(self, ctx: Context) -> None:
        ctx.wait()

    def terminate(self) -> None:
        time.sleep(0.2)  # the task under test
        logging.getLogger("mine").warning("terminated")


def identity(ctx: Context) -> None:
    names = [threading.current_thread() is threading.main_thread(), threading.current_thread().name]
    ctx.log.info("%s %s %s %s %s %s", ctx.job, ctx.run_id, ctx.attempt, ctx.replica, ctx.poll_interval, names)


def with_params(ctx: Context, numbers: list[float], name: str = "x") -> None:
    ctx.log.info("%r %r", numbers, name)


def fails(ctx: Context) -> None:
    raise ValueError("boom")


def fails_for_good(ctx: Context) -> None:
    raise PermanentFailure("never again")


def fails_explained(ctx: Context) -> None:
    raise TaskFailure("the disk is full")


def raises_odd(ctx: Context) -> None:
    raise BaseException("odd")  # noqa: TRY002


def exits(ctx: Context) -> None:
    sys.exit(3)


def exits_hard(ctx: Context) -> None:
    os._exit(7)


def kills_itself(ctx: Context) -> None:
    signal.raise_signal(signal.SIGSEGV)


def recurses(ctx: Context) -> None:
    recurses(ctx)


def needs_memory(ctx: Context) -> None:
    bytearray(1 << 62)


def returns_value(ctx: Context) -> Any:
    return 3


async def waits_async(ctx: AsyncContext) -> None:
    ctx.log.info("async")
    await ctx.wait()
    ctx.log.info("told")


async def sleeps_async(ctx: AsyncContext) -> None:
    ctx.log.info("async")
    await asyncio.sleep(FOR_EVER)  # the task under test


def waits(ctx: Context) -> None:
    ctx.log.info("waits")
    ctx.wait()


def polls_interval(ctx: Context) -> None:
    ctx.log.info("first %s", ctx.poll_interval)
    while ctx.poll_interval != 7.5:
        if ctx.wait(0.005):
            return
    ctx.log.info("then %s", ctx.poll_interval)


def waits_for_urgent(ctx: Context) -> None:
    ctx.log.info("waits")
    ctx.wait()
    while not ctx.urgent:
        time.sleep(0.002)  # the task under test
    ctx.log.info("urgent")


def uses_descriptor(ctx: Context) -> None:
    import select

    poll = select.poll()
    poll.register(ctx.fileno(), select.POLLIN)
    ctx.log.info("waits")
    poll.poll()
    raise OSError("woken")


def deaf(ctx: Context) -> None:
    ctx.log.info("deaf")
    time.sleep(FOR_EVER)  # the task under test


def deaf_twice(ctx: Context) -> None:
    ctx.log.info("deaf")
    try:
        time.sleep(FOR_EVER)  # the task under test
    except Cancelled:
        ctx.log.info("swallowed")
    time.sleep(FOR_EVER)  # the task under test


def finishes_slowly(ctx: Context) -> None:
    ctx.log.info("waits")
    ctx.wait()
    ctx.log.info("finishing")
    while not ctx.urgent:
        time.sleep(0.002)  # the task under test
    ctx.log.info("finished")


def hogs(ctx: Context) -> None:
    ctx.log.info("hogs")
    ctx.wait(0.7)  # so that the line and the wait are sent
    max(itertools.repeat(0))  # holds the GIL for ever


def works(ctx: Context) -> None:
    ctx.log.info("works")
    while True:
        pass


def counts_in_thread(ctx: Context) -> None:
    def count() -> None:
        if not ctx.wait(0.5):  # by then nothing is sampled any more
            ctx.count("late", 5)

    thread = threading.Thread(target=count)
    thread.start()
    ctx.wait()
    thread.join()


def closes_all(ctx: Context) -> None:
    os.closerange(3, 4096)
    with Path("/dev/null").open("w", encoding="utf-8") as file:
        ctx.log.info("into the void")
        while not ctx.wait(0.01):
            file.write("x")


def closes_all_deaf(ctx: Context) -> None:
    ctx.log.info("closes")
    time.sleep(0.5)  # the task under test: nothing is left to send by then
    os.closerange(3, 4096)
    print("closed")
    while ctx.reason is None:
        time.sleep(0.01)  # the task under test, which does not poll
    print("woken:", ctx.reason)


def replaces_streams(ctx: Context) -> None:
    sys.stdout = sys.stderr = None
    ctx.log.info("still there")


def prints_much(ctx: Context) -> None:
    for _ in range(10 * 1024):
        print("x" * 1023)


def logs_much(ctx: Context) -> None:
    for number in range(20_000):
        ctx.log.info("%d %s", number, "x" * 100)


def logs_more(ctx: Context) -> None:
    for _ in range(40):
        ctx.log.info("x" * 1_000_000)
    print("logged")


def logs_huge(ctx: Context) -> None:
    ctx.log.info("\x00" * 10_000_000)


def logs_badly(ctx: Context) -> None:
    ctx.log.info("%d", "no number")
    ctx.log.info("lone %s", "\udc80")
    try:
        raise KeyError("k")
    except KeyError:
        ctx.log.exception("failed")


def reports_odd(ctx: Context) -> None:
    ctx.progress(10**5000, 10**6000, "u" * 2_000_000)
    ctx.count("n" * 2_000_000, 10**5000)
    for number in range(3000):
        ctx.count(f"c{number}")


def forks(ctx: Context) -> None:
    pid = os.fork()
    if pid == 0:
        ctx.log.info("child logs")
        ctx.count("child")
        ctx.progress(99)
        ctx.ready()
        print("child cancelled:", ctx.cancelled, ctx.reason)
        return
    os.waitpid(pid, 0)
    ctx.log.info("parent goes on")


def forks_and_leaves(ctx: Context) -> None:
    pid = os.fork()
    if pid == 0:
        os.close(1)
        os.close(2)
        signal.pause()
    print(pid)


def forks_to_die(ctx: Context) -> None:
    pid = os.fork()
    if pid == 0:
        time.sleep(FOR_EVER)  # the task under test
    os.kill(pid, signal.SIGTERM)
    ctx.log.info("child ended with %d", os.waitpid(pid, 0)[1])


def starts_child(ctx: Context) -> None:
    listing = "import os, signal; print(len(os.listdir('/proc/self/fd')), signal.getsignal(signal.SIGINT).__name__)"
    subprocess.run([sys.executable, "-c", listing], check=True)


def leaves_threads(ctx: Context) -> None:
    threading.Thread(target=time.sleep, args=(FOR_EVER,), daemon=False).start()


def sets_signals(ctx: Context) -> None:
    signal.signal(signal.SIGTERM, lambda *_: print("own handler"))
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    faulthandler.enable()
    ctx.log.info("waits")
    ctx.wait()


def ignores_interrupt(ctx: Context) -> None:
    signal.raise_signal(signal.SIGINT)
    ctx.log.info("waits")
    ctx.wait()


def registers_exit(ctx: Context, hangs: bool = False) -> None:
    atexit.register(print, "at exit", end="")
    if hangs:
        atexit.register(time.sleep, FOR_EVER)


def writes_to_control(ctx: Context, text: str) -> None:
    """Find the control socket, and break the protocol on it."""
    for number in range(3, 32):
        try:
            is_socket = stat.S_ISSOCK(os.fstat(number).st_mode)
        except OSError:
            continue
        if is_socket:
            os.write(number, text.encode())
    ctx.wait()
