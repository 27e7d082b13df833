"""The cgroups of this process, found in /proc."""

import posix

from taskloom.worker.supervision.system import read_lines


def own_folder() -> str:
    """Return the folder of our cgroup (version 2); "" if there is none."""
    for line in read_lines("/proc/self/cgroup"):
        if line.startswith(b"0::"):
            return _folder(line[3:], b"cgroup2", b"")
    return ""


def own_folder_v1() -> str:
    """Return the folder of our cgroup of the memory controller of version 1; "" if there is none."""
    for line in read_lines("/proc/self/cgroup"):
        fields = line.split(b":", 2)
        if len(fields) == 3 and b"memory" in fields[1].split(b","):
            return _folder(fields[2], b"cgroup", b"memory")
    return ""


def usable_folders() -> list[str]:
    """Return the folders below which we may make cgroups, the best one first.

    systemd is the only one that writes into the cgroups that it has made, but for those that it has marked as given
    away. A cgroup that has processes, as ours has, cannot give the memory controller to those below it; under
    `Delegate=yes` with `DelegateSubgroup=` the one above can.
    """
    own = own_folder()
    above = own.rpartition("/")[0]
    folders = [above] if above and _is_given_away(above) else []
    if own and (_is_given_away(own) or not _is_managed(own)):
        folders.append(own)
    return folders


def _is_given_away(folder: str) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if posix.getxattr(folder, name) == b"1":
                return True
        except OSError:
            pass
    return False


def _is_managed(folder: str) -> bool:
    """Return whether systemd made this folder: not the root of all cgroups, nor where another init runs."""
    try:
        posix.stat("/run/systemd/system")
        posix.stat(f"{folder}/cgroup.type")  # the root has none
    except OSError:
        return False
    return True


def _folder(path: bytes, kind: bytes, option: bytes) -> str:
    if b"/.." in path:
        return ""  # outside of what this namespace shows
    for line in read_lines("/proc/self/mountinfo"):
        mount, _, source = line.partition(b" - ")
        fields, about = mount.split(), source.split()
        if len(fields) < 5 or len(about) < 3 or about[0] != kind or (option and option not in about[2].split(b",")):
            continue
        root = fields[3].rstrip(b"/")
        if path == root or path.startswith(root + b"/"):
            inner = path[len(root) :].rstrip(b"/")
            return (_unescaped(fields[4]) + inner).decode("utf-8", "surrogateescape")
    return ""


def _unescaped(field: bytes) -> bytes:
    r"""Return the path: the kernel writes a blank as \040, and three other characters likewise."""
    first, *others = field.split(b"\\")
    return first + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in others)
