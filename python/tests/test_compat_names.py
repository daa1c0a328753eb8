"""Tests that nb201.compat has every public name of the original clients, with the same arguments."""

from __future__ import annotations

import importlib
import inspect
import types
import unittest
from typing import Any, List

from .comparison import public

MODULES = {
    "nas_201_api": ["", ".api_201", ".api_utils"],
    "nats_bench": ["", ".api_size", ".api_topology", ".api_utils", ".genotype_utils"],
}


class TestNames(unittest.TestCase):
    def test_names(self) -> None:
        for package, modules in MODULES.items():
            for module in modules:
                try:
                    original = importlib.import_module(package + module)
                except ImportError as e:
                    self.skipTest(f"needs {package}: {e}")
                self.compare(original, importlib.import_module(f"nb201.compat.{package}{module}"), package)

    def compare(self, original: Any, ours: Any, package: str) -> None:
        for name in public(original):
            value = getattr(original, name)
            own = getattr(value, "__module__", package).split(".")[0] == package
            if isinstance(value, types.ModuleType) or not own:
                continue  # what it imported
            with self.subTest(f"{original.__name__}.{name}"):
                mine = getattr(ours, name)
                self.assertEqual(type(mine), type(value))
                if inspect.isclass(value):
                    self.compare_class(value, mine)
                elif callable(value):
                    self.compare_arguments(value, mine)
                else:
                    self.assertEqual(mine, value)

    def compare_class(self, original: Any, ours: Any) -> None:
        self.assertEqual(ours.__name__, original.__name__)
        self.assertEqual(sorted(getattr(ours, "__abstractmethods__", ())), sorted(getattr(original, "__abstractmethods__", ())))
        self.assertEqual([name for name in public(original) if name not in public(ours)], [])
        self.assertEqual([name for name in public(ours) if name not in public(original)], ["net_state_dict"] * ("get_net_param" in public(ours) and "get_times" in public(ours)))
        for name in [*public(original), "__init__"]:
            value = getattr(original, name)
            if callable(value):
                self.compare_arguments(value, getattr(ours, name))
            else:
                self.assertEqual(type(getattr(ours, name)), type(value), name)

    def compare_arguments(self, original: Any, ours: Any) -> None:
        def described(function: Any) -> List[Any]:
            return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

        self.assertEqual(described(ours), described(original), original)


if __name__ == "__main__":
    unittest.main()
