"""ArchResults, ResultsCount, the base of both APIs and files, as in nats_bench.api_utils."""

from __future__ import annotations

import abc
import bz2
import copy
import os
import pickle
import time
import warnings
from collections import OrderedDict
from typing import Any, Dict, List, Optional, Tuple

from .. import _api, _results
from .._lazy import Architectures, Source

PICKLE_EXT = "pickle.pbz2"

_file_system = ["default"]  # the name that reset_file_system set


def mean(xlist: Any) -> Any:
    """Returns the mean of a list."""
    return _results.mean(xlist)


def time_string() -> str:
    """Returns the time in brackets, in UTC."""
    return time.strftime("[%Y-%m-%d %X]", time.gmtime())


def reset_file_system(lib: str = "default") -> None:
    """Chooses where files are: ``default``, or ``google`` for those that tensorflow opens."""
    _file_system[0] = lib


def get_file_system() -> str:
    """Returns where files are."""
    return _file_system[0]


def get_torch_home() -> str:
    """Returns ``$TORCH_HOME``, by default ``$HOME/.torch``.

    Raises:
        ValueError: if neither is set.
    """
    if "TORCH_HOME" in os.environ:
        return os.environ["TORCH_HOME"]
    if "HOME" not in os.environ:
        raise ValueError("neither TORCH_HOME nor HOME is set; set TORCH_HOME to the directory of the benchmark")
    return os.path.join(os.environ["HOME"], ".torch")


def _remote() -> Any:
    """Returns tensorflow's file module, None for the file system of this machine."""
    if _file_system[0] == "default":
        return None
    if _file_system[0] != "google":
        raise ValueError(f"no file system {_file_system[0]!r}; there are default and google")
    import tensorflow

    return tensorflow.io.gfile


def nats_is_dir(file_path: Any) -> bool:
    """Returns whether a path is a directory."""
    remote = _remote()
    return bool(os.path.isdir(file_path) if remote is None else remote.isdir(file_path))


def nats_is_file(file_path: Any) -> bool:
    """Returns whether a path is a file."""
    remote = _remote()
    if remote is None:
        return os.path.isfile(file_path)
    return remote.exists(file_path) and not remote.isdir(file_path)


def pickle_save(obj: Any, file_path: Any, ext: str = ".pbz2", protocol: int = 4) -> None:
    """Writes a bzip2 file with the pickle of an object, under a path to which it adds an extension."""
    if _file_system[0] != "default":
        raise ValueError(f"cannot write to the file system {_file_system[0]!r}, only to default")
    with bz2.BZ2File(str(file_path) + ext, "wb") as file:
        pickle.dump(obj, file, protocol=protocol)


def pickle_load(file_path: Any, ext: str = ".pbz2") -> Any:
    """Returns the object in a file of pickle_save, with the extension added unless the path is a file."""
    path = str(file_path)
    if not nats_is_file(path):
        path += ext
    remote = _remote()
    if remote is None:
        with bz2.BZ2File(path, "rb") as file:
            return pickle.load(file)
    return pickle.loads(bz2.decompress(remote.GFile(file_path, mode="rb").read()))


def remap_dataset_set_names(dataset: Any, metric_on_set: Any, verbose: bool = False) -> Tuple[Any, Any]:
    """Returns the dataset key and the evaluation set that a dataset's ``valid`` or ``test`` stands for."""
    return _api.internal_names(dataset, metric_on_set, verbose)


class ResultsCount(_results.Trial):
    """What one trial measured."""

    def judge_valid(self, iepoch: Any) -> None:
        """Raises ValueError if the trial has no such epoch."""
        if iepoch < 0 or iepoch >= self.epochs:
            raise ValueError(f"no epoch {iepoch}; there are {self.epochs}")

    def _check_epoch(self, epoch: Any) -> None:
        self.judge_valid(epoch)

    def _check_time(self, key: str) -> None:
        if key not in self.eval_times:
            raise ValueError(f"no evaluation {key}; there are the sets {self.eval_names}")

    @staticmethod
    def create_from_state_dict(state_dict: Dict[str, Any]) -> ResultsCount:
        """Returns a trial with the attributes of a state dict."""
        return _results.restored(ResultsCount, state_dict)  # type: ignore[no-any-return]


