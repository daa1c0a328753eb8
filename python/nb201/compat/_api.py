"""What both clients' NASBenchMetaAPI have in common.

The order of checks, printed lines and draws from the random module is that of the originals, of which
a few raise what looks like an oversight; a comment says where.
"""

from __future__ import annotations

import copy
import random
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple, Type

import nb201

from ._lazy import Architectures, Source, Trials

_DATASETS = ["cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"]


def internal_names(dataset: Any, metric_on_set: Any, verbose: bool = False) -> Tuple[Any, Any]:
    """Returns the dataset key and the evaluation set that a dataset's ``valid`` or ``test`` stands for."""
    if verbose:
        print(
            f"Call internal function _remap_dataset_set_names with dataset={dataset} and metric_on_set={metric_on_set}"
        )
    if dataset == "cifar10":
        if metric_on_set == "valid":
            dataset, metric_on_set = "cifar10-valid", "x-valid"
        elif metric_on_set == "test":
            metric_on_set = "ori-test"
    elif dataset in ("cifar100", "ImageNet16-120") and metric_on_set in ("valid", "test"):
        metric_on_set = "x-" + metric_on_set
    if verbose:
        print(f"  return dataset={dataset} and metric_on_set={metric_on_set}")
    return dataset, metric_on_set


def describe(results: Any, extra: Any, show: bool, separator: str, tested: bool) -> List[str]:
    """Returns the lines that describe an architecture's results with one schedule.

    Args:
        separator: what is between a loss and an accuracy.
        tested: whether the line of cifar10-valid has the test set.
    """

    def measures(dataset: str, shown: Iterable[Tuple[str, str]]) -> str:
        parts = []
        for title, name in shown:
            found = results.get_metrics(dataset, name)
            parts.append(f"{title} : [loss = {found['loss']:.3f}{separator}top1 = {found['accuracy']:.2f}%]")
        return ", ".join(parts)

    names = results.get_dataset_names()
    lines = [results.arch_str, f"datasets : {names}, extra-info : {extra}"]
    for name in names:
        costs = results.get_compute_costs(name)
        latency = costs["latency"]
        milliseconds = None if latency is None or not latency > 0 else f"{latency * 1000:.2f}"
        if name == "cifar10-valid":
            shown = [("train", "train"), ("valid", "x-valid")] + ([("test", "ori-test")] if tested else [])
        elif name == "cifar10":
            shown = [("train", "train"), ("test ", "ori-test")]
        else:
            shown = [("train", "train"), ("valid", "x-valid"), ("test", "x-test")]
        lines.append(
            f"{name:14s} FLOP={costs['flops']:6.2f} M, Params={costs['params']:.3f} MB, latency={milliseconds} ms."
        )
        lines.append(f"{name:14s} {measures(name, shown)}")
    if show:
        print("\n".join(lines))
    return lines


