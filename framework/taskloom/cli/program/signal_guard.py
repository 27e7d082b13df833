"""Keeps the signals of the program: libraries and plugins change handlers, and then a stop signal would be lost.

`asyncio`, web servers and snippets of tutorials set handlers, replace the wake-up descriptor, block signals or reset
SIGPIPE when they are imported. So the guard compares after each import, after the job files were read and when a stop
begins, sets everything again, and returns sentences that name the plugin. C code can do the same without Python
knowing: `signal.getsignal` still returns our handler then. The kernel knows what is ignored, handled and blocked, and
`/proc/self/status` shows it.

Only the main thread can set a handler or the wake-up descriptor, so the guard lives there.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.cli.program.watcher import WATCHED
from taskloom.sync.own_descriptor import OwnDescriptor

if TYPE_CHECKING:
    from taskloom.catalog.entry_points import CatalogEntry, Kind

__all__ = ["SignalGuard", "culprit_of"]

Handler = Callable[[int, Any], object]

_WAKEUP = "the wake-up descriptor"
_CLOSED = "closed"
# Larger than `struct sigaction` on every Linux: 152 bytes on x86-64 with glibc.
_SIGACTION_BYTES = 512
# The handler is in these of them on every Linux. In the rest glibc leaves what was on its stack.
_COMPARED_BYTES = 16


class _Change(NamedTuple):
    """The change of one of our settings, as words: `replaced`, `the handler of`, `SIGTERM`."""

    verb: str
    what: str
    signal: str = ""


class SignalGuard:
    """The handlers, the signal mask and the wake-up descriptor of one program. Only the main thread may call it.

    `handler` is for INT, TERM, HUP and QUIT. SIGPIPE is ignored, as Python does: otherwise a peer that closes its
    connection would end the program.
    """

    def __init__(self, handler: Handler) -> None:
        # One object: each access to a bound method makes a new one.
        self._settings: dict[int, Handler | signal.Handlers] = dict.fromkeys(WATCHED, handler)
        self._settings[signal.SIGPIPE] = signal.SIG_IGN
        self._wakeup: OwnDescriptor | None = None
        self._c_library = _CLibrary()
        self._told: set[_Change] = set()

    def install(self) -> None:
        """Set the handlers, whatever was set before, and unblock the signals: a parent process may have blocked them.

        Call it before the first plugin is imported.
        """
        for number, setting in self._settings.items():
            signal.signal(number, setting)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)

    def uninstall(self) -> None:
        """Set the default handlers again: the program ends without having started a job."""
        for number in WATCHED:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def keep_wakeup_fd(self) -> None:
        """Guard the wake-up descriptor that is set now."""
        # It can only be read by setting another one, and no signal may come in between.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        descriptor = signal.set_wakeup_fd(-1)
        if descriptor != -1:
            signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
            self._wakeup = OwnDescriptor(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def release_wakeup_fd(self) -> None:
        """Guard the wake-up descriptor no longer: it is about to be closed."""
        self._wakeup = None

    def take_back(self, culprit: str) -> list[str]:
        """Set everything again; return a sentence about what `culprit` had changed, or nothing."""
        return _sentences(culprit, self._set_again())

    def take_back_unseen(self) -> list[str]:
        """Set everything again, where no import can be named; return the sentences that were not returned before.

        So code that resets a handler again and again is told once. It takes some 50 microseconds.
        """
        changes = [change for change in self._set_again() if change not in self._told]
        self._told.update(changes)
        return _sentences("unknown code", changes)

    # -- comparing

    def _set_again(self) -> list[_Change]:
        in_kernel = self._seen_by_kernel()
        changed = [number for number in self._settings if self._set_one_again(number) or number in in_kernel]
        found = [_Change("replaced", "handler", signal.Signals(number).name) for number in changed]
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        found += [_Change("blocked", "signal", number.name) for number in WATCHED if number in blocked]
        return found + self._set_wakeup_again()

    def _set_one_again(self, number: int) -> bool:
        """Set one handler again; return whether it was another, as far as Python and the C library can see."""
        # The only C code of the standard library that replaces a handler unseen, and restores it on request.
        was_faulthandlers = bool(faulthandler.unregister(number))  # type: ignore[func-returns-value]
        is_changed = was_faulthandlers or not self._is_python_setting(number)
        before = self._c_library.action(number)
        signal.signal(number, self._settings[number])
        # Not compared with an earlier one: `ctypes` may have been imported just now.
        return is_changed or (before is not None and before != self._c_library.action(number))

    def _is_python_setting(self, number: int) -> bool:
        return signal.getsignal(number) == self._settings[number]

    def _seen_by_kernel(self) -> set[int]:
        """Return the signals that the kernel does not deliver as it was told, as `/proc/self/status` shows them."""
        caught, ignored = _kernel_masks()
        if caught is None or ignored is None:
            return set()
        return {
            number
            for number, setting in self._settings.items()
            if not (ignored if setting is signal.SIG_IGN else caught) >> (number - 1) & 1
        }

    def _set_wakeup_again(self) -> list[_Change]:
        if self._wakeup is None:
            return []
        if not self._wakeup.is_ours():  # code that closes all descriptors, as daemons do, has closed it
            self._wakeup = None
            signal.set_wakeup_fd(-1)
            return [_Change(_CLOSED, _WAKEUP)]
        before = signal.set_wakeup_fd(self._wakeup.number, warn_on_full_buffer=False)
        return [] if before == self._wakeup.number else [_Change("replaced", _WAKEUP)]


def culprit_of(kind: Kind, entry: CatalogEntry) -> str:
    """Return how a sentence names the plugin that was imported."""
    return f"{kind} {entry.name!r} of {entry.offered_by}"


def _sentences(culprit: str, changes: list[_Change]) -> list[str]:
    if not changes:
        return []
    again = "" if all(change.verb == _CLOSED for change in changes) else "; Taskloom has set its own again"
    gone = "; the watcher process has ended" if any(change.verb == _CLOSED for change in changes) else ""
    return [f"{culprit} {_listed(changes)}{again}{gone}"]


def _listed(changes: list[_Change]) -> str:
    """Return the changes as the end of a sentence: `replaced the handlers of SIGINT, SIGTERM and blocked SIGHUP`."""
    signals: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        signals.setdefault((change.verb, change.what), []).append(change.signal)
    return " and ".join(_phrase(verb, what, names) for (verb, what), names in signals.items())


def _phrase(verb: str, what: str, names: list[str]) -> str:
    if what != "handler":
        return f"{verb} {what if names == [''] else ', '.join(names)}"
    return f"{verb} the {'handler' if len(names) == 1 else 'handlers'} of {', '.join(names)}"


def _kernel_masks() -> tuple[int | None, int | None]:
    """Return the sets of signals that the process catches and ignores, as bits; None where there is no /proc."""
    masks: dict[bytes, int] = {}
    try:
        with open("/proc/self/status", "rb", 0) as file:  # noqa: PTH123 - read once a second, and pathlib is slower
            text = file.read()
    except OSError:
        return None, None
    for line in text.splitlines():
        if line.startswith((b"SigIgn:", b"SigCgt:")):
            name, _, value = line.partition(b":")
            masks[name] = int(value, 16)
    return masks.get(b"SigCgt"), masks.get(b"SigIgn")


class _CLibrary:
    """Reads a signal's setting from the C library, only where something has imported `ctypes` already.

    Importing it here would add 3 ms to each start.
    """

    def __init__(self) -> None:
        self._library: Any = None

    def action(self, number: int) -> bytes | None:
        """Return the setting, to be compared with another one; None if it cannot be read."""
        ctypes = sys.modules.get("ctypes")
        if ctypes is None:
            return None
        try:
            self._library = self._library or ctypes.CDLL(None)
            action = ctypes.create_string_buffer(_SIGACTION_BYTES)
            failed = self._library.sigaction(int(number), None, action)
        except (AttributeError, OSError):
            return None  # it is being imported now, or the C library has no such function
        return None if failed else bytes(action)[:_COMPARED_BYTES]
