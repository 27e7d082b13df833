"""The runner `dask`: each run on a worker of an existing Dask cluster, in processes of its own there.

Importing it imports nothing of Dask. `taskloom.runners.dask.protocol` is pure: it decides everything and does nothing.
"""

from __future__ import annotations

__all__ = []
