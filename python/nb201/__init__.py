"""nb201 regenerates and reads NAS-Bench-201 and NATS-Bench."""

from __future__ import annotations

from ._errors import (
    CancelledError,
    ClosedError,
    DamagedError,
    Error,
    NoTrialError,
    NotHeldError,
    UsageError,
)

__all__ = ["CancelledError", "ClosedError", "DamagedError", "Error", "NoTrialError", "NotHeldError", "UsageError"]
