"""Calls libnb201, the Go library of nb201.

A request is JSON, a reply a pickle that the library makes of plain values. Calls release the GIL and may
come from any thread. Go's threads do not survive a fork, so a forked child sends its requests to a helper
process with its own library.
"""

from __future__ import annotations

import ctypes
import io
import itertools
import json
import os
import pickle
import struct
import subprocess
import sys
import threading
import weakref
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from . import _checks
from ._errors import (
    CancelledError,
    ClosedError,
    DamagedError,
    Error,
    NoTrialError,
    NotHeldError,
    UsageError,
)

INTERFACE = 1  # BRIDGE_INTERFACE of python/bridge/bridge.h

Progress = Callable[[int, int], None]

_REPLY, _FORKED = 0, 2
_KINDS = {
    "usage": UsageError,
    "not_held": NotHeldError,
    "no_trial": NoTrialError,
    "damaged": DamagedError,
    "closed": ClosedError,
    "cancelled": CancelledError,
}


class ForkLock:
    """A reentrant lock that is free in a forked child, whatever thread of the parent has it."""

    _all: "weakref.WeakSet[ForkLock]" = weakref.WeakSet()

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @classmethod
    def renew_all(cls) -> None:
        """Frees all locks, in a forked child."""
        for lock in cls._all:
            lock._lock = threading.RLock()


class _Kept:
    """Takes the place of weights that were kept, until they are asked for."""

    def __repr__(self) -> str:
        return "KEPT"

    def __reduce__(self) -> str:
        return "KEPT"


KEPT = _Kept()


def _library_path() -> str:
    """Returns the path of libnb201: that in NB201_LIBRARY, or the file beside this package's modules."""
    return os.environ.get("NB201_LIBRARY") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "libnb201.so")


class _InProcess:
    """The library, loaded into this process."""

    def __init__(self) -> None:
        path = _library_path()
        try:
            library = ctypes.CDLL(path)
        except OSError as e:
            raise ImportError(f"cannot load {path}: {e}; install nb201 from its wheel, or name the library in NB201_LIBRARY") from e
        library.nb201_interface.restype = ctypes.c_uint32
        library.nb201_interface.argtypes = ()
        found = library.nb201_interface()
        if found != INTERFACE:
            raise ImportError(f"{path} has interface {found}, but this package needs {INTERFACE}; install both from one wheel")
        self._call = library.nb201_call
        self._call.restype = ctypes.c_int32
        self._call.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.POINTER(ctypes.c_size_t),
        )
        self._free = library.nb201_free
        self._free.restype = None
        self._free.argtypes = (ctypes.c_void_p,)

    def send(self, request: bytes) -> Tuple[int, bytes]:
        reply, length = ctypes.c_void_p(), ctypes.c_size_t()
        status = self._call(request, len(request), ctypes.byref(reply), ctypes.byref(length))
        try:
            return status, ctypes.string_at(reply, length.value) if length.value else b""
        finally:
            self._free(reply)


