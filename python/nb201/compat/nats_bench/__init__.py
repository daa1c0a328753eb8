"""The interface of nats-bench 1.8 over nb201's readers: ``create(path, "tss", fast_mode=True)``."""

from __future__ import annotations

from typing import Any, Dict, Optional, Union

from .api_size import NATSsize
from .api_topology import NATStopology
from .api_utils import ArchResults, ResultsCount, pickle_load, pickle_save

__all__ = [
    "ArchResults",
    "NATS_BENCH_API_VERSIONs",
    "NATS_BENCH_SSS_NAMEs",
    "NATS_BENCH_TSS_NAMEs",
    "NATSsize",
    "NATStopology",
    "ResultsCount",
    "create",
    "pickle_load",
    "pickle_save",
    "search_space_info",
    "version",
]

NATS_BENCH_API_VERSIONs = ["v1.0", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8"]
NATS_BENCH_SSS_NAMEs = ("sss", "size")
NATS_BENCH_TSS_NAMEs = ("tss", "topology")


def version() -> str:
    """Returns the version of nats-bench whose interface this is."""
    return NATS_BENCH_API_VERSIONs[-1]


def create(
    file_path_or_dict: Any, search_space: Any, fast_mode: bool = False, verbose: bool = True
) -> Union[NATStopology, NATSsize]:
    """Opens a benchmark.

    Args:
        file_path_or_dict: its path, by default one below ``$TORCH_HOME``; or the dict in a merged file.
        search_space: ``tss`` or ``topology``, ``sss`` or ``size``.
        fast_mode: whether evaluated_indexes and arch2infos_dict are empty at first, and grow as architectures
            are asked for.
        verbose: whether calls print a line.

    Raises:
        ValueError: if there is no such search space or benchmark, or a file is damaged.
    """
    if search_space in NATS_BENCH_TSS_NAMEs:
        return NATStopology(file_path_or_dict, fast_mode, verbose)
    if search_space in NATS_BENCH_SSS_NAMEs:
        return NATSsize(file_path_or_dict, fast_mode, verbose)
    raise ValueError(f"no search space {search_space!r}; there are tss and sss")


def search_space_info(main_tag: str, aux_tag: Optional[str]) -> Dict[str, Any]:
    """Returns what makes an architecture of ``nats-bench``'s ``tss`` or ``sss``, or of ``nas-bench-201``, None.

    Raises:
        ValueError: if there is no such search space.
    """
    cells = {
        "op_names": ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"],
        "num_nodes": 4,
    }
    if main_tag == "nas-bench-201" and aux_tag is None:
        return cells
    if main_tag == "nats-bench" and aux_tag in NATS_BENCH_TSS_NAMEs:
        return cells
    if main_tag == "nats-bench" and aux_tag in NATS_BENCH_SSS_NAMEs:
        return {"candidates": list(range(8, 65, 8)), "num_layers": 5}
    raise ValueError(f"no search space {main_tag!r}, {aux_tag!r}; there are nats-bench with tss or sss, and nas-bench-201 with None")
