"""recipe_calls.py NATS RUNS NASBENCH201 RECIPE: ask the Python clients for a trial of a user's own recipe.

Prints JSON: by client, what architecture 0 on digits with seed 1 and RECIPE reached. In NASBENCH201 and RUNS the
recipe fills the slot '200'."""
import glob
import json
import os
import sys

import torch
from nas_201_api import NASBench201API, ResultsCount
from nats_bench import create

nats, runs, merged, recipe = sys.argv[1:]


def answers(result, epochs):
    """What a ResultsCount of either client answers."""
    last = result.get_eval("ori-test")
    try:
        result.get_eval("ori-test", 3)  # the recipe evaluates after epochs 2, 5, 8 and 9
        missing = False
    except (KeyError, ValueError):
        missing = True
    return {
        "Epochs": epochs, "Loss": last["loss"], "Accuracy": last["accuracy"], "Seconds": last["all_time"], "Train": result.get_train()["loss"],
        "Middle": result.get_eval("ori-test", 5)["accuracy"], "Missing": missing,
    }


found = {}
api = create(nats, "tss", fast_mode=True, verbose=False)
info = api.get_more_info(0, "digits", hp=recipe, is_random=1)
results = api.query_by_index(0, "digits", recipe)
assert sorted(api.avaliable_hps) == ["2", recipe], api.avaliable_hps
assert info["train-loss"] == results[1].get_train()["loss"], info
assert json.loads(results[1].nb201_recipe)["name"] == recipe
found["nats_bench"] = answers(results[1], results[1].epochs)

api = NASBench201API(merged, verbose=False)
result = api.query_by_index(0, "digits", "200")[1]
found["nas_201_api"] = answers(result, result.get_total_epoch())

(path,) = [p for p in glob.glob(os.path.join(runs, "*", "arch-000000-seed-0001.pth")) if "LESS" not in p]
run = torch.load(path)["digits"]
assert json.loads(run["config"]["nb201_recipe"])["name"] == recipe
# exps/NAS-Bench-201/statistics.py, create_result_count; update_eval needs every epoch
result = ResultsCount(
    "digits", run["net_state_dict"], run["train_acc1es"], run["train_losses"], run["param"], run["flop"],
    {"channel": run["channel"], "num_cells": run["num_cells"], "arch_str": "", "class_num": 10}, 1, run["total_epoch"], None,
)
result.update_train_info(run["train_acc1es"], run["train_acc5es"], run["train_losses"], run["train_times"])
by_epoch = {name: {int(key.split("@")[1]): value for key, value in run[name].items()} for name in ("valid_acc1es", "valid_losses")}
result.update_OLD_eval("ori-test", by_epoch["valid_acc1es"], by_epoch["valid_losses"])
result.eval_times = run["valid_times"]
found["run"] = answers(result, result.get_total_epoch())
print(json.dumps(found))
