"""Reads datasets as the original program and torchvision do, and says what is in them.

Standard input is a JSON list of {"format", "dir", "size", "classes"}; standard output one of
{"train": {"pixels", "labels"}, "test": ...}, SHA-256 of the bytes of images (uint8: image, row,
column, channel) and of labels (int32, from 0 on). Needs numpy and Pillow.
"""

import hashlib
import json
import os
import pickle
import sys

import numpy as np
from PIL import Image


def unpickled(path):
    with open(path, "rb") as f:
        return pickle.load(f, encoding="latin1")


def pickled(directory, files, labels, size, first=0, classes=None):
    entries = [unpickled(os.path.join(directory, name)) for name in files]
    pixels = np.vstack([e["data"] for e in entries]).reshape(-1, 3, size, size)
    targets = np.concatenate([np.asarray(e[labels]) for e in entries]) - first
    if classes is not None:
        kept = targets < classes
        pixels, targets = pixels[kept], targets[kept]
    return pixels.transpose(0, 2, 3, 1), targets


def binary(directory, files, before, size):
    raw = np.concatenate([np.fromfile(os.path.join(directory, name), np.uint8) for name in files])
    raw = raw.reshape(-1, before + 3 * size * size)
    return raw[:, before:].reshape(-1, 3, size, size).transpose(0, 2, 3, 1), raw[:, before - 1]


def pictures(directory):
    pixels, targets = [], []
    for target, name in enumerate(sorted(os.listdir(directory))):
        for file in sorted(os.listdir(os.path.join(directory, name))):
            pixels.append(np.asarray(Image.open(os.path.join(directory, name, file)).convert("RGB")))
            targets.append(target)
    return np.stack(pixels), np.array(targets)


def numbered(prefix, n, suffix=""):
    return [f"{prefix}{i + 1}{suffix}" for i in range(n)]


def read(c, split):
    d, size = c["dir"], c["size"]
    train = split == "train"
    if c["format"] == "cifar10-python":
        return pickled(d, numbered("data_batch_", 5) if train else ["test_batch"], "labels", size)
    if c["format"] == "cifar10-binary":
        return binary(d, numbered("data_batch_", 5, ".bin") if train else ["test_batch.bin"], 1, size)
    if c["format"] == "cifar100-python":
        return pickled(d, [split], "fine_labels", size)
    if c["format"] == "cifar100-binary":
        return binary(d, [split + ".bin"], 2, size)
    if c["format"] == "imagenet16":
        files = numbered("train_data_batch_", 10) if train else ["val_data"]
        return pickled(d, files, "labels", size, first=1, classes=c["classes"])
    if c["format"] == "npz":
        with np.load(os.path.join(d, "images.npz")) as arrays:
            return arrays["x_" + split], arrays["y_" + split]
    if c["format"] == "npy":
        return [np.load(os.path.join(d, f"{kind}_{split}.npy")) for kind in "xy"]
    if c["format"] == "image-folder":
        return pictures(os.path.join(d, split))
    raise ValueError("unknown format " + c["format"])


def digest(array, dtype):
    return hashlib.sha256(np.ascontiguousarray(array, dtype=dtype).tobytes()).hexdigest()


def main():
    answers = []
    for c in json.load(sys.stdin):
        answer = {}
        for split in ("train", "test"):
            pixels, labels = read(c, split)
            answer[split] = {"pixels": digest(pixels, np.uint8), "labels": digest(labels, "<i4")}
        answers.append(answer)
    json.dump(answers, sys.stdout)


main()
