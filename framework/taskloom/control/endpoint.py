"""The place where a program can be reached: its folder, the locks on its name, and its socket file.

Everything of it may be removed while the program runs, by a tidy user or by a service that cleans /tmp. `check` makes
it again.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from taskloom.control.discovery import running_programs
from taskloom.control.folder_watch import FolderWatch
from taskloom.control.identity import ELSEWHERE, LOCK_SUFFIX, SOCKET_SUFFIX, Claim, Holder, NameTaken, announced_in
from taskloom.control.places import client_places, open_server_folder
from taskloom.control.socket_file import SocketFile
from taskloom.diagnostics import quoted
from taskloom.errors import ProgramRunning
from taskloom.sync.own_descriptor import OwnDescriptor

__all__ = ["Endpoint", "Wanted"]


class Wanted(NamedTuple):
    """The name and the place that a program asks for."""

    name: str
    is_named: bool
    """Whether the user has chosen the name. Otherwise what it runs must not be run by another program."""
    path: str
    """The real path of its first file or folder, as in `Holder`."""
    start: str
    since: float
    socket: str | None = None
    """The path of the socket; None: in the first folder that can be used."""


class _Folder:
    """An open folder that can be opened again after it was removed."""

    def __init__(self, path: str, descriptor: int, open_again: Callable[[], tuple[str, int]]) -> None:
        self.path, self._own = path, OwnDescriptor(descriptor)
        self._open_again = open_again

    @property
    def descriptor(self) -> int:
        return self._own.number

    def renew(self) -> bool:
        """Open it again if it was removed, replaced or closed, and return whether that was so. Raises OSError."""
        if self._is_there():
            return False
        path, descriptor = self._open_again()
        self._own.close()
        self.path, self._own = path, OwnDescriptor(descriptor)
        return True

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.descriptor))  # noqa: PTH116
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EBADF):  # removed, or its descriptor was closed by a task
                return False
            raise

    def close(self) -> None:
        self._own.close()


class Endpoint:
    """The place of one program, from its construction until `close`.

    Raises ProgramRunning if another program of this user has the name, or runs the same, and OSError, with a sentence,
    if it cannot listen anywhere.
    """

    def __init__(self, wanted: Wanted, environ: Mapping[str, str] | None = None) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._wanted = wanted
        self.notes: list[str] = []
        """Hints for the user: which variable named a folder that cannot be used."""
        self._folders: list[_Folder] = []
        self._claims: list[tuple[_Folder, Claim]] = []
        # The folder in which the program only announces itself.
        self._announced: tuple[_Folder, Claim] | None = None
        self._socket: SocketFile | None = None
        self._path = ""
        self._is_closed = False
        self.watch: FolderWatch | None = None
        """Readable when something has changed in the folder of the socket; None if the system offers no watch."""
        try:
            _refuse_second(wanted, self._environ)
            self._open()
        except NameTaken as error:
            self.close()
            raise _running(wanted, error) from None
        except BaseException:
            self.close()
            raise

    @property
    def kind(self) -> str:
        """The word for it in log lines."""
        return "control"

    @property
    def needs_checks(self) -> bool:
        """Whether it has to be looked at again and again, because the system offers no watch."""
        return self.watch is None

    @property
    def path(self) -> str:
        """The path of the socket."""
        return self._path

    @property
    def listener(self) -> _socket.socket:
        """The listening socket."""
        assert self._socket is not None
        return self._socket.listener

    @property
    def is_listening(self) -> bool:
        """Whether the listening socket is open."""
        return self._socket is not None and self._socket.is_listening

    def check(self) -> bool:
        """Make again what was removed or closed, and return whether the socket is another one. On the control thread.

        Raises OSError, or NameTaken if another program has taken the name meanwhile. It may be called again then.
        """
        if self._is_closed or self._socket is None:
            return False
        moved = [folder for folder in self._folders if folder.renew()]
        for folder, claim in self._claims:
            claim.renew(folder.descriptor)
        self._check_announced()
        if self._socket_folder in moved:
            self._path = os.path.join(self._socket_folder.path, os.path.basename(self._path))  # noqa: PTH118, PTH119
            for _, claim in self._all_claims():
                claim.describe(self._holder())
        if self._socket_folder in moved or (self.watch is not None and not self.watch.is_open):
            self._watch_again()
        if self._socket.is_in(self._socket_folder.descriptor) and self._socket.is_listening:
            return False
        self._socket.renew(self._socket_folder.descriptor, self._path)
        if self._is_closed:  # by another thread meanwhile: the control thread was held up for long
            self._socket.remove(self._socket_folder.descriptor)
        return True

    def close(self) -> None:
        """Remove the socket and the locks. Idempotent; raises nothing. Any thread may call it."""
        self._is_closed = True
        if self._socket is not None:
            self._socket.remove(self._socket_folder.descriptor)
        for folder, claim in self._all_claims():
            claim.release(folder.descriptor)
        self._close_folders()

    def knock(self) -> None:
        """Connect to the socket, which ends a wait for clients. Any thread; never blocks, raises nothing."""
        try:
            sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
            try:
                sock.connect(self._path)
            finally:
                sock.close()
        except OSError:
            pass  # nothing listens any more

    def forget(self) -> None:
        """Close all descriptors and remove nothing. In a forked child."""
        if self._socket is not None:
            self._socket.forget()
        for _, claim in self._all_claims():
            claim.forget()
        self._close_folders()

    def _all_claims(self) -> list[tuple[_Folder, Claim]]:
        return [*self._claims, *([self._announced] if self._announced is not None else [])]

    def _close_folders(self) -> None:
        for folder in self._folders:
            folder.close()
        if self._announced is not None:
            self._announced[0].close()
        if self.watch is not None:
            self.watch.close()

    # -- opening

    def _open(self) -> None:
        home = self._open_home()
        name = self._wanted.name
        if self._wanted.socket:
            if "\0" in self._wanted.socket:
                path = quoted(self._wanted.socket)
                raise OSError(f"cannot use the path {path} for a socket: it has a NUL character")
            path = os.path.abspath(self._wanted.socket)  # noqa: PTH100 - no link is followed in it
            parent = os.path.dirname(path)  # noqa: PTH120
            self._socket_folder = self._add(parent, _open_given(parent), lambda: (parent, _open_given(parent)))
        elif home is not None:
            self._socket_folder = home
            path = os.path.join(home.path, name + SOCKET_SUFFIX)  # noqa: PTH118
        self._path = path
        if home is not None:
            self._claim(home, name + LOCK_SUFFIX)
        # A path that was given has a lock of its own: two programs with different names may be given the same.
        lock = os.path.basename(path).removesuffix(SOCKET_SUFFIX) + LOCK_SUFFIX  # noqa: PTH119
        if home is None or lock != name + LOCK_SUFFIX or not self._is_same(home, self._socket_folder):
            self._claim(self._socket_folder, lock)
        self._socket = SocketFile(self._socket_folder.descriptor, path)
        self._watch_again()
        self._announce(home)

    @staticmethod
    def _is_same(one: _Folder, other: _Folder) -> bool:
        return os.path.samestat(os.fstat(one.descriptor), os.fstat(other.descriptor))

    def _open_home(self) -> _Folder | None:
        """Open the folder for the lock on the name, and for the socket unless a path was given. Raises OSError."""
        try:
            opened = open_server_folder(self._environ)
        except OSError:
            if self._wanted.socket:
                return None
            raise
        if not self._wanted.socket:
            self.notes.extend(f"{note}; its socket is in {opened.path}" for note in opened.notes[-1:])
        return self._add(opened.path, opened.descriptor, self._open_home_again)

    def _open_home_again(self) -> tuple[str, int]:
        opened = open_server_folder(self._environ)
        return opened.path, opened.descriptor

    def _announce(self, home: _Folder | None) -> None:
        """Announce the socket in a folder that clients know, if they cannot know its own without our variables."""
        if home is None or home.path in client_places({}):
            return
        try:
            open_known = partial(self._open_known, home.path)
            folder = _Folder(*open_known(), open_known)
        except OSError:
            return  # clients with the same variables find it all the same
        try:
            for file in announced_in(folder.descriptor):
                _remove_leftover(folder.descriptor, file)
            file = f"{self._wanted.name}{ELSEWHERE}{self._wanted.start}{LOCK_SUFFIX}"
            self._announced = folder, Claim(folder.descriptor, file, self._holder())
        except (OSError, NameTaken):
            folder.close()

    def _open_known(self, home: str) -> tuple[str, int]:
        """Open the folder in which this program would be without $RUNTIME_DIRECTORY, or else a usual one."""
        opened = open_server_folder({**self._environ, "RUNTIME_DIRECTORY": ""})
        if opened.path == home:
            os.close(opened.descriptor)
            opened = open_server_folder({})
        return opened.path, opened.descriptor

    def _check_announced(self) -> None:
        if self._announced is not None:
            folder, claim = self._announced
            try:
                folder.renew()
                claim.renew(folder.descriptor)
            except (OSError, NameTaken):
                pass  # the same; the next check tries again

    def _add(self, path: str, descriptor: int, open_again: Callable[[], tuple[str, int]]) -> _Folder:
        folder = _Folder(path, descriptor, open_again)
        self._folders.append(folder)
        return folder

    def _claim(self, folder: _Folder, file: str) -> None:
        self._claims.append((folder, Claim(folder.descriptor, file, self._holder())))

    def _holder(self) -> Holder:
        wanted = self._wanted
        return Holder(wanted.name, os.getpid(), wanted.start, wanted.since, wanted.path, self._path)

    def _watch_again(self) -> None:
        if self.watch is not None:
            self.watch.close()
        try:
            self.watch = FolderWatch(self._socket_folder.descriptor)
        except OSError:
            self.watch = None


def _refuse_second(wanted: Wanted, environ: Mapping[str, str]) -> None:
    """Raise ProgramRunning if a program of this user has the name, or runs the same and this one has no own name."""
    for holder in running_programs(environ):
        if holder.name == wanted.name or (holder.path == wanted.path != "" and not wanted.is_named):
            raise _running(wanted, NameTaken(holder.pid, holder))


def _running(wanted: Wanted, error: NameTaken) -> ProgramRunning:
    holder = error.holder
    if holder is None:
        return ProgramRunning(wanted.name, error.pid, "")
    is_same = holder.path == wanted.path != ""
    return ProgramRunning(holder.name, error.pid, holder.path, is_same=is_same and not wanted.is_named)


def _remove_leftover(folder: int, file: str) -> None:
    try:
        Claim(folder, file, Holder("", os.getpid(), "", 0.0, "", "")).release(folder)
    except (OSError, NameTaken):
        pass  # it is held


def _open_given(path: str) -> int:
    """Open the folder of a path that the user has given, links followed. Raises OSError if it is not to be trusted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(f"cannot open the folder {quoted(path)}: {(error.strerror or '').lower()}") from None
    status = os.fstat(descriptor)
    owners = (0, os.geteuid())
    # In a sticky folder such as /tmp, others cannot remove or replace our files.
    if status.st_uid not in owners or (status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX):
        os.close(descriptor)
        raise OSError(f"other users may replace files in the folder {quoted(path)}; choose a folder of your own")
    return descriptor
