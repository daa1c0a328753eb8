"""Searches with the drop-in client: the examples of the documentation, and their histories with the original."""

from __future__ import annotations

import bz2
import collections
import gzip
import os
import pickle
import random
import re
import tempfile
import unittest
from typing import Any, Dict, List, Tuple
from unittest import mock

from nb201.compat import nats_bench

from .published import TESTDATA

OPERATIONS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]

History = List[Tuple[int, float]]


def random_search(api: Any, seconds: float) -> History:
    """Trains random architectures on CIFAR-10 for some simulated seconds."""
    history: History = []
    api.reset_time()
    while api.used_time < seconds:
        index = random.choice(sorted(api.evaluated_indexes))
        accuracy, _, _, _ = api.simulate_train_eval(index, "cifar10", hp="12")
        history.append((index, accuracy))
    return history


def mutate(api: Any, index: int) -> int:
    """Returns an architecture with another operation on one edge."""
    while True:
        operations = re.findall(r"(\w+)~", api.arch(index))
        operations[random.randrange(6)] = random.choice(OPERATIONS)
        child = api.query_index_by_arch("|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*operations))
        if child != index and child in api.evaluated_indexes:
            return int(child)


def regularized_evolution(api: Any, seconds: float, population: int = 10, sample: int = 3) -> History:
    """Replaces the oldest of a population by a mutation of the best of a sample, for some simulated seconds."""
    history = random_search(api, seconds / 10)[:population]
    alive = collections.deque(history, maxlen=population)
    while api.used_time < seconds:
        parent, _ = max(random.sample(list(alive), min(sample, len(alive))), key=lambda member: member[1])
        child = mutate(api, parent)
        accuracy, _, _, _ = api.simulate_train_eval(child, "cifar10", hp="12")
        alive.append((child, accuracy))
        history.append((child, accuracy))
    return history


def made_up_trial(arch: str, dataset: str, seed: int) -> Dict[str, Any]:
    """Returns a trial of 12 epochs that likes convolutions."""
    choose = random.Random(f"{arch} {seed}")
    final = 50 + 6 * arch.count("conv") + choose.random()
    curve = {epoch: final - 20 / (epoch + 1) for epoch in range(12)}
    sets = {f"{name}@{epoch}": value for name in ("x-valid", "ori-test") for epoch, value in curve.items()}
    return {
        "name": dataset,
        "train_acc1es": curve,
        "train_acc5es": curve,
        "train_losses": {epoch: 3 - value / 50 for epoch, value in curve.items()},
        "train_times": collections.OrderedDict((epoch, 10.0 + arch.count("conv")) for epoch in range(12)),
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10},
        "params": 0.1,
        "flop": 15.0,
        "seed": str(seed),
        "epochs": 12,
        "latency": [0.0125],
        "eval_names": ["x-valid", "ori-test"],
        "eval_acc1es": sets,
        "eval_times": dict.fromkeys(sets, 1.5),
        "eval_losses": {key: 3 - value / 50 for key, value in sets.items()},
        "net_state_dict": None,
    }


def made_up_benchmark() -> Dict[str, Any]:
    """Returns a benchmark of the 125 architectures that have other operations on three edges."""
    with gzip.open(os.path.join(TESTDATA, "published", "meta_archs.txt.gz"), "rt") as file:
        strings = file.read().split()
    infos: Dict[int, Any] = {}
    for index, arch in enumerate(strings):
        if arch.startswith("|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|"):
            trials = {(dataset, seed): made_up_trial(arch, dataset, seed) for dataset in ("cifar10-valid", "cifar10") for seed in (111, 777)}
            state = {"arch_index": index, "arch_str": arch, "all_results": trials}
            state["dataset_seed"] = {"cifar10-valid": [111, 777], "cifar10": [111, 777]}
            infos[index] = {"12": dict(state, clear_net_done=True)}
    return {"meta_archs": strings, "total_archs": len(strings), "arch2infos": infos, "evaluated_indexes": set(infos)}


class TestSearch(unittest.TestCase):
    def setUp(self) -> None:
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        with bz2.open(os.path.join(home.name, "NATS-tss-v1_0-3ffb9.pickle.pbz2"), "wb", compresslevel=1) as file:
            pickle.dump(made_up_benchmark(), file, protocol=4)
        patch = mock.patch.dict(os.environ, {"TORCH_HOME": home.name})
        patch.start()
        self.addCleanup(patch.stop)

    def test_searches(self) -> None:
        api: Any = nats_bench.create(None, "tss", verbose=False)
        best = api.find_best("cifar10", "valid")[1]
        try:
            import nats_bench as original

            other: Any = original.create(None, "tss", verbose=False)
        except ImportError:
            other = None
        for search in (random_search, regularized_evolution):
            for seed in range(3):
                random.seed(seed)
                history = search(api, 20000)
                self.assertGreater(len(history), 100)
                self.assertGreater(max(accuracy for _, accuracy in history), best - 1)
                if other is not None:
                    random.seed(seed)
                    self.assertEqual(search(other, 20000), history)
                    self.assertEqual(other.used_time, api.used_time)


if __name__ == "__main__":
    unittest.main()
