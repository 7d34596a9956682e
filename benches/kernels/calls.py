"""Single kernels of one framework in one process: prints a line of JSON, kernel -> seconds of its fastest call.

python calls.py FRAMEWORK CORES SECONDS_PER_KERNEL
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from rivals import ABSENT

LARGE, SMALL = 1 << 24, 1 << 17  # elements far beyond the caches, and within them
SQUARE, SKINNY = [256, 1024], [(32, 784, 64), (128, 576, 64), (256, 2048, 2048)]  # m, k, n
CONVOLUTIONS = [(64, 32, 64, 64), (64, 16, 128, 128)]  # 3x3; images, size, channels in and out
STREAMS = {"add": 2, "relu": 1, "layer norm": 1}  # arrays that are read; one is written
FUNCTIONS = ("exp", "tanh", "sigmoid", "gelu")


@dataclass(frozen=True)
class Kernel:
    """One kernel and what it is given.

    Args:
        family: "square", "skinny", "conv", "stream" or "function", for goals.
        op: key in the tables of the frameworks.
        sizes: m, k, n of a product; images, size, channels in and out of a convolution; else a shape.
        work: of one call, in billions.
        unit: of work per second.
    """

    family: str
    op: str
    sizes: tuple
    work: float
    unit: str = "GFLOP/s"

    @property
    def what(self):
        """In words."""
        return f"{self.op} {'x'.join(map(str, self.sizes))}"

    def shapes(self):
        """Of the arrays that it reads."""
        if self.op == "matmul":
            m, k, n = self.sizes
            return [(m, k), (k, n)]
        if self.op == "conv":
            n, size, c, filters = self.sizes
            return [(n, size, size, c), (3, 3, c, filters)]
        return [self.sizes] * STREAMS.get(self.op, 1)


def kernels():
    """All that is measured."""
    for m, k, n in [(n, n, n) for n in SQUARE] + SKINNY:
        yield Kernel("square" if m == k == n else "skinny", "matmul", (m, k, n), 2e-9 * m * k * n)
    for n, size, c, filters in CONVOLUTIONS:
        yield Kernel("conv", "conv", (n, size, c, filters), 2e-9 * n * size**2 * 9 * c * filters)
    for op, count in STREAMS.items():
        yield Kernel("stream", op, (LARGE // 512, 512), 4e-9 * LARGE * (count + 1), "GB/s")
    for op in FUNCTIONS:
        yield Kernel("function", op, (SMALL,), 1e-9 * SMALL, "elements/ns")


def ours():
    """rkeras: eager ops."""
    from rkeras import ops

    table = {name: getattr(ops, name) for name in ("matmul", "add", "relu", "exp", "tanh", "sigmoid")}
    table["gelu"] = lambda x: ops.gelu(x, approximate=False)
    table["conv"] = lambda x, w: ops.conv(x, w, padding="same")
    table["layer norm"] = ops.layer_normalization
    return ops.convert_to_tensor, lambda name, *arrays: lambda: table[name](*arrays), table


def numpys():
    """NumPy: into arrays that are there already."""
    import numpy as np

    table = {"matmul": np.matmul, "add": np.add, "exp": np.exp, "tanh": np.tanh}
    return np.asarray, into(table), table


def torchs(channels_last):
    """PyTorch without gradients, into tensors that are there already where it can."""
    import torch
    from torch.nn import functional as F

    torch.set_grad_enabled(False)
    form = torch.channels_last if channels_last else torch.contiguous_format

    def conv(x, w):
        x = x.permute(0, 3, 1, 2).contiguous(memory_format=form)
        w = w.permute(3, 2, 0, 1).contiguous(memory_format=form)
        return lambda: F.conv2d(x, w, padding=1)

    written = {name: getattr(torch, name) for name in ("matmul", "add", "exp", "tanh", "sigmoid")}
    table = {"relu": torch.relu, "gelu": F.gelu, "layer norm": lambda x: F.layer_norm(x, x.shape[-1:])}

    def call(name, *arrays):
        if name == "conv":
            return conv(*arrays)
        return into(written)(name, *arrays) if name in written else lambda: table[name](*arrays)

    return torch.from_numpy, call, {"conv"} if channels_last else {"conv", *written, *table}


def jaxs():
    """JAX: compiled, waited for."""
    import jax
    from jax import numpy as jnp

    def norm(x):
        apart = x - x.mean(-1, keepdims=True)
        return apart * jax.lax.rsqrt((apart * apart).mean(-1, keepdims=True) + 1e-5)

    def conv(x, w):
        return jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    table = {"matmul": jnp.matmul, "add": jnp.add, "relu": jax.nn.relu, "exp": jnp.exp, "tanh": jnp.tanh}
    table |= {"sigmoid": jax.nn.sigmoid, "gelu": lambda x: jax.nn.gelu(x, approximate=False)}
    table |= {"layer norm": norm, "conv": conv}
    table = {name: jax.jit(f) for name, f in table.items()}
    return jnp.asarray, lambda name, *arrays: lambda: table[name](*arrays).block_until_ready(), table


def into(table):
    """Calls of functions that write into what their first call returned."""

    def call(name, *arrays):
        out = table[name](*arrays)
        return lambda: table[name](*arrays, out=out)

    return call


def fastest(call, seconds):
    """Seconds of the fastest call."""
    for _ in range(3):
        call()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def main():
    framework, cores, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    if hasattr(os, "sched_setaffinity"):  # before any library counts its threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    elif cores < os.cpu_count():
        raise SystemExit(ABSENT)
    import numpy as np

    makers = {"rkeras": ours, "numpy": numpys, "jax": jaxs}
    make = makers.get(framework) or (lambda: torchs(framework == "torch-channels-last"))
    array, call, able = make()
    rng = np.random.default_rng(0)
    times = {}
    for kernel in kernels():
        if kernel.op in able:
            arrays = [array(rng.standard_normal(shape, "float32")) for shape in kernel.shapes()]
            times[kernel.what] = fastest(call(kernel.op, *arrays), seconds)
    print(json.dumps(times))


if __name__ == "__main__":
    main()
