"""Looking at and changing files of weights."""

import numpy as np
import pytest
import rkeras as keras


@pytest.fixture
def path(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    model.save_weights(tmp_path / "m.weights.h5")
    return tmp_path / "m.weights.h5"


def test_summary_and_comparison(path, capsys):
    editor = keras.saving.KerasFileEditor(path)
    editor.summary()
    text = capsys.readouterr().out
    assert "dense_1" in text
    assert "0: shape=(4, 2), dtype=float32" in text
    same = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    assert editor.compare(same) == {"status": "success", "error_count": 0, "match_count": 4}
    other = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(3), keras.layers.Dense(1)]
    )
    assert editor.compare(other) == {"status": "error", "error_count": 4, "match_count": 2}
    assert "'layers/dense_2/vars" not in capsys.readouterr().out


def test_changes(path, tmp_path):
    """The example of the docstring: weights for a model that has changed."""
    editor = keras.saving.KerasFileEditor(path)
    kernel = np.ones((2, 5), "float32")
    editor.add_object("layers/dense_2", {"0": kernel})
    editor.add_weights("layers/dense_2", {"1": np.zeros(5, "float32"), "extra": np.zeros(1)})
    editor.delete_weight("dense_2", "extra")
    editor.save(tmp_path / "n.weights.h5")
    model = keras.Sequential([keras.Input((3,)), *(keras.layers.Dense(n) for n in (4, 2, 5))])
    model.load_weights(tmp_path / "n.weights.h5")
    np.testing.assert_array_equal(model.get_weights()[4], kernel)
    editor.delete_object("layers/dense")
    editor.rename_object("dense_1", "dense")
    editor.rename_object("layers/dense_2", "dense_1")
    editor.resave_weights(tmp_path / "o.weights.h5")
    tail = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), keras.layers.Dense(5)])
    tail.load_weights(tmp_path / "o.weights.h5")
    np.testing.assert_array_equal(tail.get_weights()[0], model.get_weights()[2])


def test_archives_and_mistakes(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    model.save(tmp_path / "m.keras")
    editor = keras.saving.KerasFileEditor(tmp_path / "m.keras")
    assert editor.config["class_name"] == "Sequential"
    assert editor.metadata["keras_version"].startswith("3.")
    for call in (
        lambda: editor.rename_object("nothing", "x"),
        lambda: editor.rename_object("dense", "a/b"),
        lambda: editor.delete_object("layers/nothing"),
        lambda: editor.delete_weight("dense", "7"),
        lambda: editor.add_object("nowhere/x", {}),
        lambda: editor.add_weights("dense", [1]),
        lambda: editor.save(tmp_path / "m.h5"),
        lambda: keras.saving.KerasFileEditor(tmp_path / "m.h5"),
    ):
        with pytest.raises(ValueError, match="expected"):
            call()
