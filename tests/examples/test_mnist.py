"""Whole trainings on real digits that must reach a stated accuracy."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sample():
    with np.load(ROOT / "examples" / "data" / "mnist_sample.npz") as f:
        x, y, xt, yt = f["x_train"], f["y_train"], f["x_test"], f["y_test"]
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    return x.astype("float32")[..., None] / 255, y, xt.astype("float32")[..., None] / 255, yt


def example_module():
    spec = importlib.util.spec_from_file_location("mnist_convnet", ROOT / "examples" / "mnist_convnet.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_convnet_learns_real_digits_and_survives_saving(sample, tmp_path):
    x, y, xt, yt = sample
    keras.utils.set_random_seed(3)
    model = example_module().build_model()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, batch_size=64, epochs=4, verbose=0)
    assert history.history["loss"][-1] < 0.35 * history.history["loss"][0]
    loss, accuracy = model.evaluate(xt, yt, verbose=0)
    assert accuracy >= 0.94  # Keras itself reaches 0.950 to 0.956 here (three seeds)
    before = model.predict(xt, verbose=0)
    np.testing.assert_allclose(np.mean(before.argmax(-1) == yt), accuracy, atol=1e-6)
    model.save(tmp_path / "digits.keras")
    after = keras.models.load_model(tmp_path / "digits.keras").predict(xt, verbose=0)
    np.testing.assert_array_equal(before, after)


def test_training_is_bitwise_repeatable(sample):
    x, y, xt, _ = sample
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        model = example_module().build_model()
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x[:1000], y[:1000], batch_size=64, epochs=1, verbose=0)
        runs.append(model.predict(xt[:100], verbose=0))
    np.testing.assert_array_equal(*runs)
