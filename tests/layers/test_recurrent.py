"""Recurrent layers against a recording of real Keras: config, weights, values, gradients, files."""

import json
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import run_compiled

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "recurrent.json").read_text())
ARRAYS = np.load(GOLDEN / "recurrent.npz")
CLOSE = dict(rtol=1e-5, atol=1e-5)


def arrays(i, kind):
    out = []
    while f"{i}_{kind}{len(out)}" in ARRAYS:
        out.append(ARRAYS[f"{i}_{kind}{len(out)}"])
    return out


def flat(y):
    return keras.tree.flatten(y)


def plain(config):
    return json.loads(json.dumps(config))


def no_built(config):
    """Without the shapes with which layers were built."""
    if isinstance(config, dict):
        return {k: no_built(v) for k, v in config.items() if k != "build_config"}
    return [no_built(v) for v in config] if isinstance(config, list) else config


def case_id(i):
    config = CASES[i]["config"]
    inner = config["config"].get("layer") or config["config"].get("cell")
    return f"{i}-{config['class_name']}" + (f"-{inner['class_name']}" if inner else "")


@pytest.mark.parametrize("i", range(len(CASES)), ids=case_id)
def test_layer(i):
    case = CASES[i]
    layer = keras.layers.deserialize(no_built(case["config"]))
    x = ARRAYS[f"{i}_in"]
    stateful, training = getattr(layer, "stateful", False), case["training"]
    symbolic = layer(keras.Input(batch_shape=x.shape) if stateful else keras.Input(x.shape[1:]))
    assert [list(s.shape) for s in flat(symbolic)] == case["symbolic_shapes"]
    assert [w.path for w in layer.weights] == case["weights"]
    assert no_built(plain(keras.layers.serialize(layer))) == no_built(case["config"])
    layer.set_weights(arrays(i, "w"))
    known = {}
    if f"{i}_mask" in ARRAYS:
        known["mask"] = ARRAYS[f"{i}_mask"]
    if states := arrays(i, "state"):
        known["initial_state"] = [keras.ops.convert_to_tensor(s) for s in states]
    call = 0
    while expected := arrays(i, f"out{call}_"):
        for y, want in zip(flat(layer(x + call, training=training, **known)), expected, strict=True):
            np.testing.assert_allclose(np.asarray(y), want, **CLOSE)
        call += 1
    for w, want in zip(layer.get_weights(), arrays(i, "after"), strict=False):
        np.testing.assert_allclose(w, want, **CLOSE)
    if stateful or training:
        return
    compiled = run_compiled(lambda t: flat(layer(t, **known)), x)
    for y, want in zip(compiled, arrays(i, "out0_"), strict=True):
        np.testing.assert_allclose(y, want, **CLOSE)


@pytest.mark.parametrize("compiled", [False, True], ids=["tape", "compiled"])
@pytest.mark.parametrize("i", [i for i in range(len(CASES)) if f"{i}_dx" in ARRAYS], ids=case_id)
def test_gradients(i, compiled):
    layer = keras.layers.deserialize(CASES[i]["config"])
    x = keras.ops.convert_to_tensor(ARRAYS[f"{i}_in"])
    known = {}
    if f"{i}_mask" in ARRAYS:
        known["mask"] = ARRAYS[f"{i}_mask"]
    if states := arrays(i, "state"):
        known["initial_state"] = [keras.ops.convert_to_tensor(s) for s in states]
    layer(x, **known)
    layer.set_weights(arrays(i, "w"))
    seeds = arrays(i, "seed")

    def gradients(x):
        with keras.GradientTape() as tape:
            tape.watch(x)
            outputs = flat(layer(x, **known))
            loss = sum(keras.ops.sum(y * s) for y, s in zip(outputs, seeds, strict=True))
        return tape.gradient(loss, [*layer.trainable_variables, x])

    found = run_compiled(gradients, ARRAYS[f"{i}_in"]) if compiled else gradients(x)
    expected = [*arrays(i, "dw"), ARRAYS[f"{i}_dx"]]
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(got), want, rtol=1e-4, atol=2e-5)


def test_file_of_real_keras_loads_predicts_and_trains_on(tmp_path):
    model = keras.models.load_model(GOLDEN / "recurrent.keras")
    x, y = ARRAYS["model_x"], ARRAYS["model_y"]
    np.testing.assert_allclose(model.predict(x, verbose=0), ARRAYS["prediction"], **CLOSE)
    model.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    again.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_allclose(again.predict(x, verbose=0), ARRAYS["after"], atol=1e-4)
