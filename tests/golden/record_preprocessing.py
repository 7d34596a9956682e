"""Records what preprocessing layers for numbers compute in real Keras.

KERAS_BACKEND=jax python tests/golden/record_preprocessing.py   (needs keras and jax; writes the file beside it)
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

# (class, arguments, shape of what is adapted to or None, inputs)
RNG = np.random.default_rng(0)
FLOATS = RNG.standard_normal((3, 4)).round(3).tolist()
CASES = [
    ("Normalization", dict(), (50, 4), FLOATS),
    ("Normalization", dict(axis=None), (50, 4), FLOATS),
    ("Normalization", dict(axis=[0, 1]), (3, 4), FLOATS),
    ("Normalization", dict(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 4.0, 0.0, 2.0]), None, FLOATS),
    ("Normalization", dict(mean=0.5, variance=2.0, axis=None, invert=True), None, FLOATS),
    ("CategoryEncoding", dict(num_tokens=5), None, [[0, 1], [4, 4], [2, 0]]),
    ("CategoryEncoding", dict(num_tokens=5, output_mode="one_hot"), None, [[0, 1], [4, 4], [2, 0]]),
    ("CategoryEncoding", dict(num_tokens=5, output_mode="one_hot"), None, [[0], [4], [2]]),
    ("CategoryEncoding", dict(num_tokens=5, output_mode="count"), None, [[0, 1], [4, 4], [2, 0]]),
    ("CategoryEncoding", dict(num_tokens=5, output_mode="count"), None, [1, 1, 3]),
    ("Discretization", dict(bin_boundaries=[-0.5, 0.0, 0.7]), None, FLOATS),
    ("Discretization", dict(bin_boundaries=[-0.5, 0.0, 0.7], output_mode="one_hot"), None, FLOATS),
    ("Discretization", dict(bin_boundaries=[-0.5, 0.0, 0.7], output_mode="count"), None, FLOATS),
    ("Discretization", dict(num_bins=4), (1000,), FLOATS),
    ("Discretization", dict(num_bins=3, epsilon=0.1, output_mode="multi_hot"), (7, 5), FLOATS),
]  # fmt: skip


def main():
    out = []
    for i, (name, arguments, adapted, inputs) in enumerate(CASES):
        keras.utils.clear_session()
        layer = getattr(keras.layers, name)(**arguments)
        data = None
        if adapted is not None:
            data = (np.random.default_rng(i).standard_normal(adapted) * 2 + 1).astype("float32")
            layer.adapt(data)
        y = np.asarray(layer(np.array(inputs)))
        out.append(
            {
                "class": name, "arguments": arguments, "adapted": adapted, "inputs": inputs, "output": y.tolist(),
                "dtype": str(y.dtype), "config": layer.get_config(), "weights": [w.path for w in layer.weights],
            }
        )  # fmt: skip
    Path(__file__).with_name("preprocessing.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
