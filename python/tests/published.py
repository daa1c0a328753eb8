"""The published records that tests read."""

from __future__ import annotations

import os

TESTDATA = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "testdata"))
SIZE = os.path.join(TESTDATA, "published-sss")
"""Architectures 0 and 11 of the size search space, with meta.pickle.pbz2."""
