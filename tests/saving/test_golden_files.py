"""Files that Keras 3.0 ... 3.15 and tf.keras wrote: the same predictions, and training goes on as there."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras
from checks import zoo

GOLDEN = Path(__file__).parents[1] / "golden"
TAGS = ["keras-3.0", "keras-3.5", "keras-3.10", "keras-3.15", "tf_keras", "tf_keras_legacy"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder with the recorded files."""
    folder = tmp_path_factory.mktemp("files")
    for tag in TAGS:
        with zipfile.ZipFile(GOLDEN / f"files-{tag}.zip") as archive:
            archive.extractall(folder)
    return folder


def expected(files, tag, name, when):
    """The recorded predictions of a model."""
    recorded = np.load(files / f"{tag}.npz")
    return [recorded[k] for k in sorted(recorded) if k.startswith(f"{name}_{when}_")]


def check(model, files, tag, name, goes_on=True):
    """Does the model predict what was recorded, before and after another epoch?"""
    for ours, theirs in zip(zoo.predict(model, name), expected(files, tag, name, "before"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    if goes_on:
        zoo.train(model, name)
        for ours, theirs in zip(zoo.predict(model, name), expected(files, tag, name, "after"), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-4)


NEEDS = {"lstm": ("LSTM", "GRU", "Bidirectional"), "transformer": ("MultiHeadAttention",)}


def need(name):
    """Skips models of layers that this build lacks."""
    missing = [n for n in NEEDS.get(name, ()) if not hasattr(keras.layers, n)]
    if missing:
        pytest.skip(f"this build lacks {missing}")


@pytest.mark.parametrize(
    ("tag", "name"),
    [(t, n) for t in TAGS[:4] for n in ("convnet", "nested")] + [("keras-3.15", "lstm"), ("keras-3.15", "transformer")],
)  # fmt: skip
def test_keras_archive(files, tag, name):
    need(name)
    check(keras.models.load_model(files / f"{tag}-{name}.keras"), files, tag, name)


@pytest.mark.parametrize(
    ("tag", "name"),
    [("tf_keras", n) for n in ("mlp", "convnet", "nested", "lstm", "transformer")]
    + [("tf_keras_legacy", n) for n in ("mlp", "convnet")],
)
def test_keras_2_h5(files, tag, name):
    need(name)
    check(keras.models.load_model(files / f"{tag}-{name}.h5"), files, tag, name)


@pytest.mark.parametrize("name", ["mlp", "convnet"])
def test_keras_2_archive(files, name):
    check(keras.models.load_model(files / f"tf_keras-{name}.keras"), files, "tf_keras", name)


def test_keras_3_h5(files):
    check(keras.models.load_model(files / "keras-3.15-mlp.h5"), files, "keras-3.15", "mlp")


def test_folder(files):
    check(keras.models.load_model(files / "keras-3.15-mlp-folder"), files, "keras-3.15", "mlp")


@pytest.mark.parametrize(
    ("tag", "name", "path"),
    [
        ("keras-3.15", "mlp", "keras-3.15-mlp.weights.h5"),
        ("keras-3.15", "mlp", "keras-3.15-mlp-shards.weights.json"),
        ("keras-3.15", "mlp", "keras-3.15-mlp.h5"),
        ("keras-3.15", "mlp", "keras-3.15-mlp-folder/model.weights.h5"),
        ("keras-3.15", "convnet", "keras-3.15-convnet.keras"),
        ("keras-3.15", "subclassed", "keras-3.15-subclassed.weights.h5"),
        ("tf_keras", "convnet", "tf_keras-convnet-weights.h5"),
        ("tf_keras", "convnet", "tf_keras-convnet.weights.h5"),
        ("tf_keras", "convnet", "tf_keras-convnet.h5"),
    ],
)  # fmt: skip
def test_weights(files, tag, name, path):
    model = zoo.architecture(keras, name)
    if not model.built:
        model(zoo.data(name)[0][:2])
    model.load_weights(files / path)
    check(model, files, tag, name, goes_on=False)


@pytest.mark.parametrize(("name", "path"), [("mlp", "keras-3.15-mlp.weights.h5"), ("subclassed", "keras-3.15-subclassed.weights.h5")])  # fmt: skip
def test_weights_bring_the_optimizer(files, name, path):
    """A compiled model whose optimizer is built trains on as there."""
    model = zoo.architecture(keras, name)
    model.compile(zoo.optimizer(keras, name), **zoo.losses(name))
    if not model.built:
        model(zoo.data(name)[0][:2])
    model.optimizer.build(model.trainable_variables)
    model.load_weights(files / path)
    check(model, files, "keras-3.15", name)


def test_names_and_rates_of_keras_2(files):
    model = keras.models.load_model(files / "tf_keras_legacy-convnet.h5")
    # Keras 2's `decay`: the rate falls as 1 / (1 + decay * step).
    rate = 0.01 / (1 + 0.1 * int(model.optimizer.iterations.numpy()))
    np.testing.assert_allclose(float(model.optimizer.learning_rate), rate, rtol=1e-6)
    model = keras.models.load_model(files / "tf_keras-nested.h5")
    x, y = zoo.data("nested")
    assert {"amount_mae", "kind_accuracy"} <= set(model.evaluate(x, y, verbose=0, return_dict=True))


def test_by_name_and_skip_mismatch(files):
    path = files / "tf_keras-convnet-weights.h5"
    layers = keras.layers
    with keras.utils.custom_object_scope({}):
        model = keras.Sequential(
            [keras.Input((8, 8, 1)), layers.Conv2D(4, 3, name="conv2d"), layers.Flatten(), layers.Dense(2, name="dense_9")]
        )  # fmt: skip
    untouched = model.get_weights()[2]
    with pytest.raises(ValueError, match="by_name"):
        model.load_weights(path)
    names = _layer_names(path)
    model.layers[0].name = next(n for n in names if n.startswith("conv2d"))
    before = model.get_weights()[0]
    model.load_weights(path, by_name=True)
    assert not np.array_equal(before, model.get_weights()[0])
    np.testing.assert_array_equal(untouched, model.get_weights()[2])
    model.layers[2].name = next(n for n in names if n.startswith("dense"))
    with pytest.raises(ValueError, match="expected shape"):
        model.load_weights(path, by_name=True)
    with pytest.warns(UserWarning, match="keeps the weights"):
        model.load_weights(path, by_name=True, skip_mismatch=True)
    np.testing.assert_array_equal(untouched, model.get_weights()[2])


def _layer_names(path):
    import h5py

    with h5py.File(path) as f:
        return [n.decode() if isinstance(n, bytes) else n for n in f.attrs["layer_names"]]


def test_functions_of_tensorflow_as_layers(files, tmp_path):
    """`x / 255.0`, `tf.concat` ... in a functional model of tf.keras become ops, which `.keras` keeps."""
    recorded = np.load(files / "tf_keras.npz")
    x = [recorded["functions_x"], recorded["functions_z"]]
    model = keras.models.load_model(files / "tf_keras-functions.h5")
    np.testing.assert_allclose(model.predict(x, verbose=0), recorded["functions_y"], atol=1e-5)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
