"""Times questions to a benchmark of full size: ask.py CLIENT PATH QUESTIONS prints a JSON object of seconds.

CLIENT is open (nb201.open), nas_201_api or nats_bench (the original packages), or compat.nas_201_api or
compat.nats_bench (those of nb201). It opens PATH, asks QUESTIONS random questions, asks one of them again many times,
finds the best architecture, and reads all curves; "peak" is the peak memory after each step, in MB.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import sys
import time
from typing import Any, Callable, Dict

DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")


def main() -> None:
    client, path, questions = sys.argv[1], sys.argv[2], int(sys.argv[3])
    steps = set(sys.argv[4].split(",")) if len(sys.argv) > 4 else {"random", "again", "best", "scan"}
    choose = random.Random(201)
    seconds: Dict[str, float] = {}
    peak: Dict[str, float] = {}

    def time_step(name: str, step: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = step()
        seconds[name] = time.perf_counter() - began
        peak[name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        return result

    if client == "open":
        import nb201

        b = time_step("open", lambda: nb201.open(path))
        ask: Callable[[int, str, str], Any] = lambda arch, dataset, schedule: b.trials(arch, dataset, schedule)
        best: Callable[[], Any] = lambda: b.best("cifar100", "x-test", "200")["architecture"]
        scan: Callable[[], Any] = lambda: sum(float(c["loss"][-1]) for a in b for c in a.curves())
        count = len(b)
    else:
        module: Any = importlib.import_module(("nb201." if client.startswith("compat.") else "") + client)
        if client.endswith("nas_201_api"):
            api = time_step("open", lambda: module.NASBench201API(path, verbose=False))
        else:
            api = time_step("open", lambda: module.create(path, "tss", os.path.isdir(path), False))
        ask = lambda arch, dataset, schedule: api.get_more_info(arch, dataset, None, schedule, False)
        best = lambda: api.find_best("cifar100", "x-test", hp="200")
        count = len(api)

        def scan() -> float:
            total = 0.0
            for arch in range(count):
                for hp in ("12", "200"):
                    for dataset in DATASETS:
                        for result in api.query_by_index(arch, dataset, hp).values():
                            total += result.get_train()["loss"]
            return total

    asked = [(choose.randrange(count), choose.choice(DATASETS), choose.choice(("12", "200"))) for _ in range(questions)]
    if "random" in steps:
        time_step("random", lambda: [ask(*q) for q in asked])
    if "again" in steps:
        ask(*asked[-1])
        time_step("again", lambda: [ask(*asked[-1]) for _ in range(1000)])
    if "best" in steps:
        time_step("best", best)
    if "scan" in steps:
        time_step("scan", scan)
    print(json.dumps({"client": client, "questions": questions, "architectures": count, "seconds": seconds, "peak": peak}))


main()
