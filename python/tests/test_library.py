"""Tests of the library under load: threads, forks, many opens, interrupts."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import unittest
from typing import List

import nb201
from nb201 import _library

from . import published


def memory() -> int:
    """Returns the bytes of memory that this process uses."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def accuracy(b: nb201.Benchmark) -> float:
    value: float = b.trials(11, "cifar10", "90", 777)[0]["last"]["ori-test"]["top1_percent"]
    return value


def in_worker(b: nb201.Benchmark) -> float:
    return accuracy(b)


class TestThreads(unittest.TestCase):
    def test_hundred_threads(self) -> None:
        paths = [published.SIZE, published.export(published.CAMPAIGN, "nasbench201", "merged.pth"), published.CAMPAIGN]
        benchmarks = [nb201.open(path) for path in paths]
        want = [[b.query(a) for a in b.held] for b in benchmarks]
        failures: List[BaseException] = []

        def ask(seed: int) -> None:
            choose = random.Random(seed)
            try:
                for _ in range(8):
                    at = choose.randrange(3)
                    b = benchmarks[at] if choose.random() < 0.8 else nb201.open(paths[at])
                    number = choose.randrange(len(b.held))
                    kind = choose.randrange(4)
                    if kind == 0 and b.query(b.held[number]) != want[at][number]:
                        raise AssertionError("a thread got another answer")
                    if kind == 1 and [a.index for a in b.scan()] != b.held:
                        raise AssertionError("a scan is out of order")
                    if kind == 2:
                        b.curves(b.held[number])
                    if kind == 3:
                        b._handle.records(b.held[number])
                    if b is not benchmarks[at]:
                        b.close()
            except BaseException as e:
                failures.append(e)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(100 if published.LONG else 20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])
        for b in benchmarks:
            b.close()

    def test_close_during_calls(self) -> None:
        b = nb201.open(published.CAMPAIGN)
        ended: List[type] = []

        def ask() -> None:
            try:
                while True:
                    for _ in b:
                        pass
            except nb201.ClosedError as e:
                ended.append(type(e))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for t in threads:
            t.start()
        time.sleep(0.2)
        b.close()
        for t in threads:
            t.join(30)
        self.assertEqual(ended, [nb201.ClosedError] * 8)

    def test_gil_is_released(self) -> None:
        counted = 0
        with nb201.open(published.CAMPAIGN) as b:
            worker = threading.Thread(target=lambda: [b._handle.call("architecture", index=0) for _ in range(20)])
            worker.start()
            while worker.is_alive():
                counted += 1
        self.assertGreater(counted, 100)


class TestForks(unittest.TestCase):
    def test_fifty_forks(self) -> None:
        with nb201.open(published.SIZE) as b:
            want = accuracy(b)
            children = []
            for number in range(50 if published.LONG else 10):
                pid = os.fork()
                if pid == 0:
                    status = 1
                    try:
                        b._recent.clear()
                        status = 0 if accuracy(b) == want and accuracy(nb201.open(published.SIZE)) == want else 2
                        if number == 0:  # a child's child
                            inner = os.fork()
                            if inner == 0:
                                b._recent.clear()
                                os._exit(0 if accuracy(b) == want else 3)
                            status = os.waitpid(inner, 0)[1] or status
                    finally:
                        os._exit(status)
                children.append(pid)
                if len(children) == 5:
                    self.assertEqual([os.waitpid(pid, 0)[1] for pid in children], [0] * 5)
                    children = []
            self.assertEqual(accuracy(b), want)

    def test_closed_before_fork(self) -> None:
        b = nb201.open(published.SIZE)
        b.close()
        pid = os.fork()
        if pid == 0:
            try:
                b[0]
            except nb201.ClosedError:
                os._exit(0)
            finally:
                os._exit(1)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def test_fork_while_locked(self) -> None:
        """A child works although another thread of its parent was in the middle of a call."""
        with nb201.open(published.SIZE) as b:
            entered, leave = threading.Event(), threading.Event()

            def hold() -> None:
                with b._lock, b._handle._lock:
                    entered.set()
                    leave.wait()

            holder = threading.Thread(target=hold)
            holder.start()
            entered.wait()
            pid = os.fork()
            if pid == 0:
                signal.alarm(60)
                os._exit(0 if accuracy(b) > 0 else 1)
            status = os.waitpid(pid, 0)[1]
            leave.set()
            holder.join()
            self.assertEqual(status, 0)

    def test_multiprocessing(self) -> None:
        with nb201.open(published.SIZE) as b:
            want = accuracy(b)
            for method in ("fork", "spawn"):
                with self.subTest(method=method), multiprocessing.get_context(method).Pool(2) as pool:
                    self.assertEqual(pool.map(in_worker, [b] * 4), [want] * 4)
            self.assertEqual(accuracy(pickle.loads(pickle.dumps(b))), want)

    def test_other_directory(self) -> None:
        """A relative path names the same benchmark after a change of the working directory."""
        before = os.getcwd()
        with nb201.open(os.path.relpath(published.SIZE)) as b:
            want = accuracy(b)
            try:
                os.chdir("/")
                self.assertEqual(accuracy(pickle.loads(pickle.dumps(b))), want)
                b._recent.clear()
                with multiprocessing.get_context("fork").Pool(1) as pool:
                    self.assertEqual(pool.apply(in_worker, (b,)), want)
            finally:
                os.chdir(before)

    def test_fork_without_hooks(self) -> None:
        """C code that forks by itself gets an error instead of waiting forever."""
        script = f"""
import ctypes, os, nb201
b = nb201.open({published.SIZE!r})
if ctypes.CDLL(None).fork() == 0:
    try:
        b.query(0)
        os._exit(1)
    except nb201.Error as e:
        os._exit(0 if "was forked" in str(e) else 2)
print(os.wait()[1])
"""
        out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        self.assertEqual((out.stdout, out.stderr), ("0\n", ""))


