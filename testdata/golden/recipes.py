"""recipes.py: print recipes.json, what torch makes of training recipes.

For each recipe, a network of the original is trained in float64 on synthetic images (data/datatest/synth.go), with
torch's optimizer, loss, schedulers and data loaders, profile modern, on the CPU with one thread. Each case has the
learning rate and the loss of every batch, the loss of the evaluation set after each epoch that the recipe evaluates,
and the sum and the sum of magnitudes of the final tensors of the stem, the last cell and the classifier."""
import json

import numpy as np
import torch
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset
from xautodl.models.cell_infers.tiny_network import TinyNetwork
from xautodl.models.cell_searchs.genotypes import Structure

ARCH = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|"
SEED, IMAGES, SIZE, CLASSES, PADDING, BATCH, EPOCHS = 777, 48, 8, 7, 2, 16, 6
MEAN, STD = [127, 128, 129], [73, 74, 75]

BASE = {
    "epochs": EPOCHS, "batch": BATCH, "optimizer": "SGD", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True,
    "weight_decay": 5e-4, "scheduler": "cosine", "eta_min": 0, "warmup": 0, "channels": 4, "cells": 1,
}
CUTOUT = {"augment": {"cutout": 4}}
CASES = [
    # the recipe's changes, and the workers of its loaders
    ("published", {}, 0),
    ("cosine", {"eta_min": 0.01, "warmup": 2}, 0),
    ("steps", {"scheduler": "steps", "milestones": [2, 5], "gamma": 0.2}, 0),
    ("steps-warmup", {"scheduler": "steps", "milestones": [3, 4], "gamma": 0.1, "warmup": 1, "learning_rate": 0.03}, 0),
    ("linear", {"scheduler": "linear", "eta_min": 0.001, "nesterov": False}, 0),
    ("linear-warmup", {"scheduler": "linear", "warmup": 3, "learning_rate": 0.05}, 0),
    ("constant", {"scheduler": "constant", "momentum": 0, "nesterov": False, "learning_rate": 0.02}, 0),
    ("smoothing", {"label_smoothing": 0.1}, 0),
    ("warmup-alone", {"warmup": 6}, 0),
    ("decay-weights", {"decayed": "weights", "weight_decay": 0.05}, 0),
    ("cutout", CUTOUT, 0),
    ("cutout-workers", CUTOUT, 2),
    ("cutout-alone", {"augment": {"flip": False, "crop": False, "cutout": 4}}, 2),
    ("no-flip", {"augment": {"flip": False}}, 0),
    ("no-crop", {"augment": {"crop": False}}, 2),
    ("evaluate-every", {"evaluate_every": 4}, 0),
    ("all", {"scheduler": "steps", "milestones": [4], "gamma": 0.1, "warmup": 2, "label_smoothing": 0.1, "decayed": "weights",
             "augment": {"cutout": 4}, "evaluate_every": 2, "weight_decay": 0.01}, 2),
]


def synth(n, seed):
    """Images [n, size, size, 3] in bytes, and labels."""
    images, labels = np.empty((n, SIZE * SIZE * 3), np.uint8), []
    for i in range(n):
        x = seed * 0x9E3779B97F4A7C15 + i * 0xD1B54A32D192ED03

        def step():
            nonlocal x
            x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
            return x

        for _ in range(4):
            step()
        images[i] = [step() >> 56 for _ in range(SIZE * SIZE * 3)]
        labels.append((step() >> 33) % CLASSES)
    return torch.from_numpy(images.reshape(n, SIZE, SIZE, 3)), labels


class Images(Dataset):
    """Images as a loader of the original delivers them; recipe is None for evaluation."""

    def __init__(self, seed, recipe):
        self.images, self.labels = synth(IMAGES, seed)
        augment = recipe and recipe.get("augment", {})
        self.flip = recipe is not None and augment.get("flip", True)
        self.padding = PADDING if recipe is not None and augment.get("crop", True) else 0
        self.cutout = augment.get("cutout", 0) if recipe else 0

    def __len__(self):
        return IMAGES

    def __getitem__(self, i):
        x = self.images[i].permute(2, 0, 1)
        if self.flip and torch.rand(1) < 0.5:  # RandomHorizontalFlip
            x = x.flip(2)
        if self.padding:  # RandomCrop
            x = torch.nn.functional.pad(x, (self.padding,) * 4)
            top, left = (torch.randint(0, 2 * self.padding + 1, (1,)).item() for _ in range(2))
            x = x[:, top : top + SIZE, left : left + SIZE]
        mean, std = (torch.tensor([v / 255 for v in list_], dtype=torch.float32)[:, None, None] for list_ in (MEAN, STD))
        x = (x.float().div(255) - mean) / std  # ToTensor, Normalize
        if self.cutout:  # CUTOUT (xautodl/datasets/get_dataset_with_transform.py) draws its centre from numpy
            y, x0, half = np.random.randint(SIZE), np.random.randint(SIZE), self.cutout // 2
            x[:, max(y - half, 0) : y + half, max(x0 - half, 0) : x0 + half] = 0
        return x.double(), self.labels[i]


