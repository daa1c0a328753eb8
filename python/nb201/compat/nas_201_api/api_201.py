"""NASBench201API, as in nas_201_api.api_201."""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

from .. import _api, _cells
from .api_utils import ArchResults, NASBenchMetaAPI, _load, remap_dataset_set_names

__all__ = [
    "ALL_ARCHIVE_DIRS",
    "ALL_BENCHMARK_FILES",
    "ArchResults",
    "NASBench201API",
    "NASBenchMetaAPI",
    "print_information",
    "remap_dataset_set_names",
]

ALL_BENCHMARK_FILES = ["NAS-Bench-201-v1_0-e61699.pth", "NAS-Bench-201-v1_1-096897.pth"]
ALL_ARCHIVE_DIRS = ["NAS-Bench-201-v1_1-archive"]


def print_information(information: Any, extra_info: Any = None, show: bool = False) -> List[str]:
    """Returns the lines that describe an ArchResults, and prints them if show is true."""
    return _api.describe(information, extra_info, show, separator=", ", tested=False)


def _both(record: Dict[str, Any]) -> OrderedDict[str, Any]:
    """Returns the results of an architecture by schedule, from the two slots of a file."""
    return OrderedDict(
        (hp, ArchResults.create_from_state_dict(record[slot])) for hp, slot in (("12", "less"), ("200", "full"))
    )


class NASBench201API(NASBenchMetaAPI):
    """A benchmark of the topology search space.

    Args:
        file_path_or_dict: the path of a benchmark, by default ``$TORCH_HOME/NAS-Bench-201-v1_1-096897.pth``;
            or the dict in such a file.
        verbose: whether calls print a line.

    Raises:
        AssertionError: if the path is not a benchmark, or the dict lacks a key.
        ValueError: if it is neither path nor dict, or a file is damaged.
        KeyError: if TORCH_HOME is needed and not set.
    """

    def __init__(self, file_path_or_dict: Optional[Union[str, Dict[str, Any]]] = None, verbose: bool = True) -> None:
        self.filename = None
        self.reset_time()
        if file_path_or_dict is None:
            file_path_or_dict = os.path.join(os.environ["TORCH_HOME"], ALL_BENCHMARK_FILES[-1])
            print(f"Try to use the default NAS-Bench-201 path from {file_path_or_dict}.")
        if isinstance(file_path_or_dict, (str, Path)):
            path = str(file_path_or_dict)
            if verbose:
                print(f"try to create the NAS-Bench-201 api from {path}")
            self._open_path(path)
            self.filename = Path(path).name
        elif isinstance(file_path_or_dict, dict):
            self._take(copy.deepcopy(file_path_or_dict))
        else:
            raise ValueError(f"NASBench201API takes a path or a dict, not a {type(file_path_or_dict).__name__}")
        self.verbose = verbose
        self._number()

    def _open_path(self, path: str) -> None:
        if not os.path.exists(path):
            raise AssertionError(f"{path}: no such file or directory; name a benchmark")
        source = self._source(path)
        if os.path.isdir(path) and (source is None or source.handle.format in ("nats", "archive", "runs")):
            raise AssertionError(f"{path} is a directory; name a file")
        if source is not None and source.handle.space != "tss":
            raise AssertionError(f"{path} is of the size search space; open it with nats_bench")
        if source is None:
            self._take(_load(path))
            return
        self._use(source)
        if source.handle.format in ("nasbench201", "archive"):
            self._avaliable_hps = {"12", "200"}
        self.evaluated_indexes = sorted(self.arch2infos_dict)

    def _take(self, content: Any) -> None:
        """Takes a benchmark from a dict."""
        if not isinstance(content, dict):
            raise AssertionError(f"the file has a {type(content).__name__}; it must have a dict")
        for key in ("meta_archs", "arch2infos", "evaluated_indexes"):
            if key not in content:
                raise AssertionError(f"the dict has no {key!r}")
        self.meta_archs = content["meta_archs"]
        self.arch2infos_dict = self._architectures(None)
        for index, record in sorted(content["arch2infos"].items()):
            self.arch2infos_dict[index] = _both(record)
        self.evaluated_indexes = sorted(content["evaluated_indexes"])
        self._avaliable_hps = {"12", "200"}

    def reload(self, archive_root: Optional[str] = None, index: Optional[int] = None) -> None:
        """Replaces an architecture, by default all, by those of an archive with files NNNNNN-FULL.pth.

        Raises:
            AssertionError: if the archive lacks it.
        """
        if archive_root is None:
            archive_root = os.path.join(os.environ["TORCH_HOME"], ALL_ARCHIVE_DIRS[-1])
        if not os.path.isdir(archive_root):
            raise AssertionError(f"{archive_root} is not a directory")
        for each in range(len(self)) if index is None else [index]:
            if not 0 <= each < len(self):
                raise AssertionError(f"no architecture {each}; there are {len(self)}")
            path = os.path.join(archive_root, f"{each:06d}-FULL.pth")
            if not os.path.isfile(path):
                raise AssertionError(f"{path}: no such file")
            source = self._source(archive_root)
            if source is not None and each in source.evaluated:
                self._adopt(each, source)
                continue
            record = _load(path)
            if not isinstance(record, dict) or "full" not in record or "less" not in record:
                raise AssertionError(f"{path}: it must have a dict with full and less")
            self.arch2infos_dict[each] = _both(record)

    def query_info_str_by_arch(self, arch: Any, hp: Any = "12") -> Optional[str]:
        """Returns lines that describe an architecture with a schedule, None if it was not evaluated."""
        self._say("Call query_info_str_by_arch with arch={} and hp={}", arch, hp)
        return self._info_str(arch, hp, print_information)

    def get_more_info(self, index: Any, dataset: Any, iepoch: Any = None, hp: Any = "12", is_random: Any = True) -> Dict[str, Any]:
        """Returns losses, accuracies (percent) and times (seconds) of an architecture on a dataset.

        Args:
            index: the architecture.
            dataset: the dataset key.
            iepoch: the epoch from 0, by default the last.
            hp: the schedule.
            is_random: True for a random seed, False for means over the seeds, or a seed.
        """
        self._say_more_info(index, dataset, iepoch, hp, is_random)
        return self._more_info(index, dataset, iepoch, hp, is_random, lambda dataset, hp: {}, timed=False)

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
        search_space: List[str] = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"],  # noqa: B006
    ) -> Any:
        """Returns a float64 array [nodes, nodes] with the number of the operation from column to row."""
        return _cells.matrix(arch_str, search_space)
