"""size_calls.py SIMPLE [TORCH_HOME]: make every public call of the client of NATS-Bench's size search space on
the directory SIMPLE, which has architectures 0 and 11 of 32,768, and if TORCH_HOME is given on the merged file
and the directory with weights in the places there where the client looks for them. Prints a JSON object that maps
each call to its error, or to null if it answered as it must. A call that must fail answers so.
"""
import contextlib
import io
import json
import math
import os
import sys
import warnings

simple, home = sys.argv[1], (sys.argv[2:] or [None])[0]
if home:
    os.environ["TORCH_HOME"] = home
warnings.simplefilter("ignore")

import nats_bench
from nats_bench import ArchResults, ResultsCount
from nats_bench.api_utils import pickle_load

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
KEYS = ["cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"]
CLASSES = dict(zip(KEYS, (10, 10, 100, 120)))
SETS = {"cifar10-valid": {"ori-test", "x-valid"}, "cifar10": {"ori-test"}, "cifar100": {"ori-test", "x-valid", "x-test"},
        "ImageNet16-120": {"ori-test", "x-valid", "x-test"}}
EPOCHS = {"01": 1, "12": 12, "90": 90}
SEEDS = {"01": [777], "12": [777, 888, 999], "90": [777]}
outcome = {}


def call(name, make, holds=lambda answer: answer is not None):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            answer = make()
            wrong = None if holds(answer) else "answers %.200r" % (answer,)
        answered = answer
    except Exception as e:
        wrong, answered = "%s: %s" % (type(e).__name__, e), None
    outcome[name] = outcome.get(name) or wrong
    return answered


def fails(name, error, make):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            wrong = "answers %.200r" % (make(),)
    except error:
        wrong = None
    except Exception as e:
        wrong = "%s instead of %s" % (type(e).__name__, error.__name__)
    outcome[name] = outcome.get(name) or wrong


def number(x, least=0.0, most=math.inf):
    return isinstance(x, float) and least < x < most


def metrics(epochs):
    return lambda m: set(m) == {"iepoch", "loss", "accuracy", "cur_time", "all_time"} and m["iepoch"] == epochs - 1 and \
        number(m["loss"]) and number(m["accuracy"], -1, 100.1) and number(m["cur_time"]) and \
        abs(m["all_time"] - epochs * m["cur_time"]) < 0.5 * m["all_time"]


def more(dataset):
    kinds = {"cifar10-valid": {"train", "valid", "test"}, "cifar10": {"train", "test"}}.get(dataset, {"train", "valid", "test", "valtest"})
    want = {"%s-%s" % (k, v) for k in kinds for v in ("loss", "accuracy", "per-time", "all-time")} | ({"comment"} if "cifar10" in dataset and dataset != "cifar100" else set())
    return lambda info: set(info) == want and all(number(v, -1) for k, v in info.items() if k != "comment")


def costs(dataset):
    want = {"flops", "params", "latency", "T-train@epoch", "T-train@total"} | {"T-%s@%s" % (s, k) for s in SETS[dataset] for k in ("epoch", "total")}
    return lambda c: set(c) == want and all(number(v) for v in c.values())


