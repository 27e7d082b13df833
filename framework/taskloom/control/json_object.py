"""Reads an object of JSON that another process has sent: whatever came, the only error is ValueError, in words."""

from __future__ import annotations

import json
from typing import Any, NoReturn

__all__ = ["read_object"]


def read_object(data: bytes) -> dict[str, Any]:
    """Return the object. Raises ValueError with the reason: no UTF-8, no JSON, too deep, or no object."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} at character {error.pos:,}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it is not JSON: {constant} is not a JSON number")
