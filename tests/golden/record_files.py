"""Writes model files with the real programs, for tests of the reading side that run without them.

python tests/golden/record_files.py keras       # Keras 3 of any version (3.0, 3.5, 3.10, 3.15 are recorded)
python tests/golden/record_files.py tf_keras    # Keras 2, as in tf.keras

Everything of one program goes to `files-<tag>.zip`: the files as it wrote them, and `<tag>.npz` with what the models
predicted and what they predict after another epoch.
"""

import importlib
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "checks"))

import zoo  # noqa: E402

OUT = Path(tempfile.mkdtemp())


def record(keras, tag, name, paths, results):
    """Trains a model, writes it to all paths, and notes its predictions before and after another epoch."""
    model = zoo.compiled(keras, name)
    for path, write in paths.items():
        write(model, str(OUT / path))
    for i, y in enumerate(zoo.predict(model, name)):
        results[f"{name}_before_{i}"] = y
    zoo.train(model, name)
    for i, y in enumerate(zoo.predict(model, name)):
        results[f"{name}_after_{i}"] = y
    print(tag, name)


def save(model, path):
    model.save(path)


def save_weights(model, path):
    model.save_weights(path)


def keras_3(keras):
    version = keras.__version__
    tag = "keras-" + ".".join(version.split(".")[:2])
    results = {}
    record(keras, tag, "convnet", {f"{tag}-convnet.keras": save}, results)
    record(keras, tag, "nested", {f"{tag}-nested.keras": save}, results)
    if version.startswith("3.15"):
        record(keras, tag, "mlp", {
            f"{tag}-mlp.weights.h5": save_weights,
            f"{tag}-mlp-folder": lambda m, p: m.save(p, zipped=False),
            f"{tag}-mlp-shards.weights.json": lambda m, p: m.save_weights(p, max_shard_size=3e-7),
            # Last: Keras forgets what it was compiled with when it writes .h5.
            f"{tag}-mlp.h5": save,
        }, results)  # fmt: skip
        for name in ("lstm", "transformer"):
            record(keras, tag, name, {f"{tag}-{name}.keras": save}, results)
        record(keras, tag, "subclassed", {f"{tag}-subclassed.weights.h5": save_weights}, results)
    np.savez_compressed(OUT / f"{tag}.npz", **results)


def keras_2(keras):
    results = {}
    record(keras, "tf_keras", "mlp", {"tf_keras-mlp.h5": save, "tf_keras-mlp.keras": save}, results)
    record(keras, "tf_keras", "convnet", {
        "tf_keras-convnet.h5": save, "tf_keras-convnet-weights.h5": save_weights,
        "tf_keras-convnet.weights.h5": save_weights, "tf_keras-convnet.keras": save,
    }, results)  # fmt: skip
    record(keras, "tf_keras", "nested", {"tf_keras-nested.h5": save}, results)
    for name in ("lstm", "transformer"):
        record(keras, "tf_keras", name, {f"tf_keras-{name}.h5": save}, results)

    functions(keras, results)

    class Legacy:
        """Keras 2 with the optimizers of before 2.11: other names of slots, and `decay`."""

        Sequential, Input, layers = keras.Sequential, keras.Input, keras.layers

        class optimizers:
            RMSprop = staticmethod(
                lambda rate, momentum: keras.optimizers.legacy.RMSprop(
                    rate, momentum=momentum, centered=True, decay=0.1
                )
            )
            Adam = staticmethod(lambda rate: keras.optimizers.legacy.Adam(rate, decay=0.1))
            SGD = AdamW = None

    old = {}
    record(Legacy, "tf_keras_legacy", "mlp", {"tf_keras_legacy-mlp.h5": save}, old)
    record(Legacy, "tf_keras_legacy", "convnet", {"tf_keras_legacy-convnet.h5": save}, old)
    np.savez_compressed(OUT / "tf_keras.npz", **results)
    np.savez_compressed(OUT / "tf_keras_legacy.npz", **old)


def functions(keras, results):
    """A functional model with TensorFlow's functions as layers."""
    import tensorflow as tf

    x, z = keras.Input((4, 4, 3), name="x"), keras.Input((4, 4, 3), name="z")
    h = tf.nn.relu(x / 0.5 - z)
    h = tf.concat([2.0 - h**2, tf.math.maximum(h, z)], axis=-1)
    h = h * tf.sigmoid(tf.reduce_mean(h, axis=[1, 2], keepdims=True))
    f = tf.cast(tf.reshape(h, (-1, 96)), "float32")
    g = tf.squeeze(tf.expand_dims(f[:, 2:10], 1), 1)
    g = tf.matmul(g, tf.transpose(keras.layers.Dense(8, use_bias=False)(g), [1, 0]))
    g = tf.sqrt(tf.abs(g) + tf.exp(-tf.square(g)))
    s = tf.clip_by_value(tf.nn.softmax(f), 0.0, 0.01)
    y = keras.layers.Dense(1)(s) + tf.reduce_sum(g, axis=1, keepdims=True)
    t = tf.stack([y, tf.math.log(2.0 + tf.tanh(y))], axis=1)
    model = keras.Model(
        [x, z], tf.reduce_max(t, axis=1) - 0.5 * tf.reduce_min(t, axis=1) + tf.minimum(y, 3.0)
    )
    rng = np.random.RandomState(0)
    results["functions_x"], results["functions_z"] = rng.rand(2, 3, 4, 4, 3).astype("float32")
    results["functions_y"] = model.predict([results["functions_x"], results["functions_z"]], verbose=0)
    model.save(OUT / "tf_keras-functions.h5")


if __name__ == "__main__":
    module = importlib.import_module(sys.argv[1])
    (keras_2 if sys.argv[1] == "tf_keras" else keras_3)(module)
    for results in OUT.glob("*.npz"):
        tag = results.stem
        with zipfile.ZipFile(HERE / f"files-{tag}.zip", "w", zipfile.ZIP_LZMA) as archive:
            for path in sorted(OUT.rglob("*")):
                name = path.relative_to(OUT).as_posix()
                if path.is_file() and (name == results.name or name.startswith(f"{tag}-")):
                    archive.write(path, name)
