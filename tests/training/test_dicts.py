"""Targets and inputs by name, in any order of names."""

import numpy as np
import rkeras as keras


def test_targets_by_name_reach_their_outputs():
    x = keras.Input((3,))
    model = keras.Model(x, [keras.layers.Dense(1, name="value")(x), keras.layers.Dense(2, name="kind")(x)])
    rng = np.random.default_rng(0)
    data, value, kind = rng.random((6, 3)), rng.random((6, 1)), rng.random((6, 2))
    p, q = model.predict(data, verbose=0)
    expected = np.square(p - value).mean(), np.square(q - kind).mean()
    for eager in (False, True):
        model.compile("sgd", {"value": "mse", "kind": "mse"}, run_eagerly=eager)
        for y in ({"value": value, "kind": kind}, {"kind": kind, "value": value}, [value, kind]):
            logs = model.evaluate(data, y, verbose=0, return_dict=True)
            np.testing.assert_allclose([logs["value_loss"], logs["kind_loss"]], expected, rtol=1e-5)


def test_inputs_by_name_reach_their_places():
    a, b = keras.Input((2,), name="b"), keras.Input((2,), name="a")
    model = keras.Model({"b": a, "a": b}, keras.layers.Subtract()([a, b]))
    one, two = np.ones((4, 2)), 2 * np.ones((4, 2))
    np.testing.assert_array_equal(model.predict({"b": one, "a": two}, verbose=0), one - two)
    np.testing.assert_array_equal(model.predict({"a": two, "b": one}, verbose=0), one - two)
