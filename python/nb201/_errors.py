"""The exceptions of nb201. Each says in one sentence what is wrong, where, and what to do."""

from __future__ import annotations


class Error(Exception):
    """Any error of nb201."""


class UsageError(Error, ValueError):
    """The input is wrong: a path that is not a benchmark, an unknown architecture."""


class NotHeldError(UsageError, LookupError):
    """The benchmark does not hold what was asked for; the text lists what it holds."""


class NoTrialError(NotHeldError):
    """No trial has the dataset, schedule or seed."""


class DamagedError(UsageError):
    """A file is damaged."""


class ClosedError(Error, ValueError):
    """The benchmark was closed."""


class CancelledError(Error):
    """The call was cancelled."""
