"""The training workloads of the benchmark, written once against the Keras API."""

from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def digits():
    """Real digits: a local MNIST where there is one, else the repository's sample, repeated."""
    for path in (
        ROOT.parent / "shared" / "data" / "mnist.npz",
        ROOT / "examples" / "data" / "mnist_sample.npz",
    ):
        if path.is_file():
            with np.load(path) as f:
                x, y = f["x_train"], f["y_train"]
            break
    rng = np.random.default_rng(0)
    order = rng.permutation(len(x))
    return (x[order].astype("float32") / 255.0), y[order].astype("int32")


def mlp_small(keras):
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((784,)), layers.Dense(64, activation="relu"), layers.Dense(10, activation="softmax")]
    )


def mlp_large(keras):
    layers = keras.layers
    hidden = [layers.Dense(2048, activation="relu") for _ in range(3)]
    return keras.Sequential([keras.Input((784,)), *hidden, layers.Dense(10, activation="softmax")])


def convnet(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


# name: (what it is, model builder, shape of a sample, batch size, samples of one timed epoch)
WORKLOADS = {
    "mlp_small": ("MLP 784-64-10, batch 32", mlp_small, (784,), 32, 32 * 1500),
    "mlp_large": ("MLP 784-2048x3-10, batch 256", mlp_large, (784,), 256, 256 * 40),
    "convnet": ("MNIST convnet, batch 128", convnet, (28, 28, 1), 128, 128 * 100),
}


def start_weights(model):
    """The same Glorot-like weights for every framework, whatever its own generator gives."""
    rng = np.random.default_rng(1)
    weights = []
    for w in model.get_weights():
        fan_in = int(np.prod(w.shape[:-1])) if w.ndim > 1 else 1
        weights.append(
            (rng.standard_normal(w.shape) / np.sqrt(fan_in)).astype(w.dtype)
            if w.ndim > 1
            else np.zeros_like(w)
        )
    model.set_weights(weights)
