"""The interface of nas-bench-201 2.1 over nb201's readers: ``NASBench201API(path)``."""

from __future__ import annotations

from .api_201 import NASBench201API
from .api_utils import ArchResults, ResultsCount

__all__ = ["ArchResults", "NASBench201API", "NAS_BENCH_201_API_VERSION", "ResultsCount", "test_api"]

NAS_BENCH_201_API_VERSION = "v2.0"  # as the original calls it


def test_api(path: str) -> None:
    """Prints the answers to typical questions about a complete benchmark."""
    api = NASBench201API(path)
    for i in range(len(api)):
        print(f"{i:5d}/{len(api):5d} : {api[i]}")
    for index in (1, 2, 11, 301):
        print(f"\n--- index={index} ---")
        api.show(index)
        info = api.query_meta_info_by_index(index)
        info.get_metrics("cifar10", "train")
        info.get_compute_costs("cifar100")
        trials = api.query_by_index(index, "cifar100")
        print(f"There are {len(trials)} trials for this architecture [{api[1]}] on cifar100")
        for trial in trials.values():
            print(f"Latency : {trial.get_latency()}")
            print(f"Train Info : {trial.get_train()}")
            print(f"Valid Info : {trial.get_eval('x-valid')}")
            print(f"Test  Info : {trial.get_eval('x-test')}")
            print(f"Train Info [10-th epoch] : {trial.get_train(10)}")
        print(f"config={api.get_net_config(index, 'cifar10')}")
    api.show(
        api.query_index_by_arch(
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
        )
    )
    print("TEST NAS-BENCH-201 DONE.")
