"""measure.py CASES.json: compute the loss and accuracies of batches with torch.

CASES.json is a list of batches: {"labels": [...], "classes": n} with either "logits", a
file of their float32 logits, or "images", a file of normalised float32 images
[batch, size, size, 3], and the network to run on them: "weights" (a state dict),
"genotype" (of its cells), "widths" such as 64:64:64:64:64 or else "channels" and "cells",
and "training" (BatchNorm's mode). All computation is in float64. For each batch it prints [mean cross entropy, top-1 count, top-n count], where n
is 5 or the number of classes, whichever is smaller.
"""
import json
import sys

import numpy as np
import torch


def logits(case):
    rows = len(case["labels"])
    if "logits" in case:
        return torch.from_numpy(np.fromfile(case["logits"], np.float32).reshape(rows, case["classes"])).double()
    from xautodl.models.cell_infers.tiny_network import TinyNetwork
    from xautodl.models.cell_searchs.genotypes import Structure
    from xautodl.models.shape_infers.InferTinyCellNet import DynamicShapeTinyNet

    genotype = Structure.str2structure(case["genotype"])
    if "widths" in case:
        net = DynamicShapeTinyNet([int(w) for w in case["widths"].split(":")], genotype, case["classes"])
    else:
        net = TinyNetwork(case["channels"], case["cells"], genotype, case["classes"])
    net.load_state_dict(torch.load(case["weights"], map_location="cpu"), strict=True)
    net.double().train(case["training"])
    images = np.fromfile(case["images"], np.float32).reshape(rows, case["size"], case["size"], 3)
    with torch.no_grad():
        return net(torch.from_numpy(images).permute(0, 3, 1, 2).double())[1]


answers = []
with open(sys.argv[1]) as f:
    cases = json.load(f)
for case in cases:
    output, target = logits(case), torch.tensor(case["labels"])
    # obtain_accuracy (xautodl/utils/evaluation_utils.py) with topk=(1, n)
    n = min(5, case["classes"])
    correct = output.topk(n, 1, True, True)[1].t().eq(target.view(1, -1).expand(n, -1))
    loss = torch.nn.functional.cross_entropy(output, target).item()
    answers.append([loss, correct[0].sum().item(), correct.sum().item()])
print(json.dumps(answers))
