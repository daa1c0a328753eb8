"""Asks an original client and nb201's the same questions, and compares the answers."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import random
import re
import unittest
import warnings
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from .published import SMALL, TOPOLOGY, export

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # the original opens files with numpy scalars


def from_small(format: str, name: str, *flags: str) -> str:
    """Returns the path of an export of SMALL, in the slots of the originals."""
    return export(SMALL, format, "small-" + name, "--less", "2", "--full", "3", *flags)


def from_topology(format: str, name: str) -> str:
    """Returns the path of an export of TOPOLOGY."""
    if TOPOLOGY is None:
        raise unittest.SkipTest("set NB201_PUBLISHED")
    return export(TOPOLOGY, format, "published-" + name)


class Answer:
    """What a call did: its result or exception, what it printed and warned, and the random numbers that it drew."""

    def __init__(self, call: Callable[[], Any], seed: int) -> None:
        self.value: Any = None
        self.error: Optional[BaseException] = None
        printed = io.StringIO()
        random.seed(seed)
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                self.value = call()
            except Exception as e:
                self.error = e
        self.drawn = random.getstate()
        self.printed = re.sub(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]", "[time]", printed.getvalue())
        # torch warns of TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD where the original opens a file.
        self.warned = [warning.category for warning in caught if "TORCH_" not in str(warning.message)]


def differences(original: Any, ours: Any, where: str = "") -> Iterator[str]:
    """Yields what differs between a value of the original client and one of nb201's."""
    kinds = type(original), type(ours)
    if hasattr(original, "load_state_dict"):
        if kinds[0].__name__ != kinds[1].__name__:
            yield f"{where}: {kinds[0].__name__} and {kinds[1].__name__}"
            return
        yield from differences(dict(vars(original)), _attributes(ours), where)
    elif isinstance(original, dict):
        if not issubclass(kinds[1], kinds[0]) or (kinds[0] is not kinds[1] and kinds[1].__name__ not in ("Trials", "Architectures")):
            yield f"{where}: {kinds[0].__name__} and {kinds[1].__name__}"
        elif list(original) != list(ours):
            yield f"{where}: keys {list(original)[:20]} and {list(ours)[:20]}"
        else:
            for key in original:
                yield from differences(original[key], ours[key], f"{where}[{key!r}]")
    elif kinds[0] is not kinds[1]:
        yield f"{where}: {kinds[0].__name__} {original!r} and {kinds[1].__name__} {ours!r}"
    elif isinstance(original, (list, tuple)):
        if len(original) != len(ours):
            yield f"{where}: {len(original)} and {len(ours)} values"
        for i, pair in enumerate(zip(original, ours)):
            yield from differences(*pair, f"{where}[{i}]")
    elif hasattr(original, "tolist"):  # tensors, arrays and scalars of numpy
        if original.dtype != ours.dtype or original.shape != ours.shape or not (original == ours).all():
            yield f"{where}: {original!r} and {ours!r}"
    elif original != ours and original == original and type(original).__module__ == "builtins":
        yield f"{where}: {original!r} and {ours!r}"


def _attributes(ours: Any) -> Dict[str, Any]:
    return {name: getattr(ours, name) for name in vars(ours)}


class Hidden:
    """A value that is not compared."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Comparison(unittest.TestCase):
    """Compares two clients call by call."""

    asked = 0
    refused = 0

    def ask(self, what: str, original: Callable[[], Any], ours: Callable[[], Any]) -> Tuple[Any, Any]:
        """Makes both calls, checks that they do the same, and returns their results."""
        type(self).asked += 1
        want, got = Answer(original, self.asked), Answer(ours, self.asked)
        type(self).refused += want.error is not None
        if not isinstance(got.error, type(want.error)):  # None has a type too
            raise AssertionError(f"{what}: {want.error!r}, and nb201: {got.error!r}") from got.error
        for difference in differences(want.value, got.value, what):
            self.fail(difference)
        self.assertEqual(got.printed, want.printed, what)
        self.assertEqual(got.warned, want.warned, what)
        self.assertEqual(got.drawn, want.drawn, f"{what}: random numbers drawn")
        return want.value, got.value

    def ask_method(self, original: Any, ours: Any, name: str, *arguments: Any, **named: Any) -> Tuple[Any, Any]:
        """Calls a method of both objects."""
        what = f"{type(original).__name__}.{name}({', '.join([repr(a) for a in arguments] + [f'{k}={v!r}' for k, v in named.items()])})"
        return self.ask(what, lambda: getattr(original, name)(*arguments, **named), lambda: getattr(ours, name)(*arguments, **named))

    def ask_many(self, original: Any, ours: Any, methods: Dict[str, Sequence[Sequence[Any]]], count: int, seed: int) -> None:
        """Calls random methods with random arguments from lists."""
        choose = random.Random(seed)
        for _ in range(count):
            name = choose.choice(list(methods))
            arguments = [choose.choice(values) for values in methods[name]]
            given = choose.randint(required(getattr(original, name)), len(arguments))
            self.ask_method(original, ours, name, *arguments[:given])


def required(method: Callable[..., Any]) -> int:
    """Returns the number of arguments that a method needs."""
    return sum(p.default is p.empty for p in inspect.signature(method).parameters.values())


def public(thing: Any) -> List[str]:
    """Returns the public names of an object."""
    return [name for name in dir(thing) if not name.startswith("_")]