class TestLeaks(unittest.TestCase):
    def test_ten_thousand_opens(self) -> None:
        merged = published.export(published.CAMPAIGN, "nasbench201", "merged.pth")

        def cycle(count: int) -> None:
            for number in range(count):
                b = _library.open(published.CAMPAIGN if number % 20 else merged)
                b.call("index", arch="11")
                b.close()

        cycle(300)
        gc.collect()
        before, files = memory(), len(os.listdir("/proc/self/fd"))
        cycle(10_000 if published.LONG else 1_000)
        gc.collect()
        self.assertEqual(len(os.listdir("/proc/self/fd")), files)
        self.assertLess(memory() - before, 60e6)

    def test_forgotten_benchmarks_close(self) -> None:
        path = published.export(published.CAMPAIGN, "nasbench201", "merged.pth")
        nb201.open(path)
        files = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            nb201.open(path)
        gc.collect()
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), files)

    def test_replies_are_freed(self) -> None:
        with nb201.open(published.CAMPAIGN) as b:
            for _ in range(30):
                b._handle.records(0)
            before = memory()
            for _ in range(300):  # 0.4 MB each
                b._handle.records(0)
            self.assertLess(memory() - before, 60e6)


class TestInterrupts(unittest.TestCase):
    def test_interrupt_ends_an_open(self) -> None:
        """Ctrl-C ends an open that waits for another process to index the same file."""
        path = published.export(published.CAMPAIGN, "nats", "interrupted.pickle.pbz2")
        script = f"""
import fcntl, glob, hashlib, os, signal, sys, threading, nb201
directory = sys.argv[1]
os.environ["XDG_CACHE_HOME"] = directory
name = hashlib.sha256(os.path.abspath({path!r}).encode()).hexdigest()[:24]
os.makedirs(directory + "/nb201", exist_ok=True)
lock = open(directory + "/nb201/.merged-" + name[:2] + ".lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    nb201.open({path!r})
    print("opened")
except KeyboardInterrupt:
    print("interrupted")
"""
        cache = os.path.join(published.scratch(), "cache")
        out = subprocess.run([sys.executable, "-c", script, cache], capture_output=True, text=True, timeout=60)
        self.assertEqual((out.stdout, out.stderr), ("interrupted\n", ""))


class TestInterface(unittest.TestCase):
    def test_versions(self) -> None:
        script = "import nb201._library as l; l.INTERFACE = 99\ntry:\n    l.open('x')\nexcept ImportError as e: print(e)"
        out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        self.assertIn("has interface 1, but this package needs 99; install both from one wheel", out)

    def test_missing(self) -> None:
        script = "import nb201\ntry:\n    nb201.open('x')\nexcept ImportError as e: print(e)"
        env = dict(os.environ, NB201_LIBRARY="/missing.so")
        out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env).stdout
        self.assertIn("cannot load /missing.so", out)

    def test_unknown_requests(self) -> None:
        for fields, text in [({}, "no call"), ({"nonsense": 1}, "does not understand")]:
            with self.subTest(text=text), self.assertRaisesRegex(nb201.Error, text):
                _library._channel.call("nonsense", dict(fields))
