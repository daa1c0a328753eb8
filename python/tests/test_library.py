"""Tests of the calls of the library."""

from __future__ import annotations

import unittest

import nb201
from nb201 import _library


class TestErrors(unittest.TestCase):
    def test_missing_file(self) -> None:
        with self.assertRaisesRegex(nb201.UsageError, "no such file or directory; name a campaign"):
            _library.open("/missing")


if __name__ == "__main__":
    unittest.main()
