"""A folder with an installed distribution whose tasks look at, and use, the process that they share with Taskloom."""

from __future__ import annotations

from pathlib import Path

from tests.support.toy_distribution import add_distribution

TASKS = '''
import multiprocessing, os, re, signal, subprocess, sys, threading, time

def polite(ctx):
    """Wait until asked to stop."""
    ctx.wait()

def deaf(ctx):
    """Never poll."""
    time.sleep(1000)  # the task under test

def hog(ctx):
    """Hold the GIL in C for ever, once asked to stop."""
    ctx.log.info("waits to hold the GIL")
    ctx.wait()
    re.match(r"(a+)+$", "a" * 60 + "b")

def bad(ctx):
    """Fail."""
    raise ValueError("boom")

def brief(ctx):
    """Return at once."""

def family(ctx):
    """Look for children in all the ways there are."""
    me = os.getpid()
    children = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            if int(fields[1]) == me:
                children.append(int(name))
    for wait in (os.wait, lambda: os.waitpid(-1, 0), lambda: os.waitpid(0, os.WNOHANG)):
        try:
            children.append(wait())
        except ChildProcessError:
            pass
    ctx.log.info("children: %s %s", children, multiprocessing.active_children())

def orphan(ctx):
    """Leave a short grandchild to process 1, and wait until its end was collected."""
    subprocess.run(["sh", "-c", "sh -c 'exit 7' & echo $! > orphan"], check=True)
    with open("orphan") as file:
        pid = int(file.read())
    while os.path.exists(f"/proc/{pid}"):
        if ctx.wait(0.01):
            return
    ctx.log.info("the orphan is gone")

def forker(ctx):
    """Leave a forked child that lasts, and holds every pipe but the standard streams."""
    child = os.fork()
    if child == 0:
        for descriptor in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        while True:
            signal.pause()
    ctx.log.info("child %d", child)
    ctx.wait()

def hard_exit(ctx):
    """End the process without a word."""
    os._exit(9)

def dies(ctx, number: int):
    """Kill the process."""
    os.kill(os.getpid(), number)
    time.sleep(1000)  # the task under test

def foreground(ctx):
    """Log whether the terminal belongs to this process."""
    ctx.log.info("foreground: %s", os.tcgetpgrp(0) == os.getpgrp())
    ctx.wait()

def listener(ctx):
    """Say when SIGUSR1 comes."""
    ctx.log.info("listens")
    while not ctx.wait(0.01):
        if usr1:
            ctx.log.info("got SIGUSR1 %d times", len(usr1))
            ctx.wait()

usr1 = []
signal.signal(signal.SIGUSR1, lambda number, frame: usr1.append(number))
'''

NAMES = (
    *("polite", "deaf", "hog", "bad", "brief", "family", "orphan", "forker", "hard_exit", "dies"),
    *("foreground", "listener"),
)


def install(folder: Path) -> Path:
    """Write the distribution into a folder, and return the folder: it belongs on PYTHONPATH."""
    add_distribution(folder, "process-tasks", TASKS, **{name: name for name in NAMES})
    return folder
