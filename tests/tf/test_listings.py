"""The 16 listings of the user's guide, as they stand but for the import line, each checked for what it is for."""

from pathlib import Path

import numpy as np
import pytest
import rkeras.tf as tf

LISTINGS = Path(__file__).parent / "listings"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    tf.config.run_functions_eagerly(False)


def run(number, **names):
    """Runs a listing with these names set; returns all names."""
    (path,) = LISTINGS.glob(f"{number:02d}_*.py")
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), names)
    return names


def digits(rows=64):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 784)).astype("float32"), rng.integers(0, 10, rows)


def test_texts_are_the_users():
    """Only the import line differs: every listing begins with it, and nothing else names rkeras."""
    for path in LISTINGS.glob("*.py"):
        first, rest = path.read_text(encoding="utf-8").split("\n", 1)
        assert first == "import rkeras.tf as tf" and "rkeras" not in rest
    assert len(list(LISTINGS.glob("*.py"))) == 16


def test_01_sequential(capsys):
    model = run(1)["model"]
    assert [layer.output_shape for layer in model.layers] == [(None, 64), (None, 64), (None, 32), (None, 10)]
    out = capsys.readouterr().out
    assert "52,650" in out and out.count("Dense") == 3 and "Dropout" in out
    assert model.count_params() == 784 * 64 + 64 + 64 * 32 + 32 + 32 * 10 + 10
    probabilities = model.predict(digits()[0], verbose=0)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_02_sequential_without_input(capsys):
    names = run(2)
    out = capsys.readouterr().out
    assert "unbuilt" in out and "50,240" in out and "(1, 64)" in out
    assert names["y"].shape == (1, 64) and (names["y"].numpy() >= 0).all()


def test_03_functional(capsys):
    model = run(3)["model"]
    assert (
        model.name == "mnist_classifier"
        and model.input_shape == (None, 784)
        and model.output_shape == (None, 10)
    )
    assert model.get_layer("output").units == 10 and "mnist_classifier" in capsys.readouterr().out


def test_04_two_inputs(capsys):
    model = run(4)["model"]
    assert model.input_shape == [(None, 224, 224, 3), (None, 10)] and model.output_shape == (None, 1)
    assert "image" in capsys.readouterr().out
    rng = np.random.default_rng(0)
    y = model.predict([rng.random((2, 224, 224, 3), "float32"), rng.random((2, 10), "float32")], verbose=0)
    assert y.shape == (2, 1) and ((y > 0) & (y < 1)).all()


def test_05_two_outputs():
    model = run(5)["model"]
    assert model.output_shape == [(None, 10), (None, 100, 5)]
    rng = np.random.default_rng(0)
    x = rng.integers(0, 10000, (8, 100))
    history = model.fit(
        x, [rng.integers(0, 10, 8), rng.integers(0, 5, (8, 100))], batch_size=4, verbose=0
    ).history
    np.testing.assert_allclose(
        history["loss"][0], history["classification_loss"][0] + 0.5 * history["sequence_loss"][0], rtol=1e-5
    )
    classes, sequence = model.predict(x, verbose=0)
    assert classes.shape == (8, 10) and sequence.shape == (8, 100, 5)