def scheduler_of(recipe, optimizer):
    """The scheduler of the epochs after the warm-up."""
    after, rate = EPOCHS - recipe["warmup"], recipe["learning_rate"]
    kind = recipe["scheduler"]
    if after == 0 or kind == "constant":
        return lr_scheduler.ConstantLR(optimizer, factor=1)
    if kind == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, after, recipe["eta_min"])
    if kind == "steps":
        return lr_scheduler.MultiStepLR(optimizer, [m - recipe["warmup"] for m in recipe["milestones"]], recipe["gamma"])
    return lr_scheduler.LinearLR(optimizer, 1, recipe["eta_min"] / rate, after)


def train(recipe, workers):
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    net = TinyNetwork(recipe["channels"], recipe["cells"], Structure.str2structure(ARCH), CLASSES)
    torch.rand(1, 3, SIZE, SIZE)  # get_model_infos (xautodl/utils/flop_benchmark.py)
    net = net.double()

    parameters = list(net.parameters())
    if recipe.get("decayed") == "weights":
        parameters = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": recipe["weight_decay"]},
            {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0},
        ]
    optimizer = torch.optim.SGD(
        parameters, recipe["learning_rate"], momentum=recipe["momentum"], nesterov=recipe["nesterov"], weight_decay=recipe["weight_decay"]
    )
    scheduler = scheduler_of(recipe, optimizer)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=recipe.get("label_smoothing", 0))
    loader = DataLoader(Images(1, recipe), BATCH, shuffle=True, num_workers=workers)
    evaluation = DataLoader(Images(2, None), BATCH, num_workers=workers)

    case = {"rate": [], "loss": [], "evaluation": {}}
    warmup, every = recipe["warmup"], recipe.get("evaluate_every", 1)
    for epoch in range(EPOCHS):
        net.train()
        for i, (x, y) in enumerate(loader):
            if epoch < warmup:  # xautodl/procedures/optimizers.py
                for group in optimizer.param_groups:
                    group["lr"] = (epoch + i / len(loader)) / warmup * recipe["learning_rate"]
            elif epoch == warmup and i == 0:
                for group in optimizer.param_groups:
                    group["lr"] = recipe["learning_rate"]
            optimizer.zero_grad()
            loss = criterion(net(x)[1], y)
            loss.backward()
            optimizer.step()
            case["rate"].append(optimizer.param_groups[0]["lr"])
            case["loss"].append(loss.item())
        if epoch >= warmup:
            scheduler.step()
        if (epoch + 1) % every == 0 or epoch == EPOCHS - 1:
            net.eval()
            total = 0
            with torch.no_grad():
                for x, y in evaluation:
                    total += torch.nn.functional.cross_entropy(net(x)[1], y, reduction="sum").item()
            case["evaluation"][epoch] = total / IMAGES
    case["weights"] = {
        name: [t.sum().item(), t.abs().sum().item()]
        for name, t in net.state_dict().items()
        if t.is_floating_point() and name.startswith(("stem.", "cells.4.", "classifier."))
    }
    return case


torch.set_num_threads(1)
vectors = {
    "meta": {"torch": torch.__version__, "numpy": np.__version__, "cpu_capability": torch.backends.cpu.get_cpu_capability()},
    "arch": ARCH, "seed": SEED, "images": IMAGES, "size": SIZE, "classes": CLASSES, "crop_padding": PADDING, "mean": MEAN, "std": STD,
    "cases": [],
}
for name, changes, workers in CASES:
    recipe = {**BASE, **changes}
    if name != "published":
        recipe = {"name": name, **recipe}
    vectors["cases"].append({"workers": workers, "recipe": recipe, **train(recipe, workers)})
print("{" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in vectors.items() if key != "cases") + ',\n"cases": [')
print(",\n".join(json.dumps(case) for case in vectors["cases"]) + "\n]}")
