"""The full-screen view of a running program. The only importer of textual.

It knows the control API and nothing behind it. `feed` has the threads that ask and act; `app` takes from them ten times
a second what has come, and draws it. Everything between is made of functions that know neither.
"""

from __future__ import annotations

__all__: list[str] = []
