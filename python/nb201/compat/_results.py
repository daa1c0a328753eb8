"""What both clients' ArchResults and ResultsCount have in common."""

from __future__ import annotations

import copy
import functools
import random
from collections import OrderedDict
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Type

from ._lazy import Trials, Weights


def mean(values: Any) -> Any:
    """Returns the mean as nats-bench computes it, by sum and division."""
    return sum(values) / len(values)


@functools.lru_cache(maxsize=4096)
def _names(evaluation: str, epochs: int) -> Tuple[str, ...]:
    """Returns the keys of an evaluation set's first epochs."""
    return tuple(f"{evaluation}@{epoch}" for epoch in range(epochs))


def _keys(evaluation: Any, epochs: Any) -> Iterable[str]:
    if type(evaluation) is str and type(epochs) is int:
        return _names(evaluation, epochs)
    return (f"{evaluation}@{epoch}" for epoch in range(epochs))


class Trial:
    """The base of both clients' ResultsCount: what one trial measured.

    Its attributes are public and may be assigned. Those named ``train_*`` and ``eval_*`` are dicts by
    epoch, and by ``SET@EPOCH``: losses, top-1 and top-5 accuracies (percent) and times (seconds).
    """

    _refusal: Type[Exception] = ValueError  # of an evaluation set added twice
    _mean: Any = staticmethod(mean)
    _sum: Any = staticmethod(sum)

    def __init__(
        self,
        name: Any,
        state_dict: Any,
        train_accs: Any,
        train_losses: Any,
        params: Any,
        flop: Any,
        arch_config: Any,
        seed: Any,
        epochs: Any,
        latency: Any,
    ) -> None:
        self.name = name
        self.net_state_dict = state_dict
        self.train_acc1es = copy.deepcopy(train_accs)
        self.train_acc5es: Any = None
        self.train_losses = copy.deepcopy(train_losses)
        self.train_times: Any = None
        self.arch_config = copy.deepcopy(arch_config)
        self.params, self.flop, self.seed, self.epochs, self.latency = params, flop, seed, epochs, latency
        self.reset_eval()

    @property
    def net_state_dict(self) -> Any:
        """The weights, read from the file when first asked for, or None."""
        if "net_state_dict" not in vars(self):
            raise AttributeError("the trial has no net_state_dict; it was deleted")
        weights = vars(self)["net_state_dict"]
        if isinstance(weights, Weights):
            weights = vars(self)["net_state_dict"] = weights.load()
        return weights

    @net_state_dict.setter
    def net_state_dict(self, weights: Any) -> None:
        vars(self)["net_state_dict"] = weights

    @net_state_dict.deleter
    def net_state_dict(self) -> None:
        if vars(self).pop("net_state_dict", self) is self:
            raise AttributeError("the trial has no net_state_dict; it was deleted")

    def __getstate__(self) -> Dict[str, Any]:
        return self.state_dict()

    def __deepcopy__(self, memo: Dict[int, Any]) -> Trial:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        vars(made).update(copy.deepcopy(vars(self), memo))
        return made

    def update_train_info(self, train_acc1es: Any, train_acc5es: Any, train_losses: Any, train_times: Any) -> None:
        """Replaces what was measured on the training set."""
        self.train_acc1es, self.train_acc5es = train_acc1es, train_acc5es
        self.train_losses, self.train_times = train_losses, train_times

    def reset_pseudo_train_times(self, estimated_per_epoch_time: float) -> None:
        """Makes every epoch's training take the given time in seconds."""
        self.train_times = OrderedDict.fromkeys(range(self.epochs), estimated_per_epoch_time)

    def reset_pseudo_eval_times(self, eval_name: str, estimated_per_epoch_time: float) -> None:
        """Makes every epoch's evaluation on a set take the given time in seconds.

        Raises:
            ValueError: if the trial was not evaluated on the set.
        """
        if eval_name not in self.eval_names:
            raise ValueError(f"{eval_name!r} is not one of the evaluation sets {self.eval_names}")
        self.eval_times.update(dict.fromkeys(_keys(eval_name, self.epochs), estimated_per_epoch_time))

    def reset_eval(self) -> None:
        """Forgets all evaluations."""
        self.eval_names: List[str] = []
        self.eval_acc1es: Dict[str, float] = {}
        self.eval_times: Dict[str, float] = {}
        self.eval_losses: Dict[str, float] = {}

    def update_latency(self, latency: Any) -> None:
        """Replaces the list of latencies, in seconds."""
        self.latency = copy.deepcopy(latency)

    def get_latency(self) -> float:
        """Returns the mean latency in seconds, -1.0 if none was measured."""
        return -1.0 if self.latency is None else sum(self.latency) / len(self.latency)

    def update_eval(self, accs: Dict[str, float], losses: Dict[str, float], times: Dict[str, float]) -> None:
        """Adds the evaluations of all epochs on further sets, from dicts by ``SET@EPOCH``."""
        for added in set([key.split("@")[0] for key in accs.keys()]):
            self._add(added)
            for key in _keys(added, self.epochs):
                self.eval_acc1es[key] = accs[key]
                self.eval_losses[key] = losses[key]
                self.eval_times[key] = times[key]

    def update_OLD_eval(self, name: str, accs: Dict[int, float], losses: Dict[int, float]) -> None:
        """Adds evaluations of some epochs on a set, without times, from dicts by epoch.

        Raises:
            AssertionError: if the trial has the set.
        """
        if name in self.eval_names:
            raise AssertionError(f"evaluation set {name!r} was added before")
        self.eval_names.append(name)
        for epoch in filter(accs.__contains__, range(self.epochs)):
            key = f"{name}@{epoch}"
            self.eval_acc1es[key] = accs[epoch]
            self.eval_losses[key] = losses[epoch]

    def _add(self, evaluation: str) -> None:
        if evaluation in self.eval_names:
            raise self._refusal(f"evaluation set {evaluation!r} was added before")
        self.eval_names.append(evaluation)

    def __repr__(self) -> str:
        sets = ", ".join(self.eval_names)
        return (
            f"{type(self).__name__}({self.name}, arch={self.arch_config['arch_str']}, FLOP={self.flop:.2f}M, "
            f"Param={self.params:.3f}MB, seed={self.seed}, {len(self.eval_names)} eval-sets: [{sets}])"
        )

    def get_total_epoch(self) -> Any:
        """Returns the number of epochs."""
        return copy.deepcopy(self.epochs)

    def get_times(self) -> Dict[str, Any]:
        """Returns the seconds of training and of each evaluation set, of all epochs (total) and their mean (epoch).

        They are None where an epoch has no time.
        """
        measured = isinstance(self.train_times, dict)
        info = self._time("train", list(self.train_times.values()) if measured else None)
        for evaluation in self.eval_names:
            try:
                info.update(self._time(evaluation, [self.eval_times[key] for key in _keys(evaluation, self.epochs)]))
            except Exception:  # as the original does, whatever is wrong with the times
                info.update(self._time(evaluation, None))
        return info

    def _time(self, name: str, seconds: Optional[List[float]]) -> Dict[str, Any]:
        return {
            f"T-{name}@epoch": None if seconds is None else self._mean(seconds),
            f"T-{name}@total": None if seconds is None else self._sum(seconds),
        }

    def get_eval_set(self) -> List[str]:
        """Returns the names of the evaluation sets."""
        return self.eval_names

    def _check_epoch(self, epoch: Any) -> None:
        raise NotImplementedError

    def _check_time(self, key: str) -> None:
        """Raises the client's exception if an evaluation has no time."""

    def _epoch(self, epoch: Any) -> Any:
        if epoch is None:
            epoch = self.epochs - 1
        self._check_epoch(epoch)
        return epoch

    def get_train(self, iepoch: Any = None) -> Dict[str, Any]:
        """Returns what was measured on the training set at an epoch, by default the last.

        The result has iepoch, loss, accuracy (percent), cur_time (seconds of this epoch) and all_time (seconds
        until its end).
        """
        epoch = self._epoch(iepoch)
        now = total = None
        if self.train_times is not None:
            now = self.train_times[epoch]
            total = sum([self.train_times[i] for i in range(epoch + 1)])
        return _measured(epoch, self.train_losses[epoch], self.train_acc1es[epoch], now, total)

    def get_eval(self, name: Any, iepoch: Any = None) -> Dict[str, Any]:
        """Returns what was measured on an evaluation set at an epoch, as get_train does; ``valid`` is ``x-valid``."""
        epoch = self._epoch(iepoch)
        name = "x-valid" if name == "valid" else name
        key = f"{name}@{epoch}"
        now = total = None
        times = self.eval_times
        if isinstance(times, dict) and len(times) > 0:
            self._check_time(key)
            now = times[key]
            total = sum([times[earlier] for earlier in _keys(name, epoch + 1)])
        return _measured(epoch, self.eval_losses[key], self.eval_acc1es[key], now, total)

    def get_net_param(self, clone: bool = False) -> Any:
        """Returns the weights, or a copy of them."""
        return copy.deepcopy(self.net_state_dict) if clone else self.net_state_dict

    def get_config(self, str2structure: Optional[Callable[[str], Any]]) -> Dict[str, Any]:
        """Returns what makes the network: the cell's string, or what str2structure makes of it."""
        config = self.arch_config
        if "name" in config and config["name"] == "infer.shape.tiny":
            made = {"name": "infer.shape.tiny", "channels": config["channels"]}
            made["genotype"] = config["genotype"] if str2structure is None else str2structure(config["genotype"])
        else:
            made = {"name": "infer.tiny", "C": config["channel"], "N": config["num_cells"]}
            if str2structure is None:
                made["arch_str"] = config["arch_str"]
            else:
                made["genotype"] = str2structure(config["arch_str"])
        made["num_classes"] = config["class_num"]
        return made

    def state_dict(self) -> Dict[str, Any]:
        """Returns the attributes by name, weights included."""
        return {name: self.net_state_dict if name == "net_state_dict" else value for name, value in vars(self).items()}

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Replaces attributes."""
        vars(self).update(state_dict)


def _measured(epoch: Any, loss: Any, accuracy: Any, now: Any, total: Any) -> Dict[str, Any]:
    return {"iepoch": epoch, "loss": loss, "accuracy": accuracy, "cur_time": now, "all_time": total}


def restored(kind: Type[Any], state: Any) -> Any:
    """Returns a trial of a class with the attributes of a state dict."""
    made = kind(*[None] * 10)
    made.load_state_dict(state)
    return made


class Results:
    """The base of both clients' ArchResults: the trials of an architecture with one schedule.

    Attributes: arch_index, arch_str, all_results (trials by dataset and seed), dataset_seed (lists of seeds by
    dataset) and clear_net_done.
    """

    _refusal: Type[Exception] = ValueError  # of a seed added twice, or a value of a wrong type
    _mean: Any = staticmethod(mean)

    def __init__(self, arch_index: Any, arch_str: Any) -> None:
        self.arch_index = int(arch_index)
        self.arch_str = copy.deepcopy(arch_str)
        self.all_results: Dict[Tuple[str, int], Any] = {}
        self.dataset_seed: Dict[str, List[int]] = {}
        self.clear_net_done = False

    def _trials(self, dataset: str) -> List[Any]:
        """Returns the trials on a dataset for use inside of this class, in the order of their seeds."""
        trials = self.all_results
        find = trials.trial if isinstance(trials, Trials) else trials.__getitem__
        return [find((dataset, seed)) for seed in self.dataset_seed[dataset]]

    def _answer(self, question: Tuple[Any, ...], find: Callable[[], Any]) -> Any:
        """Returns what find returns, from memory if no trial can have changed since the same question.

        The first part of a question is a dataset.
        """
        trials = self.all_results
        if not isinstance(trials, Trials) or not trials.settled:
            return find()
        asked = (question, tuple(self.dataset_seed[question[0]]))
        answer = trials.answers.get(asked)
        if answer is None:
            answer = find()
            trials.remember(asked, answer)
        return answer

    def get_compute_costs(self, dataset: Any) -> Dict[str, Any]:
        """Returns means over the seeds: flops (millions), params (millions), latency and times (seconds)."""
        return dict(self._answer((dataset, "costs"), lambda: self._costs(dataset)))

    def _costs(self, dataset: Any) -> Dict[str, Any]:
        trials = self._trials(dataset)
        flops = self._agreed(dataset, [trial.flop for trial in trials])
        params = self._agreed(dataset, [trial.params for trial in trials])
        latencies = [latency for latency in [trial.get_latency() for trial in trials] if latency > 0]
        times: Dict[str, List[Any]] = {}
        for trial in trials:
            for name, seconds in trial.get_times().items():
                times.setdefault(name, []).append(seconds)
        info = {
            "flops": self._mean(flops),
            "params": self._mean(params),
            "latency": self._mean(latencies) if latencies else None,
        }
        info.update((name, self._mean_or_none(seconds)) for name, seconds in times.items())
        return info

    def _agreed(self, dataset: Any, values: List[Any]) -> List[Any]:
        """Returns those of the seeds' values that count."""
        return values

    def _mean_or_none(self, values: Sequence[Any]) -> Any:
        return None if values[0] is None else self._mean(values)

    def get_metrics(self, dataset: Any, setname: Any, iepoch: Any = None, is_random: Any = False) -> Dict[str, Any]:
        """Returns what the trials on a dataset measured on a set at an epoch, as get_train and get_eval of a trial do.

        Args:
            dataset: the dataset key.
            setname: ``train`` or an evaluation set.
            iepoch: the epoch from 0, by default the last.
            is_random: False for means over the seeds, True for a random seed, or a seed.

        Raises:
            ValueError: if there is no such seed.
            KeyError: if the dataset or, in nas_201_api, the set is unknown.
        """
        plain = type(dataset) is type(setname) is str and (iepoch is None or type(iepoch) is int)
        rows = self._rows(dataset, setname, iepoch, plain)
        if isinstance(is_random, bool):
            if is_random:
                return dict(rows[random.randint(0, len(rows) - 1)])
            if plain:
                return dict(self._answer((dataset, setname, iepoch, "mean"), lambda: self._means(rows)))
            return self._means(rows)
        if not isinstance(is_random, int):
            raise ValueError(f"is_random is {is_random!r}; write True, False or a seed")
        seeds = self.dataset_seed[dataset]
        if is_random not in seeds:
            raise ValueError(f"{dataset} has no seed {is_random}, it has {seeds}")
        return dict(rows[seeds.index(is_random)])

    def _rows(self, dataset: Any, setname: Any, epoch: Any, plain: bool) -> List[Dict[str, Any]]:
        """Returns what each seed measured."""

        def find() -> List[Dict[str, Any]]:
            trials = self._trials(dataset)
            return [t.get_train(epoch) if setname == "train" else t.get_eval(setname, epoch) for t in trials]

        return self._answer((dataset, setname, epoch), find) if plain else find()

    def _means(self, rows: List[Dict[str, Any]]) -> Dict[str, Any]:
        return {name: self._mean_or_none([row[name] for row in rows]) for name in (rows[0] if rows else ())}

    def get_dataset_names(self) -> List[str]:
        """Returns the dataset keys."""
        return list(self.dataset_seed.keys())

    def get_dataset_seeds(self, dataset: Any) -> List[int]:
        """Returns the seeds on a dataset."""
        return copy.deepcopy(self.dataset_seed[dataset])

    def get_net_param(self, dataset: Any, seed: Any = None) -> Any:
        """Returns the weights of a seed, or by default a dict of those of all seeds.

        Raises:
            ValueError: if the dataset has no such seed.
        """
        if seed is None:
            return {seed: self.all_results[(dataset, seed)].get_net_param() for seed in self.dataset_seed[dataset]}
        if (dataset, seed) not in self.all_results:
            raise ValueError(f"no trial on {dataset!r} with seed {seed}; there are {list(self.all_results)}")
        return self.all_results[(dataset, seed)].get_net_param()

    def _change(self, dataset: Any, seed: Any, change: Callable[[Any], None]) -> None:
        """Changes the trial of a seed, or those of all seeds of a dataset if it is None."""
        for each in self.dataset_seed[dataset] if seed is None else [seed]:
            change(self.all_results[(dataset, each)])

    def reset_latency(self, dataset: Any, seed: Any, latency: float) -> None:
        """Replaces the latencies, in seconds, of a seed or, if it is None, of all seeds."""
        self._change(dataset, seed, lambda trial: trial.update_latency([latency]))

    def reset_pseudo_train_times(self, dataset: Any, seed: Any, estimated_per_epoch_time: float) -> None:
        """Replaces the training times, in seconds, of a seed or, if it is None, of all seeds."""
        self._change(dataset, seed, lambda trial: trial.reset_pseudo_train_times(estimated_per_epoch_time))

    def reset_pseudo_eval_times(self, dataset: Any, seed: Any, eval_name: str, estimated_per_epoch_time: float) -> None:
        """Replaces the times, in seconds, of an evaluation set of a seed or, if it is None, of all seeds."""
        self._change(dataset, seed, lambda trial: trial.reset_pseudo_eval_times(eval_name, estimated_per_epoch_time))

    def get_latency(self, dataset: Any) -> float:
        """Returns the mean latency over the seeds in seconds.

        Raises:
            ValueError: if a seed has none.
        """
        latencies = [trial.get_latency() for trial in self._trials(dataset)]
        for seed, latency in zip(self.dataset_seed[dataset], latencies):
            if not isinstance(latency, float) or latency <= 0:
                raise ValueError(f"{dataset} with seed {seed} has the latency {latency}; it must be above 0")
        return sum(latencies) / len(latencies)  # type: ignore[no-any-return]

    def get_total_epoch(self, dataset: Any = None) -> Any:
        """Returns the number of epochs.

        Raises:
            ValueError: if the trials differ in it, or dataset is not a string.
        """
        if dataset is not None and not isinstance(dataset, str):
            raise ValueError(f"the dataset is {dataset!r}; write a string")
        datasets = list(self.dataset_seed) if dataset is None else [dataset]
        epochs = [trial.get_total_epoch() for each in datasets for trial in self._trials(each)]
        if len(set(epochs)) > 1:
            raise ValueError(f"the trials have different numbers of epochs: {epochs}")
        return epochs[-1]

    def query(self, dataset: Any, seed: Any = None) -> Any:
        """Returns the trial of a seed, or by default a dict of those of all seeds."""
        if seed is None:
            return {seed: self.all_results[(dataset, seed)] for seed in self.dataset_seed[dataset]}
        return self.all_results[(dataset, seed)]

    def arch_idx_str(self) -> str:
        """Returns the architecture's index with six digits."""
        return f"{self.arch_index:06d}"

    def update(self, dataset_name: Any, seed: Any, result: Any) -> None:
        """Adds a trial."""
        seeds = self.dataset_seed.setdefault(dataset_name, [])
        if seed in seeds:
            raise self._refusal(f"architecture {self.arch_index} has seed {seed} on {dataset_name} already")
        seeds.append(seed)
        self.dataset_seed[dataset_name] = sorted(seeds)
        if (dataset_name, seed) in self.all_results:
            raise AssertionError(f"architecture {self.arch_index} has a trial on {dataset_name} with seed {seed} already")
        self.all_results[(dataset_name, seed)] = result
        self.clear_net_done = False

    def _states(self, trials: Any, kind: Type[Any], convert: Callable[[Any], Any]) -> Dict[Any, Any]:
        """Converts the values of all_results, which must be a dict of a kind."""
        if not isinstance(trials, dict):
            raise self._refusal(f"all_results is a {type(trials).__name__}; it must be a dict")
        made = {}
        for key, trial in trials.items():
            if not isinstance(trial, kind):
                raise self._refusal(f"all_results[{key}] is a {type(trial).__name__}; it must be a {kind.__name__}")
            made[key] = convert(trial)
        return made

    def state_dict(self) -> Dict[str, Any]:
        """Returns the attributes by name, with state dicts as trials."""
        return {
            name: self._states(value, self._trial_class(), lambda trial: trial.state_dict()) if name == "all_results" else value
            for name, value in vars(self).items()
        }

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Replaces attributes, with state dicts as trials."""
        make = self._trial_class().create_from_state_dict
        vars(self).update(
            {name: self._states(value, object, make) if name == "all_results" else value for name, value in state_dict.items()}
        )

    @staticmethod
    def _trial_class() -> Any:
        """Returns the client's ResultsCount."""
        raise NotImplementedError

    def clear_params(self) -> None:
        """Forgets all weights."""
        for trial in self.all_results.values():
            del trial.net_state_dict
            trial.net_state_dict = None
        self.clear_net_done = True

    def debug_test(self) -> None:
        """Prints latencies and times of all trials on the benchmark's datasets."""
        for dataset in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"):
            print(f"---->>>> {dataset}")
            print(f"The latency on {dataset} is {self.get_latency(dataset)} s")
            for trial in self._trials(dataset):
                print(f"  ==>> result = {trial}")
                print(f"  ==>> cost = {trial.get_times()}")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(arch-index={self.arch_index}, arch={self.arch_str}, "
            f"{len(self.all_results)} runs, clear={self.clear_net_done})"
        )


def loaded(kind: Type[Any], state: Any, read: Callable[[str], Any]) -> Any:
    """Returns results of a class from a state dict, or from a file with one."""
    made = kind(-1, -1)
    if isinstance(state, str):
        state = read(state)
    elif not isinstance(state, dict):
        raise ValueError(f"create_from_state_dict takes a dict or the path of a file, not a {type(state).__name__}")
    made.load_state_dict(state)
    return made
