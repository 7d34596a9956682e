"""Preprocessing of numbers against a recording of real Keras."""

import json
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras

CASES = json.loads((Path(__file__).parents[1] / "golden" / "preprocessing.json").read_text())


@pytest.mark.parametrize("i", range(len(CASES)), ids=[f"{i}-{c['class']}" for i, c in enumerate(CASES)])
def test_like_keras(i):
    case = CASES[i]
    keras.utils.clear_session()
    layer = getattr(keras.layers, case["class"])(**case["arguments"])
    if case["adapted"] is not None:
        data = (np.random.default_rng(i).standard_normal(case["adapted"]) * 2 + 1).astype("float32")
        layer.adapt(data)
    y = np.asarray(layer(np.array(case["inputs"])))
    assert str(y.dtype) == case["dtype"]
    np.testing.assert_allclose(y, np.array(case["output"]), rtol=1e-5, atol=1e-6)
    assert [w.path for w in layer.weights] == case["weights"]
    config = json.loads(json.dumps(layer.get_config()))
    assert config == case["config"]
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config


def test_batches_adapt_like_one_array():
    data = np.random.default_rng(0).standard_normal((64, 3)).astype("float32") * 3 + 1
    one, many = keras.layers.Normalization(), keras.layers.Normalization()
    one.adapt(data)
    many.adapt([data[:10], data[10:50], data[50:]])
    np.testing.assert_allclose(one(data), many(data), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(one(data)).std(0), 1.0, rtol=1e-5)


def test_in_a_model(tmp_path):
    """Trained with, saved and loaded with what adapt found."""
    data = np.random.default_rng(0).standard_normal((32, 3)).astype("float32") * 3 + 1
    layer = keras.layers.Normalization()
    layer.adapt(data)
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(data, data[:, :1], epochs=1, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert np.array_equal(again.predict(data, verbose=0), model.predict(data, verbose=0))


def test_errors():
    with pytest.raises(ValueError, match="or neither"):
        keras.layers.Normalization(mean=1.0)
    with pytest.raises(ValueError, match="num_tokens"):
        keras.layers.CategoryEncoding()
    with pytest.raises(ValueError, match="either bin_boundaries or num_bins"):
        keras.layers.Discretization()
    with pytest.raises(ValueError, match="adapt"):
        keras.layers.Discretization(num_bins=3)(np.ones(3))
