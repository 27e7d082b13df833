"""The web page of a running program, and its control API over HTTP. The only importer of starlette and uvicorn."""

from __future__ import annotations

__all__: list[str] = []
