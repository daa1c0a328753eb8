"""Tests that nb201.compat answers as the original clients do, over published records and exports."""

from __future__ import annotations

import unittest
from typing import Any, Dict, List, Sequence, Tuple

from .comparison import Comparison, Hidden, from_small, from_topology
from .published import SIZE, TOPOLOGY, export

try:
    import nas_201_api
    import nats_bench
    import numpy
except ImportError as error:
    raise unittest.SkipTest(f"needs the original clients: {error}") from None

from nb201.compat import nas_201_api as our_nas_201_api
from nb201.compat import nats_bench as our_nats_bench


class Cell:
    """An architecture that clients ask for its string."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Cell({self.text})"

    def tostr(self) -> str:
        return self.text


DATASETS = ["cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"]
DATASETS += DATASETS + ["unknown", None, 5, "", ["cifar10"]]
SETS = ["train", "valid", "test", "x-valid", "x-test", "ori-test", "unknown", None, 3]
HPS = ["12", "200", "12", "200", "90", "01", 12, 200, 90, "2", None, "full"]
EPOCHS = [None, None, 0, 1, 2, 5, 11, 12, 150, 199, 200, -1, "x", 3.0, True, numpy.int64(1), [1]]
PICKS = [True, False, True, False, 777, 888, 111, 999, 5, -1, None, "777", numpy.int64(777), 1.0]
SEEDS = [None, 777, 888, 111, 999, 5, "777", -1]
LIMITS = [None, 100, 20.5, 0, -1, 1e9, "x"]


def indices(api: Any) -> List[Any]:
    """Returns ways to name architectures, good ones more than once."""
    held = [0, 11] if len(api) > 11 else [0, 1, 2]
    texts = [api[i] for i in held]
    wrong = [3, len(api) - 1, len(api), -1, None, "nonsense", 3.0, [0], {}, numpy.int64(held[-1]), True, 0.0]
    return held * 4 + texts * 2 + [Cell(texts[0]), Cell("nonsense")] + wrong


def of_api(api: Any, nats: bool) -> Dict[str, Sequence[Sequence[Any]]]:
    """Returns the methods of an API, with lists of arguments."""
    at = indices(api)
    methods: Dict[str, Sequence[Sequence[Any]]] = {
        "__getitem__": [at],
        "__len__": [],
        "__repr__": [],
        "arch": [at],
        "clear_params": [[i for i in at if i is not None], HPS],
        "find_best": [DATASETS, SETS, LIMITS, LIMITS, HPS],
        "get_cost_info": [at, DATASETS, HPS],
        "get_latency": [at, DATASETS, HPS],
        "get_more_info": [at, DATASETS, EPOCHS, HPS, PICKS],
        "get_net_config": [at, DATASETS],
        "get_net_param": [at, DATASETS, SEEDS, HPS],
        "query_by_arch": [at, HPS],
        "query_by_index": [at, [None, *DATASETS], HPS],
        "query_index_by_arch": [at],
        "query_info_str_by_arch": [at, HPS],
        "query_meta_info_by_index": [at, HPS],
        "random": [],
        "reset_time": [],
        "show": [at],
        "simulate_train_eval": [at, DATASETS, EPOCHS, HPS, [True, False]] if nats else [at, DATASETS, HPS, [True, False]],
        "statistics": [DATASETS, HPS],
        "used_time": [],
    }
    if nats:
        methods["find_best"] = [*methods["find_best"], [None, True, False]]
        if api.search_space_name == "topology":
            methods["get_unique_str"] = [at]
    del methods["used_time"]
    return methods


def of_results() -> Dict[str, Sequence[Sequence[Any]]]:
    """Returns the methods of ArchResults, with lists of arguments."""
    return {
        "__repr__": [],
        "arch_idx_str": [],
        "debug_test": [],
        "get_compute_costs": [DATASETS],
        "get_dataset_names": [],
        "get_dataset_seeds": [DATASETS],
        "get_latency": [DATASETS],
        "get_metrics": [DATASETS, SETS, EPOCHS, PICKS],
        "get_net_param": [DATASETS, SEEDS],
        "get_total_epoch": [DATASETS],
        "query": [DATASETS, SEEDS],
        "reset_latency": [DATASETS, SEEDS, [0.5, 1, None, "x"]],
        "reset_pseudo_eval_times": [DATASETS, SEEDS, SETS, [0.5, 2]],
        "reset_pseudo_train_times": [DATASETS, SEEDS, [0.5, 2]],
    }


def of_trial() -> Dict[str, Sequence[Sequence[Any]]]:
    """Returns the methods of ResultsCount, with lists of arguments."""
    return {
        "__repr__": [],
        "get_config": [[None, str.upper, len]],
        "get_eval": [SETS, EPOCHS],
        "get_eval_set": [],
        "get_latency": [],
        "get_net_param": [[True, False]],
        "get_times": [],
        "get_total_epoch": [],
        "get_train": [EPOCHS],
        "reset_pseudo_eval_times": [SETS, [0.5, 2]],
        "reset_pseudo_train_times": [[0.5, 2]],
        "state_dict": [],
        "update_latency": [[[0.5, 1], None, [], 3]],
    }


ATTRIBUTES = ["filename", "meta_archs", "archstr2index", "evaluated_indexes", "verbose", "used_time"]


class TestAnswers(Comparison):
    """Asks APIs, their results and their trials."""

    def compare(self, original: Any, ours: Any, count: int) -> None:
        """Asks both APIs, and then about copies of their results, trials and finally their state."""
        nats = isinstance(original, nats_bench.NATStopology) or isinstance(original, nats_bench.NATSsize)
        self.ask_many(original, ours, of_api(original, nats), count, seed=1)
        for both in original, ours:
            both.verbose = not both.verbose
        self.ask_many(original, ours, of_api(original, nats), count // 4, seed=2)
        hps = ["12", "200"] if "200" in original.arch2infos_dict[0] else ["12", "90"]
        for index in (0, 11) if len(original) > 11 else (0, 1):
            for hp in hps:
                results = self.ask_method(original, ours, "query_meta_info_by_index", index, hp)
                self.compare_results(*results, count // 8)
                held = [api.arch2infos_dict[index][hp] for api in (original, ours)]
                self.compare_results(held[0], held[1], count // 16)
        self.ask_many(original, ours, of_api(original, nats), count // 2, seed=3)  # the changes
        self.compare_state(original, ours)

    def compare_results(self, original: Any, ours: Any, count: int) -> None:
        self.ask_many(original, ours, of_results(), count, seed=4)
        for dataset in ("cifar10-valid", "cifar100"):
            seed = original.get_dataset_seeds(dataset)[-1]
            trials = self.ask_method(original, ours, "query", dataset, seed)
            self.ask_many(*trials, of_trial(), count // 2, seed=5)
            methods = dict(of_trial(), judge_valid=[EPOCHS]) if hasattr(trials[0], "judge_valid") else of_trial()
            self.ask_many(*trials, methods, count // 2, seed=6)
            for key, accuracies in (("further", {"further@0": 1.0}), ("x-valid", {"x-valid@0": 1.0}), ("old", {0: 1.0})):
                name = "update_OLD_eval" if key == "old" else "update_eval"
                arguments = [key] if key == "old" else []
                self.ask_method(*trials, name, *arguments, accuracies, accuracies, *([] if key == "old" else [accuracies]))
            self.ask_method(*trials, "update_train_info", {0: 1.0}, None, {0: 2.0}, {0: 3.0})
            for added in ("new", dataset):
                what = f"update {added}"
                self.ask(what, lambda: original.update(added, seed, trials[0]), lambda: ours.update(added, seed, trials[1]))
        self.ask_method(original, ours, "clear_params")
        self.ask_method(original, ours, "state_dict")
        self.ask("results", lambda: original, lambda: ours)

    def compare_state(self, original: Any, ours: Any) -> None:
        for name in ATTRIBUTES:
            self.ask(name, lambda: getattr(original, name), lambda: getattr(ours, name))
        self.assertEqual(sorted(ours.avaliable_hps), sorted(original.avaliable_hps))
        self.ask("arch2infos_dict", lambda: original.arch2infos_dict, lambda: ours.arch2infos_dict)

    def both_nats(self, path: Any, space: str, fast: bool, verbose: bool = False) -> Tuple[Any, Any]:
        return self.ask(
            f"create({path}, {space}, {fast})",
            lambda: Hidden(nats_bench.create(path, space, fast, verbose)),
            lambda: Hidden(our_nats_bench.create(path, space, fast, verbose)),
        )

    def compare_nats(self, path: str, space: str, fast: bool, count: int) -> None:
        original, ours = self.both_nats(path, space, fast, verbose=True)
        self.compare(original.value, ours.value, count)

    def compare_nas(self, path: str, count: int) -> None:
        original, ours = self.ask(
            path,
            lambda: Hidden(nas_201_api.NASBench201API(path)),
            lambda: Hidden(our_nas_201_api.NASBench201API(path)),
        )
        self.compare(original.value, ours.value, count)

    @classmethod
    def tearDownClass(cls) -> None:
        print(f"{cls.asked} questions, {cls.refused} of them refused", flush=True)

    def test_size_published(self) -> None:
        self.compare_nats(SIZE, "sss", True, 500)

    def test_size_merged(self) -> None:
        self.compare_nats(export(SIZE, "nats", "size.pickle.pbz2"), "sss", False, 300)

    def test_topology_published(self) -> None:
        if TOPOLOGY is None:
            self.skipTest("set NB201_PUBLISHED")
        self.compare_nats(TOPOLOGY, "tss", True, 300)

    def test_topology_merged(self) -> None:
        self.compare_nats(from_topology("nats", "topology.pickle.pbz2"), "tss", False, 100)

    def test_first_format_published(self) -> None:
        self.compare_nas(from_topology("nasbench201", "topology.pth"), 200)

    def test_campaign_nats(self) -> None:
        self.compare_nats(from_small("nats", "campaign"), "tss", True, 500)

    def test_campaign_nats_merged(self) -> None:
        self.compare_nats(from_small("nats", "campaign.pickle.pbz2"), "tss", False, 300)

    def test_weights(self) -> None:
        path = from_small("nats", "weights", "--weights")
        original, ours = nats_bench.create(path, "tss", True, False), our_nats_bench.create(path, "tss", True, False)
        for arguments in [("cifar10", 777, "200"), ("cifar10", None, "200"), ("cifar100", 5, "12"), ("unknown", 777), ("cifar10", 111)]:
            self.ask_method(original, ours, "get_net_param", 0, *arguments)
        trials = self.ask_method(original, ours, "query_by_index", 0, "cifar100", "200")
        for clone in True, False:
            self.ask("weights", lambda: trials[0][888].get_net_param(clone), lambda: trials[1][888].get_net_param(clone))
        for each in original, ours:
            each.clear_params(0, 200)
        self.ask_method(original, ours, "get_net_param", 0, "cifar10", None, "200")
        self.ask_method(original, ours, "get_net_param", 0, "cifar10", None, "12")

    def test_campaign_first_format(self) -> None:
        self.compare_nas(from_small("nasbench201", "campaign.pth"), 500)

    def test_archive(self) -> None:
        path, archive = from_small("nasbench201", "campaign.pth"), from_small("archive", "archive")
        original, ours = nas_201_api.NASBench201API(path, verbose=False), our_nas_201_api.NASBench201API(path, verbose=False)
        for arguments in [(archive, 0), (archive, 3), (archive, -1), (archive, "x"), (archive + "x", 0), (path, 0), (None, 0), (archive,)]:
            self.ask_method(original, ours, "reload", *arguments)
        self.compare(original, ours, 60)


if __name__ == "__main__":
    unittest.main()
