"""The PyTorch side of bench: the original's network and optimizer.

Without an argument it carries out tasks from standard input: a line with the task, a line for each
further turn, and one for the closing (Task in task.go). With the argument `trial` it trains the one
trial that it reads there, with the images on the device (torchTrial in trial.go)."""
import importlib.metadata
import json
import math
import os
import platform
import resource
import sys
import time
import types

STARTED = time.perf_counter()

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin would slow nb201 down

import torch
from xautodl.models import CellStructure, get_cell_based_tiny_net


class Side:
    """The network of a task, with its optimizer and loss."""

    def __init__(self, task):
        self.device = torch.device(task["device"])
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = task["precision"] == "tf32"
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=task["precision"] == "bf16")

        self.layout = torch.channels_last if task["mode"] in ("channels_last", "compile") else torch.contiguous_format
        torch.manual_seed(task["seed"])
        net = get_cell_based_tiny_net(types.SimpleNamespace(
            name=task["network"], genotype=CellStructure.str2structure(task["genotype"]), num_classes=task["classes"],
            C=task["channels"], N=task["cells"],  # of infer.tiny
            channels=task["arch"]))  # of infer.shape.tiny: the widths
        self.net = net.to(self.device, memory_format=self.layout)
        # get_optim_scheduler (xautodl/procedures/optimizers.py) for the published recipe
        self.optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
        self.criterion = torch.nn.CrossEntropyLoss()
        self.forward = torch.compile(net) if task["mode"] == "compile" else net
        self.mean, self.std = (
            torch.tensor(task[k], device=self.device).div(255).float().reshape(1, 3, 1, 1) for k in ("mean", "std")
        )

    def normalised(self, pixels):
        """Normalised float32 images from uint8 ones."""
        return pixels.float().div(255).sub(self.mean).div(self.std).contiguous(memory_format=self.layout)

    def measure(self, x, y):
        with self.autocast:
            _, logits = self.forward(x)
            return logits, self.criterion(logits, y)

    def train(self, x, y):
        """Do a training step, as procedure in xautodl/procedures/funcs_nasbench.py.

        Return the mean loss and the top-1 and top-5 counts."""
        self.optimizer.zero_grad()
        logits, loss = self.measure(x, y)
        loss.backward()
        self.optimizer.step()
        return [loss.item(), *correct(logits.detach(), y)]

    def evaluate(self, x, y):
        """Evaluate a batch. Return the mean loss and the top-1 and top-5 counts."""
        with torch.no_grad():
            logits, loss = self.measure(x, y)
            return [loss.item(), *correct(logits, y)]

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def load(file, size):
    """Read a file of records. Return uint8 images [n, 3, size, size] and labels [n]."""
    with open(file, "rb") as f:
        raw = torch.frombuffer(bytearray(f.read()), dtype=torch.uint8).reshape(-1, 1 + 3 * size * size)
    return raw[:, 1:].reshape(-1, 3, size, size), raw[:, 0].long()


def correct(logits, labels):
    """Return the top-1 and top-5 counts, computed as in the original's obtain_accuracy."""
    k = min(5, logits.shape[1])
    _, best = logits.topk(k, 1)
    hits = best.t().eq(labels.view(1, -1).expand(k, -1))
    return [hits[:k].reshape(-1).float().sum().item() for k in (1, k)]


def versions():
    return [f"Python {platform.python_version()}", f"torch {torch.__version__}", f"xautodl {importlib.metadata.version('xautodl')}"]


def peak_rss():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def send(message):
    print(json.dumps(message), flush=True)


class Clock:
    """Measures the wall and CPU time of laps."""

    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def lap(self):
        wall, cpu = time.perf_counter(), time.process_time()
        cost = {"seconds": wall - self.wall, "cpu": cpu - self.cpu}
        self.wall, self.cpu = wall, cpu
        return cost


def turns(task):
    """Carry out a task in turns, with the normalised images on the device."""
    clock = Clock()
    side = Side(task)
    pixels, labels = (t.to(side.device) for t in load(task["images"], task["size"]))
    images = side.normalised(pixels)

    def batch(i):
        part = slice(i * task["batch"], (i + 1) * task["batch"])
        return images[part], labels[part]

    for turn in range(task["turns"]):
        side.net.train()
        losses = [side.train(*batch(i))[0] for i in range(task["steps"])]
        side.wait()
        report = {"train": clock.lap()}
        side.net.eval()
        for i in range(task["eval_steps"]):
            side.evaluate(*batch(i))
        side.wait()
        report["eval"] = clock.lap()
        if turn == 0:
            report["loss"] = losses[0]
        send(report)
        if not sys.stdin.readline():
            sys.exit("torch_side.py: standard input ended before the task")
        clock.lap()
    send({"peak_rss": peak_rss(), "versions": versions()})


def trial(task):
    """Train a whole trial with the original's loop, with images and augmentation on the device."""
    side = Side(task)
    size, padding = task["size"], task["crop_padding"]
    sets = {name: [t.to(side.device) for t in load(file, size)] for name, file in task["files"].items()}
    images, labels = sets.pop("train")
    side.wait()
    ready = time.perf_counter() - STARTED

    def augmented(x):
        """RandomHorizontalFlip and RandomCrop of a batch, drawn for each image."""
        n = len(x)
        if task["flip"]:
            flip = torch.rand(n, 1, 1, 1, device=side.device) < 0.5
            x = torch.where(flip, x.flip(3), x)
        if padding:
            x = torch.nn.functional.pad(x, (padding,) * 4)
            top, left = torch.randint(0, 2 * padding + 1, (2, n, 1), device=side.device)
            rows = top + torch.arange(size, device=side.device)
            columns = left + torch.arange(size, device=side.device)
            image = torch.arange(n, device=side.device)
            x = x.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        return x

    def epoch(step, x, y, order, prepare):
        sums, clock = torch.zeros(3, dtype=torch.float64), Clock()
        for part in order.split(task["batch"]):
            loss, top1, top5 = step(side.normalised(prepare(x[part])), y[part])
            sums += torch.tensor([loss * len(part), top1, top5], dtype=torch.float64)
        side.wait()
        loss, top1, _ = (sums / len(order)).tolist()
        return clock.lap()["seconds"], loss, 100 * top1

    train_seconds, eval_seconds = 0, 0
    for number in range(task["epochs"]):
        for group in side.optimizer.param_groups:
            group["lr"] = 0.1 * (1 + math.cos(math.pi * number / task["epochs"])) / 2
        side.net.train()
        seconds, loss, top1 = epoch(side.train, images, labels, torch.randperm(len(labels), device=side.device), augmented)
        train_seconds += seconds
        side.net.eval()
        for x, y in sets.values():
            seconds, _, _ = epoch(side.evaluate, x, y, torch.arange(len(y), device=side.device), lambda x: x)
            eval_seconds += seconds
    torch.save(side.net.state_dict(), task["to"])
    send({
        "ready": ready, "train": train_seconds, "eval": eval_seconds, "loss": loss, "top1": top1,
        "versions": versions(),
    })


if sys.argv[1:] == ["trial"]:
    trial(json.loads(sys.stdin.readline()))
else:
    for line in sys.stdin:
        turns(json.loads(line))
