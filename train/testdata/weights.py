"""weights.py FROM DIR: write the state dict of the checkpoint FROM to files in DIR, in the forms in which users of torch
store state dicts, and print, as JSON, the types other than float32 and int64 in each file."""
import argparse
import json
import sys

import torch

source, directory = sys.argv[1:]
state = torch.load(source)
forms = {}


def floats(dtype):
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}


def save(name, value, types=""):
    forms[name] = types
    torch.save(value, "%s/%s.pth" % (directory, name))


save("plain", state)
save("channels-last", {k: v.to(memory_format=torch.channels_last) if v.dim() == 4 else v for k, v in state.items()})
save("sorted", dict(sorted(state.items())))
save("wrapped", {"state_dict": state, "epoch": 1, "args": argparse.Namespace(lr=0.1)})
save("half", floats(torch.float16), "float16")
save("transposed", {k: v.t().contiguous().t() if v.dim() == 2 else v for k, v in state.items()})
save("reversed", dict(reversed(state.items())))
buffer = torch.cat([v.flatten().float() for v in reversed(state.values())])
ends = dict(zip(reversed(state), torch.tensor([v.numel() for v in reversed(state.values())]).cumsum(0).tolist()))
save("views", {k: buffer[ends[k] - v.numel():ends[k]].view(v.shape) for k, v in state.items()})
save("both-prefixes", {"model": {"module._orig_mod." + k: v for k, v in state.items()}, "optimizer": {"state": {}, "param_groups": []}})
save("prefixes-swapped", {"net": {"_orig_mod.module." + k: v for k, v in state.items()}})
save("double", floats(torch.float64), "float64")
save("bfloat16", floats(torch.bfloat16), "bfloat16")
save("mixed", {**floats(torch.float16), "classifier.bias": state["classifier.bias"].double()}, "float16, float64")
save("uncounted", {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")})
print(json.dumps(forms))
