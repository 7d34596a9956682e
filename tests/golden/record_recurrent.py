"""Records what real Keras's recurrent layers compute: configs, outputs, gradients, and a trained file.

KERAS_BACKEND=jax python tests/golden/record_recurrent.py      (needs keras and jax; writes the files beside it)
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np

HERE = Path(__file__).parent
L = keras.layers

SEQUENCE = (3, 6, 5)

# (layer, shape of the input, what else: mask, initial_state, calls, training)
CASES = [
    (lambda: L.SimpleRNN(4), SEQUENCE, {}),
    (lambda: L.SimpleRNN(4, return_sequences=True, go_backwards=True, use_bias=False), SEQUENCE, dict(mask=True)),
    (lambda: L.SimpleRNN(4, activation="relu", return_state=True), SEQUENCE, dict(initial_state=1)),
    (lambda: L.SimpleRNN(4, unroll=True, return_sequences=True), SEQUENCE, dict(mask=True)),
    (lambda: L.LSTM(4), SEQUENCE, {}),
    (lambda: L.LSTM(4, return_sequences=True, return_state=True), SEQUENCE, {}),
    (lambda: L.LSTM(4, return_sequences=True), SEQUENCE, dict(mask=True)),
    (lambda: L.LSTM(4, return_sequences=True, return_state=True, go_backwards=True), SEQUENCE, dict(mask=True)),
    (lambda: L.LSTM(4, return_sequences=True, zero_output_for_mask=True), SEQUENCE, dict(mask=True)),
    (lambda: L.LSTM(4, zero_output_for_mask=True), SEQUENCE, dict(mask=True)),
    (lambda: L.LSTM(4, go_backwards=True), SEQUENCE, {}),
    (lambda: L.LSTM(4, return_sequences=True), SEQUENCE, dict(mask=True, initial_state=2)),
    (lambda: L.LSTM(4, return_state=True), SEQUENCE, dict(initial_state=2)),
    (lambda: L.LSTM(4, stateful=True, return_sequences=True), SEQUENCE, dict(calls=3)),
    (lambda: L.LSTM(4, stateful=True, return_state=True), SEQUENCE, dict(calls=2, mask=True)),
    (lambda: L.LSTM(4, activation="relu", recurrent_activation="hard_sigmoid", use_bias=False), SEQUENCE, {}),
    (lambda: L.LSTM(4, unit_forget_bias=False, unroll=True, go_backwards=True), SEQUENCE, {}),
    (lambda: L.LSTM(4, implementation=1, kernel_regularizer="l2", bias_constraint="non_neg"), SEQUENCE, {}),
    (lambda: L.LSTM(19, return_sequences=True), (7, 4, 3), {}),
    (lambda: L.GRU(4), SEQUENCE, {}),
    (lambda: L.GRU(4, reset_after=False), SEQUENCE, {}),
    (lambda: L.GRU(4, return_sequences=True, return_state=True), SEQUENCE, dict(mask=True)),
    (lambda: L.GRU(4, return_sequences=True, reset_after=False, go_backwards=True), SEQUENCE, dict(mask=True)),
    (lambda: L.GRU(4, return_sequences=True, go_backwards=True), SEQUENCE, {}),
    (lambda: L.GRU(4, use_bias=False, return_sequences=True), SEQUENCE, dict(initial_state=1)),
    (lambda: L.GRU(4, use_bias=False, reset_after=False), SEQUENCE, dict(initial_state=1, mask=True)),
    (lambda: L.GRU(4, stateful=True), SEQUENCE, dict(calls=2)),
    (lambda: L.GRU(4, activation="elu", recurrent_activation="relu", unroll=True), SEQUENCE, {}),
    (lambda: L.GRU(4, implementation=1, activation=None), SEQUENCE, {}),
    (lambda: L.GRU(19, return_sequences=True), (7, 4, 3), {}),
    (lambda: L.Bidirectional(L.LSTM(4, return_sequences=True)), SEQUENCE, {}),
    (lambda: L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode="sum"), SEQUENCE, dict(mask=True)),
    (lambda: L.Bidirectional(L.GRU(4), merge_mode="mul"), SEQUENCE, dict(mask=True)),
    (lambda: L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="ave"), SEQUENCE, {}),
    (lambda: L.Bidirectional(L.SimpleRNN(4), merge_mode=None), SEQUENCE, {}),
    (lambda: L.Bidirectional(L.LSTM(4, return_state=True)), SEQUENCE, dict(initial_state=4)),
    (lambda: L.Bidirectional(L.LSTM(4), backward_layer=L.GRU(4, go_backwards=True)), SEQUENCE, {}),
    (lambda: L.RNN(L.SimpleRNNCell(4), return_sequences=True), SEQUENCE, dict(mask=True)),
    (lambda: L.RNN([L.LSTMCell(4), L.GRUCell(3), L.SimpleRNNCell(5)], return_sequences=True), SEQUENCE, {}),
    (lambda: L.RNN([L.LSTMCell(4), L.LSTMCell(3)], go_backwards=True), SEQUENCE, dict(mask=True)),
    (lambda: L.TimeDistributed(L.Dense(4, activation="relu")), SEQUENCE, {}),
    (lambda: L.TimeDistributed(L.Conv2D(3, 2)), (2, 3, 5, 4, 2), {}),
    (lambda: L.TimeDistributed(L.LSTM(3)), (2, 3, 4, 5), {}),
    (lambda: L.TimeDistributed(L.BatchNormalization()), SEQUENCE, dict(training=True)),
    (lambda: L.ConvLSTM1D(3, 2, return_sequences=True), (2, 4, 6, 2), {}),
    (lambda: L.ConvLSTM2D(3, 3, padding="same", return_state=True), (2, 4, 5, 6, 2), {}),
    (lambda: L.ConvLSTM2D(3, (2, 3), strides=2, return_sequences=True), (2, 4, 7, 8, 2), {}),
    (lambda: L.ConvLSTM2D(3, 2, dilation_rate=2, go_backwards=True, use_bias=False), (2, 3, 6, 6, 1), {}),
    (lambda: L.ConvLSTM3D(2, 2, activation="relu", recurrent_activation="hard_sigmoid"), (1, 3, 3, 4, 3, 2), {}),
]  # fmt: skip


def draw(shape, rng):
    return rng.standard_normal(shape).astype("float32")


def flat(outputs):
    return keras.tree.flatten(outputs)


def record(i, make, shape, more):
    rng = np.random.default_rng(100 + i)
    keras.utils.clear_session()
    layer = make()
    x = draw(shape, rng)
    symbolic = layer(keras.Input(batch_shape=shape) if more.get("calls") else keras.Input(shape[1:]))
    config = keras.layers.serialize(layer)
    layer.set_weights(
        [
            np.abs(draw(w.shape, rng)) * 0.5 if "variance" in w.name else draw(w.shape, rng) * 0.5
            for w in layer.weights
        ]
    )
    arrays = {"in": x} | {f"w{j}": w for j, w in enumerate(layer.get_weights())}
    known = {}
    if more.get("mask"):
        mask = rng.random(shape[:2]) > 0.4
        mask[0, :2] = False
        arrays["mask"] = known["mask"] = mask
    if more.get("initial_state"):
        states = [draw((shape[0], 4), rng) for _ in range(more["initial_state"])]
        arrays |= {f"state{j}": s for j, s in enumerate(states)}
        known["initial_state"] = [keras.ops.convert_to_tensor(s) for s in states]
    training = bool(more.get("training"))
    entry = {"config": config, "weights": [w.path for w in layer.weights], "training": training}
    entry["symbolic_shapes"] = [list(s.shape) for s in flat(symbolic)]
    seeds = [draw(np.shape(y), rng) for y in flat(layer(x, training=training, **known))]
    if layer.__class__.__name__ != "TimeDistributed" and getattr(layer, "stateful", False):
        layer.reset_state()
    if training:
        layer.set_weights([arrays[f"w{j}"] for j in range(len(layer.weights))])
    if not training:
        trainable = [v.value for v in layer.trainable_variables]
        fixed = [v.value for v in layer.non_trainable_variables]

        def loss(trainable, x):
            if getattr(layer, "stateful", False):
                layer.reset_state()
            outputs, _ = layer.stateless_call(trainable, fixed, x, training=False, **known)
            return sum(keras.ops.sum(y * s) for y, s in zip(flat(outputs), seeds, strict=True))

        if not getattr(layer, "stateful", False):
            dw, dx = jax.grad(loss, argnums=(0, 1))(trainable, x)
            arrays |= {f"seed{j}": s for j, s in enumerate(seeds)}
            arrays |= {f"dw{j}": np.asarray(g) for j, g in enumerate(dw)} | {"dx": np.asarray(dx)}
    for call in range(more.get("calls", 1)):
        outputs = flat(layer(x + call, training=training, **known))
        arrays |= {f"out{call}_{j}": np.asarray(y) for j, y in enumerate(outputs)}
    if training:
        arrays |= {f"after{j}": w for j, w in enumerate(layer.get_weights())}
    return entry, {f"{i}_{k}": v for k, v in arrays.items()}


def model():
    """A trained file of real Keras with most recurrent layers, what it predicts, and how it trains on."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(4)
    inputs = keras.Input((8,), dtype="int32")
    h = L.Embedding(20, 6, mask_zero=True)(inputs)
    h = L.Bidirectional(L.LSTM(5, return_sequences=True))(h)
    h = L.RNN([L.GRUCell(4), L.LSTMCell(4)], return_sequences=True)(h)
    h = L.TimeDistributed(L.Dense(4))(h)
    h = L.GRU(3, reset_after=False, return_sequences=True)(h)
    h = L.SimpleRNN(3)(h)
    net = keras.Model(inputs, L.Dense(3, activation="softmax")(h))
    net.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    x, y = rng.integers(0, 20, (32, 8)), rng.integers(0, 3, 32)
    x[:, 6:] = 0
    net.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    net.save(HERE / "recurrent.keras")
    arrays = {"model_x": x, "model_y": y, "prediction": net.predict(x, verbose=0)}
    net.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    arrays["after"] = net.predict(x, verbose=0)
    return arrays


def main():
    arrays, cases = {}, []
    for i, (make, shape, more) in enumerate(CASES):
        entry, found = record(i, make, shape, more)
        cases.append(entry)
        arrays |= found
    arrays |= model()
    np.savez_compressed(HERE / "recurrent.npz", **arrays)
    (HERE / "recurrent.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
