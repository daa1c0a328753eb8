"""load.py STATE NESTED AGAIN: load both files as a user would, print STATE's tensors as JSON, save them as AGAIN."""
import base64
import json
import sys
import warnings
from collections import OrderedDict

import torch

warnings.simplefilter("error", FutureWarning)
state, nested, again = sys.argv[1:]
loaded = torch.load(state, map_location="cpu")
assert type(loaded) is OrderedDict
assert [(k, v["version"]) for k, v in loaded._metadata.items()] == [("", 1), ("stem.0", 1), ("stem.1", 2), ("classifier", 1)]
mapped = torch.load(state, map_location="cpu", mmap=True)
full = torch.load(nested, map_location="cpu", weights_only=True)["full"]
assert full["none"] is None and full["set"] == {"a", 1}
for name, tensor in loaded.items():
    assert tensor.is_contiguous() and not tensor.requires_grad
    assert torch.equal(tensor, mapped[name]) and torch.equal(tensor, full["cifar10", 777][name])
    assert mapped[name].data_ptr() % 64 == 0, "mapped tensors are aligned"
module = torch.nn.Sequential(OrderedDict(
    stem=torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4)),
    classifier=torch.nn.Linear(4, 2, dtype=torch.float64)))
assert str(module.load_state_dict(loaded)) == "<All keys matched successfully>"
print(json.dumps([{"Name": k, "DType": str(v.dtype), "Shape": list(v.shape),
                   "Bytes": base64.b64encode(v.numpy().tobytes()).decode()} for k, v in loaded.items()]))
torch.save(module.state_dict(), again)
