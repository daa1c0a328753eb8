"""What the tests read: published records, and benchmarks made from a campaign of synthetic trials."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache

TESTDATA = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "testdata"))
SIZE = os.path.join(TESTDATA, "published-sss")
"""Architectures 0 and 11 of the size search space, with meta.pickle.pbz2."""

CAMPAIGN = os.environ["NB201_TEST_CAMPAIGN"]
"""17 synthetic trials, with weights, of the architectures 0, 12 and 1462."""

SMALL = os.environ["NB201_TEST_SMALL_CAMPAIGN"]
"""Synthetic trials, with weights, of the architectures 0 to 2 with the schedules 2 and 3."""

LONG = bool(os.environ.get("NB201_TEST_LONG"))
"""Whether tests that take many seconds run whole."""

TOPOLOGY = os.environ.get("NB201_PUBLISHED")
"""Architectures 0 and 11 of the topology search space, with meta.pickle.pbz2, if there are any."""


@lru_cache(maxsize=None)
def scratch() -> str:
    """Returns a directory that is removed at the end."""
    directory = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@lru_cache(maxsize=None)
def export(source: str, format: str, name: str, *flags: str) -> str:
    """Exports a benchmark once, and returns the path of the export."""
    to = os.path.join(scratch(), name)
    subprocess.run(["nb201", "export", source, "--format", format, "--to", to, *flags], check=True, capture_output=True)
    return to
