"""The run as the parent wants it."""


class Spec:
    """The fields that taskloom.runners.process.launch sends. Paths, arguments and the environment are bytes."""

    def __init__(
        self,
        *,
        argv: list[bytes],
        env: dict[bytes, bytes],
        cwd: bytes | None,
        nice: int | None,
        account: tuple[int, int, list[int]] | None,
        no_file_limit: int | None,
        memory_limit: int | None,
        control: bool,
        stdin: bytes | None,
        grace: float,
        linger: float,
        lease: float | None,
        parent: int,
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.nice = nice
        self.account = account
        """User, group and groups; None to stay what we are."""
        self.no_file_limit = no_file_limit
        """The soft limit of open files; None to leave it."""
        self.memory_limit = memory_limit
        """Bytes."""
        self.control = control
        """Whether the run inherits descriptor 3."""
        self.stdin = stdin
        self.grace = grace
        """Seconds from SIGTERM to SIGKILL when the parent has gone."""
        self.linger = linger
        """Seconds that what is left of the run when its main process has ended may take to end by itself."""
        self.lease = lease
        """The second of CLOCK_BOOTTIME at which the run is killed unless the parent renews it; None for never."""
        self.parent = parent
        """The parent's pid."""