def check(where, api, merged):
    def at(name, *args):
        call("%s: %s" % (where, name), *args)

    at("len", lambda: len(api), lambda n: n == 32768)
    at("api[i]", lambda: api[11], lambda s: s == "8:8:8:16:32")
    at("arch", lambda: api.arch(32767), lambda s: s == "64:64:64:64:64")
    at("iteration", lambda: list(enumerate(api)), lambda l: l[284] == (284, "8:8:40:32:40") and len(l) == 32768)
    at("repr", lambda: repr(api), lambda s: s.startswith("NATSsize("))
    at("search_space_name", lambda: api.search_space_name, lambda s: s == "size")
    at("is_size", lambda: (api.is_size, api.is_topology), lambda b: b == (True, False))
    at("epochs", lambda: (api.full_epochs_in_paper, api.full_train_epochs), lambda e: e == (90, 90))
    at("fast_mode", lambda: api.fast_mode, lambda b: b is not merged)
    at("archive_dir", lambda: (api.archive_dir,), lambda d: (d[0] is None) == merged)
    at("random", lambda: api.random(), lambda i: 0 <= i < 32768)
    at("query_index_by_arch", lambda: [api.query_index_by_arch(x) for x in (11, "8:8:8:16:32", "64:64:64:64:64", "8:8", "8:8:8:16:33", None)],
       lambda l: l == [11, 11, 32767, -1, -1, -1])
    for arch, text in (0, "8:8:8:8:8"), (11, "8:8:8:16:32"):
        at("show", lambda: api.show(arch), lambda answer: answer is None)
        for hp, epochs in EPOCHS.items():
            last = epochs - 1
            at("query_by_arch", lambda: api.query_by_arch(text, hp), lambda s: s.split("\n")[0] == text and "test : [" in s)
            at("query_info_str_by_arch", lambda: api.query_info_str_by_arch(arch, hp), lambda s: "arch-index=%d" % arch in s)
            at("query_meta_info_by_index", lambda: api.query_meta_info_by_index(arch, hp), lambda r: r.arch_str == text and r.arch_index == arch)
            at("query_by_index", lambda: api.query_by_index(arch, None, hp), lambda r: r.get_dataset_names() == KEYS)
            info = api.query_meta_info_by_index(arch, hp)
            at("dataset_seed", lambda: [info.get_dataset_seeds(d) for d in KEYS], lambda s: s == [SEEDS[hp]] * 4)
            at("clear_net_done", lambda: info.clear_net_done, lambda b: b is (hp == "01" or "full" not in where))
            at("ArchResults.show", lambda: (info.get_total_epoch(), info.arch_idx_str(), repr(info)), lambda s: s[:2] == (epochs, "%06d" % arch))
            for dataset in KEYS:
                at("statistics", lambda: api.statistics(dataset, hp), lambda s: s == {len(SEEDS[hp]): 2} or not merged)
                for pick in (True, False, 777):
                    at("get_more_info", lambda: api.get_more_info(text if pick is True else arch, dataset, None, hp, pick), more(dataset))
                    at("get_more_info at an epoch", lambda: api.get_more_info(arch, dataset, last, hp, pick), more(dataset))
                if hp != "01":
                    at("get_more_info with an int", lambda: api.get_more_info(arch, dataset, hp=int(hp)), more(dataset))
                at("get_cost_info", lambda: api.get_cost_info(arch, dataset, hp), costs(dataset))
                at("get_latency", lambda: api.get_latency(arch, dataset, hp), number)
                at("get_net_config", lambda: api.get_net_config(arch, dataset),
                   lambda c: c == {"name": "infer.shape.tiny", "channels": text, "genotype": CELL, "num_classes": CLASSES[dataset]})
                at("get_compute_costs", lambda: info.get_compute_costs(dataset), costs(dataset))
                at("ArchResults.get_latency", lambda: info.get_latency(dataset), number)
                for s in SETS[dataset] | {"train"}:
                    at("get_metrics", lambda: info.get_metrics(dataset, s), metrics(epochs))
                for seed, result in api.query_by_index(arch, dataset, hp).items():
                    at("ResultsCount", lambda: result.seed, lambda s: s == "%04d" % seed)
                    at("repr(result)", lambda: repr(result), lambda s: "arch=%s" % text in s)
                    at("get_train", lambda: result.get_train(), metrics(epochs))
                    at("get_train of an epoch", lambda: result.get_train(0), metrics(1))
                    at("get_eval", lambda: [result.get_eval(s) for s in SETS[dataset]], lambda l: all(map(metrics(epochs), l)))
                    at("get_eval of every epoch", lambda: [result.get_eval(s, e) for s in SETS[dataset] for e in range(epochs)], lambda l: len(l) == epochs * len(SETS[dataset]))
                    at("get_eval_set", lambda: set(result.get_eval_set()), lambda s: s == SETS[dataset])
                    at("get_times", lambda: result.get_times(), lambda t: all(map(number, t.values())))
                    at("result.get_latency", lambda: result.get_latency(), number)
                    at("get_total_epoch", lambda: result.get_total_epoch(), lambda n: n == epochs)
                    at("get_config", lambda: result.get_config(len), lambda c: c["genotype"] == len(CELL) and c["channels"] == text)
                    at("train_acc5es", lambda: result.train_acc5es, lambda d: sorted(d) == list(range(epochs)))
                    at("train_times", lambda: type(result.train_times).__name__, lambda n: n == "OrderedDict")
                    at("eval_times", lambda: type(result.eval_times).__name__, lambda n: n == "dict")
                    at("create_from_state_dict", lambda: ResultsCount.create_from_state_dict(result.state_dict()).get_train(), metrics(epochs))
                weights = lambda w: set(w) == set(SEEDS[hp]) and all((x is not None) == ("full" in where and hp != "01") for x in w.values())
                at("get_net_param(None)", lambda: api.get_net_param(arch, dataset, None, hp), weights)
            for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
                def simulate():
                    api.reset_time()
                    a = api.simulate_train_eval(arch, dataset, iepoch=None, hp=hp)
                    b = api.simulate_train_eval(text, dataset, iepoch=0, hp=hp)
                    return a + (api.used_time - b[2],)
                at("simulate_train_eval", simulate, lambda s: number(s[0], 0, 100) and number(s[1]) and s[2] == s[3] and abs(s[4] - s[2]) < 1e-6)
        at("create_from_state_dict of an architecture", lambda: ArchResults.create_from_state_dict(info.state_dict()).get_dataset_names(), lambda l: l == KEYS)
    at("debug_test", lambda: info.debug_test(), lambda answer: answer is None)
    at("avaliable_hps", lambda: sorted(api.avaliable_hps), lambda l: l == ["01", "12", "90"])
    for hp in EPOCHS:
        for s in ("valid", "test", "train"):
            at("find_best", lambda: api.find_best("cifar10", s, None, None, hp, enforce_all=False), lambda b: b[0] in (0, 11) and number(b[1]))
        at("find_best within limits", lambda: api.find_best("cifar100", "valid", 5, None, hp, enforce_all=False), lambda b: b[0] == 0)
        at("find_best within limits", lambda: api.find_best("cifar100", "valid", None, 0.02, hp, enforce_all=False), lambda b: b[0] == 0)
    wrong = lambda name, error, make: fails("%s: %s" % (where, name), error, make)
    wrong("hp 1 in get_more_info", KeyError, lambda: api.get_more_info(0, "cifar10", hp=1))
    wrong("hp 1 in get_cost_info", ValueError, lambda: api.get_cost_info(0, "cifar10", hp=1))
    wrong("hp 12 in find_best", KeyError, lambda: api.find_best("cifar10", "valid", hp=12, enforce_all=False))
    wrong("hp 12 in query_info_str_by_arch", ValueError, lambda: api.query_info_str_by_arch(0, 12))
    wrong("hp 200", KeyError, lambda: api.get_more_info(0, "cifar10", hp="200"))
    wrong("show(-1)", KeyError, lambda: api.show(-1))
    wrong("arch(-1)", ValueError, lambda: api.arch(-1))
    wrong("index 32768", ValueError, lambda: api.query_index_by_arch(32768))
    wrong("another seed", ValueError, lambda: api.get_more_info(0, "cifar10", None, "12", 12345))
    wrong("another dataset", Exception, lambda: api.get_more_info(0, "svhn", None, "12", False))
    wrong("an architecture without trials", Exception, lambda: api.get_more_info(5, "cifar10", None, "12", False))
    wrong("an epoch too many", Exception, lambda: api.get_more_info(0, "cifar10", 12, "12", False))
    wrong("get_unique_str", AttributeError, lambda: api.get_unique_str(0))
    if not merged:
        wrong("find_best of a part", AssertionError, lambda: api.find_best("cifar10", "valid"))
    at("clear_params", lambda: api.clear_params(11, "90"), lambda answer: answer is None)
    at("clear_params of all", lambda: api.clear_params(11), lambda answer: answer is None)


