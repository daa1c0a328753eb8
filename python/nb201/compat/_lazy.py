"""Architectures and trials that load when they are asked for, in bounded memory.

Two things are heavy: the pickled trials of an architecture, and trials that were unpickled. A Budget
counts the bytes of both and releases those used longest ago. Everything else that was loaded remains,
so that an object that a program received stays the same object. A trial that a program received is
released only if nothing else refers to it or to what it holds; attributes that differ from the file are kept.
"""

from __future__ import annotations

import copy
import os
import pickle
import sys
import weakref
from collections import OrderedDict, deque
from collections.abc import Mapping, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Type

from nb201 import _library, compat

_UNPICKLED = 6  # bytes of an unpickled trial by byte of its pickle, measured
_REMEMBERED = 16  # answers about released trials that an architecture keeps

_SLOTS = {"less": "12", "full": "200"}  # what both clients call the slots of the first format

Key = Tuple[str, int]


class Unloaded:
    """Takes the place of a value that is not in memory."""


_UNLOADED = Unloaded()


class Weights:
    """Takes the place of a trial's weights until they are asked for."""

    def __init__(self, source: Source, place: Tuple[int, str, str, int]) -> None:
        self._source = source
        self._place = place

    def load(self) -> Any:
        return self._source.handle.weights(*self._place)

    def __deepcopy__(self, memo: Any) -> Weights:
        return self


