"""ask.py MERGED ARCHIVE: query the client nas-bench-201 for everything in an export.

Prints one JSON document: {"archs": [strings of meta_archs],
"trials": {"HP/ARCH/DATASET/SEED": {"train": {...}, "eval": {SET: {...}}, "costs": {...}, ...}}},
with values per epoch as ResultsCount returns them. If xautodl is installed, the archive's
weights are loaded into the original's TinyNetwork.
"""
import json
import os
import sys

import torch
from nas_201_api import ArchResults, NASBench201API, ResultsCount

try:
    from xautodl.models.cell_infers.tiny_network import TinyNetwork
    from xautodl.models.cell_searchs.genotypes import Structure
except ImportError:
    TinyNetwork = None


def curve(get, epochs):
    infos = [get(epoch) for epoch in epochs]
    return {key: [info[key] for info in infos] for key in ("loss", "accuracy", "cur_time")}


def trial(result, arch, dataset, seed):
    assert type(result) is ResultsCount
    epochs = range(result.get_total_epoch())
    config = result.get_config(None)
    return {
        "name": result.name,
        "seed": result.seed,
        "train": curve(result.get_train, epochs),
        "train_top5": [result.train_acc5es[epoch] for epoch in epochs],
        "eval": {name: curve(lambda epoch: result.get_eval(name, epoch),
                             [epoch for epoch in epochs if "%s@%d" % (name, epoch) in result.eval_acc1es])
                 for name in result.get_eval_set()},
        "flop": result.flop,
        "params": result.params,
        "latency": result.latency,
        "config": config,
    }


def ask(results):
    """All trials of an ArchResults, by DATASET/SEED."""
    found = {}
    for dataset in results.get_dataset_names():
        for seed, result in results.query(dataset).items():
            found["%s/%d" % (dataset, seed)] = trial(result, results.arch_index, dataset, seed)
            last = result.get_total_epoch() - 1
            assert results.get_metrics(dataset, "train", None, seed)["accuracy"] == result.get_train(last)["accuracy"]
    return found


merged, archive = sys.argv[1:]
api = NASBench201API(merged, verbose=False)
answer = {"archs": [api[i] for i in range(len(api))], "trials": {}, "archive": {}, "weights": 0}
for index in api.evaluated_indexes:
    assert api.query_index_by_arch(api[index]) == index
    for hp in ("12", "200"):
        results = api.query_meta_info_by_index(index, hp)
        for name, found in ask(results).items():
            answer["trials"]["%s/%d/%s" % (hp, index, name)] = found
    for kind in ("FULL", "SIMPLE"):
        data = torch.load(os.path.join(archive, "%06d-%s.pth" % (index, kind)), map_location="cpu")
        for hp, slot in (("12", "less"), ("200", "full")):
            results = ArchResults.create_from_state_dict(data[slot])
            assert results.clear_net_done == (kind == "SIMPLE") and results.arch_idx_str() == "%06d" % index
            for name, found in ask(results).items():
                answer["archive"]["%s/%s/%d/%s" % (kind, hp, index, name)] = found
    api.reload(archive, index)
    names = set(api.query_meta_info_by_index(index).get_dataset_names())
    if names <= {"cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"}:
        api.show(index)
    for hp in ("12", "200"):
        results = api.query_meta_info_by_index(index, hp)
        for dataset in results.get_dataset_names():
            for seed, weights in results.get_net_param(dataset).items():
                if weights is None:
                    continue
                answer["weights"] += 1
                if TinyNetwork is not None:
                    config = api.query_by_index(index, dataset, hp)[seed].get_config(Structure.str2structure)
                    net = TinyNetwork(config["C"], config["N"], config["genotype"], config["num_classes"])
                    assert list(net.state_dict()) == list(weights)
                    assert str(net.load_state_dict(weights)) == "<All keys matched successfully>"
                    assert all(torch.equal(a, weights[name]) for name, a in net.state_dict().items())
with open(sys.argv[1] + ".json", "w") as f:
    json.dump(answer, f)
