"""Checks of arguments."""

from __future__ import annotations

import math
import operator
import os
from typing import Any, Optional

from ._errors import UsageError


def text(name: str, value: Any) -> str:
    """Returns a text; None is an empty one. Raises TypeError for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str or None, not {type(value).__name__}")
    return value


def schedule(value: Any) -> str:
    """Returns the name of a schedule, which may be given as its number of epochs."""
    return text("schedule", value if isinstance(value, str) or value is None else str(operator.index(value)))


def whole(name: str, value: Any, limit: int) -> int:
    """Returns a whole number from 0 to limit. Raises TypeError or UsageError."""
    number = operator.index(value)
    if not 0 <= number <= limit:
        raise UsageError(f"{name} {number}: use 0 to {limit}")
    return number


def seed(value: Any) -> Optional[int]:
    return None if value is None else whole("seed", value, 2**32 - 1)


def epoch(value: Any) -> Optional[int]:
    """Returns an epoch, counted from 0; None is the last one."""
    return None if value is None else whole("epoch", value, 2**31 - 1)


def limit(name: str, value: Any) -> float:
    """Returns a limit above 0; None is 0, no limit."""
    if value is None:
        return 0.0
    number = float(value)
    if not (number > 0 and math.isfinite(number)):
        raise UsageError(f"{name} {value}: use a finite number above 0, or None for no limit")
    return number


def path(value: Any) -> str:
    """Returns a path as text."""
    found = os.fsdecode(value)
    if not found:
        raise UsageError('path "": name a benchmark')
    try:
        found.encode()
    except UnicodeEncodeError:
        raise UsageError(f"path {found!r} is not UTF-8; rename the file") from None
    return found
