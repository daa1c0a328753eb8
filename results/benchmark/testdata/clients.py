"""clients.py CLIENT PATH INDEX,... OUT [SET...]: ask a published client every question that has a
counterpart in package results, and write the answers to OUT as one JSON document.

CLIENT is nasbench201 (PATH: a merged .pth), nats or size (PATH: a directory or a merged file
of NATS-Bench's topology or size search space), or NASBench201API given a dict: records (of a NATS directory PATH) or archive (of the
files without weights of an archive PATH, from which those with weights are reloaded).
SET names further evaluation sets to ask for. The answers are a dict from a question, as in "metrics/12/0/cifar10/train/11/mean", to
the answer; "error" where the client raises, None where it has nothing.
"""
import bz2
import contextlib
import hashlib
import io
import json
import os
import pickle
import random
import sys
import warnings

import nats_bench
import nats_bench.api_size
import torch
from nas_201_api import NASBench201API
from nas_201_api.api_201 import print_information

client, path, indices, out, *further = sys.argv[1:]
indices = [int(i) for i in indices.split(",")]
size = client == "size"
nats = size or client == "nats"
hps = ("01", "12", "90") if size else ("12", "200")
if nats:
    api = nats_bench.create(path, "sss" if size else "tss", fast_mode=os.path.isdir(path), verbose=False)
    if size:
        print_information = nats_bench.api_size.print_information
elif client == "nasbench201":
    api = NASBench201API(path, verbose=False)
elif client == "archive":
    files = {i: torch.load(os.path.join(path, "%06d-SIMPLE.pth" % i)) for i in indices}
    api = NASBench201API({"meta_archs": [files[i]["less"]["arch_str"] for i in indices], "evaluated_indexes": indices,
                          "arch2infos": files}, verbose=False)
    for i in indices:
        api.reload(path, i)
else:
    load = lambda name: pickle.load(bz2.BZ2File(os.path.join(path, name + ".pickle.pbz2")))
    records = {i: load("%06d" % i) for i in indices}
    api = NASBench201API({"meta_archs": load("meta")["meta_archs"], "evaluated_indexes": indices, "arch2infos": {
        i: {"less": r["12"], "full": r["200"]} for i, r in records.items()}}, verbose=False)

answers = {}


def ask(key, question):
    try:
        answer = question()
    except Exception:
        answer = "error"
    answers["/".join(map(str, key))] = answer
    return answer


def metrics(info):
    return [info[key] for key in ("iepoch", "loss", "accuracy", "cur_time", "all_time")]


def times(info):
    """What is told of times: {set: [T-SET@epoch, T-SET@total]}, without the None."""
    sets = [key[2:-6] for key, value in info.items() if key.endswith("@epoch") and value is not None]
    return {s: [info["T-%s@epoch" % s], info["T-%s@total" % s]] for s in sets}


def costs(info):
    return [info["flops"], info["params"], info["latency"], times(info)]


def more(info):
    kinds = [key[:-5] for key in info if key.endswith("-loss")]
    return {kind: [info["%s-%s" % (kind, key)] for key in ("loss", "accuracy", "per-time", "all-time")] for kind in kinds}


def config(c):
    if size:
        return [c["name"], c["channels"], c["genotype"], c["num_classes"]]
    return [c["name"], c["C"], c["N"], c["arch_str"], c["num_classes"]]


def tensors(weights):
    """The shape and the SHA-256 of the elements of every tensor."""
    return weights and [[name, list(t.shape), hashlib.sha256(t.numpy().tobytes()).hexdigest()] for name, t in weights.items()]


def printed(question):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        question()
    return text.getvalue().replace(" & top1", ", top1")  # as nas_201_api words it


def simulate(index, dataset, epoch, hp, seed):
    """What simulate_train_eval answers when it happens to pick a seed."""
    choice, random.choice = random.choice, lambda seeds: seeds[seeds.index(seed)]
    try:
        if nats:
            answer = api.simulate_train_eval(index, dataset, iepoch=epoch, hp=hp)
            return [answer[0], answer[2], answer[1]]
        answer = api.simulate_train_eval(index, dataset, hp=hp)
        return [answer[0], answer[2], api.get_latency(index, dataset, hp)]
    finally:
        random.choice = choice


SETS = ("train", "valid", "x-valid", "x-test", "ori-test", "no-such-set", *further)
PUBLISHED = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")

warnings.simplefilter("ignore")
ask(("len",), lambda: len(api))
for index in (0, 1, len(api) - 1, len(api), -1):
    ask(("arch", index), lambda: api.arch(index))
