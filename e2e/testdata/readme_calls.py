"""readme_calls.py TORCH_HOME NATS...: make every call shown in NAS-Bench-201's README, under its
name there, on files in the places where its API looks for them, and the calls that NATS-Bench
adds. Prints a JSON object that maps each call to its error, or to null if it answered.

The README's indices are replaced by those of the files (0, 1, 2), and epoch 11 by the last epoch
of the short schedule.
"""
import contextlib
import io
import json
import os
import sys
import warnings

os.environ["TORCH_HOME"] = home = sys.argv[1]
warnings.simplefilter("ignore")

import nats_bench
import torch
from nas_201_api import ArchResults, NASBench201API as API, ResultsCount
from nats_bench.genotype_utils import topology_str2structure as str2structure

MERGED = os.path.join(home, "NAS-Bench-201-v1_1-096897.pth")
ARCHIVE = os.path.join(home, "NAS-Bench-201-v1_1-archive")
README_ARCH = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
outcome = {}


def call(name, make, holds=lambda answer: answer is not None):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            answer = make()
            outcome[name] = None if holds(answer) else "answers %.200r" % (answer,)
        return answer
    except Exception as e:
        outcome[name] = "%s: %s" % (type(e).__name__, e)


shown = lambda answer: answer is None  # calls that print
metrics = lambda m: 0 <= m["accuracy"] <= 100 and m["loss"] >= 0
seeds = lambda answer: sorted(answer) == [777, 888]

api = call("API(path)", lambda: API(MERGED))
call("API(path, verbose=False)", lambda: API(MERGED, verbose=False))
call("API(None)", lambda: API(None), lambda a: len(a) == len(api))
call("len(api)", lambda: len(api), lambda n: n == 3)
call("api[i]", lambda: api[1], lambda s: s == README_ARCH)
call("enumerate(api)", lambda: [s for _, s in enumerate(api)], lambda all: len(all) == len(api))
call("api.show(1)", lambda: api.show(1), shown)
call("api.show(2)", lambda: api.show(2), shown)
info = call("api.query_meta_info_by_index", lambda: api.query_meta_info_by_index(1))
call("info.get_metrics", lambda: info.get_metrics("cifar10", "train"), metrics)
call("info.get_compute_costs", lambda: info.get_compute_costs("cifar100"), lambda c: c["flops"] > 0 and c["T-train@total"] > 0)
results = call("api.query_by_index", lambda: api.query_by_index(1, "cifar100", "200"), seeds)
for seed, result in results.items():
    call("result.get_latency", result.get_latency, lambda s: s > 0)
    call("result.get_train()", result.get_train, metrics)
    call("result.get_train(epoch)", lambda: result.get_train(1), metrics)
    call("result.get_eval('x-valid')", lambda: result.get_eval("x-valid"), metrics)
    call("result.get_eval('x-test')", lambda: result.get_eval("x-test"), metrics)
call("api.query_index_by_arch", lambda: api.query_index_by_arch(README_ARCH), lambda i: i == 1)
config = call("api.get_net_config", lambda: api.get_net_config(2, "cifar10"), lambda c: c["arch_str"] == api[2])
call("api.reload", lambda: api.reload(ARCHIVE, 2), shown)
call("api.get_net_param", lambda: api.get_net_param(2, "cifar10", 777, "200"))
call("api.get_net_param(None)", lambda: api.get_net_param(2, "cifar10", None, "200"), lambda w: seeds(w) and all(w.values()))
call("api.get_more_info('cifar10')", lambda: api.get_more_info(1, "cifar10", None, hp="200", is_random=True), lambda m: 0 <= m["test-accuracy"] <= 100)
call("api.get_more_info('ImageNet16-120')", lambda: api.get_more_info(1, "ImageNet16-120", None, hp="200", is_random=True), lambda m: 0 <= m["valid-accuracy"] <= 100)

full = call("torch.load(FULL)", lambda: torch.load(os.path.join(ARCHIVE, "000000-FULL.pth")))
result = call("ResultsCount.create_from_state_dict", lambda: ResultsCount.create_from_state_dict(full["full"]["all_results"][("cifar10-valid", 777)]))
call("print(result)", lambda: str(result))
call("result.get_train of a file", result.get_train, metrics)
call("result.get_train(epoch) of a file", lambda: result.get_train(1), metrics)
call("result.get_eval of a file", lambda: result.get_eval("x-valid"), metrics)
call("result.get_eval(epoch) of a file", lambda: result.get_eval("x-valid", 1), metrics)
call("result.get_latency of a file", result.get_latency, lambda s: s > 0)
call("result.get_net_param", result.get_net_param, len)
call("result.get_config", lambda: result.get_config(str2structure), lambda c: c["genotype"].tostr() == api[0])
for slot in ("less", "full"):
    arch = call("ArchResults.create_from_state_dict('%s')" % slot, lambda: ArchResults.create_from_state_dict(full[slot]))
    call("arch.arch_idx_str", arch.arch_idx_str, lambda s: s == "000000")
    call("arch.get_dataset_names", arch.get_dataset_names, lambda names: len(names) == 4)
    call("arch.get_compute_costs", lambda: arch.get_compute_costs("cifar10-valid"), lambda c: c["params"] > 0)
    call("arch.get_metrics(False)", lambda: arch.get_metrics("cifar10-valid", "x-valid", None, False), metrics)
    call("arch.get_metrics(True)", lambda: arch.get_metrics("cifar10-valid", "x-valid", None, True), metrics)

for path in sys.argv[2:]:
    api = call("nats_bench.create", lambda: nats_bench.create(path, "tss", fast_mode=os.path.isdir(path), verbose=False))
    for index in range(3):
        api.get_more_info(index, "cifar10", hp="12")  # find_best only considers architectures that were loaded
    call("api.find_best", lambda: api.find_best("cifar10", "valid", hp="12"), lambda best: best[0] in range(3) and 0 <= best[1] <= 100)
    call("api.simulate_train_eval", lambda: api.simulate_train_eval(1, "cifar10", hp="12"), lambda a: 0 <= a[0] <= 100 and a[2] > 0)
    call("api.get_cost_info", lambda: api.get_cost_info(1, "cifar10", "12"), lambda c: c["flops"] > 0)
    call("api.query_info_str_by_arch", lambda: api.query_info_str_by_arch(README_ARCH, "12"), len)
    call("api.avaliable_hps", lambda: api.avaliable_hps, lambda hps: sorted(hps) == ["12", "200"])
print(json.dumps(outcome))
