"""Compiled, eager and any number of threads give the same numbers."""

import os
import subprocess
import sys

import numpy as np
import pytest
import rkeras as keras


def model_and_data(seed=2):
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((10, 9, 2)), layers.Conv2D(5, 3, padding="same"), layers.BatchNormalization(),
            layers.Activation("relu"), layers.MaxPooling2D(), layers.Dropout(0.3), layers.Flatten(),
            layers.Dense(7, activation="tanh"), layers.Dense(3, activation="softmax"),
        ]
    )  # fmt: skip
    x = rng.standard_normal((50, 10, 9, 2)).astype("float32")
    return model, x, rng.integers(0, 3, 50)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_eager_equals_compiled(optimizer):
    results = []
    for eager in (False, True):
        model, x, y = model_and_data()
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=eager)
        history = model.fit(x, y, batch_size=16, epochs=2, verbose=0, validation_split=0.2)
        results.append((history.history, model.get_weights(), model.predict(x, verbose=0)))
    (h1, w1, p1), (h2, w2, p2) = results
    assert h1.keys() == h2.keys()
    for key in h1:
        np.testing.assert_allclose(h1[key], h2[key], rtol=1e-4, atol=1e-5)
    for a, b in zip(w1, w2, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(p1, p2, rtol=1e-3, atol=2e-4)


PROGRAM = """
import hashlib, sys
sys.path[:0] = [sys.argv[1]]
from training.test_same_numbers import model_and_data
model, x, y = model_and_data()
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, batch_size=16, epochs=2, verbose=0)
print(hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights()) + model.predict(x, verbose=0).tobytes()).hexdigest())
"""


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_any_number_of_threads_gives_the_same_bits(isa, request):
    root = str(request.config.rootpath / "tests")
    digests = {}
    for threads in (1, 2, 3, 8):
        env = os.environ | {"RKERAS_NUM_THREADS": str(threads), "RKERAS_ISA": isa}
        out = subprocess.run(
            [sys.executable, "-c", PROGRAM, root], env=env, capture_output=True, text=True, check=True
        )
        digests[threads] = out.stdout.strip()
    assert len(set(digests.values())) == 1, digests


def test_python_that_looks_at_values_falls_back_to_eager():
    """A train_step that branches on a number cannot be traced; it runs eagerly and trains all the same."""

    class Curious(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            y = self.dense(x)
            return y * 1.0 if float(keras.ops.sum(x)) > -1e9 else y

    x = np.linspace(-1, 1, 32, dtype="float32")[:, None]
    model = Curious()
    model.compile(keras.optimizers.SGD(0.5), "mse")
    with pytest.warns(UserWarning, match="eager"):
        history = model.fit(x, 3 * x, epochs=20, verbose=0)
    assert history.history["loss"][-1] < 0.01 * history.history["loss"][0]
