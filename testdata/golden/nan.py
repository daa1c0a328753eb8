"""nan.py: print nan.json, what torch makes of infinite values, zeros of both signs and NaN in every operation of the
networks and of their measures that could lose a NaN, on the CPU. Values are written as Python's repr has them."""
import json
import math

import torch
from torch.nn import functional as F

SPECIAL = [-math.inf, -1.0, -0.0, 0.0, 1.0, math.inf, math.nan]
CLASSES = 7
# Logits of a row, with a special value in the place of the third and another in that of the sixth; without equals.
ROW = [0.5, -0.25, None, 2.0, 0.75, None, -3.0]


def text(values):
    return [repr(float(v)) for v in values.flatten()]


def of_map(special, dtype):
    """A feature map of one channel, 4x4, with a special value at row 1, column 1."""
    x = (torch.arange(16, dtype=torch.float64) / 8 - 1.0625).reshape(1, 1, 4, 4)
    x[0, 0, 1, 1] = special
    return x.to(dtype)


def on_maps(operation, dtype):
    """Of each special value in a map: the output; of each in an output of ones: the gradient of the map."""
    cases = []
    for special in SPECIAL:
        x = of_map(0.5, dtype).requires_grad_()
        y = operation(x)
        dy = torch.ones_like(y)
        dy.view(-1)[dy.numel() // 2] = special
        y.backward(dy)
        cases.append({"output": text(operation(of_map(special, dtype))), "gradient": text(x.grad)})
    return cases


def relu(dtype):
    x = torch.tensor(SPECIAL, dtype=dtype)
    gradients = []
    for special in SPECIAL:
        leaf = x.clone().requires_grad_()
        torch.relu(leaf).backward(torch.full_like(x, special))
        gradients.append(text(leaf.grad))
    return {"output": text(torch.relu(x)), "gradients": gradients}


def measures(dtype):
    """Of logits: for each label the loss, its gradient, and whether the label is among the first 1 and 5."""
    rows = []
    for third in SPECIAL:
        for sixth in SPECIAL:
            if third == sixth or math.isnan(third) and math.isnan(sixth):
                continue  # topk promises no order of equals
            row = list(ROW)
            row[2], row[5] = third, sixth
            logits = torch.tensor([row], dtype=dtype)
            case = {"logits": text(logits), "loss": [], "gradient": [], "top1": [], "top5": []}
            for label in range(CLASSES):
                leaf, target = logits.clone().requires_grad_(), torch.tensor([label])
                loss = F.cross_entropy(leaf, target)
                loss.backward()
                best = logits.topk(5, 1, True, True)[1][0].tolist()  # obtain_accuracy (xautodl/utils/evaluation_utils.py)
                case["loss"].append(repr(loss.item()))
                case["gradient"].append(text(leaf.grad))
                case["top1"].append(int(label in best[:1]))
                case["top5"].append(int(label in best))
            rows.append(case)
    return rows


vectors = {
    "meta": {"torch": torch.__version__, "cpu_capability": torch.backends.cpu.get_cpu_capability()},
    "special": text(torch.tensor(SPECIAL)),
    "types": {},
}
for name, dtype in [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float64", torch.float64)]:
    vectors["types"][name] = {
        "relu": relu(dtype),
        "avg_pool_3x3": on_maps(lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), dtype),
        "avg_pool_2x2": on_maps(lambda x: F.avg_pool2d(x, 2, 2), dtype),
        "global_mean": on_maps(lambda x: F.adaptive_avg_pool2d(x, 1), dtype),
    }
    if dtype != torch.bfloat16:  # which is of feature maps alone
        vectors["types"][name] |= {
            "batch_norm": on_maps(lambda x: F.batch_norm(x, None, None, training=True), dtype),
            # Of each special value as a running variance: the output for 1.
            "evaluated_batch_norm": [
                text(F.batch_norm(torch.ones(1, 1, dtype=dtype), torch.zeros(1, dtype=dtype), torch.tensor([v], dtype=dtype)))[0]
                for v in SPECIAL
            ],
            "measures": measures(dtype),
        }
print(json.dumps(vectors, separators=(",", ":")))
