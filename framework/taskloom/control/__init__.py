"""See and steer a running program from outside: the HTTP API over a unix socket, its server and its client.

`serve` puts the scheduler of any program behind a control socket; the verbs of the command line find it there.
"""

from __future__ import annotations

# Type checkers treat this name as True. Importing `typing` for it would cost more than the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from taskloom.control.serving import Control, serve

__all__ = ["Control", "serve"]


def __getattr__(name: str) -> object:
    # Clients import parts of this package, and have no use for the server.
    if name in __all__:
        from taskloom.control import serving

        return getattr(serving, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
