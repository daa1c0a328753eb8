"""Tests of nb201.open: values against the published pickles and against nb201 itself, in every format."""

from __future__ import annotations

import bz2
import json
import math
import os
import pickle
import random
import subprocess
import sys
import unittest
from typing import Any, Dict, List

import nb201

from . import published


def exports() -> List[str]:
    campaign = published.CAMPAIGN
    return [
        campaign,
        published.export(campaign, "nasbench201", "merged.pth"),
        published.export(campaign, "nats", "nats"),
        published.export(campaign, "nats", "merged.pickle.pbz2"),
        published.export(campaign, "archive", "archive"),
        published.export(campaign, "csv", "csv"),
        published.export(campaign, "parquet", "parquet"),
    ]


def query(*args: str) -> Any:
    return json.loads(subprocess.run(["nb201", "query", *args, "--json"], check=True, capture_output=True).stdout)


class TestPublished(unittest.TestCase):
    """Every value of the published records."""

    def test_values(self) -> None:
        compared = 0
        with nb201.open(published.SIZE) as b:
            self.assertEqual((b.space, b.listed, b.held, len(b)), ("sss", 32768, [0, 11], 2))
            self.assertEqual(b.strings[11], "8:8:8:16:32")
            for index in b.held:
                with open(f"{published.SIZE}/{index:06d}.pickle.pbz2", "rb") as f:
                    file = pickle.loads(bz2.decompress(f.read()))
                for schedule, result in file.items():
                    for (dataset, seed), state in result["all_results"].items():
                        [trial] = b.trials(index, dataset, schedule, seed)
                        self.assertEqual((trial["flops_millions"], trial["params_millions"]), (state["flop"], state["params"]))
                        self.assertEqual(trial["latency_seconds_per_batch_of_256"], sum(state["latency"]) / len(state["latency"]))
                        for curve in b.curves(index, dataset, schedule, seed):
                            for e, loss, top1, seconds in zip(curve["epoch"], curve["loss"], curve["top1_percent"], curve["seconds"]):
                                key = int(e) if curve["set"] == "train" else f"{curve['set']}@{e}"
                                names = [("train_losses", loss), ("train_acc1es", top1), ("train_times", seconds)]
                                if curve["set"] != "train":
                                    names = [("eval_losses", loss), ("eval_acc1es", top1), ("eval_times", seconds)]
                                for name, value in names:
                                    if math.isnan(value):
                                        self.assertNotIn(key, state[name])
                                    else:
                                        self.assertEqual(value, state[name][key])
                                        compared += 1
        self.assertGreater(compared, 5000)


class TestFormats(unittest.TestCase):
    """The same trials in every format."""

    def test_same_in_all(self) -> None:
        tables = []
        for path in exports():
            with nb201.open(path) as b:
                self.assertEqual(b.held, [0, 12, 1462])
                table = b.to_dataframe(every_epoch=True)
                order = ["architecture", "dataset", "schedule", "seed", "set", "epoch"]
                table = table.sort_values(order, ignore_index=True)
                if path.endswith(".pbz2") or path.endswith(("nats", "archive", ".pth")):
                    table["top5_percent"] = table["top5_percent"].where(table["set"] == "train")
                tables.append(table)
        for path, table in zip(exports()[1:], tables[1:]):
            with self.subTest(path=path):
                want = tables[0].copy()
                if table.top5_percent.isna().sum() != want.top5_percent.isna().sum():
                    want["top5_percent"] = want["top5_percent"].where(want["set"] == "train")
                self.assertEqual(len(table), len(want))
                for column in want.columns:
                    left, right = want[column], table[column]
                    if left.dtype == float:
                        same = (left == right) | (left.isna() & right.isna()) | ((left - right).abs() <= 1e-15 * left.abs())
                    else:
                        same = left == right
                    self.assertTrue(same.all(), f"{column}: {want[~same].head(3)} {table[~same].head(3)}")

    def test_like_the_command(self) -> None:
        for path in exports():
            with self.subTest(path=path), nb201.open(path) as b:
                self.assertEqual(b.query(12), query(path, "12"))
                self.assertEqual(b.query(12, "cifar100", "200", 777, "x-test", 3, curves=False), query(
                    path, "12", "--dataset", "cifar100", "--schedule", "200", "--set", "x-test", "--seed", "777", "--epoch", "3"))
                self.assertEqual(b.best("cifar10", "valid"), query(path, "--best", "--dataset", "cifar10", "--set", "valid"))

    def test_weights(self) -> None:
        import torch

        with nb201.open(published.CAMPAIGN) as b, nb201.open(published.export(published.CAMPAIGN, "archive", "archive")) as archive:
            ours, theirs = b.weights(12, "cifar10", "12", 111), archive.weights(12, "cifar10", "12", 111)
            self.assertEqual(list(ours), list(theirs))
            self.assertTrue(all(torch.equal(ours[name], theirs[name]) for name in ours))
        with nb201.open(published.SIZE) as b:
            self.assertIsNone(b.weights(0, "cifar10", "90", 777))

    def test_random_lookups(self) -> None:
        choose = random.Random(1)
        with nb201.open(exports()[1]) as b:
            for _ in range(200):
                arch = choose.choice(b.held)
                trial = choose.choice(b.trials(arch if choose.random() < 0.5 else b.strings[arch]))
                [same] = b.trials(arch, trial["dataset"], trial["schedule"], trial["seed"])
                self.assertEqual(same, trial)
                costs = b.costs(arch)[trial["dataset"]]
                self.assertEqual(costs["flops_millions"], trial["flops_millions"])


