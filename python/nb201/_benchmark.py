"""Benchmarks: campaigns and published files."""

from __future__ import annotations

import bisect
import collections
import json
import operator
import os
from typing import Any, Dict, Iterable, Iterator, List, Optional, Union

from . import _checks, _library, _progress
from ._architecture import Architecture
from ._errors import NotHeldError, UsageError
from ._progress import ProgressOption

Arch = Union[int, str]
"""An architecture: its index, or its string."""


class Benchmark:
    """The trials of a campaign or of published files.

    It reads an architecture from the files when it is asked for, and keeps the most recently used ones. It may be used
    from several threads, in processes that were forked, and pickled. Close it, or use it in a with statement.

    Attributes:
        path: the file or directory that was opened.
        format: campaign, nasbench201, archive, nats, runs, csv, parquet or another format of `nb201 query`.
        space: the search space, tss (topology) or sss (size).
        listed: the number of architectures that the benchmark covers; it may hold results for fewer.
        held: the indices of the architectures with results, ascending.
    """

    KEPT = 64
    """The number of architectures that are kept in memory, of about 0.2 MB each."""

    def __init__(self, path: Union[str, "os.PathLike[str]"], progress: ProgressOption = None) -> None:
        report, end = _progress.choose(progress, f"indexing {os.fsdecode(path)}")
        try:
            self._handle = _library.open(path, report)
        finally:
            end()
        self.path: str = self._handle.path
        self.format: str = self._handle.format
        self.space: str = self._handle.space
        self.listed: int = self._handle.listed
        self.held: List[int] = self._handle.evaluated
        self._lock = _library.ForkLock()
        self._recent: "collections.OrderedDict[int, Architecture]" = collections.OrderedDict()
        self._strings: Optional[List[str]] = None

    def __reduce__(self) -> Any:
        return Benchmark, (self._handle.absolute,)

    def __enter__(self) -> "Benchmark":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the files. Later questions raise ClosedError."""
        with self._lock:
            self._recent.clear()
        self._handle.close()

    def __repr__(self) -> str:
        return f"<nb201.Benchmark {self.path}: {self.format}, {self.space}, {len(self)} of {self.listed} architectures>"

    def __len__(self) -> int:
        """Returns the number of architectures with results."""
        return len(self.held)

    def __iter__(self) -> Iterator[Architecture]:
        """Yields the architectures with results, in order of their indices: see scan."""
        return self.scan()

    def __getitem__(self, arch: Arch) -> Architecture:
        """Returns an architecture, by its index or its string. Raises NotHeldError if it has no results."""
        return self.architecture(arch)

    @property
    def strings(self) -> List[str]:
        """The strings of the architectures that the benchmark covers, in order of their indices."""
        if self._strings is None:
            self._strings = self._handle.strings()
        return self._strings

    def index(self, arch: Arch) -> int:
        """Returns the index of an architecture that the benchmark covers.

        Raises UsageError for a text that is not an architecture, and NotHeldError for one that is not covered.

        >>> import nb201
        >>> nb201.open("NATS-sss-v1_0-50262-simple").index("8:8:8:16:32")
        11
        """
        if isinstance(arch, str):
            found: int = self._handle.call("index", arch=arch)
            return found
        number = operator.index(arch)
        if not 0 <= number < self.listed:
            raise NotHeldError(f"{self.path} has no architecture {number}; use 0 to {self.listed - 1}")
        return number

    def __contains__(self, arch: object) -> bool:
        """Reports whether the benchmark holds results of an architecture: an index, a string or an Architecture."""
        if isinstance(arch, Architecture):
            return arch.index in self and self.strings[arch.index] == arch.string
        try:
            index = self.index(arch)  # type: ignore[arg-type]
        except (UsageError, TypeError):
            return False
        at = bisect.bisect_left(self.held, index)
        return at < len(self.held) and self.held[at] == index

    def architecture(self, arch: Arch) -> Architecture:
        """Returns an architecture, by its index or its string. Raises NotHeldError if it has no results.

        >>> import nb201
        >>> nb201.open("NATS-sss-v1_0-50262-simple").architecture("8:8:8:8:8")
        <nb201.Architecture 0 8:8:8:8:8, 20 trials>
        """
        index = self.index(arch)
        with self._lock:
            known = self._recent.get(index)
            if known is not None:
                self._recent.move_to_end(index)
                return known
        read = Architecture(self._handle, self._handle.call("architecture", index=index))
        with self._lock:
            self._recent[index] = read
            while len(self._recent) > self.KEPT:
                self._recent.popitem(last=False)
        return read

    def scan(self, indices: Optional[Iterable[Arch]] = None) -> Iterator[Architecture]:
        """Yields architectures, all with results or those given, reading ahead on all processors.

        >>> import nb201
        >>> b = nb201.open("NATS-sss-v1_0-50262-simple")
        >>> [a.index for a in b.scan()]
        [0, 11]
        """
        wanted = self.held if indices is None else [self.index(i) for i in indices]
        for answer in self._handle.scan(wanted):
            yield Architecture(self._handle, answer)

    def trials(self, arch: Arch, dataset: Optional[str] = None, schedule: Optional[str] = None, seed: Optional[int] = None) -> List[Dict[str, Any]]:
        """Returns trials of an architecture: see Architecture.trials."""
        return self.architecture(arch).trials(dataset, schedule, seed)

    def curves(
        self,
        arch: Arch,
        dataset: Optional[str] = None,
        schedule: Optional[str] = None,
        seed: Optional[int] = None,
        set: Optional[str] = None,
    ) -> List[Dict[str, Any]]:
        """Returns learning curves of an architecture: see Architecture.curves."""
        return self.architecture(arch).curves(dataset, schedule, seed, set)

    def costs(self, arch: Arch) -> Dict[str, Dict[str, Any]]:
        """Returns the costs of an architecture by dataset: see Architecture.costs."""
        return self.architecture(arch).costs()

    def weights(self, arch: Arch, dataset: str, schedule: str, seed: int) -> Any:
        """Returns the trained weights of a trial: see Architecture.weights."""
        return self.architecture(arch).weights(dataset, schedule, seed)

    def query(
        self,
        arch: Arch,
        dataset: Optional[str] = None,
        schedule: Optional[str] = None,
        seed: Optional[int] = None,
        set: Optional[str] = None,
        epoch: Optional[int] = None,
        curves: bool = False,
    ) -> Dict[str, Any]:
        """Returns what `nb201 query --json` prints: the trials selected and their means over the seeds.

        epoch counts from 0; None is the last one. curves adds the learning curves.

        >>> import nb201
        >>> answer = nb201.open("NATS-sss-v1_0-50262-simple").query(11, "cifar10", "90", set="ori-test")
        >>> answer["trials"][0]["measured"][0]["top1_percent"]
        85.77
        """
        fields: Dict[str, Any] = {"arch": arch if isinstance(arch, str) else str(operator.index(arch)), "curves": bool(curves)}
        fields.update(dataset=_checks.text("dataset", dataset), schedule=_checks.schedule(schedule))
        fields.update(set="x-valid" if set == "valid" else _checks.text("set", set), seed=_checks.seed(seed), epoch=_checks.epoch(epoch))
        answer: Dict[str, Any] = json.loads(self._handle.call("query", **fields))
        return answer

    def best(
        self,
        dataset: str,
        set: str,
        schedule: str = "12",
        *,
        max_flops: Optional[float] = None,
        max_params: Optional[float] = None,
        progress: ProgressOption = None,
    ) -> Dict[str, Any]:
        """Finds the architecture with the highest accuracy after the last epoch, as `nb201 query --best --json` does.

        The accuracy is the mean over the seeds, on a set, or on valid or test as the original clients define them.
        max_flops and max_params limit the costs, in millions.

        >>> import nb201
        >>> found = nb201.open("NATS-sss-v1_0-50262-simple").best("cifar100", "x-test", "90")
        >>> found["architecture"], found["compared"]
        (11, 2)
        """
        fields = {"dataset": _checks.text("dataset", dataset), "set": _checks.text("set", set), "schedule": _checks.schedule(schedule)}
        limits = {"maxflops": _checks.limit("max_flops", max_flops), "maxparams": _checks.limit("max_params", max_params)}
        report, end = _progress.choose(progress, f"comparing architectures of {self.path}")
        try:
            answer: Dict[str, Any] = json.loads(self._handle.call_long("best", report, **fields, **limits))
        finally:
            end()
        return answer

    def to_dataframe(
        self, architectures: Optional[Iterable[Arch]] = None, every_epoch: bool = False, progress: ProgressOption = None
    ) -> Any:
        """Returns a pandas DataFrame with a row for each trial and set, after the last epoch or after every epoch.

        Columns: architecture, genotype, dataset, schedule, seed, flops_millions, params_millions,
        latency_seconds_per_batch_of_256, set, epoch, loss, top1_percent, top5_percent, seconds. They are those of the
        tables that `nb201 export --format csv` writes. Needs pandas. All architectures with every epoch do not fit into
        the memory of most machines: name some.

        >>> import nb201
        >>> table = nb201.open("NATS-sss-v1_0-50262-simple").to_dataframe([0])
        >>> int((table.dataset == "cifar100").sum())
        20
        """
        try:
            import pandas
        except ImportError as e:
            raise ImportError("to_dataframe needs pandas; install it with pip install pandas") from e
        wanted: List[Arch] = list(self.held if architectures is None else architectures)
        report, end = _progress.choose(progress, f"reading {self.path}")
        columns: Dict[str, List[Any]] = {}
        try:
            for done, architecture in enumerate(self.scan(wanted), 1):
                for row in architecture.rows(every_epoch):
                    for name, value in row.items():
                        columns.setdefault(name, []).append(value)
                if report:
                    report(done, len(wanted))
        finally:
            end()
        return pandas.DataFrame(columns)


def open(path: Union[str, "os.PathLike[str]"], progress: ProgressOption = None) -> Benchmark:
    """Opens a campaign, or a file or directory in any format that `nb201 query` reads.

    The first time a merged file is opened, an index of it is made in the user's cache directory, which may take
    minutes. progress is called with the bytes read so far and in total; None shows a bar on a terminal, False shows
    none. Ctrl-C ends it. Raises UsageError for a path that is not a benchmark, and DamagedError for a damaged file.

    >>> import nb201
    >>> nb201.open("NATS-sss-v1_0-50262-simple")
    <nb201.Benchmark NATS-sss-v1_0-50262-simple: nats, sss, 2 of 32768 architectures>
    """
    return Benchmark(path, progress)
