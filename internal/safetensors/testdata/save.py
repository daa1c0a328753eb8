"""save.py DIR: write one state dict into DIR, in the supported types and in one that is not supported.

The committed files were made by safetensors 0.8.0 and torch 2.15.0, which the library needs.
"""
import sys

import torch
from safetensors.torch import save_file

directory = sys.argv[1]
state = {
    "stem.0.weight": torch.arange(12, dtype=torch.float32).sub(5.5).view(2, 2, 3), "stem.1.bias": torch.tensor([1 / 3, -2e-5]),
    "stem.1.num_batches_tracked": torch.tensor(1 << 40), "empty": torch.zeros(0, 3),
}


def save(name, dtype, metadata=None):
    save_file({k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}, "%s/%s.safetensors" % (directory, name), metadata)


save("float32", torch.float32, {"format": "pt"})
save("float16", torch.float16)
save("bfloat16", torch.bfloat16)
save("float64", torch.float64)
save("float8", torch.float8_e4m3fn)
