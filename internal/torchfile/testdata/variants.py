"""variants.py DIR: write one state dict into DIR in the forms in which torch programs store it.

The committed files were made by torch 2.15.0. Names describe the form; refused-* must be refused. All others contain the
tensors of plain.pth, rounded in half-* and bfloat16-*, and with a prefix in some.
"""
import argparse
import collections
import pathlib
import random
import sys

import numpy
import torch

directory = sys.argv[1]
torch.manual_seed(1)
net = torch.nn.Sequential(collections.OrderedDict(
    stem=torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4)), classifier=torch.nn.Linear(4, 2)))
net.stem(torch.randn(4, 3, 8, 8))
state = net.state_dict()


def save(name, value, **options):
    torch.save(value, "%s/%s.pth" % (directory, name), **options)


def each(change):
    return collections.OrderedDict((k, change(v)) for k, v in state.items())


def floats(dtype):
    return each(lambda v: v.to(dtype) if v.is_floating_point() else v)


def flat():
    """Every float a view of one storage, at an offset."""
    buffer = torch.cat([torch.full((7,), 9.0)] + [v.flatten() for v in state.values() if v.is_floating_point()])
    at, views = 7, collections.OrderedDict()
    for k, v in state.items():
        views[k] = v
        if v.is_floating_point():
            views[k] = buffer[at:at + v.numel()].view(v.shape)
            at += v.numel()
    return views


def strided(v):
    """The same values, every second element of a storage, the axes in reverse order."""
    if v.dim() == 0:
        return v
    wide = torch.zeros([2 * n for n in reversed(v.shape)], dtype=v.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in v.shape)]
    view.copy_(v.permute(*reversed(range(v.dim()))))
    return view.permute(*reversed(range(v.dim())))


optimizer = torch.optim.Adam(net.parameters())
net.classifier(torch.ones(1, 4)).sum().backward()
optimizer.step()
net.load_state_dict(state := {k: v.clone() for k, v in state.items()})
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
beside = {
    "epoch": 3, "best": 0.5, "optimizer": optimizer.state_dict(), "scheduler": schedule.state_dict(), "rng": torch.get_rng_state(),
    "random": random.getstate(), "numpy": numpy.random.get_state(), "history": collections.defaultdict(list, loss=[1.0, 0.5]),
    "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("/out"), device=torch.device("cpu"), dtype=torch.float16),
}

save("plain", state)
save("legacy", state, _use_new_zipfile_serialization=False)
save("channels-last", each(lambda v: v.contiguous(memory_format=torch.channels_last) if v.dim() == 4 else v))
save("transposed", each(lambda v: v.t().contiguous().t() if v.dim() == 2 else v))
save("strided", each(strided))
save("strided-legacy", each(strided), _use_new_zipfile_serialization=False)
save("flat", flat())
save("reversed", dict(reversed(state.items())))
save("parameters", each(lambda v: torch.nn.Parameter(v, requires_grad=v.is_floating_point()) if v.is_floating_point() else v))
attributes = each(lambda v: torch.nn.Parameter(v.clone()) if v.is_floating_point() else v.clone())
for v in attributes.values():
    v.mark = "x"
save("attributes", attributes)
save("under-state_dict", {**beside, "state_dict": state})
save("under-state_dict-legacy", {**beside, "state_dict": state}, _use_new_zipfile_serialization=False)
for key in ("model_state_dict", "model", "net"):
    save("under-" + key, {key: state, "epoch": 3, "args": beside["args"]})
save("under-model-state_dict", {"model": {"state_dict": state, "name": "net"}, "net": "resnet"})
save("twice", {"model": state, "state_dict": state})
save("half-floats", floats(torch.float16))
save("half-all", each(lambda v: v.half()))
save("bfloat16-floats", floats(torch.bfloat16))
save("double", floats(torch.float64))
save("mixed", each(lambda v: v.double() if v.dim() == 1 else v))
save("prefix-module", {"module." + k: v for k, v in state.items()})
save("prefix-both", {"model": {"module._orig_mod." + k: v for k, v in state.items()}})
save("refused-whole", net)
save("refused-whole-legacy", torch.nn.Identity(), _use_new_zipfile_serialization=False)
save("refused-under-model", {"model": net, "epoch": 3})
save("refused-optimizer", {"optimizer": optimizer.state_dict(), "epoch": 3})
save("refused-several", {"model": state, "net": floats(torch.float64)})
save("refused-quantized", {**state, "classifier.weight": torch.quantize_per_tensor(state["classifier.weight"], 0.1, 0, torch.qint8)})
save("refused-sparse", {**state, "classifier.weight": state["classifier.weight"].to_sparse()})
save("refused-negated", {**state, "classifier.bias": torch._neg_view(state["classifier.bias"])})
save("refused-int32", each(lambda v: v if v.is_floating_point() else v.int()))
save("refused-float8", floats(torch.float8_e4m3fn))
