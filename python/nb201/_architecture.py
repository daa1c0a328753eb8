"""The trials of one architecture."""

from __future__ import annotations

import array
import math
import struct
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple

from . import _checks
from ._errors import NoTrialError, NotHeldError

if TYPE_CHECKING:
    from ._library import Handle

# A series as the library sends it: its epochs, the first one or the bytes of int32, and the bytes of float64.
_Series = Optional[Tuple[Any, bytes]]

MEASURES = ("loss", "top1_percent", "top5_percent", "seconds")
"""The measures of a set of images: mean cross entropy, accuracies from 0 to 100, wall time of the pass."""


class Architecture:
    """All trials of an architecture in a benchmark.

    Attributes:
        index: the index in the search space, from 0.
        string: the string of the architecture, a genotype string or widths.
    """

    __slots__ = ("index", "string", "_handle", "_trials")

    def __init__(self, handle: Handle, answer: Tuple[int, str, List[Dict[str, Any]]]) -> None:
        self.index, self.string, self._trials = answer
        self._handle = handle

    def __repr__(self) -> str:
        return f"<nb201.Architecture {self.index} {self.string}, {len(self._trials)} trials>"

    def _select(self, dataset: Optional[str], schedule: Optional[str], seed: Optional[int]) -> List[Dict[str, Any]]:
        given = {"dataset": _checks.text("dataset", dataset), "schedule": _checks.schedule(schedule), "seed": _checks.seed(seed)}
        wanted = {key: value for key, value in given.items() if value not in ("", None)}
        found = [t for t in self._trials if all(t[key] == value for key, value in wanted.items())]
        if not found:
            asked = " and ".join(f"{key} {value}" for key, value in wanted.items())
            held = "; ".join(f"{t['dataset']} {t['schedule']} {t['seed']}" for t in self._trials[:20])
            raise NoTrialError(f"{self._handle.path}: architecture {self.index} has no trial with {asked}; it has (dataset, schedule, seed): {held}")
        return found

    def trials(self, dataset: Optional[str] = None, schedule: Optional[str] = None, seed: Optional[int] = None) -> List[Dict[str, Any]]:
        """Returns the trials with a dataset, schedule and seed; None selects all.

        Each is a dict with architecture, genotype, dataset, schedule, seed, epochs, flops_millions, params_millions,
        latency_seconds_per_batch_of_256 (mean, None if not measured), weights (whether they were kept) and last: the
        measures of each set after the last epoch that has any. Raises NoTrialError if no trial has them.

        >>> import nb201
        >>> b = nb201.open("NATS-sss-v1_0-50262-simple")
        >>> [(t["seed"], t["last"]["ori-test"]["top1_percent"]) for t in b[11].trials("cifar10", "90")]
        [(777, 85.77)]
        """
        return [
            {
                "architecture": self.index,
                "genotype": self.string,
                "dataset": t["dataset"],
                "schedule": t["schedule"],
                "seed": t["seed"],
                "epochs": t["epochs"],
                **_costs(t),
                "weights": t["weights"],
                "last": {s[0]: _last(s) for s in t["sets"]},
            }
            for t in self._select(dataset, schedule, seed)
        ]

    def curves(
        self,
        dataset: Optional[str] = None,
        schedule: Optional[str] = None,
        seed: Optional[int] = None,
        set: Optional[str] = None,
    ) -> List[Dict[str, Any]]:
        """Returns the learning curves of the trials with a dataset, schedule and seed, on a set; None selects all.

        The set train is the training set, measured before each update; the others are evaluation sets. Each curve is
        a dict with dataset, schedule, seed, set, epoch (counted from 0) and the measures loss, top1_percent,
        top5_percent and seconds: numpy arrays [epochs] of the same length, or array.array without numpy. A value that
        the file lacks is NaN. Raises NoTrialError, or NotHeldError if no trial has the set.

        >>> import nb201
        >>> b = nb201.open("NATS-sss-v1_0-50262-simple")
        >>> [curve] = b[0].curves("cifar100", "12", 777, "x-test")
        >>> len(curve["epoch"]), round(float(curve["top1_percent"][-1]), 2)
        (12, 24.26)
        """
        trials = self._select(dataset, schedule, seed)
        _checks.text("set", set)
        found = [
            {"dataset": t["dataset"], "schedule": t["schedule"], "seed": t["seed"], "set": s[0], **_arrays(s)}
            for t in trials
            for s in t["sets"]
            if set is None or s[0] == set
        ]
        if not found:
            held = ", ".join(sorted({s[0] for t in trials for s in t["sets"]}))
            raise NotHeldError(f"{self._handle.path}: architecture {self.index} has no set {set!r} in these trials; they have {held}")
        return found

    def costs(self) -> Dict[str, Dict[str, Any]]:
        """Returns the costs by dataset: flops_millions, params_millions and latency_seconds_per_batch_of_256.

        FLOPs are multiply-adds for one image. The latency is the mean over the trials that have one, else None.

        >>> import nb201
        >>> nb201.open("NATS-sss-v1_0-50262-simple")[0].costs()["cifar10"]["flops_millions"]
        4.481114
        """
        costs: Dict[str, Dict[str, Any]] = {}
        for dataset in dict.fromkeys(t["dataset"] for t in self._trials):
            each = [_costs(t) for t in self._trials if t["dataset"] == dataset]
            latencies = [c["latency_seconds_per_batch_of_256"] for c in each if c["latency_seconds_per_batch_of_256"] is not None]
            costs[dataset] = {**each[0], "latency_seconds_per_batch_of_256": _mean(latencies)}
        return costs

    def weights(self, dataset: str, schedule: str, seed: int) -> Any:
        """Returns the trained state dict of a trial, an OrderedDict of torch tensors; None if it was not kept.

        Needs torch.
        """
        [trial] = self._select(dataset, schedule, seed)
        return self._handle.weights(self.index, trial["schedule"], dataset, trial["seed"])

    def rows(self, every_epoch: bool = False) -> Iterator[Dict[str, Any]]:
        """Yields a row for each trial and set, after the last epoch or after every epoch: see Benchmark.to_dataframe."""
        for t in self._trials:
            head = {
                "architecture": self.index,
                "genotype": self.string,
                "dataset": t["dataset"],
                "schedule": t["schedule"],
                "seed": t["seed"],
                **_costs(t),
            }
            for s in t["sets"]:
                if not every_epoch:
                    yield {**head, "set": s[0], **_last(s)}
                    continue
                curve = _arrays(s)
                for values in zip(curve["epoch"], *(curve[m] for m in MEASURES)):
                    yield {**head, "set": s[0], **dict(zip(("epoch",) + MEASURES, values))}


