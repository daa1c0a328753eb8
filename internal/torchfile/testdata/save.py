"""save.py DIR: write checkpoints and plain pickles with tensors into DIR, for the tests of reading.

The committed files were made by torch 2.15.0. legacy.pth is in the format that was torch.save's default before
torch 1.6; embedded-protocolN.pickle are plain pickles, which contain a separate checkpoint for each storage;
whole.pickle contains one whole checkpoint, as nb201's exports with weights do.
"""
import collections
import io
import pickle
import sys

import torch

directory = sys.argv[1]
base = torch.arange(12, dtype=torch.float32)
state = collections.OrderedDict(
    [("weight", base[2:8].view(2, 3)), ("bias", base[:2]), ("running_mean", torch.tensor([1.5, -2.5], dtype=torch.float64)),
     ("num_batches_tracked", torch.tensor(1 << 40)), ("empty", torch.zeros(0, 3)), ("parameter", torch.nn.Parameter(torch.ones(2)))])
value = {"full": {"net_state_dict": state, "shape": torch.Size([2, 3]), "epochs": 12}, "less": {"net_state_dict": None}}
torch.save(value, directory + "/zip.pth")
torch.save(value, directory + "/legacy.pth", _use_new_zipfile_serialization=False)
for protocol in (2, 4):
    with open("%s/embedded-protocol%d.pickle" % (directory, protocol), "wb") as f:
        pickle.dump(value, f, protocol)


class Whole:
    def __reduce__(self):
        b = io.BytesIO()
        torch.save(state, b)
        return torch.storage._load_from_bytes, (b.getvalue(),)


with open(directory + "/whole.pickle", "wb") as f:
    pickle.dump({"full": {"net_state_dict": Whole()}}, f, 4)