class ArchResults(_results.Results):
    """The trials of an architecture with one schedule."""

    @staticmethod
    def _trial_class() -> Any:
        return ResultsCount

    def _agreed(self, dataset: Any, values: List[Any]) -> List[Any]:
        """Returns the value of seed 888 where the seeds differ: published files have wrong ones of the others."""
        if len(set(f"{value:.5f}" for value in values)) > 1:
            return [values[self.dataset_seed[dataset].index(888)]]
        return values

    @staticmethod
    def create_from_state_dict(state_dict_or_file: Any) -> ArchResults:
        """Returns results from a state dict, or from a file of pickle_save with one."""
        return _results.loaded(ArchResults, state_dict_or_file, pickle_load)  # type: ignore[no-any-return]


class NASBenchMetaAPI(_api.Benchmark, metaclass=abc.ABCMeta):
    """The base of NATStopology and NATSsize."""

    _search_space_name: str
    _all_base_names: List[str]
    _full_train_epochs: int

    @abc.abstractmethod
    def __init__(self, file_path_or_dict: Any = None, fast_mode: bool = False, verbose: bool = True) -> None:
        """Opens a benchmark."""

    def _start(self, content: Any, fast_mode: bool, verbose: bool) -> None:
        """Does what the constructors of both search spaces do."""
        self.filename = None
        self._fast_mode = fast_mode
        self._archive_dir: Any = None
        self.reset_time()
        if content is None:
            base = os.path.join(get_torch_home(), self._all_base_names[-1])
            if fast_mode:
                self._archive_dir = base + "-simple"
            else:
                content = f"{base}.{PICKLE_EXT}"
            print(
                f"{self._stamp()}Try to use the default NATS-Bench ({self._search_space_name}) path from "
                f"fast_mode={fast_mode} and path={content}."
            )
        if isinstance(content, str):
            if verbose:
                print(
                    f"{self._stamp()}Try to create the NATS-Bench ({self._search_space_name}) api "
                    f"from {content} with fast_mode={fast_mode}"
                )
            if not nats_is_file(content) and not nats_is_dir(content):
                raise ValueError(f"{content}: no such file or directory; name a benchmark")
            self.filename = os.path.basename(content)
        self.verbose = verbose
        if isinstance(content, dict):
            self._take(copy.deepcopy(content))
        elif isinstance(content, str) and not fast_mode:
            self._open_path(content)
        elif isinstance(content, str) or self._archive_dir is not None:
            self._archive_dir = self._archive_dir or content
            self._open_fast()
        else:
            raise ValueError(f"a benchmark is a path or a dict, not a {type(content).__name__}")
        self._number()
        counts = len(self.evaluated_indexes), len(self.meta_archs)
        self._say("Create NATS-Bench ({}) done with {}/{} architectures avaliable.", self._search_space_name, *counts)

    def _architectures(self, source: Optional[Source]) -> Architectures:
        return Architectures(ArchResults, ResultsCount.create_from_state_dict, source)

    def _source(self, path: str) -> Optional[Source]:
        return super()._source(path) if _file_system[0] == "default" else None

    def _open_path(self, path: str) -> None:
        source = self._source(path)
        if nats_is_dir(path) and (source is None or source.handle.format == "nats"):
            raise ValueError(f"{path} is a directory; name a file, or set fast_mode")
        if source is None:
            self._take(pickle_load(path))
            return
        self._use(source)
        self.evaluated_indexes = set(self.arch2infos_dict)

    def _open_fast(self) -> None:
        """Opens a directory without its architectures."""
        source = self._source(self._archive_dir)
        if nats_is_file(self._archive_dir) and (source is None or source.handle.format == "nats"):
            raise ValueError(f"{self._archive_dir} is a file; with fast_mode name a directory")
        if source is not None:
            self.meta_archs = source.handle.strings()
        else:
            self.meta_archs = pickle_load(f"{self._archive_dir}/meta.{PICKLE_EXT}")["meta_archs"]
        self.arch2infos_dict = self._architectures(None)
        self._avaliable_hps = set()
        self.evaluated_indexes = set()

    def _take(self, content: Dict[str, Any]) -> None:
        """Takes a benchmark from a dict."""
        for key in ("meta_archs", "arch2infos", "evaluated_indexes"):
            if key not in content:
                raise ValueError(f"the dict has no {key!r}")
        self.meta_archs = content["meta_archs"]
        self.arch2infos_dict = self._architectures(None)
        self._avaliable_hps = set()
        for index, record in sorted(content["arch2infos"].items()):
            self._put(index, record)
        self.evaluated_indexes = set(content["evaluated_indexes"])

    def _put(self, index: Any, record: Dict[str, Any]) -> None:
        """Puts in an architecture as a file has it."""
        infos = OrderedDict((hp, ArchResults.create_from_state_dict(state)) for hp, state in record.items())
        self.arch2infos_dict[index] = infos
        if self._avaliable_hps is not None:
            self._avaliable_hps.update(infos)

    def _stamp(self) -> str:
        return time_string() + " "

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.evaluated_indexes)}/{len(self.meta_archs)} architectures, "
            f"fast_mode={self.fast_mode}, file={self.filename})"
        )

    @property
    def search_space_name(self) -> str:
        """``topology`` or ``size``."""
        return self._search_space_name

    @property
    def fast_mode(self) -> bool:
        """Whether architectures are added as they are asked for."""
        return self._fast_mode

    @property
    def archive_dir(self) -> Optional[str]:
        """The directory of fast mode."""
        return self._archive_dir  # type: ignore[no-any-return]

    @property
    def full_train_epochs(self) -> int:
        """The epochs of the longest published schedule."""
        return self._full_train_epochs

    def reset_archive_dir(self, archive_dir: Any) -> None:
        """Sets the directory of fast mode."""
        self._archive_dir = archive_dir

    def reset_fast_mode(self, fast_mode: bool) -> None:
        """Sets whether architectures are added as they are asked for."""
        self._fast_mode = fast_mode

    @abc.abstractmethod
    def get_more_info(self, index: Any, dataset: Any, iepoch: Any = None, hp: Any = "12", is_random: Any = True) -> Dict[str, Any]:
        """Returns losses, accuracies (percent) and times (seconds) of an architecture on a dataset.

        Args:
            index: the architecture.
            dataset: the dataset key.
            iepoch: the epoch from 0, by default the last.
            hp: the schedule.
            is_random: True for a random seed, False for means over the seeds, or a seed.
        """

    def _comment(self, dataset: Any, hp: Any) -> Dict[str, str]:
        """Returns what get_more_info says about a dataset whose test set was not trained for alone."""
        trained_on = {"cifar10-valid": ("train set", "train set"), "cifar10": ("train+valid sets", "train+valid sets")}
        if dataset not in trained_on:
            return {}
        measured, trained = trained_on[dataset]
        return {
            "comment": f"In this dict, train-loss/accuracy/time is the metric on the {measured} of CIFAR-10. The "
            f"test-loss/accuracy/time is the performance of the CIFAR-10 test set after training on the {trained} by "
            f"{hp} epochs. The per-time and total-time indicate the per epoch and total time costs, respectively."
        }

    def simulate_train_eval(
        self, arch: Any, dataset: Any, iepoch: Any = None, hp: Any = "12", account_time: bool = True
    ) -> Tuple[Any, Any, Any, Any]:
        """Returns what a search sees of a training run: accuracy (percent), latency, seconds, and seconds until now.

        It draws a random seed.
        """
        index = self.query_index_by_arch(arch)
        if dataset not in ("cifar10", "cifar100", "ImageNet16-120"):
            raise ValueError(f"no dataset {dataset!r}; there are cifar10, cifar100 and ImageNet16-120")
        trained_on = "cifar10-valid" if dataset == "cifar10" else dataset
        info = self.get_more_info(index, trained_on, iepoch=iepoch, hp=hp, is_random=True)
        if "valid-accuracy" in info:
            accuracy, evaluated = info["valid-accuracy"], info
        else:  # an epoch without an evaluation on x-valid
            accuracy = info["valtest-accuracy"]
            evaluated = self.get_more_info(index, dataset, iepoch=None, hp=hp, is_random=True)
        seconds = info["train-all-time"] + evaluated["valid-per-time"]
        latency = self.get_latency(index, dataset, hp=hp)
        if account_time:
            self._used_time += seconds
        return accuracy, latency, seconds, self._used_time

    def reload(self, archive_root: Optional[str] = None, index: Optional[int] = None) -> None:
        """Replaces an architecture, by default all, by those of a directory with files NNNNNN.pickle.pbz2.

        Raises:
            ValueError: if it is not a directory, or there is no such architecture.
            AssertionError: if the directory lacks it.
        """
        self._say("Call clear_params with archive_root={} and index={}", archive_root, index)
        if archive_root is None:
            archive_root = os.path.join(os.environ["TORCH_HOME"], f"{self._all_base_names[-1]}-full")
            if not nats_is_dir(archive_root):
                warnings.warn(f"{archive_root} is not a directory; reload reads {self.archive_dir}", stacklevel=2)
                archive_root = self.archive_dir
        if archive_root is None or not (nats_is_dir(archive_root) or self._source(archive_root)):
            raise ValueError(f"{archive_root} is not a directory")
        for each in range(len(self)) if index is None else [index]:
            if not 0 <= each < len(self.meta_archs):
                raise ValueError(f"no architecture {each}; there are {len(self.meta_archs)}")
            self._reload(archive_root, each)

    def _reload(self, root: str, index: Any) -> None:
        names = [f"{index:06d}.{PICKLE_EXT}", f"{index:d}.{PICKLE_EXT}"]
        source = self._source(root)
        if source is not None:
            if index not in source.evaluated:
                raise AssertionError(f"{root} has no architecture {index}")
            self.evaluated_indexes.add(index)
            self._adopt(index, source)
            if self._avaliable_hps is not None:
                self._avaliable_hps.update(self.arch2infos_dict[index])
            return
        paths = [path for path in (os.path.join(root, name) for name in names) if nats_is_file(path)]
        if not paths:
            raise AssertionError(f"{root} has no file {names[0]}")
        record = pickle_load(paths[0])
        if not isinstance(record, dict):
            raise AssertionError(f"{paths[0]} has a {type(record).__name__}; it must have a dict")
        self.evaluated_indexes.add(index)
        self._put(index, record)

    def _prepare_info(self, index: Any) -> None:
        if index in self.arch2infos_dict:
            if index not in self.evaluated_indexes:
                raise ValueError(f"architecture {index} is in arch2infos_dict but not in evaluated_indexes")
            self._say("Call _prepare_info with index={} skip because it is in arch2infos_dict", index)
        elif not self.fast_mode:
            self._say("Call _prepare_info with index={} skip because it is notthe fast mode.", index)
        elif self.archive_dir is not None:
            self.reload(self.archive_dir, index)
        else:
            raise ValueError("the fast mode has no directory; call reset_archive_dir")

    def _clear_params(self, index: Any, hp: Any) -> None:
        if index in self.arch2infos_dict:
            super()._clear_params(index, hp)
        else:
            warnings.warn(f"architecture {index} is not in memory, so it has no weights to clear", stacklevel=2)

    @abc.abstractmethod
    def query_info_str_by_arch(self, arch: Any, hp: Any = "12") -> Optional[str]:
        """Returns lines that describe an architecture."""

    def _say_info_str(self, arch: Any, hp: Any) -> None:
        self._say("Call query_info_str_by_arch with arch={}and hp={}", arch, hp)

    def _not_evaluated(self, index: int) -> None:
        warnings.warn(f"architecture {index} was not evaluated", stacklevel=2)

    def find_best(
        self,
        dataset: Any,
        metric_on_set: Any,
        flop_max: Any = None,
        param_max: Any = None,
        hp: Any = "12",
        enforce_all: Optional[bool] = None,
    ) -> Tuple[int, Any]:
        """Returns the index and mean accuracy (percent) of the best architecture within limits (millions).

        With enforce_all, by default in fast mode, it looks at all architectures, otherwise at evaluated_indexes.
        """
        dataset, metric_on_set = self._say_search(dataset, metric_on_set, hp, flop_max, param_max)
        if enforce_all is None:
            enforce_all = bool(self.fast_mode)
        if enforce_all and not self.fast_mode:
            raise AssertionError("enforce_all needs the fast mode; leave it out")
        indices = list(range(len(self))) if enforce_all else sorted(self.evaluated_indexes)
        best, highest = self._best(indices, dataset, metric_on_set, flop_max, param_max, hp)
        if indices:
            self._say_best(best, highest)
        elif self.verbose:
            print("The evaluated_indexes is empty, please fill it before call find_best.")
        return best, highest

    @abc.abstractmethod
    def show(self, index: int = -1) -> None:
        """Prints lines that describe an architecture."""

    def statistics(self, dataset: Any, hp: Any) -> Dict[int, int]:
        """Returns the number of evaluated architectures by their number of trials on a dataset."""
        return self._statistics(self.evaluated_indexes, dataset, hp)
