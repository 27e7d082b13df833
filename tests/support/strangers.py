"""A folder with an installed distribution whose tasks do everything to their process that strangers' tasks do."""

from __future__ import annotations

from pathlib import Path

from tests.support.toy_distribution import add_distribution

__all__ = ["install_strangers"]

TASKS = r'''
import ctypes, json, os, re, signal, socket, subprocess, sys, threading, time

HOLDS_ON = (
    "import signal, time\n"
    "for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(each, signal.SIG_IGN)\n"
    "time.sleep(1000)\n"
)

def polite(ctx):
    """Wait until asked to stop."""
    ctx.wait()

def brief(ctx):
    """Return at once."""
    ctx.count("done")

def deaf(ctx):
    """Block and never poll."""
    ctx.log.info("is inside")
    time.sleep(1000)

def spinner(ctx):
    """Spin in Python and never poll."""
    ctx.log.info("is inside")
    while True:
        pass

def swallower(ctx):
    """Swallow every exception."""
    ctx.log.info("is inside")
    while True:
        try:
            ctx.sleep(0.01)
        except BaseException:
            pass

def hog(ctx):
    """Hold the GIL in a regular expression for ever."""
    ctx.log.info("is inside")
    ctx.wait(0.05)
    re.match(r"(a+)+$", "a" * 60 + "b")

def blocker(ctx):
    """Hold the GIL in a C call that never returns."""
    ctx.log.info("is inside")
    ctx.wait(0.05)
    ctypes.PyDLL(None).sleep(1000)

def stubborn(ctx):
    """Ignore SIGTERM in C, so that no Python handler is asked."""
    ctx.log.info("is inside")
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(1000)

def forker(ctx):
    """Leave a child that ignores signals and holds all descriptors; never poll."""
    if os.fork() == 0:
        exec(HOLDS_ON)
    ctx.log.info("is inside")
    time.sleep(1000)

def parent(ctx):
    """Leave children that ignore signals, one in a session of its own, and return when asked to stop."""
    for own in (False, True):
        subprocess.Popen([sys.executable, "-S", "-c", HOLDS_ON], start_new_session=own)
    ctx.log.info("is inside")
    ctx.wait()

def double_forker(ctx):
    """Become a daemon twice: in a session of its own, with no parent and no descriptor; never poll."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 256)
            exec(HOLDS_ON)
        os._exit(0)
    ctx.log.info("is inside")
    time.sleep(1000)

def forks_without_end(ctx):
    """Fork whenever a child ends, faster than a list of processes can be read."""
    ctx.log.info("is inside")
    until = time.monotonic() + 100
    while time.monotonic() < until:
        pid = os.fork()
        if pid:
            os._exit(0) if os.getpid() != MAIN else os.waitpid(pid, 0)
        else:
            os.setsid()

MAIN = os.getpid()

def stopped(ctx):
    """Stop its own process."""
    ctx.log.info("is inside")
    ctx.wait(0.3)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(1000)

def stops_supervisor(ctx):
    """Stop the parent of its process, and never poll."""
    ctx.log.info("is inside")
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(1000)

def regrouped(ctx):
    """Move to a process group of its own, and never poll."""
    os.setpgid(0, 0) if os.getpid() != os.getpgrp() else os.setpgid(0, join_other_group())
    ctx.log.info("is inside")
    time.sleep(1000)

def join_other_group():
    """Return the process group of a child that has made one."""
    child = subprocess.Popen([sys.executable, "-S", "-c", HOLDS_ON], process_group=0)
    return child.pid

def closes_everything(ctx):
    """Close every descriptor but the standard ones, as daemons do, and go on."""
    ctx.log.info("is inside")
    os.closerange(3, 256)
    ctx.wait(5)

def control_socket():
    """Return the descriptor of the first socket of this process: the one to the program."""
    for number in range(3, 64):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                return number
        except OSError:
            pass
    raise SystemError("no socket")

def writes(ctx, text: str, ends: bool = False):
    """Write into the control socket, and then wait or exit."""
    ctx.wait(0.05)
    os.write(control_socket(), text.encode())
    if ends:
        os._exit(0)
    ctx.wait(20)

def writes_much(ctx):
    """Write a line into the control socket that is larger than any message."""
    number = control_socket()
    for _ in range(40):
        os.write(number, b"x" * 65536)
    ctx.wait(20)

def prints(ctx, lines: int = 1, length: int = 10, end: str = "\n"):
    """Print this number of lines of this length."""
    for _ in range(lines):
        print("p" * length, end=end)
    print("the last line")

def prints_bytes(ctx):
    """Print bytes that are not text, and a last line without an end."""
    os.write(1, b"\xff\xfe\x00 raw\n\x1b[31m colour\nhalf a line")

def logs_much(ctx, records: int = 10):
    """Log this number of records of 1000 characters."""
    for number in range(records):
        ctx.log.info("%d %s", number, "x" * 1000)

def returns_twice(ctx):
    """Fork, and return in both processes."""
    os.fork()
    print("returns")

def raises_twice(ctx):
    """Fork, and fail in the child only."""
    if os.fork() == 0:
        raise ValueError("in the child")
    ctx.wait(0.2)

def huge_counts(ctx):
    """Report numbers of five thousand digits, and names of any kind."""
    ctx.count("digits", 10**5000)
    ctx.count("na\nme \udc80", 1)
    ctx.progress(10**5000, 10**5001, "\udcff")

def huge_error(ctx):
    """Fail with a message of five megabytes."""
    raise ValueError("x" * 5_000_000)

def eats(ctx, mib: int = 512):
    """Use memory, in a child as well."""
    ctx.log.info("is inside")
    kept = []
    while not ctx.wait(0.001):
        kept.append(b"x" * (1 << 20))
        if len(kept) >= mib:
            ctx.wait()

def exits(ctx, code: int = 9):
    """End the process without a word."""
    print("about to exit")
    os._exit(code)

def crashes(ctx):
    """Read at address 0."""
    ctypes.string_at(0)

def opens(ctx, number: int = 10000):
    """Open files until there is no descriptor left."""
    kept = []
    for _ in range(number):
        kept.append(open(os.devnull))

def fills(ctx, path: str = "/dev/full"):
    """Write to a disk that is full."""
    with open(path, "w") as file:
        file.write("x")
'''

# Each can be imported by the program, but not where the run executes.
HOME_ONLY = r'''
import os, signal, sys, time
how = os.environ.get("ABROAD", "") if "TASKLOOM_JOB" in os.environ else ""
if how == "raises":
    raise ImportError("no such library here")
elif how == "exits":
    sys.exit(7)
elif how == "ends":
    os._exit(7)
elif how == "crashes":
    print("before the crash", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
elif how == "hangs":
    time.sleep(1000)
elif how == "has no task":
    raise SystemExit if False else NameError("gone")

def home(ctx):
    """Run where the module can be imported."""
'''


def install_strangers(folder: Path) -> Path:
    """Write the distribution into a folder, and return the folder: it belongs on PYTHONPATH."""
    names = [line[4 : line.index("(")] for line in TASKS.splitlines() if line.startswith("def ") and "(ctx" in line]
    add_distribution(folder, "strangers", TASKS, **{name.replace("_", "-"): name for name in names})
    add_distribution(folder, "home-only", HOME_ONLY, home="home")
    return folder
