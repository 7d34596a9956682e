"""Mixed policies: the dtypes of Keras, the loss curve of float32, the same numbers eagerly and compiled."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SAMPLE = Path(__file__).resolve().parents[2] / "examples" / "data" / "mnist_sample.npz"
sys.path.insert(0, str(GOLDEN))
import record_mixed  # noqa: E402

sys.path.remove(str(GOLDEN))
RECORDED = json.loads((GOLDEN / "mixed.json").read_text())


@pytest.fixture(autouse=True)
def float32_afterwards():
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("policy", record_mixed.POLICIES)
def test_dtypes_of_layers_are_those_of_keras(policy):
    found = record_mixed.dtypes_of_layers(keras, policy)
    for ours, theirs in zip(found, RECORDED[policy]["layers"], strict=True):
        assert ours == theirs


@pytest.mark.parametrize("policy", record_mixed.POLICIES)
def test_dtypes_of_training_are_those_of_keras(policy):
    assert record_mixed.dtypes_of_training(keras, policy) == RECORDED[policy]["training"]


def test_a_metric_counts_beyond_what_bfloat16_can():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    mean = keras.metrics.Mean()
    for _ in range(600):
        mean.update_state(keras.ops.cast(1.0, "bfloat16"))
    assert float(mean.result()) == 1.0
    assert float(mean.variables[1]) == 600.0


def digits():
    """The digits of the repository as (x, y, x of the test, y of the test)."""
    with np.load(SAMPLE) as f:
        x, y, tx, ty = f["x_train"], f["y_train"], f["x_test"], f["y_test"]
    return x[..., None].astype("float32") / 255, y, tx[..., None].astype("float32") / 255, ty


def convolutional(seed):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)), layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(16, 3, use_bias=False), layers.BatchNormalization(), layers.Activation("relu"),
            layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.2), layers.Dense(10, activation="softmax"),
        ]
    )  # fmt: skip


def recurrent(seed):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)), layers.Reshape((28, 28)), layers.LayerNormalization(),
            layers.LSTM(32), layers.Dense(32, activation="gelu"), layers.Dense(10, activation="softmax"),
        ]
    )  # fmt: skip


def curve(make, policy, seed):
    """The losses of the epochs and the accuracy on digits that were not trained on."""
    keras.mixed_precision.set_global_policy(policy)
    x, y, tx, ty = digits()
    model = make(seed)
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    losses = model.fit(x, y, batch_size=64, epochs=4, verbose=0).history["loss"]
    return np.array(losses), model.evaluate(tx, ty, verbose=0)[1]


@pytest.mark.parametrize("make", [convolutional, recurrent])
def test_the_loss_curve_is_that_of_float32(make):
    runs = {p: [curve(make, p, seed) for seed in range(3)] for p in ("float32", "mixed_bfloat16")}
    curves = {p: np.array([losses for losses, _ in found]) for p, found in runs.items()}
    wide, mixed = curves["float32"], curves["mixed_bfloat16"]
    assert (mixed[:, -1] < mixed[:, 0] / 2).all()
    # Noise: what another seed changes.
    spread = wide.max(0) - wide.min(0)
    assert (np.abs(mixed.mean(0) - wide.mean(0)) <= spread + 0.05 * wide.mean(0)).all(), (wide, mixed)
    accuracy = {p: np.mean([a for _, a in found]) for p, found in runs.items()}
    assert accuracy["mixed_bfloat16"] >= accuracy["float32"] - 0.02, accuracy


@pytest.mark.parametrize("make", [convolutional, recurrent])
def test_eager_equals_compiled(make):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    x, y, *_ = digits()
    results = []
    for eager in (False, True):
        model = make(5)
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=eager)
        losses = model.fit(x[:256], y[:256], batch_size=64, shuffle=False, verbose=0).history["loss"]
        results.append((losses, model.get_weights(), model.predict(x[:64], verbose=0).astype("float32")))
    (h1, w1, p1), (h2, w2, p2) = results
    # Products are rounded to eight bits: where an op sums in another order, now and then one falls on the other side.
    np.testing.assert_allclose(h1, h2, rtol=2e-3)
    for a, b in zip(w1, w2, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=2e-3)
    np.testing.assert_allclose(p1, p2, rtol=2e-2, atol=2e-2)
