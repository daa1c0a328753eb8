"""ArchResults, ResultsCount and the base of NASBench201API, as in nas_201_api.api_utils."""

from __future__ import annotations

import abc
from typing import Any, Dict, List, Optional, Tuple

from .. import _api, _results
from .._lazy import Architectures, Source


def _numpy_mean(values: Any) -> Any:
    """Returns numpy's mean, as the original does, or without numpy a float."""
    try:
        import numpy
    except ImportError:
        return float(_results.mean(values))
    return numpy.mean(values)


def _numpy_sum(values: Any) -> Any:
    try:
        import numpy
    except ImportError:
        return float(sum(values))
    return numpy.sum(values)


def _load(path: str) -> Any:
    import torch

    return torch.load(path, map_location="cpu")


def remap_dataset_set_names(dataset: Any, metric_on_set: Any, verbose: bool = False) -> Tuple[Any, Any]:
    """Returns the dataset key and the evaluation set that a dataset's ``valid`` or ``test`` stands for."""
    return _api.internal_names(dataset, metric_on_set, verbose)


class ResultsCount(_results.Trial):
    """What one trial measured."""

    _refusal = AssertionError
    _mean = staticmethod(_numpy_mean)
    _sum = staticmethod(_numpy_sum)

    def _check_epoch(self, epoch: Any) -> None:
        if not 0 <= epoch < self.epochs:
            raise AssertionError(f"no epoch {epoch}; there are {self.epochs}")

    @staticmethod
    def create_from_state_dict(state_dict: Dict[str, Any]) -> ResultsCount:
        """Returns a trial with the attributes of a state dict."""
        return _results.restored(ResultsCount, state_dict)  # type: ignore[no-any-return]


class ArchResults(_results.Results):
    """The trials of an architecture with one schedule."""

    _refusal = AssertionError
    _mean = staticmethod(_numpy_mean)

    @staticmethod
    def _trial_class() -> Any:
        return ResultsCount

    def show(self, is_print: bool = False) -> List[str]:
        """Raises NameError, as the original does, whose api_utils lacks the function that it calls."""
        raise NameError("show does not work in nas-bench-201 2.1 either; call api_201.print_information(results, show=True)")

    @staticmethod
    def create_from_state_dict(state_dict_or_file: Any) -> ArchResults:
        """Returns results from a state dict, or from a torch file with one."""
        return _results.loaded(ArchResults, state_dict_or_file, _load)  # type: ignore[no-any-return]


class NASBenchMetaAPI(_api.Benchmark, metaclass=abc.ABCMeta):
    """The base of NASBench201API."""

    _refusal = AssertionError
    _read_hp = staticmethod(lambda hp: hp)

    @abc.abstractmethod
    def __init__(self, file_path_or_dict: Any = None, verbose: bool = True) -> None:
        """Opens a benchmark."""

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.evaluated_indexes)}/{len(self.meta_archs)} architectures, "
            f"file={self.filename})"
        )

    def simulate_train_eval(self, arch: Any, dataset: Any, hp: Any = "12", account_time: bool = True) -> Tuple[Any, Any, Any, Any]:
        """Returns what a search sees of a training run: accuracy (percent), latency, seconds, and seconds until now.

        It draws a random seed.
        """
        index = self.query_index_by_arch(arch)
        if dataset not in ("cifar10", "cifar100", "ImageNet16-120"):
            raise AssertionError(f"no dataset {dataset!r}; there are cifar10, cifar100 and ImageNet16-120")
        trained_on = "cifar10-valid" if dataset == "cifar10" else dataset
        info = self.get_more_info(index, trained_on, iepoch=None, hp=hp, is_random=True)  # type: ignore[attr-defined]
        accuracy, seconds = info["valid-accuracy"], info["train-all-time"] + info["valid-per-time"]
        latency = self.get_latency(index, dataset)  # with the default schedule, as in the original
        if account_time:
            self._used_time += seconds
        return accuracy, latency, seconds, self._used_time

    @abc.abstractmethod
    def reload(self, archive_root: Optional[str] = None, index: Optional[int] = None) -> None:
        """Replaces an architecture by that of an archive."""

    @abc.abstractmethod
    def query_info_str_by_arch(self, arch: Any, hp: Any = "12") -> Optional[str]:
        """Returns lines that describe an architecture."""

    def _not_evaluated(self, index: int) -> None:
        print(f"Find this arch-index : {index}, but this arch is not evaluated.")

    def _no_info_str(self, index: Any, hp: Any) -> Exception:
        return NameError(str(self._unknown_hp(index, hp)))  # as in the original, by a wrong name in it

    def _not_held(self, index: Any) -> Exception:
        return NameError(str(super()._not_held(index)))  # likewise

    def _architectures(self, source: Optional[Source]) -> Architectures:
        return Architectures(ArchResults, ResultsCount.create_from_state_dict, source)

    def find_best(
        self, dataset: Any, metric_on_set: Any, FLOP_max: Any = None, Param_max: Any = None, hp: Any = "12"
    ) -> Tuple[int, Any]:
        """Returns the index and mean accuracy (percent) of the best architecture within limits (millions)."""
        dataset, metric_on_set = self._say_search(dataset, metric_on_set, hp, FLOP_max, Param_max)
        best, highest = self._best(self.evaluated_indexes, dataset, metric_on_set, FLOP_max, Param_max, hp)
        self._say_best(best, highest)
        return best, highest

    @abc.abstractmethod
    def show(self, index: int = -1) -> None:
        """Prints lines that describe an architecture."""

    def statistics(self, dataset: Any, hp: Any) -> Dict[int, int]:
        """Returns the number of architectures by their number of trials on a dataset."""
        return self._statistics(range(len(self)), dataset, hp)
