"""NATStopology, as in nats_bench.api_topology."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from .. import _api, _cells
from .api_utils import (  # all of which programs may import from here
    PICKLE_EXT,
    ArchResults,
    NASBenchMetaAPI,
    get_torch_home,
    nats_is_dir,
    nats_is_file,
    pickle_load,
    time_string,
)
from .genotype_utils import topology_str2structure

__all__ = [
    "ALL_BASE_NAMES",
    "ArchResults",
    "NASBenchMetaAPI",
    "NATStopology",
    "PICKLE_EXT",
    "get_torch_home",
    "nats_is_dir",
    "nats_is_file",
    "pickle_load",
    "print_information",
    "time_string",
    "topology_str2structure",
]

ALL_BASE_NAMES = ["NATS-tss-v1_0-3ffb9"]


def print_information(information: Any, extra_info: Any = None, show: bool = False) -> List[str]:
    """Returns the lines that describe an ArchResults, and prints them if show is true."""
    return _api.describe(information, extra_info, show, separator=" & ", tested=False)


class NATStopology(NASBenchMetaAPI):
    """A benchmark of the topology search space. See nats_bench.create."""

    _all_base_names = ALL_BASE_NAMES
    _search_space_name = "topology"
    _full_train_epochs = 200

    def __init__(
        self, file_path_or_dict: Optional[Union[str, Dict[str, Any]]] = None, fast_mode: bool = False, verbose: bool = True
    ) -> None:
        self._start(file_path_or_dict, fast_mode, verbose)

    @property
    def is_size(self) -> bool:
        """False: this is not the size search space."""
        return False

    @property
    def is_topology(self) -> bool:
        """True: this is the topology search space."""
        return True

    @property
    def full_epochs_in_paper(self) -> int:
        """The epochs of the longest published schedule."""
        return self._full_train_epochs

    def get_unique_str(self, arch: Any) -> str:
        """Returns a string that isomorphic architectures share."""
        text = self.meta_archs[self.query_index_by_arch(arch)]
        return topology_str2structure(text).to_unique_str(consider_zero=True)

    def query_info_str_by_arch(self, arch: Any, hp: Any = "12") -> Optional[str]:
        """Returns lines that describe an architecture with a schedule, None if it was not evaluated."""
        self._say_info_str(arch, hp)
        return self._info_str(arch, hp, print_information)

    def get_more_info(self, index: Any, dataset: Any, iepoch: Any = None, hp: Any = "12", is_random: Any = True) -> Dict[str, Any]:
        """Returns losses, accuracies (percent) and times (seconds), as NASBenchMetaAPI says."""
        self._say_more_info(index, dataset, iepoch, hp, is_random)
        return self._more_info(index, dataset, iepoch, hp, is_random, self._comment, timed=False)

    def show(self, index: int = -1) -> None:
        """Prints lines that describe an architecture."""
        self._show(index, print_information)

    @staticmethod
    def str2lists(arch_str: str) -> List[Tuple[Tuple[str, int], ...]]:
        """Returns a tuple of (operation, input node) for each node after the first."""
        return _cells.lists(arch_str)

    @staticmethod
    def str2matrix(
        arch_str: str,
        search_space: Sequence[str] = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    ) -> Any:
        """Returns a float64 array [nodes, nodes] with the number of the operation from column to row."""
        return _cells.matrix(arch_str, search_space)