class TestMembers(unittest.TestCase):
    def test_members(self) -> None:
        with nb201.open(os.fsencode(published.SIZE)) as b:
            held = [0, 11, "0", "11", "8:8:8:16:32", b[11]]
            for arch in held:
                self.assertIn(arch, b)
            with nb201.open(published.CAMPAIGN) as other:
                for arch in [1, -1, 10**30, "1", "x", "8:8:8:8:16", None, 1.5, other[12], other[0]]:
                    self.assertNotIn(arch, b)

    def test_relative_paths(self) -> None:
        """A change of the working directory changes nothing."""
        before = os.getcwd()
        directories = [os.path.join(published.scratch(), name) for name in ("here", "elsewhere")]
        for directory, source in zip(directories, ("nats", "campaign")):
            os.makedirs(directory)
            os.symlink(published.export(published.CAMPAIGN, "nats", "nats") if source == "nats" else published.SIZE, os.path.join(directory, "n"))
        try:
            os.chdir(directories[0])
            with nb201.open("n") as b:
                want = b.query(12)
                os.chdir(directories[1])
                b._recent.clear()
                self.assertEqual(b.query(12), want)
                self.assertEqual(b.trials(12)[0]["dataset"], want["trials"][0]["dataset"])
        finally:
            os.chdir(before)


