"""NATSsize, as in nats_bench.api_size."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Union

from .. import _api
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

__all__ = [
    "ALL_BASE_NAMES",
    "ArchResults",
    "NASBenchMetaAPI",
    "NATSsize",
    "PICKLE_EXT",
    "get_torch_home",
    "nats_is_dir",
    "nats_is_file",
    "pickle_load",
    "print_information",
    "time_string",
]

ALL_BASE_NAMES = ["NATS-sss-v1_0-50262"]


def print_information(information: Any, extra_info: Any = None, show: bool = False) -> List[str]:
    """Returns the lines that describe an ArchResults, and prints them if show is true."""
    return _api.describe(information, extra_info, show, separator=" & ", tested=True)


class NATSsize(NASBenchMetaAPI):
    """A benchmark of the size search space. See nats_bench.create."""

    _all_base_names = ALL_BASE_NAMES
    _search_space_name = "size"
    _full_train_epochs = 90

    def __init__(
        self, file_path_or_dict: Optional[Union[str, Dict[str, Any]]] = None, fast_mode: bool = False, verbose: bool = True
    ) -> None:
        self._start(file_path_or_dict, fast_mode, verbose)

    @property
    def is_size(self) -> bool:
        """True: this is the size search space."""
        return True

    @property
    def is_topology(self) -> bool:
        """False: this is not the topology search space."""
        return False

    @property
    def full_epochs_in_paper(self) -> int:
        """The epochs of the longest published schedule."""
        return self._full_train_epochs

    def query_info_str_by_arch(self, arch: Any, hp: Any = "12") -> Optional[str]:
        """Returns lines that describe an architecture with a schedule, None if it was not evaluated."""
        self._say_info_str(arch, hp)
        return self._info_str(arch, hp, print_information)

    def get_more_info(self, index: Any, dataset: Any, iepoch: Any = None, hp: Any = "12", is_random: Any = True) -> Dict[str, Any]:
        """Returns losses, accuracies (percent) and times (seconds), as NASBenchMetaAPI says; a trial must have times."""
        self._say_more_info(index, dataset, iepoch, hp, is_random)
        return self._more_info(index, dataset, iepoch, hp, is_random, self._comment, timed=True)

    def show(self, index: int = -1) -> None:
        """Prints lines that describe an architecture."""
        self._show(index, print_information)
