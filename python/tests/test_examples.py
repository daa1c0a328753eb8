"""Runs the examples in the docstrings, on the published records of two architectures."""

from __future__ import annotations

import doctest
import importlib
import os
import tempfile
import unittest

from . import published


class TestExamples(unittest.TestCase):
    def test_examples(self) -> None:
        before = os.getcwd()
        with tempfile.TemporaryDirectory() as directory:
            os.symlink(published.SIZE, os.path.join(directory, "NATS-sss-v1_0-50262-simple"))
            os.chdir(directory)
            try:
                results = [doctest.testmod(importlib.import_module("nb201." + name)) for name in ("_benchmark", "_architecture")]
            finally:
                os.chdir(before)
        self.assertEqual(sum(r.failed for r in results), 0)
        self.assertGreater(sum(r.attempted for r in results), 20)
