"""cifar_of_pictures.py DIR OUT: convert class directories of pictures to CIFAR-10's binary
format. Reads DIR/train/CLASS/* and DIR/test/CLASS/* with Pillow, in the order of the
directories, and spreads the training pictures over the five files."""

import os
import sys

import numpy as np
from PIL import Image


def records(directory):
    for label, name in enumerate(sorted(os.listdir(directory))):
        for file in sorted(os.listdir(os.path.join(directory, name))):
            pixels = np.asarray(Image.open(os.path.join(directory, name, file)).convert("RGB"))
            yield bytes([label]) + pixels.transpose(2, 0, 1).tobytes()


source, out = sys.argv[1:]
os.makedirs(out)
train = list(records(os.path.join(source, "train")))
for i in range(5):
    with open(os.path.join(out, f"data_batch_{i + 1}.bin"), "wb") as f:
        f.write(b"".join(train[i * len(train) // 5 : (i + 1) * len(train) // 5]))
with open(os.path.join(out, "test_batch.bin"), "wb") as f:
    f.write(b"".join(records(os.path.join(source, "test"))))