check("simple", nats_bench.create(simple, "sss", fast_mode=True, verbose=False), False)
call("create(size)", lambda: nats_bench.create(simple, "size", fast_mode=True, verbose=True), lambda api: api.is_size)
call("search_space_info", lambda: nats_bench.search_space_info("nats-bench", "size"), lambda s: s == {"candidates": list(range(8, 65, 8)), "num_layers": 5})
if home:
    from xautodl.config_utils import dict2config
    from xautodl.models import CellStructure, get_cell_based_tiny_net

    api = call("create(None) merged", lambda: nats_bench.create(None, "sss", fast_mode=False, verbose=False), lambda api: len(api) == 32768)
    check("merged", api, True)
    api = call("create(None) simple", lambda: nats_bench.create(None, "sss", fast_mode=True, verbose=False), lambda api: len(api) == 32768)
    for root in (None, os.path.join(home, "NATS-sss-v1_0-50262-full")):
        call("reload", lambda: api.reload(root, 11), lambda answer: answer is None)
        for hp in ("12", "90"):
            for dataset in KEYS:
                for seed in SEEDS[hp]:
                    def load():
                        config = api.get_net_config(11, dataset)
                        config["genotype"] = CellStructure.str2structure(config["genotype"])
                        net = get_cell_based_tiny_net(dict2config(config, None))
                        return net.load_state_dict(api.get_net_param(11, dataset, seed, hp), strict=True)
                    call("weights in the original's network", load, lambda loaded: not loaded.missing_keys and not loaded.unexpected_keys)
    check("full", nats_bench.create(os.path.join(home, "NATS-sss-v1_0-50262-full"), "sss", fast_mode=True, verbose=False), False)
    record = call("file", lambda: pickle_load(os.path.join(home, "NATS-sss-v1_0-50262-full", "000011.pickle.pbz2")), lambda d: type(d).__name__ == "OrderedDict" and list(d) == ["01", "12", "90"])
print(json.dumps(outcome))