class Budget:
    """Releases what was used longest ago when the sum of sizes exceeds a limit.

    Items have a method ``release`` that returns how many bytes they could not release. A Budget
    refers to them weakly.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.lock = _library.ForkLock()
        self._threshold = limit
        self._shrinking = False
        self._items: OrderedDict[int, List[Any]] = OrderedDict()

    def touch(self, item: Any) -> None:
        with self.lock:
            if id(item) in self._items:
                self._items.move_to_end(id(item))

    def note(self, item: Any, size: int) -> None:
        """Notes that item, now in use, has size bytes."""
        with self.lock:
            key = id(item)
            entry = self._items.get(key)
            if entry is None:
                entry = self._items[key] = [0, weakref.ref(item, lambda _: self._forget(key))]
            self.used += size - entry[0]
            entry[0] = size
            self._items.move_to_end(key)
            if self.used > self._threshold and not self._shrinking:
                self.shrink()

    def _forget(self, key: int) -> None:
        with self.lock:
            entry = self._items.pop(key, None)
            if entry is not None:
                self.used -= entry[0]

    def shrink(self) -> None:
        """Releases what was used longest ago until the limit is kept."""
        with self.lock:
            self._shrinking = True  # release may note what it reads for a comparison
            try:
                failures = 0
                while self.used > self.limit and failures < len(self._items):
                    failures = 0 if self._release_oldest() else failures + 1
            finally:
                self._shrinking = False
            # What a program holds cannot be released, and is not examined again at every call.
            self._threshold = self.limit if self.used <= self.limit else self.used + self.limit // 4

    def _release_oldest(self) -> bool:
        """Returns whether it released all of an item."""
        key, entry = next(iter(self._items.items()))
        item = entry[1]()
        rest = 0 if item is None else item.release()
        self.used += rest - entry[0]
        entry[0] = rest
        if rest:
            self._items.move_to_end(key)
        else:
            self._items.pop(key, None)
        return not rest


class _Records:
    """The records of one architecture: fields and pickled trials by the name of their schedule."""

    def __init__(self, source: Source, index: int, reply: Mapping[str, Any]) -> None:
        self._source = weakref.ref(source)
        self._index = index
        self.fields: Dict[str, Dict[str, Any]] = {}
        self.trials: Dict[str, Dict[Key, bytes]] = {}
        names = [name for name in _SLOTS if name in reply] + [name for name in reply if name not in _SLOTS]
        for name in names:
            fields, trials = reply[name]
            hp = _SLOTS.get(name, name)
            self.fields[hp] = fields
            self.trials[hp] = {source.shared(key): pickled for key, pickled in trials}
        self.slots = dict(zip(self.fields, names))
        self.size = sum(len(pickled) + 100 for trials in self.trials.values() for pickled in trials.values())

    def release(self) -> int:
        source = self._source()
        if source is not None:
            source.drop(self._index)
        return 0


class Source(Unloaded):
    """An open benchmark. In an Architectures it takes the place of an architecture not yet loaded."""

    def __init__(self, path: str) -> None:
        self.handle = _library.open(path)
        self.budget = Budget(compat.CACHE_BYTES)
        self.lock = self.budget.lock
        self.evaluated = frozenset(self.handle.evaluated)
        self._records: Dict[int, _Records] = {}
        self._keys: Dict[Key, Key] = {}

    def __deepcopy__(self, memo: Any) -> Source:
        return self

    def shared(self, key: Key) -> Key:
        """Returns one object for all keys equal to key."""
        return self._keys.setdefault(key, key)

    def drop(self, index: int) -> None:
        self._records.pop(index, None)

    def _read(self, index: int) -> _Records:
        return _Records(self, index, self.handle.records(index))

    def records(self, index: int) -> _Records:
        """Returns the records of an architecture, which it reads unless they are in memory."""
        records = self._records.get(index)
        if records is not None:
            self.budget.touch(records)
            return records
        return self._add(index, self._read(index))

    def _add(self, index: int, records: _Records) -> _Records:
        with self.lock:
            records = self._records.setdefault(index, records)
            self.budget.note(records, records.size)
        return records

    def read_ahead(self, indices: Iterable[int], cold: Callable[[int], bool]) -> Iterator[int]:
        """Yields indices while a few threads read the records of the next ones that are cold."""
        workers = min(4, os.cpu_count() or 1)
        if workers == 1:
            yield from indices
            return
        waiting: deque[Tuple[int, Optional[Future[_Records]]]] = deque()

        def first() -> int:
            index, coming = waiting.popleft()
            if coming is not None:
                self._add(index, coming.result())
            return index

        with ThreadPoolExecutor(workers) as pool:
            try:
                for index in indices:
                    reads = index in self.evaluated and index not in self._records and cold(index)
                    waiting.append((index, pool.submit(self._read, int(index)) if reads else None))
                    if len(waiting) > 4 * workers:
                        yield first()
                while waiting:
                    yield first()
            finally:
                for _, coming in waiting:
                    if coming is not None:
                        coming.cancel()


class _Lazy:
    """The methods of a dict some values of which are Unloaded.

    It precedes dict or OrderedDict among the bases of a class. These read their values without
    ``__getitem__``, which this class makes all of them call.
    """

    def _load(self, key: Any, value: Unloaded) -> Any:
        raise NotImplementedError

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)  # type: ignore[misc]
        return self._load(key, value) if isinstance(value, Unloaded) else value

    get = Mapping.get
    items = Mapping.items
    values = Mapping.values
    setdefault = MutableMapping.setdefault
    update = MutableMapping.update
    __eq__ = Mapping.__eq__

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Any]:
        return super().__iter__()  # type: ignore[misc,no-any-return]

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def pop(self, key: Any, *default: Any) -> Any:
        if default and key not in self:
            return default[0]
        value = self[key]
        del self[key]  # type: ignore[attr-defined]
        return value

    def popitem(self, last: bool = True) -> Tuple[Any, Any]:
        if not self:  # an empty dict is false
            raise KeyError("the dictionary is empty")
        key = next(reversed(self) if last else iter(self))  # type: ignore[call-overload]
        return key, self.pop(key)


def _references(values: Iterable[Any]) -> int:
    """Returns the number of references to that of values that has most, as counted here."""
    if not hasattr(sys, "getrefcount"):  # an interpreter that does not count
        return sys.maxsize
    most = 0
    for value in values:
        most = max(most, sys.getrefcount(value))
    return most


_SAMPLE: Dict[int, List[Any]] = {0: []}
_ALONE = _references(list(_SAMPLE.values()))  # if nothing but a container and the list here refers to it


def _held(values: Iterable[Any]) -> bool:
    """Whether anything but their container refers to one of values, or to a part of one, that can change."""
    values = [value for value in values if isinstance(value, (dict, list)) or hasattr(value, "data_ptr")]
    if _references(values) > _ALONE:
        return True
    parts = [value.values() if isinstance(value, dict) else value for value in values if not hasattr(value, "data_ptr")]
    return any(map(_held, parts))


_FLAT = {bool, float, int, str, type(None)}


def _same(value: Any, written: Any) -> bool:
    """Whether two attributes of trials are equal, in type and in order too."""
    if isinstance(written, Weights):
        if isinstance(value, Weights):
            return True
        written = written.load()
    if type(value) is not type(written):
        return False
    if isinstance(value, dict):
        if list(value) != list(written):
            return False
        kinds = list(map(type, value.values()))
        if kinds == list(map(type, written.values())) and _FLAT.issuperset(kinds) and value == written:  # the usual, fast case
            return True
        return all(_same(value[name], written[name]) for name in value)
    if isinstance(value, (list, tuple)):
        return len(value) == len(written) and all(map(_same, value, written))
    if hasattr(value, "data_ptr"):
        return value.dtype == written.dtype and bool(value.equal(written))
    return bool(value == written or (value != value and written != written))


class Trials(_Lazy, dict):  # type: ignore[misc,type-arg]
    """The trials of an architecture and a schedule by (dataset, seed), unpickled when asked for.

    Args:
        source: the open benchmark.
        index: the architecture.
        slot: the schedule's name in the file.
        hp: the schedule's name for the clients.
        make: makes an object of a trial's state dict.
        keys: the keys, in the order of the file.
    """

    def __init__(
        self, source: Source, index: int, slot: str, hp: str, make: Callable[[Dict[str, Any]], Any], keys: Iterable[Key]
    ) -> None:
        dict.__init__(self, dict.fromkeys(keys, _UNLOADED))
        self._place = (source, index, slot, hp, make)
        self._sizes: Dict[Key, int] = {}  # of the trials that release may drop
        self._received: Dict[Key, bool] = {}  # those of them that a program received
        self._changes: Dict[Key, Dict[str, Any]] = {}  # attributes that differ from the file, of others
        self._replaced = False  # whether a program put in other trials
        self.answers: Dict[Any, Any] = {}  # which remain true while settled

    @property
    def settled(self) -> bool:
        """Whether no program can change a trial without a call of this object."""
        return not self._received and not self._replaced

    @property
    def cold(self) -> bool:
        """Whether every trial has to be read again."""
        return not self._sizes

    def trial(self, key: Key) -> Any:
        """Returns a trial for use inside of this package, which changes nothing in it."""
        value = dict.__getitem__(self, key)
        if value is _UNLOADED:
            self._read()
            with self._place[0].lock:
                value = self._loaded(key)
        return value

    def _read(self) -> None:
        """Reads the records before the lock is taken, so that threads read at the same time."""
        source, index = self._place[:2]
        source.records(index)

    def _loaded(self, key: Key, received: bool = False) -> Any:
        """Returns a trial, and notes whether a program receives it."""
        value = dict.__getitem__(self, key)
        missing = value is _UNLOADED
        if missing:
            value, size = self._unpickle(key)
            vars(value).update(self._changes.get(key, {}))
            dict.__setitem__(self, key, value)
            self._sizes[key] = _UNPICKLED * size
        if received and key in self._sizes:
            self._received[key] = True
            self._changes.pop(key, None)  # until release compares again
            self.answers.clear()
        if missing:
            self._place[0].budget.note(self, sum(self._sizes.values()))
        return value

    def remember(self, question: Any, answer: Any) -> None:
        with self._place[0].lock:
            if len(self.answers) >= 64 * _REMEMBERED:
                self.answers.clear()
            if self.settled:
                self.answers[question] = answer

    def _unpickle(self, key: Key) -> Tuple[Any, int]:
        source, index, slot, hp, make = self._place
        pickled = source.records(index).trials[hp][key]
        state = pickle.loads(pickled)
        if state.get("net_state_dict") is _library.KEPT:
            state["net_state_dict"] = Weights(source, (index, slot, *key))
        return make(state), len(pickled)

    def __getitem__(self, key: Key) -> Any:
        if dict.__getitem__(self, key) is _UNLOADED:
            self._read()
        with self._place[0].lock:
            return self._loaded(key, received=True)

    def __setitem__(self, key: Key, value: Any) -> None:
        with self._place[0].lock:
            self._own(key)
            self._replaced = True
            self.answers.clear()
            dict.__setitem__(self, key, value)

    def __delitem__(self, key: Key) -> None:
        with self._place[0].lock:
            dict.__delitem__(self, key)
            self._own(key)
            self.answers.clear()

    def _own(self, key: Key) -> None:
        """Makes a trial one that release does not drop."""
        for mapping in (self._sizes, self._received, self._changes):
            mapping.pop(key, None)

    def clear(self) -> None:
        for key in list(self):
            del self[key]

    def release(self) -> int:
        """Drops what can be read again, and returns the bytes that remain."""
        for key in list(self._sizes):
            if key in self._received:
                if self._held(key):
                    continue
                changes = self._differences(key)
                if changes is None:
                    self._own(key)
                    self._replaced = True
                    continue
                if changes:
                    self._changes[key] = changes
                del self._received[key]
            dict.__setitem__(self, key, _UNLOADED)
            del self._sizes[key]
        if len(self.answers) > _REMEMBERED:
            self.answers.clear()
        return sum(self._sizes.values())

    def _held(self, key: Key) -> bool:
        """Whether a program refers to a trial, or to an object in it that can change."""
        one = [dict.__getitem__(self, key)]
        return _references(one) > _ALONE or _held(vars(one[0]).values())

    def _differences(self, key: Key) -> Optional[Dict[str, Any]]:
        """Returns the attributes of a trial that differ from the file, None if it lacks some."""
        written, now = vars(self._unpickle(key)[0]), vars(dict.__getitem__(self, key))
        if written.keys() - now.keys():
            return None
        return {name: value for name, value in now.items() if name not in written or not _same(value, written[name])}

    def __deepcopy__(self, memo: Dict[int, Any]) -> Trials:
        with self._place[0].lock:
            made = Trials(*self._place, self)
            memo[id(self)] = made
            made._changes = copy.deepcopy(self._changes, memo)
            if self.settled:
                made.answers = dict(self.answers)
            made._replaced = self._replaced
            for key in self:
                if key in self._received or (self._replaced and key not in self._sizes):
                    value = dict.__getitem__(self, key)
                    if value is not _UNLOADED:
                        dict.__setitem__(made, key, copy.deepcopy(value, memo))
                        made._replaced = True
            return made

    def copy(self) -> Dict[Key, Any]:
        return dict(self.items())

    def __repr__(self) -> str:
        return repr(self.copy())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (self.copy(),)


class Architectures(_Lazy, OrderedDict):  # type: ignore[misc,type-arg]
    """The architectures of a benchmark by index, each an OrderedDict of its results by schedule.

    Args:
        results: the client's class of an architecture's results with one schedule.
        make: makes an object of a trial's state dict.
        source: the open benchmark, whose architectures it lists.
    """

    def __init__(self, results: Type[Any], make: Callable[[Dict[str, Any]], Any], source: Optional[Source] = None) -> None:
        super().__init__()
        self._of = (results, make)
        self._source = source
        self._lock = _library.ForkLock()
        for index in source.handle.evaluated if source else ():
            OrderedDict.__setitem__(self, index, source)

    def _load(self, key: int, value: Unloaded) -> OrderedDict[str, Any]:
        results, make = self._of
        source = value
        assert isinstance(source, Source)
        records = source.records(int(key))
        entry: OrderedDict[str, Any] = OrderedDict()
        for hp, fields in records.fields.items():
            state = {name: copy.copy(field) for name, field in fields.items()}
            state["dataset_seed"] = {dataset: list(seeds) for dataset, seeds in fields["dataset_seed"].items()}
            state["all_results"] = Trials(source, int(key), records.slots[hp], hp, make, records.trials[hp])
            entry[hp] = results(-1, -1)
            vars(entry[hp]).update(state)
        with self._lock:
            now = OrderedDict.__getitem__(self, key)
            if now is value:
                OrderedDict.__setitem__(self, key, entry)
                return entry
        return self[key]  # type: ignore[no-any-return]

    def adopt(self, index: int, source: Source) -> None:
        """Makes an architecture that of another benchmark, to be loaded when asked for."""
        with self._lock:
            OrderedDict.__setitem__(self, index, source)
            self._source = source

    def read_ahead(self, indices: Iterable[Any], known: Callable[[Any], bool]) -> Iterable[Any]:
        """Yields indices while threads read the records of those that a loop over them needs.

        Args:
            known: whether a loop needs no records of an architecture that was loaded before.
        """
        source = self._source
        if source is None:
            return indices

        def cold(index: int) -> bool:
            value = OrderedDict.get(self, index)
            return value is None or value is source or not (isinstance(value, Unloaded) or known(value))

        return source.read_ahead(indices, cold)

    def __deepcopy__(self, memo: Dict[int, Any]) -> Architectures:
        made = Architectures(*self._of)
        memo[id(self)] = made
        made._source = self._source
        for key in self:
            OrderedDict.__setitem__(made, key, copy.deepcopy(OrderedDict.__getitem__(self, key), memo))
        return made

    def copy(self) -> OrderedDict[int, Any]:  # type: ignore[override]
        return OrderedDict(self.items())

    def __repr__(self) -> str:
        return repr(self.copy())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Architectures, self._of, None, None, iter(self.items())
