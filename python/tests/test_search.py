"""Runs the searches of docs/python.md on a directory of all architectures, with this client and the original."""

from __future__ import annotations

import bz2
import contextlib
import io
import os
import pickle
import random
import re
import time
import unittest
from typing import Any, Dict, List, Tuple
from unittest import mock

from . import published


def strings() -> List[str]:
    """Returns the strings of all architectures, in order of their indices."""
    import nb201

    campaign = published.CAMPAIGN
    with nb201.open(published.export(campaign, "nats", "all-listed")) as b:
        return b.strings


def trial(dataset: str, arch: str, choose: random.Random) -> Dict[str, Any]:
    """Returns the ResultsCount.state_dict of a trial of two epochs, with random values."""
    sets = {"cifar10-valid": ["x-valid", "ori-test"], "cifar10": ["ori-test"]}[dataset]
    values: Dict[str, Dict[Any, float]] = {name: {e: choose.uniform(0, 90) for e in range(2)} for name in ("acc1es", "losses", "times")}
    evaluated = {name: {f"{s}@{e}": choose.uniform(0, 90) for s in sets for e in range(2)} for name in values}
    return {
        "name": dataset,
        "net_state_dict": None,
        **{"train_" + name: value for name, value in values.items()},
        "train_acc5es": None,
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10},
        "params": 0.3,
        "flop": 40.0,
        "seed": "0777",
        "epochs": 2,
        "latency": [choose.uniform(0.01, 0.02)],
        "eval_names": sets,
        **{"eval_" + name: value for name, value in evaluated.items()},
    }


def make(directory: str) -> None:
    """Makes a directory of NATS-Bench with two trials of each of the 15,625 architectures."""
    os.makedirs(directory)
    choose = random.Random(15625)
    archs = strings()
    for index, arch in enumerate(archs):
        results = {(dataset, 777): trial(dataset, arch, choose) for dataset in ("cifar10-valid", "cifar10")}
        record = {
            "12": {
                "arch_index": index,
                "arch_str": arch,
                "all_results": results,
                "dataset_seed": {dataset: [777] for dataset, _ in results},
                "clear_net_done": True,
            }
        }
        write(f"{directory}/{index:06d}.pickle.pbz2", record)
    write(directory + "/meta.pickle.pbz2", {"meta_archs": archs, "total_archs": len(archs), "arch2infos": None, "evaluated_indexes": set()})


def write(path: str, value: Any) -> None:
    with open(path, "wb") as f:
        f.write(bz2.compress(pickle.dumps(value, 3), 1))


def programs() -> str:
    """Returns the blocks below the heading Search of docs/python.md."""
    with open(os.path.join(published.TESTDATA, "..", "docs", "python.md")) as f:
        text = f.read().split("\n## Search\n", 1)[1].split("\n## ", 1)[0]
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))


def search(program: str) -> Tuple[str, Dict[str, Any]]:
    """Runs a program and returns what it prints, and its variables."""
    out, variables = io.StringIO(), {}
    with contextlib.redirect_stdout(out):
        exec(compile(program, "docs/python.md", "exec"), variables)
    return out.getvalue(), variables


class TestSearch(unittest.TestCase):
    @unittest.skipUnless(published.LONG, "set NB201_TEST_LONG")
    def test_same_history(self) -> None:
        try:
            import nats_bench  # noqa: F401
        except ImportError:
            self.skipTest("needs the package nats_bench")
        home = os.path.join(published.scratch(), "torch")
        make(os.path.join(home, "NATS-tss-v1_0-3ffb9-simple"))
        ours = programs()
        theirs = ours.replace("from nb201.compat import nats_bench", "import nats_bench")
        self.assertNotEqual(ours, theirs)
        with mock.patch.dict(os.environ, TORCH_HOME=home):
            began = time.perf_counter()
            mine, variables = search(ours)
            taken = time.perf_counter() - began
            original, others = search(theirs)
        self.assertEqual(without_times(mine), without_times(original))
        self.assertRegex(mine, r"random search \(\d+\.\d+, \d+\)\n(.*\n)?regularized evolution \(\d+\.\d+, \d+\)")
        self.assertEqual(variables["api"].used_time, others["api"].used_time)
        self.assertEqual(sorted(variables["api"].arch2infos_dict), sorted(others["api"].arch2infos_dict))
        print(f"{len(others['api'].arch2infos_dict)} architectures in {taken:.2f} s")


def without_times(text: str) -> str:
    return re.sub(r"\[\d{4}-\d\d-\d\d[^\]]*\]", "", text)
