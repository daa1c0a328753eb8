"""Tests that nb201.compat opens, and refuses, what the original clients do, and what else nb201 reads."""

from __future__ import annotations

import bz2
import os
import pickle
import random
import tempfile
import unittest
from pathlib import Path
from typing import Any, Tuple
from unittest import mock

from .comparison import Comparison, Hidden, from_small
from .published import SIZE, SMALL, export

try:
    import nas_201_api
    import nas_201_api.api_201
    import nas_201_api.api_utils
    import nats_bench
    import nats_bench.api_size
    import nats_bench.api_topology
    import nats_bench.api_utils
    import nats_bench.genotype_utils
    import torch
except ImportError as error:
    raise unittest.SkipTest(f"needs the original clients: {error}") from None

import nb201
from nb201.compat import nas_201_api as our_nas_201_api
from nb201.compat import nats_bench as our_nats_bench

ARCH = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"


class TestOpening(Comparison):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.home = Path(directory.name)

    def both_nats(self, *arguments: Any) -> Tuple[Any, Any]:
        return self.ask(
            f"create{arguments}",
            lambda: Hidden(nats_bench.create(*arguments)),
            lambda: Hidden(our_nats_bench.create(*arguments)),
        )

    def both_nas(self, *arguments: Any) -> Tuple[Any, Any]:
        return self.ask(
            f"NASBench201API{arguments}",
            lambda: Hidden(nas_201_api.NASBench201API(*arguments)),
            lambda: Hidden(our_nas_201_api.NASBench201API(*arguments)),
        )

    def test_wrong_paths(self) -> None:
        (self.home / "empty").mkdir()
        (self.home / "text").write_text("text")
        paths = [None, "", "missing", 5, b"x", [], {}, {"meta_archs": []}, self.home / "empty"]
        paths += [str(self.home / name) for name in ("missing", "empty", "text")]
        with mock.patch.dict(os.environ, {"HOME": str(self.home)}):
            for home in (None, str(self.home)):
                os.environ.pop("TORCH_HOME", None)
                if home:
                    os.environ["TORCH_HOME"] = home
                for path in paths:
                    self.both_nas(path)
                    self.both_nas(path, False)
                    for space in ("tss", "size", "unknown", None):
                        for fast in (False, True):
                            self.both_nats(path, space, fast, fast)
            os.environ.pop("TORCH_HOME")
            os.environ.pop("HOME")
            self.both_nats(None, "tss")

    def test_wrong_modes(self) -> None:
        merged = export(SIZE, "nats", "size.pickle.pbz2")
        for path in (SIZE, merged):
            for fast in (False, True):
                self.both_nats(path, "sss", fast)

    def test_default_paths(self) -> None:
        os.symlink(SIZE, self.home / "NATS-sss-v1_0-50262-simple")
        os.symlink(export(SIZE, "nats", "size.pickle.pbz2"), self.home / "NATS-sss-v1_0-50262.pickle.pbz2")
        os.symlink(from_small("nasbench201", "campaign.pth"), self.home / "NAS-Bench-201-v1_1-096897.pth")
        os.symlink(from_small("archive", "archive"), self.home / "NAS-Bench-201-v1_1-archive")
        with mock.patch.dict(os.environ, {"TORCH_HOME": str(self.home)}):
            for fast in (False, True):
                original, ours = self.both_nats(None, "sss", fast)
                self.ask_method(original.value, ours.value, "__repr__")
                for index in (11, 3, None):
                    self.ask_method(original.value, ours.value, "reload", None, index)
                self.ask_method(original.value, ours.value, "get_cost_info", 0, "cifar10")
            original, ours = self.both_nas(None)
            for index in (2, 3, None):
                self.ask_method(original.value, ours.value, "reload", None, index)
            self.ask("test_api", lambda: nas_201_api.test_api(None), lambda: our_nas_201_api.test_api(None))
        self.ask_method(original.value, ours.value, "reload")

    def test_dict(self) -> None:
        content = torch.load(from_small("nasbench201", "campaign.pth"), weights_only=False)
        original, ours = self.both_nas(content, False)
        for index in (0, 1, 5):
            for dataset in ("cifar10", "cifar100", "unknown"):
                self.ask_method(original.value, ours.value, "get_more_info", index, dataset)
        self.ask("arch2infos_dict", lambda: original.value.arch2infos_dict, lambda: ours.value.arch2infos_dict)
        self.both_nas(dict(content, meta_archs=["same", "same"]))
        content = nats_bench.pickle_load(export(SIZE, "nats", "size.pickle.pbz2"))
        for fast in (False, True):
            original, ours = self.both_nats(content, "sss", fast)
            for index in (11, 5):
                self.ask_method(original.value, ours.value, "get_more_info", index, "cifar100")
                self.ask_method(original.value, ours.value, "find_best", "cifar100", "test")
            for name in ("reset_archive_dir", "reset_fast_mode"):
                self.ask_method(original.value, ours.value, name, SIZE)
            self.ask_method(original.value, ours.value, "get_more_info", 0, "cifar100")
            for name in ("archive_dir", "fast_mode", "full_train_epochs", "full_epochs_in_paper", "is_size", "is_topology", "search_space_name"):
                self.ask(name, lambda: getattr(original.value, name), lambda: getattr(ours.value, name))
        self.both_nats(dict(content, meta_archs=["same", "same"]), "sss")

    def test_directory_without_list(self) -> None:
        """A directory that nb201 does not know, with files that the original reads."""
        with open(os.path.join(SIZE, "000011.pickle.pbz2"), "rb") as file:
            (self.home / "000011.pickle.pbz2").write_bytes(file.read())
            (self.home / "12.pickle.pbz2").write_bytes(b"damaged")
        original, ours = self.both_nats(SIZE, "sss", True, False)
        for index in (11, 3, -1, 99999, None, "x", 1.5):
            self.ask_method(original.value, ours.value, "reload", str(self.home), index)
        self.ask_method(original.value, ours.value, "get_more_info", 11, "cifar10", is_random=False)

    def test_extensions(self) -> None:
        api = our_nas_201_api.NASBench201API(SMALL, verbose=False)
        exported = our_nas_201_api.NASBench201API(from_small("nasbench201", "campaign.pth"), verbose=False)
        self.assertEqual(sorted(api.avaliable_hps), ["2", "3"])
        self.assertEqual(len(api), 15625)
        nats: Any = our_nats_bench.create(SMALL, "tss", fast_mode=True, verbose=False)
        self.assertEqual(nats.evaluated_indexes, set())
        for index in range(3):
            for dataset in ("cifar10", "cifar100"):
                for ours, theirs in (("2", "12"), ("3", "200")):
                    want = exported.get_more_info(index, dataset, hp=theirs, is_random=False)
                    self.assertEqual(api.get_more_info(index, dataset, hp=ours, is_random=False), want)
                    self.assertEqual(nats.get_more_info(index, dataset, hp=ours, is_random=False)["test-loss"], want["test-loss"])
        self.assertEqual(nats.evaluated_indexes, {0, 1, 2})
        tables = our_nats_bench.create(export(SIZE, "csv", "size-tables"), "sss", fast_mode=False, verbose=False)
        self.assertEqual(tables.evaluated_indexes, {0, 11})

    def test_damage(self) -> None:
        """Damage is an error of nb201, which is a ValueError; the originals raise one of several."""
        for content in ([1, 2], {"meta_archs": []}):
            path = self.home / "wrong.pickle.pbz2"
            path.write_bytes(bz2.compress(pickle.dumps(content)))
            self.assertRaises(ValueError, our_nas_201_api.NASBench201API, path, verbose=False)
            self.assertRaises(ValueError, our_nats_bench.create, str(path), "tss", verbose=False)
        for name in ("meta.pickle.pbz2", "000000.pickle.pbz2", "000011.pickle.pbz2"):
            with open(os.path.join(SIZE, name), "rb") as file:
                (self.home / name).write_bytes(file.read()[: 20000 if name.startswith("000011") else None])
        api: Any = our_nats_bench.create(str(self.home), "sss", fast_mode=True, verbose=False)
        api.get_more_info(0, "cifar10")
        for _ in range(2):
            self.assertRaises(ValueError, api.get_more_info, 11, "cifar10")
            self.assertRaises(nb201.DamagedError, api.query_by_index, 11)

    def test_functions(self) -> None:
        """Asks what needs no file."""
        spaces = [(main, aux) for main in ("nats-bench", "nas-bench-201", "x", None) for aux in ("tss", "sss", "size", "topology", None, "x")]
        for arguments in spaces:
            self.ask("space", lambda: nats_bench.search_space_info(*arguments), lambda: our_nats_bench.search_space_info(*arguments))
        self.ask("version", nats_bench.version, our_nats_bench.version)
        pairs = [(nas_201_api.api_utils, our_nas_201_api.api_utils), (nats_bench.api_utils, our_nats_bench.api_utils)]
        for original, ours in pairs:
            for dataset in ("cifar10", "cifar100", "ImageNet16-120", "cifar10-valid", "x", None):
                for name in ("train", "valid", "test", "x-valid", "ori-test", None):
                    for verbose in (False, True):
                        arguments = (dataset, name, verbose)
                        self.ask("names", lambda: original.remap_dataset_set_names(*arguments), lambda: ours.remap_dataset_set_names(*arguments))
            for name in ("NASBenchMetaAPI", "ArchResults", "ResultsCount"):
                self.ask(name, getattr(original, name), getattr(ours, name))
                for argument in (None, 5, "missing", [], {}, {"all_results": 5}, {"all_results": {1: {}}}, {"all_results": {1: 2}}):
                    self.ask(
                        f"{name} of {argument}",
                        lambda: getattr(original, name).create_from_state_dict(argument),
                        lambda: getattr(ours, name).create_from_state_dict(argument),
                    )
            for argument in ("5", "x", None):
                self.ask("ArchResults", lambda: original.ArchResults(argument, "a"), lambda: ours.ArchResults(argument, "a"))
            made = [module.ArchResults(1, "a") for module in (original, ours)]
            for each in made:
                each.all_results[1] = 2
            self.ask_method(*made, "state_dict")
            if hasattr(made[0], "show"):
                self.ask_method(*made, "show")
            fresh = [module.ResultsCount("n", None, {0: 1.0}, {0: 2.0}, 1.0, 2.0, {"arch_str": "a"}, 3, 2, None) for module in (original, ours)]
            for name in ("__repr__", "get_latency", "get_times", "get_train", "reset_eval", "get_total_epoch", "state_dict"):
                self.ask_method(*fresh, name)
            scores = {f"{name}@{epoch}": float(epoch) for name in ("b", "a", "c") for epoch in range(2)}
            self.ask_method(*fresh, "update_eval", scores, scores, scores)
            self.ask_method(*fresh, "get_eval", "b", 1)
            for name in ("get_times", "state_dict", "__repr__"):
                self.ask_method(*fresh, name)

    def test_results_from_files(self) -> None:
        record = nats_bench.pickle_load(os.path.join(SIZE, "000011.pickle.pbz2"))
        for package in (nats_bench, our_nats_bench):
            package.pickle_save(record["12"], self.home / "saved.pickle")
        path = str(self.home / "saved.pickle")
        for package in ("pickle_load",):
            self.ask(package, lambda: getattr(nats_bench, package)(path), lambda: getattr(our_nats_bench, package)(path))
        self.ask("from file", lambda: nats_bench.ArchResults.create_from_state_dict(path), lambda: our_nats_bench.ArchResults.create_from_state_dict(path))
        torch.save(record["12"], self.home / "saved.pth")
        path = str(self.home / "saved.pth")
        self.ask("from file", lambda: nas_201_api.ArchResults.create_from_state_dict(path), lambda: our_nas_201_api.ArchResults.create_from_state_dict(path))
        results = [client.ArchResults.create_from_state_dict(record["12"]) for client in (nats_bench, our_nats_bench)]
        for name in ("api_size", "api_topology"):
            for show in (False, True):
                self.ask(
                    "print_information",
                    lambda: getattr(nats_bench, name).print_information(results[0], "x", show),
                    lambda: getattr(our_nats_bench, name).print_information(results[1], "x", show),
                )
        results = [client.ArchResults.create_from_state_dict(record["12"]) for client in (nas_201_api, our_nas_201_api)]
        self.ask(
            "print_information",
            lambda: nas_201_api.api_201.print_information(results[0], show=True),
            lambda: our_nas_201_api.api_201.print_information(results[1], show=True),
        )

    def test_file_systems(self) -> None:
        original, ours = nats_bench.api_utils, our_nats_bench.api_utils
        self.addCleanup(original.reset_file_system)
        self.addCleanup(ours.reset_file_system)
        for lib in ("default", "google", "unknown", None):
            for module in (original, ours):
                module.reset_file_system(lib)
            for name in ("get_file_system", "nats_is_dir", "nats_is_file", "pickle_load"):
                arguments = [] if name == "get_file_system" else [SIZE]
                self.ask_method(original, ours, name, *arguments)
            self.ask_method(original, ours, "pickle_save", 1, str(self.home / "x"))
            self.both_nats(SIZE, "sss", True)
        with mock.patch.dict(os.environ):
            for variable in ("TORCH_HOME", "HOME", "x"):
                self.ask_method(original, ours, "get_torch_home")
                os.environ.pop(variable, None)
        self.ask("mean", lambda: original.mean([1, 2.5]), lambda: ours.mean([1, 2.5]))
        self.ask("mean", lambda: original.mean([]), lambda: ours.mean([]))
        self.ask("time", lambda: len(original.time_string()), lambda: len(ours.time_string()))

    def test_cells(self) -> None:
        choose = random.Random(0)
        operations = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
        texts = [
            "+".join("".join(f"|{choose.choice(operations)}~{source}" for source in range(node)) + "|" for node in (1, 2, 3)) for _ in range(60)
        ]
        texts += ["", "+", "|x~0|", "|none~x|", "|none|", "|none~0~1|", "|none~5|", "|none~-1|+|none~0|", None, 5, [], "|none~0|+|none~1|", "|skip_connect~1|"]
        original, ours = nats_bench.genotype_utils, our_nats_bench.genotype_utils
        for text in texts:
            for name in ("str2lists", "str2matrix"):
                for kinds in ((nats_bench.NATStopology, our_nats_bench.NATStopology), (nas_201_api.NASBench201API, our_nas_201_api.NASBench201API)):
                    self.ask_method(*kinds, name, text)
                    if name == "str2matrix":
                        self.ask_method(*kinds, name, text, ["none"])
            made = []
            for module in (original, ours):
                try:
                    made.append(module.topology_str2structure(text))
                except Exception:
                    pass
            self.ask("str2structure", lambda: Hidden(original.topology_str2structure(text)), lambda: Hidden(ours.topology_str2structure(text)))
            self.ask("str2fullstructure", lambda: str(original.TopologyStructure.str2fullstructure(text)), lambda: str(ours.TopologyStructure.str2fullstructure(text)))
            if not made:
                continue
            for name in ("tostr", "__repr__", "__len__", "check_valid"):
                self.ask_method(*made, name)
            for zero in (None, True, False):
                self.ask_method(*made, "to_unique_str", zero)
            for removed in ("none", None):
                self.ask_method(*made, "tolist", removed)
            for index in (-1, 0, 1, 3, 4, 5):
                self.ask_method(*made, "node", index)
                self.ask_method(*made, "__getitem__", index)
            self.ask_method(*made, "check_valid_op", operations[:4])
            self.ask("same", lambda: original.topology_str2structure(made[0]) is made[0], lambda: ours.topology_str2structure(made[1]) is made[1])
            self.ask("state", lambda: vars(made[0]), lambda: vars(made[1]))
        wrong = [None, [], [[]], [5], [[5]], [[("none",)]], [[("none", 1)]], [[("none", 0)]], ((("none", 0),),), [[["none", 0]], [["none", 1]]]]
        for genotype in wrong:
            self.ask("TopologyStructure", lambda: str(original.TopologyStructure(genotype)), lambda: str(ours.TopologyStructure(genotype)))
        for arguments in ((operations, 4, True), (operations, 1, True), (None, 4, True), (operations, "x", False)):
            self.ask("gen_all", lambda: original.TopologyStructure.gen_all(*arguments), lambda: ours.TopologyStructure.gen_all(*arguments))

    @classmethod
    def tearDownClass(cls) -> None:
        print(f"{cls.asked} questions, {cls.refused} of them refused", flush=True)


if __name__ == "__main__":
    unittest.main()