def _costs(trial: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "flops_millions": trial["flops"],
        "params_millions": trial["params"],
        "latency_seconds_per_batch_of_256": _mean(trial["latencies"] or ()),
    }


def _mean(values: Sequence[float]) -> Optional[float]:
    return sum(values) / len(values) if values else None


def _last(measured: Tuple[Any, ...]) -> Dict[str, Any]:
    """Returns the measures of a set after the last epoch that has any; one that this epoch lacks is None."""
    series: Tuple[_Series, ...] = measured[2:]
    epoch = max((_last_epoch(s) for s in series if s), default=-1)
    values: Dict[str, Any] = {"epoch": epoch}
    for name, s in zip(MEASURES, series):
        values[name] = struct.unpack("<d", s[1][-8:])[0] if s and _last_epoch(s) == epoch else None
    return values


def _last_epoch(s: Tuple[Any, bytes]) -> int:
    if isinstance(s[0], int):
        return s[0] + len(s[1]) // 8 - 1
    epoch: int = struct.unpack("<i", s[0][-4:])[0]
    return epoch


def _epochs(s: Tuple[Any, bytes]) -> Sequence[int]:
    if isinstance(s[0], int):
        return range(s[0], s[0] + len(s[1]) // 8)
    return struct.unpack(f"<{len(s[0]) // 4}i", s[0])


def _arrays(measured: Tuple[Any, ...]) -> Dict[str, Any]:
    """Returns the epochs and measures of a set as arrays."""
    series: Tuple[_Series, ...] = measured[2:]
    held = [s for s in series if s]
    epochs: Sequence[int] = _epochs(held[0]) if held else ()
    if all(s[0] == held[0][0] and len(s[1]) == len(held[0][1]) for s in held):
        columns = [s[1] if s else None for s in series]
    else:  # measures of different epochs
        epochs = sorted({e for s in held for e in _epochs(s)})
        columns = [_spread(s, epochs) if s else None for s in series]
    numpy = _numpy()
    curve: Dict[str, Any] = {}
    if numpy is None:
        missing = struct.pack("<d", math.nan) * len(epochs)
        curve["epoch"] = array.array("q", epochs)
        for name, column in zip(MEASURES, columns):
            curve[name] = array.array("d", missing if column is None else column)
        return curve
    first = numpy.arange(epochs.start, epochs.stop) if isinstance(epochs, range) else numpy.array(epochs, dtype=numpy.int64)
    curve["epoch"] = first
    for name, column in zip(MEASURES, columns):
        curve[name] = numpy.full(len(epochs), math.nan) if column is None else numpy.frombuffer(column, "<f8").copy()
    return curve


def _spread(s: Tuple[Any, bytes], epochs: Sequence[int]) -> bytes:
    """Returns the bytes of a series for these epochs, NaN for those that it lacks."""
    values = dict(zip(_epochs(s), struct.unpack(f"<{len(s[1]) // 8}d", s[1])))
    return struct.pack(f"<{len(epochs)}d", *(values.get(e, math.nan) for e in epochs))


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        return None
    return numpy
