"""Every layer of the slice against a recording of real Keras: config, shapes, weights, values."""

import json
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import run_compiled

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "layers.json").read_text())
ARRAYS = np.load(GOLDEN / "layers.npz")


def arrays(i, kind):
    out = []
    while f"{i}_{kind}{len(out)}" in ARRAYS:
        out.append(ARRAYS[f"{i}_{kind}{len(out)}"])
    return out


@pytest.mark.parametrize("i", range(len(CASES)), ids=[f"{i}-{c['class']}" for i, c in enumerate(CASES)])
def test_layer(i):
    case = CASES[i]
    inputs = arrays(i, "in")
    many = len(inputs) > 1
    layer = getattr(keras.layers, case["class"])(**case["arguments"])
    symbolic = [keras.Input(x.shape[1:]) for x in inputs]
    assert list(layer(symbolic if many else symbolic[0]).shape) == case["symbolic_shape"]
    config = json.loads(json.dumps(layer.get_config()))
    assert config == case["config"]
    assert [w.name for w in layer.weights] == case["weights"]
    assert len(layer.trainable_weights) == case["trainable"]
    layer.set_weights(arrays(i, "w"))

    def call(*x):
        return layer(list(x) if many else x[0], training=False)

    np.testing.assert_allclose(np.asarray(call(*inputs)), ARRAYS[f"{i}_eval"], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(run_compiled(call, *inputs), ARRAYS[f"{i}_eval"], rtol=2e-5, atol=2e-5)
    if f"{i}_train" in ARRAYS:
        np.testing.assert_allclose(
            np.asarray(layer(inputs[0], training=True)), ARRAYS[f"{i}_train"], rtol=2e-5, atol=2e-5
        )
        for w, expected in zip(layer.get_weights(), arrays(i, "after"), strict=True):
            np.testing.assert_allclose(w, expected, rtol=2e-5, atol=2e-5)
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
