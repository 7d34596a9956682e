"""Writes TensorFlow checkpoints and SavedModels with the real programs, for tests that run without them.

KERAS_BACKEND=tensorflow python tests/golden/record_tensorflow.py checkpoints     # tf_keras and Keras 3
python tests/golden/record_tensorflow.py saved_models                             # tf_keras

`tf-checkpoints-<program>.zip`: for each model of the zoo the checkpoint and `expected.npz` with what the model predicts
and what it predicts after another epoch. `tf-saved-<model>.zip`: the same with SavedModels; that of the LSTM without its
`saved_model.pb`, which has the unrolled graphs of all gradients and which nobody reads.
"""

import os
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "checks"))

import zoo  # noqa: E402

MODELS = ("mlp", "convnet", "nested", "lstm", "transformer", "subclassed")


def pack(archive, folder, inside="", without=None):
    """Puts the files of a folder into an archive; same files, same archive."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() != without:
            info = zipfile.ZipInfo(f"{inside}{path.relative_to(folder)}")
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)


def record(keras, name, folder, save):
    """Trains a model, writes it, notes its predictions before and after another epoch."""
    keras.utils.set_random_seed(1)
    model = zoo.compiled(keras, name)
    results = {f"before_{i}": p for i, p in enumerate(zoo.predict(model, name))}
    save(model)
    zoo.train(model, name)
    results.update({f"after_{i}": p for i, p in enumerate(zoo.predict(model, name))})
    np.savez(folder / "expected.npz", **results)


def checkpoints():
    import keras
    import tensorflow as tf
    import tf_keras

    for program, k in (("tf_keras", tf_keras), ("keras", keras)):
        with zipfile.ZipFile(HERE / f"tf-checkpoints-{program}.zip", "w") as archive:
            for name in MODELS:
                folder = Path(tempfile.mkdtemp())

                def save(model, program=program, folder=folder):
                    if program == "tf_keras":
                        model.save_weights(str(folder / "weights"))
                    else:
                        tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(
                            str(folder / "weights")
                        )

                record(k, name, folder, save)
                pack(archive, folder, f"{name}/")


def saved_models():
    import tf_keras

    for name in MODELS[:-1]:
        folder = Path(tempfile.mkdtemp())
        record(tf_keras, name, folder, lambda model, folder=folder: model.save(str(folder / "model")))
        with zipfile.ZipFile(HERE / f"tf-saved-{name}.zip", "w") as archive:
            pack(archive, folder, without="model/saved_model.pb" if name == "lstm" else None)


if __name__ == "__main__":
    {"checkpoints": checkpoints, "saved_models": saved_models}[sys.argv[1]]()
