"""Records what real Keras computes, for tests that run without it.

KERAS_BACKEND=jax python tests/golden/record.py      (needs keras and jax; writes the files beside it)
"""

import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

HERE = Path(__file__).parent

# (class name, constructor arguments, shape of the input (with batch) or list of shapes)
LAYERS = [
    ("Dense", dict(units=5, activation="relu"), (3, 4)),
    ("Dense", dict(units=5, use_bias=False, activation="softmax"), (2, 3, 4)),
    ("Conv1D", dict(filters=4, kernel_size=3, padding="causal", dilation_rate=2), (2, 9, 3)),
    ("Conv1D", dict(filters=4, kernel_size=3, strides=2, padding="same", activation="tanh"), (2, 9, 3)),
    ("Conv2D", dict(filters=6, kernel_size=(3, 2), strides=(2, 1), padding="same"), (2, 7, 6, 3)),
    ("Conv2D", dict(filters=4, kernel_size=3, groups=2, dilation_rate=2), (2, 9, 8, 6)),
    ("Conv2D", dict(filters=8, kernel_size=3, activation="relu"), (2, 12, 11, 1)),
    ("Conv3D", dict(filters=3, kernel_size=2, strides=2, padding="same"), (1, 5, 6, 4, 2)),
    ("DepthwiseConv2D", dict(kernel_size=3, depth_multiplier=2, padding="same"), (2, 6, 5, 3)),
    ("DepthwiseConv2D", dict(kernel_size=3, strides=2, activation="relu"), (2, 8, 9, 4)),
    ("MaxPooling1D", dict(pool_size=2), (2, 7, 3)),
    ("MaxPooling2D", dict(pool_size=3, strides=2, padding="same"), (2, 8, 7, 3)),
    ("MaxPooling3D", dict(pool_size=2), (1, 4, 5, 6, 2)),
    ("AveragePooling1D", dict(pool_size=3, strides=2, padding="same"), (2, 8, 3)),
    ("AveragePooling2D", dict(pool_size=2, padding="same"), (2, 7, 5, 3)),
    ("AveragePooling3D", dict(pool_size=2), (1, 4, 5, 6, 2)),
    ("GlobalMaxPooling1D", dict(), (2, 5, 3)),
    ("GlobalMaxPooling2D", dict(keepdims=True), (2, 5, 4, 3)),
    ("GlobalMaxPooling3D", dict(), (2, 3, 4, 2, 3)),
    ("GlobalAveragePooling1D", dict(), (2, 5, 3)),
    ("GlobalAveragePooling2D", dict(), (2, 5, 4, 3)),
    ("GlobalAveragePooling3D", dict(), (2, 3, 4, 2, 3)),
    ("Flatten", dict(), (2, 3, 4)),
    ("Reshape", dict(target_shape=(-1, 2)), (2, 3, 4)),
    ("Activation", dict(activation="gelu"), (2, 5)),
    ("ReLU", dict(max_value=1.0, negative_slope=0.1, threshold=0.2), (3, 7)),
    ("Softmax", dict(axis=1), (2, 3, 4)),
    ("Dropout", dict(rate=0.5), (2, 5)),
    ("BatchNormalization", dict(), (4, 5, 3)),
    ("BatchNormalization", dict(axis=1, center=False, epsilon=0.01), (4, 5, 3)),
    ("LayerNormalization", dict(), (4, 6)),
    ("LayerNormalization", dict(axis=[1, 2], scale=False), (4, 6, 3)),
    ("Rescaling", dict(scale=0.5, offset=-1.0), (2, 4)),
    ("Add", dict(), [(2, 3), (2, 3), (2, 3)]),
    ("Concatenate", dict(axis=1), [(2, 3, 4), (2, 1, 4)]),
]

OPS = {
    "softmax": (lambda x: keras.ops.softmax(x, axis=1), [(3, 4, 2)]),
    "log_softmax": (lambda x: keras.ops.log_softmax(x), [(3, 5)]),
    "gelu_exact": (lambda x: keras.ops.gelu(x, approximate=False), [(11,)]),
    "selu": (lambda x: keras.ops.selu(x), [(11,)]),
    "hard_silu": (lambda x: keras.ops.hard_silu(x), [(11,)]),
    "conv_transpose": (
        lambda x, k: keras.ops.conv_transpose(x, k, strides=2, padding="same"),
        [(2, 4, 5, 3), (3, 3, 4, 3)],
    ),
    "conv_transpose_valid": (
        lambda x, k: keras.ops.conv_transpose(x, k, strides=(2, 3)),
        [(1, 4, 3, 2), (3, 2, 5, 2)],
    ),
    "depthwise_conv": (
        lambda x, k: keras.ops.depthwise_conv(x, k, strides=1, padding="same"),
        [(2, 6, 5, 3), (3, 3, 3, 2)],
    ),
    "mse": (lambda y, p: keras.losses.mean_squared_error(y, p), [(3, 4), (3, 4)]),
    "mae": (lambda y, p: keras.losses.mean_absolute_error(y, p), [(3, 4), (3, 4)]),
}


