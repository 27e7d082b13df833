"""Make `.venv` ready for one kind of work, once.

Called by setup.sh, which has found an interpreter that is new enough; standard library only. The rules:
- A stamp for each kind is written last and holds a hash of all that the environment depends on. All stamps are
  dropped before anything is changed, so an environment without a stamp was interrupted and is made afresh.
- An environment that was made by hand is used and completed, and never removed.
- Two set-ups at once take turns; the second finds the work done.

The environment variable TASKLOOM_PACKAGES chooses the versions of the packages:
- `constraints` (default): those of `.ci/constraints.txt`, so that every machine gets the same; also for the build.
- `newest`: the newest that setup.cfg allows, as of the day when `.venv` is made.
- `oldest`: those of `.ci/oldest.txt`, the lower bounds of setup.cfg; what these need in turn is the newest.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
LOG = VENV / "setup.log"
MADE_HERE = VENV / "made-by-make"
WANTED = {
    "run": ".[history]",
    "test": ".[test]",
    "libraries": ".[test-libraries]",
    "browser": ".[test-browser]",
    "lint": ".[dev]",
    "bench": ".[bench]",
    "docs": ".[docs]",
    "hosts": ".[test,test-hosts]",
}
CHOICES = {"constraints": Path(".ci/constraints.txt"), "newest": None, "oldest": Path(".ci/oldest.txt")}

# Messages of pip and urllib3 when no package index answers, as on a plane or behind a proxy.
OFFLINE_SIGNS = (
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Network is unreachable",
    "Connection refused",
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ProxyError",
)


class SetupError(Exception):
    """Set-up cannot go on; the text is the one sentence that the reader needs."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def constraints() -> Path | None:
    """Return the constraints file that TASKLOOM_PACKAGES chooses, relative to the checkout; None for no file."""
    choice = os.environ.get("TASKLOOM_PACKAGES") or "constraints"
    if choice not in CHOICES:
        raise SetupError(f"cannot use TASKLOOM_PACKAGES={choice}; expected {', '.join(CHOICES)}")
    return CHOICES[choice]


def fingerprint(version: str) -> str:
    """Hash all that the environment was made from; the path counts because an editable install points there."""
    digest = hashlib.sha256()
    chosen = constraints()
    for part in (
        os.fsencode(chosen or ""),
        (ROOT / chosen).read_bytes() if chosen else b"",
        (ROOT / "setup.cfg").read_bytes(),
        (ROOT / "pyproject.toml").read_bytes(),
        version.encode(),
        os.fsencode(ROOT),
    ):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def stamp_of(kind: str) -> Path:
    return VENV / f"ready-{kind}"


def is_ready(kind: str, version: str) -> bool:
    try:
        return VENV_PYTHON.exists() and stamp_of(kind).read_text() == fingerprint(version)
    except OSError:
        return False


def version_text(version_info: tuple[int, ...] = sys.version_info[:3]) -> str:
    return ".".join(map(str, version_info))


def venv_version() -> str | None:
    """Return the version of the interpreter in `.venv`, or None when it cannot run pip."""
    probe = "import sys, pip; print('%d.%d.%d' % sys.version_info[:3])"
    try:
        answer = subprocess.run([VENV_PYTHON, "-I", "-c", probe], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


@contextlib.contextmanager
def turn_taken() -> Iterator[None]:
    """Hold the lock of this checkout: the folder itself is locked, so nothing is left behind."""
    descriptor = os.open(Path(__file__).parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of .venv")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def why_unusable(same_version: bool) -> str | None:
    """Say why the environment that is there cannot be built upon; None when it can."""
    version = venv_version()
    if version is None:
        return "its Python or its pip does not run"
    if MADE_HERE.exists() and not any(stamp_of(kind).exists() for kind in WANTED):
        return "its set-up was interrupted"
    if same_version and version != version_text():
        return f"it was made with Python {version}, not {version_text()}"
    major_minor = tuple(map(int, version.split(".")))
    if major_minor < (3, 11):
        return f"it was made with Python {version}, older than 3.11"
    return None


def make_afresh() -> None:
    """Create `.venv` with the interpreter that runs this script."""
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    MADE_HERE.touch()
    run_logged([sys.executable, "-I", "-m", "venv", str(VENV)], "cannot make .venv")


def pip_environment() -> dict[str, str]:
    """Return the environment variables for pip: those of this process, without habits that would change `.venv`."""
    # A user's `pip install --user`, `--target` or `--prefix` habit would install beside `.venv`.
    unwanted = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_HASHES"}
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    chosen = constraints()
    if chosen:
        # Variables, because they reach the isolated build of Taskloom too: the first in pip before 26, the second
        # since. pip splits them at spaces, so the path is relative.
        environment |= {"PIP_CONSTRAINT": str(chosen), "PIP_BUILD_CONSTRAINT": str(chosen)}
    return environment


def run_logged(command: list[str], complaint: str) -> None:
    """Run a command into the log; when it fails, show the end of the log and raise SetupError."""
    with LOG.open("ab") as log:
        code = subprocess.run(
            command, cwd=ROOT, env=pip_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
        ).returncode
    if code == 0:
        return
    lines = LOG.read_text(errors="replace").splitlines()
    if any(sign in line for sign in OFFLINE_SIGNS for line in lines):
        raise SetupError(
            f"{complaint}: no package index answers; connect to the network, or name a nearer one "
            "with PIP_INDEX_URL or PIP_FIND_LINKS, and run make again"
        )
    say("\n".join(f"  {line}" for line in lines[-15:]))
    raise SetupError(f"{complaint}: see the lines above, all of them in {LOG.relative_to(ROOT)}")


def prepare(kind: str, same_version: bool) -> None:
    """Make `.venv` ready for this kind of work, unless it is."""
    chosen = constraints()
    with turn_taken():
        fault = why_unusable(same_version) if VENV.exists() else "missing"
        if fault is None and is_ready(kind, venv_version() or ""):
            return
        if fault and VENV.exists() and not MADE_HERE.exists():
            raise SetupError(f"cannot use .venv, which was not made by make: {fault}; remove it and run make again")
        say(f"setting up .venv for make {kind}, once, about 20 s")
        if fault:
            make_afresh()
        # Every kind includes what `make run` needs.
        finished = {"run", kind} | {other for other in WANTED if is_ready(other, venv_version() or "")}
        for each in WANTED:
            stamp_of(each).unlink(missing_ok=True)
        LOG.write_bytes(b"")
        options = ["--no-input", "--retries", "2"]
        if chosen is None:
            options += ["--upgrade", "--upgrade-strategy", "eager"]
        run_logged(
            [str(VENV_PYTHON), "-I", "-m", "pip", "install", *options, "-e", WANTED[kind]],
            "cannot install what Taskloom needs",
        )
        mark = fingerprint(venv_version() or "")
        for each in finished:
            stamp_of(each).write_text(mark)
        say(".venv is ready")


def main(arguments: list[str]) -> int:
    *options, kind = arguments
    if kind not in WANTED:
        say(f"cannot set up for {kind!r}; known: {', '.join(WANTED)}")
        return 2
    try:
        if "--ready" in options:
            return 0 if is_ready(kind, version_text()) else 1
        prepare(kind, same_version="--same-version" in options)
    except SetupError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"cannot set up .venv: {error}")
        return 1
    except KeyboardInterrupt:
        say("set-up was interrupted; the next make begins afresh")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
