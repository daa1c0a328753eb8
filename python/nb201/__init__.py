"""nb201 reads NAS-Bench-201, NATS-Bench and campaigns of nb201, without loading them.

nb201.open opens a benchmark. nb201.compat has drop-in replacements of the packages nas_201_api and nats_bench.
"""

from __future__ import annotations

from ._architecture import MEASURES, Architecture
from ._benchmark import Benchmark, open
from ._errors import (
    CancelledError,
    ClosedError,
    DamagedError,
    Error,
    NoTrialError,
    NotHeldError,
    UsageError,
)

__all__ = [
    "MEASURES",
    "Architecture",
    "Benchmark",
    "CancelledError",
    "ClosedError",
    "DamagedError",
    "Error",
    "NoTrialError",
    "NotHeldError",
    "UsageError",
    "open",
]

__version__ = "0.2.0"