def draw(shape, rng):
    return rng.standard_normal(shape).astype("float32")


def layers():
    arrays, cases = {}, []
    for i, (name, arguments, shape) in enumerate(LAYERS):
        rng = np.random.default_rng(i)
        keras.utils.clear_session()
        layer = getattr(keras.layers, name)(**arguments)
        many = isinstance(shape, list)
        inputs = [draw(s, rng) for s in shape] if many else draw(shape, rng)
        symbolic = [keras.Input(s[1:]) for s in shape] if many else keras.Input(shape[1:])
        symbolic_shape = layer(symbolic).shape
        layer.set_weights(
            [
                np.abs(draw(w.shape, rng)) + 0.1 if "variance" in w.name else draw(w.shape, rng)
                for w in layer.weights
            ]
        )
        entry = {
            "class": name, "arguments": arguments, "input_shape": shape, "symbolic_shape": list(symbolic_shape),
            "config": layer.get_config(), "weights": [w.name for w in layer.weights], "trainable": len(layer.trainable_weights),
        }  # fmt: skip
        for j, x in enumerate(inputs if many else [inputs]):
            arrays[f"{i}_in{j}"] = x
        for j, w in enumerate(layer.get_weights()):
            arrays[f"{i}_w{j}"] = w
        arrays[f"{i}_eval"] = np.asarray(layer(inputs, training=False))
        if name == "BatchNormalization":
            arrays[f"{i}_train"] = np.asarray(layer(inputs, training=True))
            for j, w in enumerate(layer.get_weights()):
                arrays[f"{i}_after{j}"] = w
        cases.append(entry)
    np.savez_compressed(HERE / "layers.npz", **arrays)
    (HERE / "layers.json").write_text(json.dumps(cases, indent=1) + "\n")


def ops():
    arrays = {}
    for name, (fn, shapes) in OPS.items():
        rng = np.random.default_rng(7)
        inputs = [draw(s, rng) for s in shapes]
        arrays |= {f"{name}_in{j}": x for j, x in enumerate(inputs)}
        arrays[name] = np.asarray(fn(*inputs))
    rng = np.random.default_rng(8)
    logits = draw((4, 5), rng)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    labels = rng.integers(0, 5, 4)
    onehot = np.eye(5, dtype="float32")[labels]
    binary = rng.integers(0, 2, (4, 5)).astype("float32")
    sigmoid = 1 / (1 + np.exp(-logits))
    k = keras.ops
    arrays |= {
        "xent_logits": logits, "xent_probabilities": probabilities, "xent_labels": labels, "xent_binary": binary,
        "cce_logits": k.categorical_crossentropy(onehot, logits, from_logits=True),
        "cce": k.categorical_crossentropy(onehot, probabilities * 0.7),
        "scce_logits": k.sparse_categorical_crossentropy(labels, logits, from_logits=True),
        "scce": k.sparse_categorical_crossentropy(labels, probabilities * 0.7),
        "bce_logits": k.binary_crossentropy(binary, logits, from_logits=True),
        "bce": k.binary_crossentropy(binary, sigmoid),
    }  # fmt: skip
    np.savez_compressed(HERE / "ops.npz", **{name: np.asarray(a) for name, a in arrays.items()})


