"""index.py DIR: write pickles like merged benchmark files into DIR, for the tests of Index.

The committed files were made by CPython 3.11.7, numpy 2.4.6 and torch 2.15.0. The entries share strings, the
type of numpy scalars and a list with one another, with the preamble and with what follows them."""
import collections
import pickle
import sys

import numpy
import torch

directory = sys.argv[1]


def benchmark(entries, ordered=False):
    names = ["cifar10-valid", "cifar100", "ImageNet16-120"]
    archs = ["|nor_conv_%dx%d~0|" % (i, i) for i in range(entries)]
    shared, infos = [1.5, "shared list"], collections.OrderedDict() if ordered else {}
    for i in range(entries):
        trials = {}
        for name in names:
            trials[(name, 777)] = {
                "name": name, "seed": "0777", "params": numpy.float64(i + 0.25), "flop": float(i), "count": numpy.int64(-i),
                "train_acc1es": {epoch: 1.0 / (1 + i + epoch) for epoch in range(3)}, "train_acc5es": None,
                "eval": collections.OrderedDict(("%s@%d" % (s, e), i / 7 + e) for s in ("x-valid", "ori-test") for e in range(2)),
                "latency": [numpy.float64(0.0125), 0.0125], "done": numpy.bool_(i % 2 == 0), "wide": 1 << 40, "huge": -1 << 80,
            }
        infos[3 * i - 1] = {"full": {"arch_index": i, "arch_str": archs[i], "all_results": trials, "shared": shared},
                            "less": (i, trials[("cifar100", 777)], {"set", i}, b"bytes", ())}
    return {"meta_archs": archs, "total_archs": entries, "arch2infos": infos,
            "evaluated_indexes": list(range(entries)), "after": [infos[-1]["less"], shared, collections.OrderedDict(a=names)]}


def plain(name, value, protocol):
    with open("%s/%s-protocol%d.pickle" % (directory, name, protocol), "wb") as f:
        pickle.dump(value, f, protocol)


for protocol in range(6):
    plain("merged", benchmark(5), protocol)
plain("ordered", benchmark(4, ordered=True), 4)
plain("one", benchmark(1), 2)
plain("top", collections.OrderedDict(benchmark(2)), 4)
plain("alone", {"arch2infos": {7: "entry"}}, 2)
plain("empty", {"arch2infos": {}, "after": {8: 9}}, 2)
archs = ["arch%d" % (i % 7) for i in range(2001)]
plain("batches", {"arch2infos": {i: [i, archs[i]] for i in range(2001)}, "archs": archs}, 4)
plain("batches", {"arch2infos": {i: [i, archs[i]] for i in range(1001)}, "archs": archs}, 2)
torch.save(benchmark(3), directory + "/merged-zip.pth")
torch.save(benchmark(3), directory + "/merged-legacy.pth", _use_new_zipfile_serialization=False)