for index in indices:
    genotype = api[index]
    ask(("index", genotype), lambda: api.query_index_by_arch(genotype))
    ask(("show", index), lambda: printed(lambda: api.show(index)))
    for dataset in PUBLISHED + ("no-such-dataset",):
        ask(("config", index, dataset), lambda: config(api.get_net_config(index, dataset)))
    for hp in hps + ("no-such-hp",):
        results = ask(("results", hp, index), lambda: repr(api.query_meta_info_by_index(index, hp)).rsplit(", clear", 1)[0] + ")")
        if results == "error":
            continue
        results = api.query_meta_info_by_index(index, hp)
        ask(("names", hp, index), results.get_dataset_names)
        ask(("file name", hp, index), results.arch_idx_str)
        ask(("epochs", hp, index), results.get_total_epoch)
        ask(("information", hp, index), lambda: "\n".join(print_information(results)).replace(" & top1", ", top1"))
        for arch in (index, genotype):
            ask(("text", hp, arch), lambda: api.query_by_arch(arch, hp).replace(" & top1", ", top1"))
        for dataset in PUBLISHED + ("no-such-dataset",):
            key = (hp, index, dataset)
            seeds = ask(("seeds",) + key, lambda: results.get_dataset_seeds(dataset))
            ask(("costs",) + key, lambda: costs(results.get_compute_costs(dataset)))
            ask(("cost info",) + key, lambda: costs(api.get_cost_info(index, dataset, hp)))
            ask(("latency",) + key, lambda: api.get_latency(index, dataset, hp))
            ask(("mean latency",) + key, lambda: results.get_latency(dataset))
            ask(("epochs",) + key, lambda: results.get_total_epoch(dataset))
            ask(("weights",) + key, lambda: {seed: w is not None for seed, w in api.get_net_param(index, dataset, None, hp).items()})
            ask(("weights",) + key + (12345,), lambda: api.get_net_param(index, dataset, 12345, hp))
            ask(("trials",) + key, lambda: sorted(api.query_by_index(index, dataset, hp)))
            picks = [False, 12345] + (seeds if seeds != "error" else [])
            epochs = [None, 0, 1, 2, 11, 12, 88, 89, 90] if size else [None, 0, 1, 2, 11, 100, 198, 199, 200]
            for pick in picks:
                for epoch in epochs:
                    at = ("last" if epoch is None else epoch, pick or "mean")
                    for s in SETS:
                        ask(("metrics",) + key + (s,) + at, lambda: metrics(results.get_metrics(dataset, s, epoch, pick)))
                    ask(("more",) + key + at, lambda: more(api.get_more_info(index, dataset, epoch, hp, pick)))
            if seeds == "error":
                continue
            for seed in seeds:
                trial = results.query(dataset, seed)
                at = key + (seed,)
                ask(("trial",) + at, lambda: repr(trial))
                ask(("sets",) + at, lambda: trial.get_eval_set())
                ask(("times",) + at, lambda: times(trial.get_times()))
                ask(("trial latency",) + at, lambda: trial.get_latency() if trial.latency else None)
                ask(("trial config",) + at, lambda: config(trial.get_config(None)))
                ask(("trial epochs",) + at, lambda: trial.get_total_epoch())
                ask(("weights",) + at, lambda: tensors(api.get_net_param(index, dataset, seed, hp)))
                for epoch in epochs:
                    then = at + ("last" if epoch is None else epoch,)
                    ask(("get_train",) + then, lambda: metrics(trial.get_train(epoch)))
                    for s in SETS[1:]:
                        ask(("get_eval",) + then + (s,), lambda: metrics(trial.get_eval(s, epoch)))
                    if dataset != "cifar10" and (epoch is None or nats and epoch in (1, 88, 100)):
                        images = dataset.replace("-valid", "")
                        ask(("simulate",) + key[:2] + (images, seed) + then[-1:], lambda: simulate(index, images, epoch, hp, seed))
if size:
    ask(("hps",), lambda: sorted(api.avaliable_hps))
for hp in hps:
    for dataset in PUBLISHED:
        if nats or len(indices) == len(api):
            ask(("statistics", dataset, hp), lambda: api.statistics(dataset, hp))
        for s in SETS + ("test",):
            for flops, params in ((None, None), (60, None), (None, 0.5), (200, 2))[:4 if s in ("valid", "test") else 1]:
                if nats:
                    best = lambda: api.find_best(dataset, s, flops, params, hp, enforce_all=False)
                else:
                    best = lambda: api.find_best(dataset, s, flops, params, hp)
                ask(("best", dataset, s, flops or 0, params or 0, hp), best)

with open(out, "w") as f:
    json.dump(answers, f)
