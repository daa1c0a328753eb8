#!/usr/bin/env python3
"""Check exported weights in the original network: evaluate them with torch.

Reads a trial's weights from NNNNNN-FULL.pth with the published client (nas_201_api), loads
them strictly into the original's TinyNetwork (xautodl), and evaluates them on the images of
an evaluation set, which this program reads itself. The top-1 accuracy must equal the one
that the client reports for the last epoch to within 0.1 points. Exit code: 0 if it does, 1 if
not, 2 for wrong input.

Needs the packages of tools/requirements.txt. DIR contains what the dataset definition names:
the folder cifar-10-batches-py, or digits.csv.gz.
"""
import argparse
import csv
import gzip
import json
import os
import pickle
import sys

import numpy as np
import torch
from nas_201_api import ArchResults
from xautodl.models.cell_infers.tiny_network import TinyNetwork
from xautodl.models.cell_searchs.genotypes import Structure

BATCH = 256
DIGITS_TRAIN = 1347  # number of training images, which come first in the file


def read_cifar10(directory):
    """Return images [N, 3, side, side] and labels [N] of test_batch."""
    with open(os.path.join(directory, "test_batch"), "rb") as f:
        batch = pickle.load(f, encoding="bytes")
    labels = batch[b"labels"]
    side = round((len(batch[b"data"][0]) / 3) ** 0.5)
    return np.asarray(batch[b"data"], np.uint8).reshape(len(labels), 3, side, side), labels


def read_digits(file):
    """Return the test images of digits, 8x8 grey pixels from 0 to 16, doubled to 16x16 with 3 channels."""
    with gzip.open(file, "rt") as f:
        rows = [[int(value) for value in row] for row in csv.reader(f)][DIGITS_TRAIN:]
    grey = np.asarray([row[:64] for row in rows]).reshape(-1, 1, 8, 8)
    pixels = ((grey * 255 + 8) // 16).repeat(2, axis=2).repeat(2, axis=3).repeat(3, axis=1)
    return pixels.astype(np.uint8), [row[64] for row in rows]


def read_images(definition, place, beside):
    """Return images and labels of the stored split "test" of a dataset definition."""
    if definition["format"] == "digits":
        return read_digits(place if os.path.isfile(place) else os.path.join(place, "digits.csv.gz"))
    if definition["format"] != "cifar10-python":
        raise ValueError("format %s is not supported; use a definition with digits or cifar10-python" % definition["format"])
    places = [os.path.join(d, definition["path"]) for d in (place, os.path.join(place, "cifar.python"), beside)]
    for directory in places:
        if os.path.isdir(directory):
            return read_cifar10(directory)
    raise FileNotFoundError("no images found in %s; use --data" % ", ".join(places))


def evaluate(net, images, labels, mean, std):
    """Return top-1 accuracy in percent and mean cross entropy, on images as ToTensor and Normalize give them."""
    mean, std = (torch.tensor([v / 255 for v in values]).view(1, 3, 1, 1) for values in (mean, std))
    correct, loss = 0, 0.0
    net.eval()
    with torch.no_grad():
        for at in range(0, len(labels), BATCH):
            batch = torch.from_numpy(images[at:at + BATCH]).float() / 255
            target = torch.tensor(labels[at:at + BATCH])
            _, logits = net((batch - mean) / std)
            correct += (logits.argmax(1) == target).sum().item()
            loss += torch.nn.functional.cross_entropy(logits, target, reduction="sum").item()
    return 100 * correct / len(labels), loss / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="NNNNNN-FULL.pth")
    parser.add_argument("--dataset", required=True, metavar="KEY", help="dataset key of the trial")
    parser.add_argument("--seed", required=True, type=int, metavar="S", help="seed of the trial")
    parser.add_argument("--hp", default="12", choices=("12", "200"), help="schedule: 12 or 200 (default 12)")
    parser.add_argument("--definition", required=True, metavar="FILE.json", help="dataset definition of the trial")
    parser.add_argument("--data", required=True, metavar="DIR", help="directory of the images")
    parser.add_argument("--set", default="ori-test", metavar="SET", help="evaluation set, which must be the whole stored test split (default ori-test)")
    args = parser.parse_args()
    try:
        with open(args.definition) as f:
            definition = json.load(f)
        images, labels = read_images(definition, args.data, os.path.dirname(args.definition))
        checkpoint = torch.load(args.file, map_location="cpu")
    except (OSError, ValueError) as e:
        print("check_weights: %s" % e, file=sys.stderr)
        return 2
    part = [part for part in definition["eval"] if part["name"] == args.set]
    if not part or part[0]["from"] != "test" or "indices" in part[0] or "half" in part[0]:
        print("check_weights: --set %s: not the whole test split in %s" % (args.set, args.definition), file=sys.stderr)
        return 2
    results = ArchResults.create_from_state_dict(checkpoint["less" if args.hp == "12" else "full"])
    if (args.dataset, args.seed) not in results.all_results:
        print("check_weights: %s: no trial on %s with seed %d; it contains %s" % (
            args.file, args.dataset, args.seed, sorted(results.all_results)), file=sys.stderr)
        return 2
    weights = results.get_net_param(args.dataset, args.seed)
    if weights is None:
        print("check_weights: %s: the trial has no weights; export with weights" % args.file, file=sys.stderr)
        return 2
    trial = results.query(args.dataset, args.seed)
    config = trial.get_config(Structure.str2structure)
    net = TinyNetwork(config["C"], config["N"], config["genotype"], config["num_classes"])
    net.load_state_dict(weights, strict=True)
    accuracy, loss = evaluate(net, images, labels, definition["mean"], definition["std"])
    recorded = trial.get_eval(args.set)
    same = abs(accuracy - recorded["accuracy"]) <= 0.1
    print("%s, %s, seed %d, %d images of %s: in torch top-1 %.3f %% loss %.5f, recorded top-1 %.3f %% loss %.5f: %s" % (
        config["genotype"].tostr(), args.dataset, args.seed, len(labels), args.set,
        accuracy, loss, recorded["accuracy"], recorded["loss"], "the same" if same else "DIFFERENT"))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
