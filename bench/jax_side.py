"""The JAX side of bench: the network in NHWC, with a jitted step that donates its state.

It carries out tasks from standard input: a line with the task, a line for each further turn, and
one for the closing (Task in task.go)."""
import functools
import json
import platform
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def network(task, params, stats, images, training):
    """Return logits [n, classes] and the new running statistics.

    params and stats have the names of PyTorch's state dict."""
    new = dict(stats)
    low = jnp.bfloat16 if task["precision"] == "bf16" else jnp.float32
    exact = lax.Precision.HIGHEST if task["precision"] == "fp32" else lax.Precision.DEFAULT

    def conv(x, name, stride=1):
        w = params[name + ".weight"]
        pad = w.shape[0] // 2
        return lax.conv_general_dilated(
            x.astype(low), w.astype(low), (stride, stride), [(pad, pad)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=exact)

    def norm(x, name):
        x = x.astype(jnp.float32)
        mean, var = stats[name + ".running_mean"], stats[name + ".running_var"]
        if training:
            batch = x.mean((0, 1, 2)), x.var((0, 1, 2))
            count = x.size // x.shape[-1]
            new[name + ".running_mean"] = 0.9 * mean + 0.1 * batch[0]
            new[name + ".running_var"] = 0.9 * var + 0.1 * batch[1] * count / (count - 1)
            mean, var = batch
        y = (x - mean) * lax.rsqrt(var + 1e-5) * params[name + ".weight"] + params[name + ".bias"]
        return y.astype(low)

    def relu_conv_norm(x, path, stride=1):
        return norm(conv(jax.nn.relu(x), path + ".op.1", stride), path + ".op.2")

    def pool(x, side, padding):
        window = functools.partial(
            lax.reduce_window, init_value=0.0, computation=lax.add, window_dimensions=(1, side, side, 1),
            window_strides=(1, 1, 1, 1) if padding else (1, side, side, 1), padding=[(0, 0), padding, padding, (0, 0)] if padding else "VALID")
        x = x.astype(jnp.float32)
        return (window(x) / window(jnp.ones((1, *x.shape[1:3], 1)))).astype(low)

    def cell(x, path):
        nodes, edge = [x], 0
        for group in task["genotype"].split("+"):
            total = 0
            for text in group.strip("|").split("|"):
                op, source = text.split("~")
                y = nodes[int(source)]
                if op.startswith("nor_conv"):
                    total += relu_conv_norm(y, f"{path}.layers.{edge}")
                elif op == "avg_pool_3x3":
                    total += pool(y, 3, (1, 1))
                elif f"{path}.layers.{edge}.conv.weight" in params:  # skip_connect to another number of channels
                    total += norm(conv(y, f"{path}.layers.{edge}.conv"), f"{path}.layers.{edge}.bn")
                elif op == "skip_connect":
                    total += y
                else:  # none
                    total += jnp.zeros_like(y)
                edge += 1
            nodes.append(total)
        return nodes[-1]

    x = norm(conv(images, "stem.0"), "stem.1")
    for index, reduction in enumerate(task["reductions"]):
        path = f"cells.{index}"
        if reduction:
            block = relu_conv_norm(relu_conv_norm(x, path + ".conv_a", 2), path + ".conv_b")
            x = conv(pool(x, 2, None), path + ".downsample.1") + block
        else:
            x = cell(x, path)
    x = jax.nn.relu(norm(x, "lastact.0")).astype(jnp.float32).mean((1, 2))
    return jnp.dot(x, params["classifier.weight"].T, precision=exact) + params["classifier.bias"], new


def measures(logits, labels):
    """Return the mean loss and the top-1 and top-5 counts."""
    mine = jnp.take_along_axis(logits, labels[:, None], 1)
    loss = (jax.nn.logsumexp(logits, 1) - mine[:, 0]).mean()
    rank = (logits > mine).sum(1)
    return jnp.stack([loss, (rank < 1).sum().astype(jnp.float32), (rank < 5).sum().astype(jnp.float32)])


def programs(task):
    def loss(params, stats, images, labels):
        logits, stats = network(task, params, stats, images, True)
        found = measures(logits, labels)
        return found[0], (stats, found)

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params, momenta, stats, rate, images, labels):
        gradients, (stats, found) = jax.grad(loss, has_aux=True)(params, stats, images, labels)
        gradients = jax.tree.map(lambda g, p: g + 5e-4 * p, gradients, params)
        momenta = jax.tree.map(lambda m, g: 0.9 * m + g, momenta, gradients)
        params = jax.tree.map(lambda p, m, g: p - rate * (g + 0.9 * m), params, momenta, gradients)
        return params, momenta, stats, found

    @jax.jit
    def evaluate(params, stats, images, labels):
        return measures(network(task, params, stats, images, False)[0], labels)

    return step, evaluate


def load(task):
    """Read the task's file. Return normalised images [n, size, size, 3] and labels [n] on the device."""
    size = task["size"]
    raw = np.fromfile(task["images"], np.uint8).reshape(-1, 1 + 3 * size * size)
    pixels = raw[:, 1:].reshape(-1, 3, size, size).transpose(0, 2, 3, 1).astype(np.float32) / 255
    mean, std = (np.array(task[k], np.float32) / 255 for k in ("mean", "std"))
    return jnp.asarray((pixels - mean) / std), jnp.asarray(raw[:, 0].astype(np.int32))


def initial(task):
    """Return parameters, momenta and statistics from the state dict in the task's file."""
    params, stats = {}, {}
    with np.load(task["weights"]) as file:
        for name in file.files:
            w = file[name]
            where = stats if ".running_" in name else params
            where[name] = jnp.asarray(w.transpose(2, 3, 1, 0) if w.ndim == 4 else w)
    return params, jax.tree.map(jnp.zeros_like, params), stats


class Clock:
    """Measures the wall and CPU time of laps."""

    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def lap(self):
        wall, cpu = time.perf_counter(), time.process_time()
        cost = {"seconds": wall - self.wall, "cpu": cpu - self.cpu}
        self.wall, self.cpu = wall, cpu
        return cost


def turns(task):
    clock = Clock()
    kind, _, number = task["device"].partition(":")
    jax.config.update("jax_default_device", jax.devices("gpu" if kind == "cuda" else kind)[int(number or 0)])
    step, evaluate = programs(task)
    images, labels = load(task)
    params, momenta, stats = initial(task)
    batches = [slice(i * task["batch"], (i + 1) * task["batch"]) for i in range(task["steps"])]
    for turn in range(task["turns"]):
        found = []
        for b in batches:
            params, momenta, stats, m = step(params, momenta, stats, 0.1, images[b], labels[b])
            found.append(m)
        found = np.asarray(jnp.stack(found))
        report = {"train": clock.lap()}
        np.asarray(jnp.stack([evaluate(params, stats, images[b], labels[b]) for b in batches[: task["eval_steps"]]]))
        report["eval"] = clock.lap()
        if turn == 0:
            report["loss"] = float(found[0, 0])
        print(json.dumps(report), flush=True)
        if not sys.stdin.readline():
            sys.exit("jax_side.py: standard input ended before the task")
        clock.lap()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({
        "peak_rss": peak if sys.platform == "darwin" else peak * 1024,
        "versions": [f"Python {platform.python_version()}", f"jax {jax.__version__}"],
    }), flush=True)


for line in sys.stdin:
    turns(json.loads(line))
