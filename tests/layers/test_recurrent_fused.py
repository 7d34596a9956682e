"""The fused ops of LSTM, GRU and ConvLSTM give what the loop over their cells gives, on any number of threads."""

import os
import subprocess
import sys

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import run_compiled
from rkeras.layers.conv_lstm import ConvLSTMCell

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
    compare(fused, loop, x, known)


CONVOLUTIONAL = [
    dict(rank=1, filters=3, kernel_size=3, sizes=(7,)),
    dict(rank=2, filters=8, kernel_size=3, sizes=(6, 5), padding="same", return_sequences=True, batch=9),
    dict(rank=2, filters=5, kernel_size=2, sizes=(5, 9), go_backwards=True, masked=True, return_sequences=True),
    dict(rank=2, filters=2, kernel_size=3, sizes=(7, 8), strides=2, masked=True, return_state=True, batch=8),
    dict(rank=2, filters=3, kernel_size=3, sizes=(8, 8), dilation_rate=2, return_sequences=True, states=True),
    dict(rank=2, filters=32, kernel_size=3, sizes=(16, 12), padding="same", return_sequences=True),
    dict(rank=2, filters=64, kernel_size=3, sizes=(4, 4), padding="same", masked=True, batch=9),
    dict(rank=3, filters=2, kernel_size=2, sizes=(3, 4, 5), return_sequences=True, return_state=True, batch=1),
    dict(rank=2, filters=3, kernel_size=3, sizes=(4, 3), use_bias=False, masked=True, dtype="float64",
         zero_output_for_mask=True, return_sequences=True),
]  # fmt: skip


@pytest.mark.parametrize("case", CONVOLUTIONAL, ids=lambda c: ",".join(c))
def test_fused_convolutional_equals_loop(case):
    case = dict(case)
    batch, rank, spatial = case.pop("batch", 3), case.pop("rank"), case.pop("sizes")
    masked, states, dtype = case.pop("masked", False), case.pop("states", False), case.pop("dtype", "float32")
    of_loop = ("return_sequences", "return_state", "go_backwards", "zero_output_for_mask")
    around = {k: case.pop(k) for k in of_loop if k in case}
    fused = getattr(layers, f"ConvLSTM{rank}D")(**case, **around, dtype=dtype)
    loop = layers.RNN(ConvLSTMCell(rank, **case, dtype=dtype), **around, dtype=dtype)
    x = draw(batch, 4, *spatial, 2).astype(dtype)
    known = {"mask": RNG.random((batch, 4)) > 0.4} if masked else {}
    if states:
        shape = fused.compute_output_shape(x.shape)
        state = (shape[0], *shape[2:]) if fused.return_sequences else shape
        known["initial_state"] = [draw(*state) for _ in range(2)]
    compare(fused, loop, x, known)


def compare(fused, loop, x, known):
    """Outputs and gradients of both layers, op by op, compiled, compiled in training mode."""
    dtype = x.dtype.name
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