def test_06_subclass(capsys):
    names = run(6)
    assert names["y"].shape == (1, 10) and "my_model" in capsys.readouterr().out
    model = names["model"]
    x, y = digits()
    history = model.fit(x, y, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_07_train_step():
    model = run(7)["model"]
    x, y = digits()
    history = model.fit(x, y, epochs=4, verbose=0).history
    assert set(history) == {"loss", "accuracy"} and history["loss"][-1] < history["loss"][0]
    assert model.compiled and not model._untraceable  # the step ran compiled


def test_08_compile():
    model = run(8)["model"]
    x, y = digits()
    history = model.fit(x, y, verbose=0).history
    assert set(history) == {"loss", "accuracy"}


def test_09_compile_with_all_arguments():
    model = run(8)["model"]
    run(9, model=model)
    assert type(model.optimizer) is tf.keras.optimizers.Adam and float(
        model.optimizer.learning_rate
    ) == pytest.approx(0.001)
    assert model.loss.reduction == "sum_over_batch_size" and model.loss_weights is None


def test_10_whole_models():
    names = run(10)
    assert Path("model.keras").read_bytes()[:2] == b"PK" and Path("model.h5").read_bytes()[:4] == b"\x89HDF"
    assert (
        Path("saved_model/saved_model.pb").is_file()
        and Path("saved_model/variables/variables.index").is_file()
    )
    x, y = digits()
    want = names["model"].predict(x, verbose=0)
    for path in ("model.keras", "model.h5", "saved_model"):
        loaded = tf.keras.models.load_model(path)
        assert isinstance(loaded, tf.keras.Sequential) and loaded is not names["model"]
        np.testing.assert_allclose(loaded.predict(x, verbose=0), want, rtol=1e-6)
        assert np.isfinite(loaded.fit(x, y, verbose=0).history["loss"][0])  # it is compiled as it was
    restored = tf.saved_model.load("saved_model")
    np.testing.assert_allclose(restored.predict(x, verbose=0), want, rtol=1e-6)


def test_11_weights():
    names = run(11)
    files = {p.name for p in Path(".").iterdir()}
    assert files == {"weights.h5", "checkpoint", "weights.index", "weights.data-00000-of-00001"}
    want = names["model"].get_weights()
    for path in ("weights.h5", "weights"):
        model = run(8)["model"]
        assert not np.array_equal(model.get_weights()[0], want[0])
        model.load_weights(path)
        for a, b in zip(model.get_weights(), want, strict=True):
            np.testing.assert_array_equal(a, b)
    assert tf.train.latest_checkpoint(".").endswith("weights")


def test_12_checkpoint_callback():
    x, y = digits()
    text = (LISTINGS / "12_checkpoint_callback.py").read_text(encoding="utf-8")
    # The listing makes a model anew and fits it without compile(): `fit` says so, and with compile it runs.
    with pytest.raises(ValueError, match="compile"):
        run(12, x_train=x, y_train=y, x_val=x, y_val=y)
    head, tail = text.split("# 训练时保存")
    space = {}
    exec(head, space)
    space["model"].compile("adam", "sparse_categorical_crossentropy")
    space |= dict(x_train=x, y_train=y, x_val=x, y_val=y)
    exec(tail, space)
    files = sorted(Path("checkpoints").glob("model_*.keras"))
    assert 1 <= len(files) <= 10 and files[0].name.startswith("model_01_")
    best = tf.keras.models.load_model(files[-1])
    loss = best.evaluate(x, y, verbose=0)
    assert loss == pytest.approx(float(files[-1].stem.split("_")[-1]), abs=1e-3)


def test_13_picture(capsys):
    run(13)
    data = Path("model.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    assert height > 300 and width > 300  # four boxes with shapes, from top to bottom
    import struct
    import zlib

    # There is a drawing on it: both light and dark pixels.
    chunks, at = b"", 8
    while at < len(data):
        (size,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        chunks += data[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    pixels = np.frombuffer(zlib.decompress(chunks), "uint8")
    assert pixels.size > height * width and len(np.unique(pixels)) > 8


def test_14_summary_config_weights(capsys):
    names = run(14)
    out = capsys.readouterr().out
    assert names["summary_str"] and "50,890" in "\n".join(names["summary_str"])
    assert len(names["weights"]) == 4 and names["config"]["layers"][1]["config"]["units"] == 64
    assert "权重数量: 4" in out
    again = tf.keras.Sequential.from_config(names["config"])
    again.set_weights(names["weights"])
    x = digits()[0]
    np.testing.assert_array_equal(again.predict(x, verbose=0), names["model"].predict(x, verbose=0))


def test_15_inspect(capsys):
    names = run(15)
    out = capsys.readouterr().out
    assert "(None, 784)" in out and "(None, 10)" in out and ": (None, 64)" in out
    assert names["trainable_count"] == 50890 and names["non_trainable_count"] == 0 and "50,890" in out


def test_16_debug(capsys):
    names = run(16)
    assert tf.config.functions_run_eagerly() and names["x"].shape == (1, 10)
    out = capsys.readouterr().out
    assert "shape=(1, 64), dtype=float32" in out and "NaN" not in out
    # A broken weight is found.
    model = names["model"]
    model.layers[0].kernel.assign(np.full((784, 64), np.nan, "float32"))
    assert bool(tf.reduce_any(tf.math.is_nan(model(digits()[0]))))