class Benchmark:
    """The base of both clients' NASBenchMetaAPI. Subclasses set the attributes.

    Attributes: meta_archs (strings of architectures), arch2infos_dict (results by index and schedule),
    evaluated_indexes, archstr2index, filename (None without a file) and verbose (whether calls print a line).
    """

    meta_archs: List[str]
    arch2infos_dict: Architectures
    evaluated_indexes: Any
    archstr2index: Dict[str, int]
    filename: Optional[str]
    verbose: bool
    _avaliable_hps: Optional[Set[str]]  # None: not counted yet
    _used_time: Any
    _refusal: Type[Exception] = ValueError  # of an index out of range
    _read_hp: Callable[[Any], Any] = str  # what the client makes of a schedule before it looks for it

    def _stamp(self) -> str:
        """Returns what precedes most printed lines."""
        return ""

    def _say(self, line: str, *values: Any, stamped: bool = True) -> None:
        """Prints a line with values in braces if verbose."""
        if self.verbose:
            print((self._stamp() if stamped else "") + line.format(*values))

    def _prepare_info(self, index: Any) -> None:
        """Loads an architecture of which arch2infos_dict knows nothing yet, in fast mode."""

    def _source(self, path: str) -> Optional[Source]:
        """Returns the benchmark at a path, None if nb201 does not know what it is.

        Raises:
            nb201.DamagedError: if it is damaged.
        """
        sources: Dict[str, Source] = vars(self).setdefault("_sources", {})
        if path not in sources:
            try:
                sources[path] = Source(path)
            except nb201.DamagedError:
                raise
            except nb201.UsageError:
                return None
        return sources[path]

    def _use(self, source: Source) -> None:
        """Makes an open benchmark the one that is asked."""
        self.meta_archs = source.handle.strings()
        self.arch2infos_dict = self._architectures(source)
        self._avaliable_hps = None

    def _adopt(self, index: int, source: Source) -> None:
        """Replaces an architecture by that of another benchmark."""
        infos = self.arch2infos_dict
        lazy = infos if isinstance(infos, Architectures) else self._architectures(None)
        lazy.adopt(index, source)
        if lazy is not infos:  # a program replaced it by another dict
            infos[index] = lazy[index]

    def __getstate__(self) -> Dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_sources"}

    def _architectures(self, source: Optional[Source]) -> Architectures:
        """Returns the architectures of an open benchmark, None for an empty dict."""
        raise NotImplementedError

    def _number(self) -> None:
        """Sets archstr2index.

        Raises:
            the client's exception if a string occurs twice.
        """
        self.archstr2index = {}
        for index, text in enumerate(self.meta_archs):
            before = self.archstr2index.setdefault(text, index)
            if before != index:
                raise self._refusal(f"meta_archs has {text!r} twice, at {before} and {index}")

    def __getitem__(self, index: int) -> str:
        return copy.deepcopy(self.meta_archs[index])

    def __len__(self) -> int:
        return len(self.meta_archs)

    def arch(self, index: int) -> str:
        """Returns the string of an architecture."""
        self._say("Call the arch function with index={}", index, stamped=False)
        if not 0 <= index < len(self.meta_archs):
            raise self._refusal(f"no architecture {index}; there are {len(self.meta_archs)}")
        return self[index]

    @property
    def avaliable_hps(self) -> List[str]:
        """The schedules."""
        if self._avaliable_hps is None:
            self._avaliable_hps = set()
            for index in self._read_ahead(list(self.arch2infos_dict), lambda infos: True):
                self._avaliable_hps.update(self.arch2infos_dict[index])
        return list(copy.deepcopy(self._avaliable_hps))

    @property
    def used_time(self) -> Any:
        """The seconds that simulate_train_eval counted."""
        return self._used_time

    def reset_time(self) -> None:
        """Sets the clock of simulate_train_eval to 0."""
        self._used_time = 0

    def random(self) -> int:
        """Returns the index of a random architecture."""
        return random.randint(0, len(self.meta_archs) - 1)

    def query_index_by_arch(self, arch: Any) -> int:
        """Returns the index of an architecture: an index, a string or an object whose ``tostr`` returns that.

        It is -1 for an unknown one.

        Raises:
            ValueError: if an index is out of range.
        """
        self._say("Call query_index_by_arch with arch={}", arch)
        if isinstance(arch, int):
            if not 0 <= arch < len(self):
                raise ValueError(f"no architecture {arch}; there are {len(self)}")
            return arch
        if not isinstance(arch, str):
            if not hasattr(arch, "tostr"):
                return -1
            arch = arch.tostr()
        return self.archstr2index.get(arch, -1)

    def query_by_arch(self, arch: Any, hp: Any) -> Optional[str]:
        """Does what query_info_str_by_arch does."""
        return self.query_info_str_by_arch(arch, hp)

    def query_info_str_by_arch(self, arch: Any, hp: Any = "12") -> Optional[str]:
        raise NotImplementedError

    def _info_str(self, arch: Any, hp: Any, print_information: Callable[..., List[str]]) -> Optional[str]:
        index = self.query_index_by_arch(arch)
        self._prepare_info(index)
        if index not in self.arch2infos_dict:
            self._not_evaluated(index)
            return None
        if hp not in self.arch2infos_dict[index]:
            raise self._no_info_str(index, hp)
        return "\n".join(print_information(self.arch2infos_dict[index][hp], f"arch-index={index}"))

    def _no_info_str(self, index: Any, hp: Any) -> Exception:
        return self._unknown_hp(index, hp)

    def _not_evaluated(self, index: int) -> None:
        raise NotImplementedError

    def _unknown_hp(self, index: Any, hp: Any) -> Exception:
        return ValueError(f"architecture {index} has no schedule {hp}, it has {list(self.arch2infos_dict[index])}")

    def clear_params(self, index: Any, hp: Any = None) -> None:
        """Forgets the weights of an architecture, by default with every schedule."""
        self._say("Call clear_params with index={} and hp={}", index, hp)
        self._clear_params(index, hp)

    def _clear_params(self, index: Any, hp: Any) -> None:
        infos = self.arch2infos_dict[index]
        if hp is not None and str(hp) not in infos:
            raise self._unknown_hp(index, hp)
        for results in infos.values() if hp is None else [infos[str(hp)]]:
            results.clear_params()

    def _results(self, index: Any, hp: Any) -> Any:
        """Returns the results of an architecture with a schedule, not a copy."""
        hp = self._read_hp(hp)
        self._say("Call query_meta_info_by_index with arch_index={}, hp={}", index, hp, stamped=False)
        self._prepare_info(index)
        if index not in self.arch2infos_dict:
            raise ValueError(f"architecture {index} is not in the benchmark")
        infos = self.arch2infos_dict[index]
        if hp not in infos:
            raise self._unknown_hp(index, hp)
        return infos[hp]

    def query_meta_info_by_index(self, arch_index: Any, hp: Any = "12") -> Any:
        """Returns a copy of an architecture's ArchResults with a schedule."""
        return copy.deepcopy(self._results(arch_index, hp))

    def query_by_index(self, arch_index: Any, dataname: Any = None, hp: Any = "12") -> Any:
        """Returns a copy of the ArchResults or, with a dataset, a dict of copies of its trials by seed."""
        self._say("Call query_by_index with arch_index={}, dataname={}, hp={}", arch_index, dataname, hp)
        info = self.query_meta_info_by_index(arch_index, self._read_hp(hp))
        if dataname is None:
            return info
        if dataname not in info.get_dataset_names():
            raise ValueError(f"no dataset {dataname!r}; there are {info.get_dataset_names()}")
        return info.query(dataname)

    def _best(
        self, indices: Sequence[Any], dataset: Any, metric_on_set: Any, flop_max: Any, param_max: Any, hp: Any
    ) -> Tuple[int, Any]:
        """Returns the index and accuracy of the best architecture, (-1, None) without one."""
        best, highest = -1, None
        for index in self._read_ahead(indices, lambda infos: hp not in infos or not _is_cold(infos[hp])):
            self._prepare_info(index)
            results = self.arch2infos_dict[index][hp]
            costs = results.get_compute_costs(dataset)
            if flop_max is not None and costs["flops"] > flop_max:
                continue
            if param_max is not None and costs["params"] > param_max:
                continue
            accuracy = results.get_metrics(dataset, metric_on_set)["accuracy"]
            if best == -1 or highest < accuracy:
                best, highest = index, accuracy
        return best, highest

    def _say_search(self, dataset: Any, metric_on_set: Any, hp: Any, flop_max: Any, param_max: Any) -> Tuple[Any, Any]:
        line = "Call find_best with dataset={}, metric_on_set={}, hp={} | with #FLOPs < {} and #Params < {}"
        self._say(line, dataset, metric_on_set, hp, flop_max, param_max)
        return internal_names(dataset, metric_on_set, self.verbose)

    def _say_best(self, best: int, highest: Any) -> None:
        if self.verbose:
            print(f"  the best architecture : [{best}] {self.arch(best)} with accuracy={highest:.3f}%")

    def _read_ahead(self, indices: Iterable[Any], known: Callable[[Any], bool]) -> Iterable[Any]:
        infos = self.arch2infos_dict
        return infos.read_ahead(indices, known) if isinstance(infos, Architectures) else indices

    def get_net_param(self, index: Any, dataset: Any, seed: Optional[int], hp: Any = "12") -> Any:
        """Returns the weights of a seed, or for None a dict of those of all seeds."""
        self._say("Call the get_net_param function with index={}, dataset={}, seed={}, hp={}", index, dataset, seed, hp)
        return self.query_meta_info_by_index(index, hp).get_net_param(dataset, seed)

    def get_net_config(self, index: Any, dataset: Any) -> Dict[str, Any]:
        """Returns what makes an architecture's network for a dataset."""
        self._say("Call the get_net_config function with index={}, dataset={}.", index, dataset)
        self._prepare_info(index)
        if index not in self.arch2infos_dict:
            raise self._not_held(index)
        first = next(iter(self.arch2infos_dict[index].values()))
        return next(iter(first._trials(dataset))).get_config(None)  # type: ignore[no-any-return]

    def _not_held(self, index: Any) -> Exception:
        return ValueError(f"architecture {index} is not in the benchmark")

    def get_cost_info(self, index: Any, dataset: Any, hp: Any = "12") -> Dict[str, Any]:
        """Returns FLOPs and parameters (millions), latency and times (seconds) of an architecture."""
        self._say("Call the get_cost_info function with index={}, dataset={}, and hp={}.", index, dataset, hp)
        self._prepare_info(index)
        return self._results(index, hp).get_compute_costs(dataset)  # type: ignore[no-any-return]

    def get_latency(self, index: Any, dataset: Any, hp: Any = "12") -> Any:
        """Returns the latency in seconds, None if none was measured."""
        self._say("Call the get_latency function with index={}, dataset={}, and hp={}.", index, dataset, hp)
        return self.get_cost_info(index, dataset, hp)["latency"]

    def _show(self, index: Any, print_information: Callable[..., List[str]]) -> None:
        if index < 0:
            print(self)
            evaluated = sorted(self.evaluated_indexes)
            for i, each in enumerate(evaluated):
                print(f"\n{'-' * 10} The ({i:5d}/{len(evaluated):5d}) {each:06d}-th architecture! {'-' * 10}")
                print(f"arch : {self.meta_archs[each]}")
                self._show_all(index, print_information)  # the original looks for -1 too, which raises KeyError
        elif index >= len(self.meta_archs):
            print(f"This index ({index}) is out of range (0~{len(self.meta_archs)}).")
        else:
            if index not in self.evaluated_indexes:
                self._prepare_info(index)
            if index not in self.evaluated_indexes:
                print(f"The {index}-th architecture has not been evaluated or not saved.")
            else:
                self._show_all(index, print_information)

    def _show_all(self, index: Any, print_information: Callable[..., List[str]]) -> None:
        for results in self.arch2infos_dict[index].values():
            lines = print_information(results)
            print(f"{'>' * 40} {results.get_total_epoch():03d} epochs {'>' * 40}")
            print("\n".join(lines))
        print(f"{'<' * 40}------------{'<' * 40}")

    def _statistics(self, indices: Iterable[Any], dataset: Any, hp: Any) -> Dict[int, int]:
        """Returns the number of architectures by their number of trials."""
        self._say("Call the statistics function with dataset={} and hp={}.", dataset, hp, stamped=False)
        if dataset not in _DATASETS:
            raise ValueError(f"no dataset {dataset!r}; there are {_DATASETS}")
        counts: Dict[int, int] = {}
        for index in self._read_ahead(indices, lambda infos: True):
            trials = len(self.arch2infos_dict[index][str(hp)].dataset_seed.get(dataset, ()))
            counts[trials] = counts.get(trials, 0) + 1
        return counts

    def _say_more_info(self, index: Any, dataset: Any, iepoch: Any, hp: Any, is_random: Any) -> None:
        line = "Call the get_more_info function with index={}, dataset={}, iepoch={}, hp={}, and is_random={}."
        self._say(line, index, dataset, iepoch, hp, is_random)

    def _more_info(
        self,
        index: Any,
        dataset: Any,
        iepoch: Any,
        hp: Any,
        is_random: Any,
        comment: Callable[[Any, Any], Dict[str, str]],
        timed: bool,
    ) -> Dict[str, Any]:
        """Returns losses, accuracies (percent) and times (seconds) of the training set and the evaluation sets.

        Args:
            comment: returns what else the result has.
            timed: whether a trial without times is an error.
        """
        index = self.query_index_by_arch(index)
        self._prepare_info(index)
        if index not in self.arch2infos_dict:
            raise ValueError(f"architecture {index} is not in the benchmark")
        results = self.arch2infos_dict[index][str(hp)]
        if isinstance(is_random, bool) and is_random:
            is_random = random.choice(results.get_dataset_seeds(dataset))

        def measured(name: str) -> Dict[str, Any]:
            return results.get_metrics(dataset, name, iepoch=iepoch, is_random=is_random)  # type: ignore[no-any-return]

        def measured_if_possible(name: str) -> Optional[Dict[str, Any]]:
            try:
                return measured(name)
            except Exception:  # as the originals do, whatever is wrong
                return None

        info: Dict[str, Any] = {}
        train = measured("train")
        epochs = train["iepoch"] + 1

        def add(prefix: str, found: Optional[Dict[str, Any]]) -> None:
            if found is None:
                return
            seconds = found["all_time"]
            info[prefix + "-loss"] = found["loss"]
            info[prefix + "-accuracy"] = found["accuracy"]
            info[prefix + "-per-time"] = None if seconds is None and not timed else seconds / epochs
            info[prefix + "-all-time"] = seconds

        add("train", train)
        if dataset == "cifar10-valid":
            valid: Optional[Dict[str, Any]] = measured("x-valid")
            test, both = measured_if_possible("ori-test"), None
        else:
            test = measured_if_possible("ori-test" if dataset == "cifar10" else "x-test")
            valid = measured_if_possible("x-valid")
            both = None if dataset == "cifar10" else measured_if_possible("ori-test")
        info.update(comment(dataset, hp))
        add("valid", valid)
        add("test", test)
        add("valtest", both)
        return info


def _is_cold(results: Any) -> bool:
    """Whether the trials of results have to be read before they answer what was not asked before."""
    trials = results.all_results
    return isinstance(trials, Trials) and trials.cold and not trials.answers
