"""Tests that nb201.compat drops trials from memory, but nothing that a program changed or holds."""

from __future__ import annotations

import copy
import gc
import importlib.util
import pickle
import random
import threading
import unittest
import weakref
from collections import OrderedDict
from typing import Any, Dict, List

from nb201.compat import _lazy, nats_bench

from .comparison import from_small
from .published import SIZE, export

KEY = ("cifar10-valid", 777)


def opened(fast: bool = False) -> nats_bench.NATSsize:
    path = SIZE if fast else export(SIZE, "nats", "size.pickle.pbz2")
    api = nats_bench.create(path, "sss", fast_mode=fast, verbose=False)
    assert isinstance(api, nats_bench.NATSsize)
    return api


def shrink(api: Any) -> None:
    """Makes an API drop what it can."""
    for source in api._sources.values():
        source.budget.limit = -1
        source.budget.shrink()


def in_memory(api: Any, index: int, hp: str) -> List[Any]:
    """Returns the keys of the trials that are in memory."""
    trials = api.arch2infos_dict[index][hp].all_results
    return [key for key in trials if not isinstance(dict.__getitem__(trials, key), _lazy.Unloaded)]


class TestLazy(unittest.TestCase):
    def test_nothing_is_loaded_early(self) -> None:
        api = opened()
        self.assertEqual(len(api.arch2infos_dict), 2)
        self.assertIn(11, api.arch2infos_dict)
        self.assertTrue(all(isinstance(v, _lazy.Unloaded) for v in OrderedDict.values(api.arch2infos_dict)))
        api.get_more_info(11, "cifar100")
        self.assertIsInstance(OrderedDict.__getitem__(api.arch2infos_dict, 0), _lazy.Unloaded)
        self.assertEqual({key[0] for key in in_memory(api, 11, "12")}, {"cifar100"})

    def test_dropped(self) -> None:
        api = opened()
        api.get_more_info(11, "cifar100")
        gone = weakref.ref(api.arch2infos_dict[11]["90"].all_results[KEY])
        self.assertIsNotNone(gone())
        shrink(api)
        self.assertIsNone(gone())
        self.assertEqual(in_memory(api, 11, "12") + in_memory(api, 11, "90"), [])
        self.assertEqual([source.budget.used for source in api._sources.values()], [0])

    def test_same_objects(self) -> None:
        api = opened()
        infos, results = api.arch2infos_dict[11], api.arch2infos_dict[11]["12"]
        trial = results.all_results[KEY]
        shrink(api)
        self.assertIs(api.arch2infos_dict[11], infos)
        self.assertIs(api.arch2infos_dict[11]["12"], results)
        self.assertIs(results.query(*KEY), trial)

    def test_held_parts(self) -> None:
        api = opened()
        for name in ("train_losses", "eval_names", "arch_config", "latency"):
            with self.subTest(name):
                held = getattr(api.arch2infos_dict[11]["12"].all_results[KEY], name)
                shrink(api)
                self.assertEqual(in_memory(api, 11, "12"), [KEY])
                self.assertIs(getattr(api.arch2infos_dict[11]["12"].all_results[KEY], name), held)
                del held
                shrink(api)
                self.assertEqual(in_memory(api, 11, "12"), [])
        losses = api.arch2infos_dict[11]["12"].all_results[KEY].train_losses
        shrink(api)
        losses[11] = 5.0
        del losses
        shrink(api)
        self.assertEqual(api.get_more_info(11, KEY[0], is_random=False)["train-loss"] * 1, self.mean_loss(api))
        self.assertEqual(api.arch2infos_dict[11]["12"].all_results[KEY].train_losses[11], 5.0)

    def mean_loss(self, api: Any) -> float:
        trials = api.arch2infos_dict[11]["12"].query(KEY[0]).values()
        return sum(trial.train_losses[11] for trial in trials) / len(trials)

    def test_changes_are_kept(self) -> None:
        api = opened()

        def trial() -> Any:
            return api.arch2infos_dict[11]["12"].all_results[KEY]

        api.arch2infos_dict[11]["12"].reset_latency(KEY[0], None, 0.5)
        trial().note = ["mine"]
        trial().eval_acc1es["x-valid@11"] = 99.0
        trial().train_losses = {11: 1.0}
        for _ in range(2):
            shrink(api)
            self.assertEqual(in_memory(api, 11, "12"), [])
            self.assertEqual(trial().latency, [0.5])
            self.assertEqual(trial().note, ["mine"])
            self.assertEqual(trial().eval_acc1es["x-valid@11"], 99.0)
            self.assertEqual(trial().train_losses, {11: 1.0})
            self.assertEqual(api.get_latency(11, KEY[0]), 0.5)
        copied = copy.deepcopy(api)
        self.assertEqual(copied.get_latency(11, KEY[0]), 0.5)
        self.assertEqual(api.query_by_index(11, KEY[0])[777].note, ["mine"])
        del trial().name
        shrink(api)
        self.assertFalse(hasattr(trial(), "name"))

    def test_answers_follow_changes(self) -> None:
        api = opened()
        for change in range(3):
            self.assertEqual(api.get_more_info(11, KEY[0], is_random=777)["train-loss"], api.query_by_index(11, KEY[0])[777].train_losses[11])
            api.arch2infos_dict[11]["12"].all_results[KEY].train_losses[11] = float(change)
            self.assertEqual(api.get_more_info(11, KEY[0], is_random=777)["train-loss"], change)
            shrink(api)
            self.assertEqual(api.get_more_info(11, KEY[0], is_random=777)["train-loss"], change)
        results = api.arch2infos_dict[0]["12"]
        before = results.get_metrics(KEY[0], "train")
        results.dataset_seed[KEY[0]] = [777]
        self.assertNotEqual(results.get_metrics(KEY[0], "train"), before)
        results.all_results[KEY] = results.query("cifar100", 777)
        self.assertEqual(results.get_metrics(KEY[0], "train"), results.query("cifar100", 777).get_train())
        shrink(api)
        self.assertIs(results.all_results[KEY], results.all_results["cifar100", 777])

    def test_copies_are_apart(self) -> None:
        api = opened()
        info = api.query_meta_info_by_index(11)
        info.reset_latency(KEY[0], 777, 0.25)
        self.assertNotEqual(api.get_latency(11, KEY[0]), info.get_latency(KEY[0]))
        again = copy.deepcopy(info)
        shrink(api)
        self.assertEqual(again.query(*KEY).latency, [0.25])
        again.query(*KEY).latency[0] = 0.5
        self.assertEqual(info.query(*KEY).latency, [0.25])
        thawed = pickle.loads(pickle.dumps(info))
        self.assertIs(type(thawed.all_results), dict)
        self.assertEqual(thawed.query(*KEY).latency, [0.25])
        self.assertEqual(vars(thawed.query("cifar100", 777)), vars(info.query("cifar100", 777)))

    def test_pickled_apis(self) -> None:
        api = opened()
        api.arch2infos_dict[11]["12"].reset_latency(KEY[0], None, 0.5)
        shrink(api)
        for other in (copy.deepcopy(api), pickle.loads(pickle.dumps(api))):
            self.assertEqual(other.get_latency(11, KEY[0]), 0.5)
            self.assertEqual(other.get_more_info(0, "cifar10", is_random=777), api.get_more_info(0, "cifar10", is_random=777))
            other.reload(SIZE, 11)
            self.assertNotEqual(other.get_latency(11, KEY[0]), 0.5)
            other.arch2infos_dict = OrderedDict()
            other.reload(SIZE, 11)
            self.assertEqual(other.arch2infos_dict[11]["12"].get_dataset_names(), api.arch2infos_dict[11]["12"].get_dataset_names())

    def test_dict_methods(self) -> None:
        for made in (opened().arch2infos_dict, opened().arch2infos_dict[11]["12"].all_results):
            with self.subTest(type(made).__name__):
                keys = list(made)
                self.assertEqual(list(reversed(made)), keys[::-1])
                self.assertEqual([key for key, _ in made.items()], keys)
                self.assertIs(made.get(keys[0]), made[keys[0]])
                self.assertIs(made.setdefault(keys[0], 1), made[keys[0]])
                self.assertIs(list(made.values())[0], made[keys[0]])
                for plain in (dict(made), {**made}, made.copy(), OrderedDict(made)):
                    self.assertEqual(plain, made)
                    self.assertEqual(made, plain)
                    self.assertFalse(made != plain)
                    self.assertFalse(any(isinstance(value, _lazy.Unloaded) for value in plain.values()))
                last = made[keys[-1]]
                self.assertEqual(made.popitem(), (keys[-1], last))
                self.assertNotIn(keys[-1], made)
                self.assertIsNone(made.get(keys[-1]))
                made.update({keys[-1]: last})
                self.assertIs(made.pop(keys[-1]), last)
                self.assertEqual(made.pop(keys[-1], 5), 5)
                made[keys[-1]] = last
                self.assertNotIn("UNLOADED", repr(made).upper())
                made.clear()
                self.assertEqual(made, {})
                self.assertRaises(KeyError, made.popitem)

    def test_threads(self) -> None:
        api, plain = opened(), opened()
        wanted: Dict[Any, Any] = {}
        asked = [(index, dataset, hp, seed) for index in (0, 11) for dataset in ("cifar10", "cifar100") for hp in ("01", "12", "90") for seed in (777,)]
        for index, dataset, hp, seed in asked:
            wanted[index, dataset, hp, seed] = plain.get_more_info(index, dataset, hp=hp, is_random=seed)
        for source in api._sources.values():
            source.budget.limit = source.budget._threshold = 50_000
        wrong: List[Any] = []

        def ask(number: int) -> None:
            choose = random.Random(number)
            try:
                for _ in range(20):
                    index, dataset, hp, seed = question = choose.choice(asked)
                    if api.get_more_info(index, dataset, hp=hp, is_random=seed) != wanted[question]:
                        wrong.append(question)
                    trial = api.arch2infos_dict[index][hp].all_results[dataset, seed]
                    trial.visits = getattr(trial, "visits", [])
                    trial.visits.append(number)
            except BaseException as e:
                wrong.append(e)

        threads = [threading.Thread(target=ask, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        visits = [
            getattr(trial, "visits", []) for infos in api.arch2infos_dict.values() for r in infos.values() for trial in r.all_results.values()
        ]
        self.assertEqual(sum(map(len, visits)), 80)

    @unittest.skipUnless(importlib.util.find_spec("torch"), "needs torch")
    def test_weights(self) -> None:
        path = from_small("nats", "weights", "--weights")
        api: Any = nats_bench.create(path, "tss", fast_mode=True, verbose=False)
        api.get_more_info(0, KEY[0], hp="200")
        trials = api.arch2infos_dict[0]["200"].all_results
        self.assertIsInstance(vars(trials.trial(KEY))["net_state_dict"], _lazy.Weights)
        name, weight = next(iter(trials[KEY].net_state_dict.items()))
        self.assertIs(trials[KEY].net_state_dict[name], weight)
        shrink(api)
        self.assertIs(trials[KEY].net_state_dict[name], weight)
        weight.zero_()
        del weight
        shrink(api)
        self.assertEqual(in_memory(api, 0, "200"), [])
        self.assertEqual(trials[KEY].net_state_dict[name].abs().sum().item(), 0)
        self.assertNotEqual(trials[KEY[0], 888].net_state_dict[name].abs().sum().item(), 0)
        self.assertTrue(trials[KEY[0], 888].net_state_dict)  # loads them
        shrink(api)
        self.assertIsInstance(vars(trials.trial((KEY[0], 888)))["net_state_dict"], _lazy.Weights)
        api.clear_params(0)
        shrink(api)
        self.assertIsNone(trials[KEY].net_state_dict)

    def test_closed_with_the_last_reference(self) -> None:
        api = opened()
        handle = weakref.ref(next(iter(api._sources.values())).handle)
        api.get_more_info(11, "cifar10")
        del api
        gc.collect()
        self.assertIsNone(handle())


if __name__ == "__main__":
    unittest.main()