def optimizers():
    """Ten steps of each optimizer on fixed gradients."""
    cases = {
        "sgd": keras.optimizers.SGD(0.1), "momentum": keras.optimizers.SGD(0.1, momentum=0.9),
        "nesterov": keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), "adam": keras.optimizers.Adam(0.1),
        "amsgrad": keras.optimizers.Adam(0.1, amsgrad=True), "adamw": keras.optimizers.AdamW(0.1, weight_decay=0.05),
        "rmsprop": keras.optimizers.RMSprop(0.1), "rmsprop_centered": keras.optimizers.RMSprop(0.1, momentum=0.5, centered=True),
        "clipped": keras.optimizers.SGD(0.1, global_clipnorm=0.5),
        "clipnorm": keras.optimizers.Adam(0.1, clipnorm=0.5), "clipvalue": keras.optimizers.SGD(0.1, clipvalue=0.3),
        "decay": keras.optimizers.SGD(0.1, weight_decay=0.1), "ema": keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
        "ema_overwrite": keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=4),
        "accumulate": keras.optimizers.Adam(0.1, gradient_accumulation_steps=3), "scaled": keras.optimizers.SGD(0.1, loss_scale_factor=4.0),
        "schedule": keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)),
        "restarts": keras.optimizers.SGD(keras.optimizers.schedules.CosineDecayRestarts(0.1, 3, t_mul=1.5, m_mul=0.8, alpha=0.1)),
        "adamax": keras.optimizers.Adamax(0.1), "nadam": keras.optimizers.Nadam(0.1), "adagrad": keras.optimizers.Adagrad(0.1),
        "adadelta": keras.optimizers.Adadelta(0.5), "lion": keras.optimizers.Lion(0.01), "lion_decay": keras.optimizers.Lion(0.01, weight_decay=0.1),
        "lamb": keras.optimizers.Lamb(0.1), "ftrl": keras.optimizers.Ftrl(0.1),
        "ftrl_regularized": keras.optimizers.Ftrl(
            0.1, -0.7, 0.2, l1_regularization_strength=0.05, l2_regularization_strength=0.1,
            l2_shrinkage_regularization_strength=0.02, beta=0.3,
        ),
        "adafactor": keras.optimizers.Adafactor(0.1), "adafactor_absolute": keras.optimizers.Adafactor(0.05, relative_step=False, clip_threshold=0.5),
        "muon": keras.optimizers.Muon(0.05), "muon_plain": keras.optimizers.Muon(0.05, nesterov=False, rms_rate=None, ns_steps=3, weight_decay=None),
        "schedule_free": keras.optimizers.ScheduleFreeAdamW(0.1, warmup_steps=4),
        "loss_scale": keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1), initial_scale=8.0, dynamic_growth_steps=3),
    }  # fmt: skip
    arrays, configs = {}, {}
    for name, optimizer in cases.items():
        rng = np.random.default_rng(3)
        variables = [keras.Variable(draw((3, 2), rng)), keras.Variable(draw((2,), rng))]
        arrays |= {f"{name}_start{i}": np.asarray(v) for i, v in enumerate(variables)}
        for step in range(10):
            grads = [draw((3, 2), rng), draw((2,), rng)]
            if name == "loss_scale" and step == 4:
                grads[0][1, 1] = np.inf  # this step is left out
            arrays |= {f"{name}_grad{step}_{i}": g for i, g in enumerate(grads)}
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads], variables)
        arrays |= {f"{name}_end{i}": np.asarray(v) for i, v in enumerate(variables)}
        configs[name] = {
            "class": type(optimizer).__name__, "config": optimizer.get_config(),
            "slots": [[v.name, list(v.shape)] for v in optimizer.variables], "iterations": int(optimizer.iterations),
        }  # fmt: skip
    np.savez_compressed(HERE / "optimizers.npz", **arrays)
    (HERE / "optimizers.json").write_text(json.dumps(configs, indent=1) + "\n")


def models():
    """A trained file of real Keras: weights, config, optimizer state; and what it predicts, and how it trains on."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(4)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D(), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax"),
        ]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = draw((32, 8, 8, 1), rng), rng.integers(0, 3, 32)
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    model.save(HERE / "convnet.keras")
    arrays = {"x": x, "y": y, "prediction": model.predict(x, verbose=0)}
    model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    arrays["after"] = model.predict(x, verbose=0)

    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    h = keras.layers.Concatenate()([keras.layers.Dense(5, activation="tanh", name="left")(a), b])
    shared = keras.layers.Dense(8, name="shared")
    h = keras.layers.Add()([shared(h), shared(h * 2.0)])
    functional = keras.Model(
        [a, b], {"p": keras.layers.Dense(2, name="p")(h), "q": keras.layers.Dense(1, name="q")(h)}
    )
    functional.save(HERE / "functional.keras")
    xa, xb = draw((6, 4), rng), draw((6, 3), rng)
    out = functional.predict([xa, xb], verbose=0)
    arrays |= {"xa": xa, "xb": xb, "p": out["p"], "q": out["q"]}
    np.savez_compressed(HERE / "models.npz", **arrays)


def promotion():
    """Keras's result dtype of every pair, in a process of its own: JAX as it comes knows no 64-bit types."""
    code = """
import json
from keras.src.backend.common.dtypes import result_type
names = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 float32 float64".split()
weak = {"int": int, "float": float}
operands = {n: n for n in names} | weak
print(json.dumps({f"{a} {b}": result_type(x, y) for a, x in operands.items() for b, y in operands.items()}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        stdout=subprocess.PIPE,
        check=True,
    )
    table = json.loads(done.stdout.splitlines()[-1])
    (HERE / "promotion.json").write_text(json.dumps(table, indent=0) + "\n")


if __name__ == "__main__":
    promotion()
    layers()
    ops()
    optimizers()
    models()
