"""foreign_calls.py KEY CLIENT PATH ARCHIVE [CLIENT PATH ARCHIVE...]: query the clients for a
dataset key that is not one of the benchmark's.

CLIENT is nas_201_api (PATH is a merged file) or nats_bench (PATH is a directory or a
file). ARCHIVE is the archive that reload reads. Architectures 0 and 1 have trials on KEY with
both schedules; schedule '200' has seeds 777 and 888. Prints a JSON list with an object per PATH,
which maps each call to its error, or to null if it answered.
"""
import contextlib
import io
import json
import math
import os
import sys
import warnings

warnings.simplefilter("ignore")


def create(client, path):
    if client == "nas_201_api":
        from nas_201_api import NASBench201API
        return NASBench201API(path, verbose=False)
    import nats_bench
    return nats_bench.create(path, "tss", fast_mode=os.path.isdir(path), verbose=False)


shown = lambda answer: answer is None  # calls that print
percent = lambda v: 0 <= v <= 100
metrics = lambda m: percent(m["accuracy"]) and m["loss"] >= 0 and m["all_time"] > 0
best = lambda b: b[0] in (0, 1, 2) and percent(b[1])
more = lambda m: percent(m["train-accuracy"]) and percent(m["valid-accuracy"]) and percent(m["valtest-accuracy"])


def ask(key, client, path, archive):
    outcome = {}

    def call(name, make, holds=lambda answer: answer is not None):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                answer = make()
                outcome[name] = None if holds(answer) else "answers %.200r" % (answer,)
            return answer
        except Exception as e:
            outcome[name] = "%s: %s" % (type(e).__name__, e)

    api = call("API(path)", lambda: create(client, path))
    genotype = api[0]
    call("len, api[i], repr", lambda: (len(api), api.arch(0), repr(api)), lambda a: a[0] in (2, 3) and a[1] == genotype)
    call("query_index_by_arch", lambda: api.query_index_by_arch(genotype), lambda i: i == 0)
    call("get_more_info", lambda: api.get_more_info(0, key, hp="200"), more)
    call("get_more_info, mean", lambda: api.get_more_info(0, key, hp="200", is_random=False), more)
    call("get_more_info, seed", lambda: api.get_more_info(genotype, key, hp="200", is_random=888), more)
    call("get_more_info, epoch", lambda: api.get_more_info(0, key, iepoch=1, hp="12"), more)
    call("get_more_info(...)['test-accuracy']", lambda: api.get_more_info(0, key, hp="12")["test-accuracy"], percent)
    call("get_cost_info", lambda: api.get_cost_info(0, key, "12"), lambda c: c["flops"] > 0 and c["T-x-valid@total"] > 0)
    call("get_latency", lambda: api.get_latency(0, key, "200"), lambda s: s > 0)
    call("get_net_config", lambda: api.get_net_config(0, key), lambda c: c["num_classes"] == 3 and c["arch_str"] == genotype)
    call("get_net_param", lambda: api.get_net_param(0, key, None, "200"), lambda w: w == {777: None, 888: None})
    call("query_by_index", lambda: api.query_by_index(0, key, "200"), lambda r: sorted(r) == [777, 888])
    call("query_by_index(None)", lambda: api.query_by_index(0, None, "200"), lambda a: key in a.get_dataset_names())
    info = call("query_meta_info_by_index", lambda: api.query_meta_info_by_index(0, "200"))
    call("ArchResults.get_dataset_names", info.get_dataset_names, lambda names: key in names)
    call("ArchResults.get_dataset_seeds", lambda: info.get_dataset_seeds(key), lambda s: s == [777, 888])
    call("ArchResults.get_compute_costs", lambda: info.get_compute_costs(key), lambda c: c["params"] > 0)
    for name in ("train", "ori-test", "x-valid", "valid", "test"):
        call("ArchResults.get_metrics('%s')" % name, lambda: info.get_metrics(key, name), metrics)
    result = info.query(key, 777)
    call("ResultsCount.get_train", result.get_train, metrics)
    call("ResultsCount.get_eval", lambda: result.get_eval("x-valid", 1), metrics)
    call("ResultsCount.get_times", result.get_times, lambda t: t["T-ori-test@total"] > 0)
    call("ResultsCount.get_config", lambda: result.get_config(None), lambda c: c["num_classes"] == 3)
    call("repr(ResultsCount)", lambda: repr(result), lambda s: key in s)
    call("reload", lambda: api.reload(archive, 0), shown)
    call("get_net_param after reload", lambda: api.get_net_param(0, key, 777, "200"), len)
    call("clear_params", lambda: api.clear_params(0), shown)
    call("show", lambda: api.show(0), shown)
    call("query_info_str_by_arch", lambda: api.query_info_str_by_arch(0, "12"), len)
    call("query_by_arch", lambda: api.query_by_arch(genotype, "12"), len)
    api.query_meta_info_by_index(1, "12")  # from a directory, nats_bench loads only the architectures asked for
    for name in ("train", "x-valid", "ori-test", "valid", "test"):
        call("find_best('%s')" % name, lambda: api.find_best(key, name, hp="12"), best)
    call("find_best, limits", lambda: api.find_best(key, "x-valid", math.inf, math.inf, "12"), best)
    call("simulate_train_eval", lambda: api.simulate_train_eval(0, key, hp="12"), lambda a: percent(a[0]))
    call("statistics", lambda: api.statistics(key, "12"), len)
    if "cifar10" in info.get_dataset_names():  # the file also has the benchmark's keys
        call("get_more_info('cifar10')", lambda: api.get_more_info(0, "cifar10", hp="12"), lambda m: percent(m["test-accuracy"]))
        call("simulate_train_eval('cifar10')", lambda: api.simulate_train_eval(0, "cifar10", hp="12"), lambda a: percent(a[0]))
        call("statistics('cifar10')", lambda: api.statistics("cifar10", "12"), lambda n: sum(n.values()) in (2, 3))
        call("find_best('cifar10', 'test')", lambda: api.find_best("cifar10", "test", hp="12"), best)
        call("show of the last", lambda: api.show(len(api) - 1), shown)
    return outcome


arguments = sys.argv[2:]
print(json.dumps([ask(sys.argv[1], *arguments[at:at + 3]) for at in range(0, len(arguments), 3)]))
