"""The PyTorch side of bench: the original's network and optimizer, on the task that
arrives as the first line of standard input, a turn for every further line."""
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time

STARTED = time.perf_counter()

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin would slow nb201 down

import torch
from xautodl.models.cell_infers.tiny_network import TinyNetwork
from xautodl.models.cell_searchs.genotypes import Structure


def load(task):
    """The normalised images [n, 3, 32, 32] and the labels of the task's file."""
    with open(task["images"], "rb") as f:
        raw = torch.frombuffer(bytearray(f.read()), dtype=torch.uint8).reshape(-1, 1 + 3 * 32 * 32)
    mean, std = (torch.tensor(task[k]).div(255).float().reshape(1, 3, 1, 1) for k in ("mean", "std"))
    images = raw[:, 1:].reshape(-1, 3, 32, 32).float().div(255).sub(mean).div(std)
    return images, raw[:, 0].long()


def correct(logits, labels):
    """The top-1 and top-5 counts, as obtain_accuracy takes them."""
    _, best = logits.topk(5, 1)
    hits = best.t().eq(labels.view(1, -1).expand(5, -1))
    return [hits[:k].reshape(-1).float().sum().item() for k in (1, 5)]


def main():
    task = json.loads(sys.stdin.readline())
    device, mode = torch.device(task["device"]), task["mode"]
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = task["precision"] == "tf32"

    layout = torch.channels_last if mode in ("channels_last", "compile") else torch.contiguous_format
    images, labels = load(task)
    images = images.contiguous(memory_format=layout)
    torch.manual_seed(task["seed"])
    net = TinyNetwork(task["channels"], task["cells"], Structure.str2structure(task["arch"]), task["classes"])
    net = net.to(device, memory_format=layout).train()
    # get_optim_scheduler (xautodl/procedures/optimizers.py) for the published recipe
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    criterion = torch.nn.CrossEntropyLoss()
    forward = torch.compile(net) if mode == "compile" else net

    def step(start):  # procedure (xautodl/procedures/funcs_nasbench.py)
        x, y = (t[start : start + task["batch"]].to(device, non_blocking=True) for t in (images, labels))
        optimizer.zero_grad()
        _, logits = forward(x)
        loss = criterion(logits, y)
        loss.backward()
        optimizer.step()
        correct(logits.detach(), y)
        return loss.item()

    began, cpu = STARTED, 0
    for turn in range(task["turns"]):
        losses = [step(k * task["batch"]) for k in range(task["steps"])]
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        report = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        if turn == 0:
            report["loss"] = losses[0]
        print(json.dumps(report), flush=True)
        if turn < task["turns"] - 1 and not sys.stdin.readline():
            sys.exit("torch_step.py: told to stop")
        began, cpu = time.perf_counter(), time.process_time()

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    versions = [f"Python {platform.python_version()}", f"torch {torch.__version__}", f"xautodl {importlib.metadata.version('xautodl')}"]
    print(json.dumps({"peak_rss": peak if sys.platform == "darwin" else peak * 1024, "versions": versions}))


main()
