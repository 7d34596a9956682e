"""Ops whose details are Keras's own, against a recording of real Keras."""

from pathlib import Path

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import check_gradient, check_value

ops = keras.ops
G = np.load(Path(__file__).parents[1] / "golden" / "ops.npz")
OPS = {
    "softmax": lambda x: ops.softmax(x, axis=1),
    "log_softmax": lambda x: ops.log_softmax(x),
    "gelu_exact": lambda x: ops.gelu(x, approximate=False),
    "selu": lambda x: ops.selu(x),
    "hard_silu": lambda x: ops.hard_silu(x),
    "conv_transpose": lambda x, k: ops.conv_transpose(x, k, strides=2, padding="same"),
    "conv_transpose_valid": lambda x, k: ops.conv_transpose(x, k, strides=(2, 3)),
    "depthwise_conv": lambda x, k: ops.depthwise_conv(x, k, strides=1, padding="same"),
    "mse": lambda y, p: keras.losses.mean_squared_error(y, p),
    "mae": lambda y, p: keras.losses.mean_absolute_error(y, p),
}


@pytest.mark.parametrize("name", OPS)
def test_value_and_gradient(name):
    inputs = [G[f"{name}_in{j}"] for j in range(2) if f"{name}_in{j}" in G]
    check_value(OPS[name], inputs, lambda *_: G[name], rtol=2e-5, atol=2e-5)
    check_gradient(OPS[name], inputs, rtol=2e-5)


@pytest.mark.parametrize("name", ["cce", "scce", "bce"])
@pytest.mark.parametrize("from_logits", [False, True])
def test_cross_entropy(name, from_logits):
    probabilities = (
        1 / (1 + np.exp(-G["xent_logits"])) if name == "bce" else G["xent_probabilities"] * np.float32(0.7)
    )
    x = G["xent_logits"] if from_logits else probabilities
    target = {
        "cce": np.eye(5, dtype="float32")[G["xent_labels"]],
        "scce": G["xent_labels"],
        "bce": G["xent_binary"],
    }[name]
    full = {
        "cce": "categorical_crossentropy",
        "scce": "sparse_categorical_crossentropy",
        "bce": "binary_crossentropy",
    }[name]
    fn = lambda p: getattr(ops, full)(target, p, from_logits=from_logits)
    check_value(fn, [x], lambda _: G[name + "_logits" * from_logits], rtol=1e-5, atol=1e-6)
    check_gradient(fn, [x], rtol=2e-5)