class _Helper:
    """The library in a helper process, for a process that was forked from one with the library."""

    def __init__(self) -> None:
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nb201._helper"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._lock = threading.Lock()

    def send(self, request: bytes) -> Tuple[int, bytes]:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            try:
                self._process.stdin.write(struct.pack("<Q", len(request)) + request)
                self._process.stdin.flush()
                status, length = struct.unpack("<iQ", self._process.stdout.read(12))
                reply = self._process.stdout.read(length)
            except (OSError, struct.error) as e:
                raise Error("the helper process of nb201 ended; call again in a new process") from e
        return status, reply

    def forget(self) -> None:
        """Leaves the process to the parent of a forked child."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.returncode = 0  # Popen would warn that it has not ended


class _Channel:
    """Where requests of this process go. A fork makes a new one."""

    def __init__(self, forked: bool) -> None:
        self._forked = forked
        self._lock = threading.Lock()
        self._target: Any = None
        self._tickets = itertools.count(1)

    def _connect(self) -> Any:
        with self._lock:
            if self._target is None:
                self._target = _Helper() if self._forked else _InProcess()
            return self._target

    def call(self, name: str, fields: Dict[str, Any]) -> Any:
        target = self._target or self._connect()
        fields["call"] = name
        status, reply = target.send(json.dumps(fields).encode())
        if status == _FORKED:  # by C code that Python's hooks do not see
            raise Error("this process was forked after it loaded nb201; fork with os.fork or multiprocessing, or open the benchmark after it")
        answer = pickle.loads(reply)
        if status != _REPLY:
            raise _KINDS.get(answer["kind"], Error)(answer["text"])
        return answer

    def call_long(self, name: str, fields: Dict[str, Any], progress: Optional[Progress]) -> Any:
        """Makes a call that may take minutes: it can be interrupted, and reports its progress."""
        fields["ticket"] = ticket = next(self._tickets)
        result: List[Any] = []

        def run() -> None:
            try:
                result.extend((True, self.call(name, fields)))
            except BaseException as e:  # raised again by the caller's thread
                result.extend((False, e))

        if self._forked:  # the helper answers one request at a time
            return self.call(name, fields)
        worker = threading.Thread(target=run, name="nb201 " + name, daemon=True)
        worker.start()
        try:
            worker.join(0.25)
            while worker.is_alive():
                done = self.call("progress", {"ticket": ticket}) if progress else None
                if done and progress:
                    progress(*done)
                worker.join(0.25)
        except BaseException:
            self.call("cancel", {"ticket": ticket})
            worker.join()
            raise
        if not result[0]:
            raise result[1]
        return result[1]


_channel = _Channel(forked=False)


def _after_fork() -> None:
    global _channel
    ForkLock.renew_all()
    if isinstance(_channel._target, _Helper):
        _channel._target.forget()
    _channel = _Channel(forked=_channel._forked or _channel._target is not None)


os.register_at_fork(after_in_child=_after_fork)


class Handle:
    """An open benchmark. It opens again by itself in a forked child, and where it was unpickled."""

    def __init__(self, path: str, progress: Optional[Progress] = None) -> None:
        self.path = path
        self.absolute = os.path.abspath(path)  # the working directory may change
        self._lock = ForkLock()
        self._open(progress)

    def _open(self, progress: Optional[Progress]) -> None:
        self._channel = _channel
        answer = _channel.call_long("open", {"path": self.absolute, "numpy": _has_numpy()}, progress)
        self.format: str = answer["format"]
        self.space: str = answer["space"]
        self.listed: int = answer["listed"]
        self.evaluated: List[int] = answer["evaluated"]
        self._number: int = answer["handle"]
        self._finalizer = weakref.finalize(self, _close, self._channel, self._number)

    def __reduce__(self) -> Any:
        return Handle, (self.absolute,)

    @property
    def closed(self) -> bool:
        """Whether close was called."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Closes the files. Later calls raise ClosedError."""
        self._finalizer()

    def _number_here(self) -> int:
        """Returns the number of the benchmark in the library of this process."""
        if self.closed:
            raise ClosedError("the benchmark is closed; open it again")
        if self._channel is not _channel:  # a fork
            with self._lock:
                if self._channel is not _channel:
                    self._finalizer.detach()
                    self._open(None)
        return self._number

    def call(self, name: str, **fields: Any) -> Any:
        """Asks a question about the benchmark."""
        fields["handle"] = self._number_here()
        return self._channel.call(name, fields)

    def call_long(self, name: str, progress: Optional[Progress], **fields: Any) -> Any:
        """Asks a question whose answer may take seconds or minutes."""
        fields["handle"] = self._number_here()
        return self._channel.call_long(name, fields, progress)

    def strings(self) -> List[str]:
        """Returns the strings of the architectures that the benchmark covers, held or not."""
        answer: List[str] = self.call("strings")
        return answer

    def records(self, index: int) -> Dict[str, Tuple[Dict[str, Any], List[Tuple[Tuple[str, int], bytes]]]]:
        """Returns what the original's file has for an architecture, by schedule ("12") or slot ("less").

        Each value is a pair: the ArchResults.state_dict with None for all_results, and the list of trials, in the
        file's order, as pairs of (dataset, seed) and a pickle of the ResultsCount.state_dict. Its net_state_dict is
        None or KEPT.
        """
        answer: Dict[str, Any] = self.call("records", index=index)
        return answer

    def weights(self, index: int, slot: str, dataset: str, seed: int) -> Any:
        """Returns the trained state dict of a trial, an OrderedDict of torch tensors; None if it was not kept."""
        checkpoint = self.call("weights", index=index, slot=slot, dataset=dataset, seed=seed)
        if checkpoint is None:
            return None
        import torch

        return torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)

    def scan(self, indices: Sequence[int]) -> Iterator[Any]:
        """Yields the architectures as the call "architecture" returns them, read ahead on all processors."""
        handle, channel = self._number_here(), self._channel
        scan = channel.call("scan", {"handle": handle, "indices": list(indices)})
        try:
            while True:
                batch = channel.call("next", {"scan": scan})
                if not batch:
                    return
                for text in batch:
                    yield pickle.loads(text)
        finally:
            if channel is _channel:
                channel.call("stop", {"scan": scan})


def open(path: Any, progress: Optional[Progress] = None) -> Handle:
    """Opens a campaign or published file."""
    return Handle(_checks.path(path), progress)


def _close(channel: _Channel, number: int) -> None:
    if channel is _channel:  # otherwise it belongs to the parent of a forked process
        channel.call("close", {"handle": number})


def _has_numpy() -> bool:
    import importlib.util

    return importlib.util.find_spec("numpy") is not None
