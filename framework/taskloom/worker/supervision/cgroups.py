"""The cgroups of this process, found in /proc."""

import posix

from taskloom.worker.supervision.system import read_file


def own_folder(mounts: bytes | None = None) -> str:
    """Return the folder of our cgroup (version 2); "" if there is none. `mounts`: the text of /proc/self/mountinfo."""
    for line in read_file("/proc/self/cgroup").split(b"\n"):
        if line.startswith(b"0::"):
            return _folder(line[3:], b"cgroup2", b"", mounts)
    return ""


def own_folder_v1(mounts: bytes | None = None) -> str:
    """Return the folder of our cgroup of the memory controller of version 1; "" if there is none."""
    for line in read_file("/proc/self/cgroup").split(b"\n"):
        fields = line.split(b":", 2)
        if len(fields) == 3 and b"memory" in fields[1].split(b","):
            return _folder(fields[2], b"cgroup", b"memory", mounts)
    return ""


def parent_if_delegated(folder: str) -> str:
    """Return the folder above if its owner has given it to us, which systemd marks so; else "".

    A cgroup that has processes, as ours has, cannot give controllers to those below it. Under systemd's `Delegate=yes`
    and `DelegateSubgroup=` the one above has no processes, and is ours.
    """
    above = folder.rpartition("/")[0]
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if posix.getxattr(above, name) == b"1":
                return above
        except OSError:
            pass
    return ""


def _folder(path: bytes, kind: bytes, option: bytes, mounts: bytes | None) -> str:
    if b"/.." in path:
        return ""  # outside of what this namespace shows
    for line in (read_file("/proc/self/mountinfo") if mounts is None else mounts).split(b"\n"):
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
