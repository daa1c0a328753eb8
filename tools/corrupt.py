#!/usr/bin/env python3
"""Make corrupted evaluation sets from test images: noise, blur and JPEG artefacts.

    corrupt.py SOURCE OUT [--layout npy|npz|classes] [--severities N] [--images N] [--seed S]

SOURCE is one of
  a directory of CIFAR-10's Python or binary version (test_batch or test_batch.bin),
  an .npz file or a directory of .npy files with the arrays x_test (uint8) and y_test,
  configs/digits/digits.csv.gz of nb201, whose last 450 lines are its test images.

OUT must not exist. The layouts are those that `nb201 data import --eval-only` reads:
  npy      OUT/labels.npy and OUT/NAME.npy, all severities one after another, as CIFAR-10-C
           has them (import with --severities N)
  npz      one file OUT with x_NAME-S and y_NAME-S of each severity S
  classes  PNG files OUT/NAME-S/LABEL/NUMBER.png

NAME is noise, blur or jpeg. The same source, options and versions of numpy and Pillow give
the same bytes. Needs numpy and Pillow, as tools/provide.sh python installs them.
"""

import argparse
import csv
import gzip
import io
import os
import pickle
import sys

import numpy as np
from PIL import Image, ImageFilter

# By severity, from 1: standard deviation on the scale 0 to 255, radius in pixels, JPEG quality.
NOISE = [8, 16, 24, 36, 50]
BLUR = [0.5, 0.75, 1, 1.5, 2]
JPEG = [50, 30, 20, 10, 5]


def noise(images, severity, seed):
    """Add Gaussian noise to each value."""
    draw = np.random.default_rng([seed, severity])
    values = images + draw.normal(0, NOISE[severity - 1], images.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def blur(images, severity, _):
    """Blur each image with a Gaussian."""
    blurred = ImageFilter.GaussianBlur(BLUR[severity - 1])
    return np.stack([np.asarray(Image.fromarray(im).filter(blurred)) for im in images])


def jpeg(images, severity, _):
    """Compress each image as JPEG, and decode it."""
    decoded = []
    for im in images:
        file = io.BytesIO()
        Image.fromarray(im).save(file, "JPEG", quality=JPEG[severity - 1])
        decoded.append(np.asarray(Image.open(file).convert("RGB")))
    return np.stack(decoded)


CORRUPTIONS = {"noise": noise, "blur": blur, "jpeg": jpeg}


def read_digits(path):
    """Return the test images of nb201's digits as its format `digits` has them: 16x16, 0 to 255."""
    with gzip.open(path, "rt", newline="") as text:
        lines = np.array([[int(v) for v in line] for line in csv.reader(text)])[1347:]
    grey = (lines[:, :64] * 255 + 8) // 16
    grey = grey.reshape(-1, 8, 8).repeat(2, axis=1).repeat(2, axis=2)
    return grey[..., None].repeat(3, axis=3).astype(np.uint8), lines[:, 64]


def read(path):
    """Return the test images as uint8 [N, H, W, 3], and their labels [N]."""
    in_dir = lambda name: os.path.join(path, name)
    if path.endswith(".csv.gz"):
        return read_digits(path)
    if path.endswith(".npz"):
        arrays = np.load(path)
        images, labels = arrays["x_test"], arrays["y_test"]
    elif os.path.exists(in_dir("x_test.npy")):
        images, labels = np.load(in_dir("x_test.npy")), np.load(in_dir("y_test.npy"))
    elif os.path.exists(in_dir("test_batch.bin")):
        records = np.fromfile(in_dir("test_batch.bin"), np.uint8).reshape(-1, 1 + 3072)
        images, labels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]
    elif os.path.exists(in_dir("test_batch")):
        with open(in_dir("test_batch"), "rb") as file:
            batch = pickle.load(file, encoding="latin1")
        images, labels = batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.array(batch["labels"])
    else:
        sys.exit(f"{path}: no test images of a known layout; see --help")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3):
        sys.exit(f"{path}: the images are {images.dtype} {images.shape}, not uint8 [N, H, W], [N, H, W, 1] or [N, H, W, 3]")
    if images.shape[3] == 1:
        images = images.repeat(3, axis=3)
    return np.ascontiguousarray(images), labels.reshape(-1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--layout", choices=["npy", "npz", "classes"], default="npy")
    parser.add_argument("--severities", type=int, default=5, choices=range(1, 6), metavar="N", help="1 to 5 (default 5)")
    parser.add_argument("--images", type=int, metavar="N", help="only the first N images")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
    options = parser.parse_args()
    if os.path.exists(options.out):
        sys.exit(f"{options.out} exists; name another path")
    images, labels = read(options.source)
    images, labels = images[: options.images], labels[: options.images].astype(np.int64)

    severities = range(1, options.severities + 1)
    made = {name: [corrupt(images, s, options.seed) for s in severities] for name, corrupt in CORRUPTIONS.items()}
    if options.layout == "npy":
        os.makedirs(options.out)
        for name, sets in made.items():
            np.save(os.path.join(options.out, name + ".npy"), np.concatenate(sets))
        np.save(os.path.join(options.out, "labels.npy"), np.tile(labels, options.severities))
    elif options.layout == "npz":
        arrays = {}
        for name, sets in made.items():
            for s in severities:
                arrays[f"x_{name}-{s}"], arrays[f"y_{name}-{s}"] = sets[s - 1], labels
        with open(options.out, "wb") as file:
            np.savez(file, **arrays)
    else:
        digits = len(str(labels.max()))
        for name, sets in made.items():
            for s in severities:
                for i, (im, label) in enumerate(zip(sets[s - 1], labels)):
                    directory = os.path.join(options.out, f"{name}-{s}", f"{label:0{digits}}")
                    os.makedirs(directory, exist_ok=True)
                    Image.fromarray(im).save(os.path.join(directory, f"{i:06}.png"))
    print(f"{options.out}: {', '.join(CORRUPTIONS)} of {len(labels)} images, severities 1 to {options.severities}")


if __name__ == "__main__":
    main()