class TestWrong(unittest.TestCase):
    """Wrong questions are refused with what is wrong, where, and what exists."""

    def check(self, kind: type, text: str, ask: Any) -> None:
        with self.assertRaisesRegex(kind, text):
            ask()

    def test_wrong(self) -> None:
        with nb201.open(published.SIZE) as b:
            for kind, text, ask in [
                (nb201.NotHeldError, "does not hold architecture 5; it holds 2 architectures", lambda: b[5]),
                (nb201.NotHeldError, "99999", lambda: b[99999]),
                (nb201.NotHeldError, "-1", lambda: b[-1]),
                (nb201.UsageError, "8:8:8:8:9", lambda: b["8:8:8:8:9"]),
                (nb201.UsageError, "search space", lambda: b["|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"]),
                (nb201.NoTrialError, "no trial with dataset mnist; it has .*cifar10-valid 01 777", lambda: b.trials(0, "mnist")),
                (nb201.NoTrialError, "schedule 200", lambda: b.curves(0, schedule="200")),
                (nb201.NotHeldError, "no set 'x-test' in these trials; they have ori-test, train", lambda: b.curves(0, "cifar10", set="x-test")),
                (nb201.NotHeldError, "", lambda: b.query(0, "cifar10", "90", set="x-test")),
                (nb201.NotHeldError, "", lambda: b.best("mnist", "x-test", "90")),
                (nb201.UsageError, "within the limits", lambda: b.best("cifar10", "ori-test", "90", max_flops=0.001)),
                (nb201.NoTrialError, "seed 5", lambda: b.weights(0, "cifar10", "90", 5)),
                (nb201.UsageError, "max_flops 0: use a finite number above 0", lambda: b.best("cifar10", "ori-test", "90", max_flops=0)),
                (nb201.UsageError, "max_params -1", lambda: b.best("cifar10", "ori-test", "90", max_params=-1)),
                (nb201.UsageError, "max_params nan", lambda: b.best("cifar10", "ori-test", "90", max_params=math.nan)),
                (nb201.UsageError, "epoch -1: use 0 to", lambda: b.query(0, epoch=-1)),
                (nb201.UsageError, "seed 1" + "0" * 25, lambda: b.query(0, seed=10**25)),
                (nb201.NotHeldError, "use 0 to 32767", lambda: b[10**30]),
                (nb201.NotHeldError, "no architecture -1", lambda: b.index(-1)),
                (TypeError, "set must be a str or None, not int", lambda: b.query(0, "cifar10", "90", set=111)),
                (TypeError, "dataset must be a str or None, not int", lambda: b.trials(0, 5)),
                (TypeError, "", lambda: b.trials(0, seed="777")),
                (TypeError, "", lambda: b.trials(0, seed=777.0)),
                (TypeError, "progress must be", lambda: b.best("cifar10", "ori-test", progress="x")),
                (TypeError, "", lambda: b.architecture(None)),
                (TypeError, "", lambda: b.architecture(1.5)),
            ]:
                with self.subTest(text=text):
                    self.check(kind, text, ask)
        self.check(nb201.ClosedError, "closed", lambda: b[0])
        b.close()
        self.check(nb201.UsageError, "neither a campaign nor a benchmark", lambda: nb201.open(published.TESTDATA + "/golden"))
        self.check(nb201.UsageError, "no such file", lambda: nb201.open("a\nb"))
        self.check(TypeError, "", lambda: nb201.open(3))
        self.check(nb201.UsageError, 'path "": name a benchmark', lambda: nb201.open(""))
        self.check(nb201.UsageError, "is not UTF-8; rename the file", lambda: nb201.open(os.fsdecode(b"bad\xff.pth")))
        self.assertTrue(issubclass(nb201.NotHeldError, LookupError) and issubclass(nb201.UsageError, ValueError))

    def test_damaged(self) -> None:
        source = published.export(published.CAMPAIGN, "nats", "nats")
        directory = os.path.join(published.scratch(), "damaged")
        os.makedirs(directory)
        for name in os.listdir(source):
            with open(os.path.join(source, name), "rb") as f, open(os.path.join(directory, name), "wb") as to:
                text = f.read()
                to.write(text[: len(text) // 2] if name.startswith("000012") else text)
        with nb201.open(directory) as b:
            self.check(nb201.DamagedError, "000012.pickle.pbz2", lambda: b[12])
            self.assertEqual([a.index for a in b.scan([0, 1462])], [0, 1462])
            read = []
            with self.assertRaises(nb201.DamagedError):
                for a in b:
                    read.append(a.index)
            self.assertEqual(read, [0])


class TestWithout(unittest.TestCase):
    """Numpy, pandas and torch are optional."""

    def test_without_numpy(self) -> None:
        script = f"""
import sys
sys.modules.update(numpy=None, pandas=None, torch=None)
import array, nb201
b = nb201.open({published.SIZE!r})
curve = b.curves(0, "cifar100", "12", 777, "x-test")[0]
assert type(curve["loss"]) is array.array and type(curve["epoch"]) is array.array
print(len(curve["loss"]), b.best("cifar10", "ori-test", "90")["architecture"])
try:
    b.to_dataframe()
except ImportError:
    print("needs pandas")
"""
        out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
        self.assertEqual(out, "12 11\nneeds pandas\n")

    def test_imports_nothing(self) -> None:
        script = "import sys, nb201; print([m for m in ('numpy', 'pandas', 'torch') if m in sys.modules])"
        self.assertEqual(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout, "[]\n")


class TestProgress(unittest.TestCase):
    def test_reports(self) -> None:
        path = published.export(published.CAMPAIGN, "nasbench201", "merged.pth")
        seen: Dict[str, Any] = {}
        with nb201.open(path, progress=lambda done, total: seen.update(done=done, total=total)) as b:
            b.best("cifar10", "test", progress=lambda done, total: seen.update(done=done, total=total))
        self.assertLessEqual(seen.get("done", 0), seen.get("total", 0))
