"""A progress bar for calls that may take minutes."""

from __future__ import annotations

import sys
import time
from typing import Callable, Optional, Union

ProgressOption = Union[None, bool, Callable[[int, int], None]]


class Bar:
    """Shows the progress of one call on standard error if that is a terminal, with the rate and the time left.

    It appears after half a second. Amounts of more than a million are bytes.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        seconds = time.monotonic() - self._began
        if seconds < 0.5 or not total:
            return
        rate = done / seconds
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        speed = f"{rate / 1e6:.0f} MB/s" if total > 1_000_000 else f"{rate:.0f}/s"
        line = f"{self._what} {100 * done // total} %, {speed}{left}"
        sys.stderr.write("\r" + line.ljust(79)[:79])
        sys.stderr.flush()
        self._shown = True

    def end(self) -> None:
        """Removes the bar."""
        if self._shown:
            sys.stderr.write("\r" + " " * 79 + "\r")
            sys.stderr.flush()


def choose(option: ProgressOption, what: str) -> "tuple[Optional[Callable[[int, int], None]], Callable[[], None]]":
    """Returns the function that receives the progress of a call, and one to call at its end.

    None shows a bar if standard error is a terminal, True and False always and never.
    """
    if callable(option):
        return option, lambda: None
    if option is not None and not isinstance(option, bool):
        raise TypeError(f"progress must be a function, a bool or None, not {type(option).__name__}")
    if option is None:
        option = sys.stderr is not None and sys.stderr.isatty()
    if not option:
        return None, lambda: None
    bar = Bar(what)
    return bar, bar.end
