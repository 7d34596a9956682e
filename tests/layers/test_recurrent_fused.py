"""The fused ops of LSTM and GRU give what the loop over their cells gives, on any number of threads."""

import os
import subprocess
import sys

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import run_compiled

layers = keras.layers
RNG = np.random.default_rng(1)


def draw(*shape):
    return RNG.standard_normal(shape).astype("float32")


CASES = [
    dict(units=5),
    dict(units=16, return_sequences=True, return_state=True),
    dict(units=19, return_sequences=True, go_backwards=True, masked=True),
    dict(units=40, return_state=True, masked=True, batch=35),
    dict(units=3, return_sequences=True, masked=True, zero_output_for_mask=True, go_backwards=True),
    dict(units=4, steps=1, masked=True),
    dict(units=33, batch=1, use_bias=False, states=True, return_sequences=True),
    dict(units=7, masked=True, states=True, return_sequences=True, dtype="float64"),
]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: ",".join(c))
def test_fused_equals_loop(kind, case):
    case = dict(case)
    batch, steps, units = case.pop("batch", 6), case.pop("steps", 5), case.pop("units")
    masked, states, dtype = case.pop("masked", False), case.pop("states", False), case.pop("dtype", "float32")
    cell = {"use_bias": case.pop("use_bias")} if "use_bias" in case else {}
    fused = getattr(layers, kind)(units, **case, **cell, dtype=dtype)
    loop = layers.RNN(getattr(layers, f"{kind}Cell")(units, **cell, dtype=dtype), **case, dtype=dtype)
    x = draw(batch, steps, 6).astype(dtype)
    known = {"mask": RNG.random((batch, steps)) > 0.4} if masked else {}
    if states:
        known["initial_state"] = [draw(batch, units) for _ in range(2 if kind == "LSTM" else 1)]
    fused(x), loop(x)
    weights = [w + 0.1 * draw(*w.shape) for w in fused.get_weights()]
    fused.set_weights(weights)
    loop.set_weights(weights)
    results = []
    for layer in (fused, loop):
        seeds = [
            np.cos(np.arange(np.asarray(y).size)).reshape(np.asarray(y).shape)
            for y in flat(layer(x, **known))
        ]

        def run(x, layer=layer, seeds=seeds, training=False):
            with keras.GradientTape() as tape:
                tape.watch(x)
                ys = flat(layer(x, training=training, **known))
                loss = sum(keras.ops.sum(y * s.astype(dtype)) for y, s in zip(ys, seeds, strict=True))
            return [*ys, *tape.gradient(loss, [*layer.trainable_variables, x])]

        results.append([np.asarray(v) for v in run(keras.ops.convert_to_tensor(x))])
        results.append(run_compiled(run, x))
        results.append(run_compiled(lambda x, run=run: run(x, training=True), x))
    tolerance = 1e-10 if dtype == "float64" else 3e-5
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def flat(y):
    return keras.tree.flatten(y)


def test_gradient_of_a_gradient():
    """A penalty on the gradient with respect to the inputs, against differences of it."""
    layer = layers.GRU(3, dtype="float64")
    x = draw(2, 4, 3).astype("float64")
    layer(x)

    def penalty(x):
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = keras.ops.sum(keras.ops.square(layer(x)))
        return keras.ops.sum(keras.ops.square(tape.gradient(y, x)))

    t = keras.ops.convert_to_tensor(x)
    with keras.GradientTape() as tape:
        tape.watch(t)
        value = penalty(t)
    slope = float(np.sum(np.asarray(tape.gradient(value, t))))
    ahead, behind = (float(penalty(keras.ops.convert_to_tensor(x + e))) for e in (1e-6, -1e-6))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, rtol=1e-5)


PROGRAM = """
import hashlib
import numpy as np
import rkeras as keras
keras.utils.set_random_seed(1)
layers = keras.layers
x = np.random.default_rng(0).integers(0, 9, (40, 12))
y = x.sum(-1) % 3
model = keras.Sequential([
    keras.Input((12,), dtype="int32"), layers.Embedding(9, 8, mask_zero=True),
    layers.Bidirectional(layers.LSTM(17, return_sequences=True, dropout=0.1)), layers.GRU(9, return_sequences=True),
    layers.SimpleRNN(16, return_sequences=True),
    layers.TimeDistributed(layers.Dense(16)), layers.Reshape((12, 4, 4, 1)), layers.ConvLSTM2D(3, 2), layers.Flatten(),
    layers.Dense(3, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, batch_size=20, epochs=2, verbose=0)
weights = b"".join(w.tobytes() for w in model.get_weights())
print(hashlib.sha256(weights + model.predict(x, verbose=0).tobytes()).hexdigest())
"""


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_any_number_of_threads_gives_the_same_bits(isa):
    digests = set()
    for threads in (1, 2, 3, 8):
        env = os.environ | {"RKERAS_NUM_THREADS": str(threads), "RKERAS_ISA": isa}
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
        out = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        digests.add(out.stdout.strip())
    assert len(digests) == 1
