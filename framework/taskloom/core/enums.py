"""Enums at the price of constants."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

__all__ = ["FastEnum", "plain_members"]

Members = TypeVar("Members", bound=type[Enum])


class FastEnum(Enum):
    """One of a fixed set of words, hashed by identity: a member is made once, and Enum's own hash is Python code."""

    __hash__ = object.__hash__


def plain_members(words: Members) -> Members:
    """Store the members as plain class attributes, as 3.12 does; 3.11 finds each through a Python-level property.

    A run's life looks up some thirty of them: it was a fifth of what the lifecycle costs.
    """
    for name, member in words.__members__.items():
        type.__setattr__(words, name, member)
    return words
