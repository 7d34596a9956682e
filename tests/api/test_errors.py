"""Bad input is a Python exception that says who, what was expected, what was received."""

import numpy as np
import pytest
import rkeras as keras

layers, ops = keras.layers, keras.ops


def test_memory_that_cannot_be_had():
    with pytest.raises(MemoryError, match="(?i)expected.*received"):
        layers.Dense(10**12).build((None, 1000))
    with pytest.raises(MemoryError):
        ops.zeros((10**9, 10**9, 10**9))
    # The process goes on.
    assert float(ops.sum(ops.ones((3,)))) == 3.0


def test_wrong_shapes_name_layer_expectation_and_value():
    dense = layers.Dense(3, name="head")
    dense.build((None, 4))
    with pytest.raises(ValueError, match="head.*4.*5"):
        dense(np.zeros((2, 5), "float32"))
    with pytest.raises(ValueError, match="conv.*4"):
        layers.Conv2D(3, 3, name="conv")(keras.Input((28, 28)))
    with pytest.raises(ValueError, match="(?i)matmul.*received"):
        ops.matmul(np.zeros((2, 3)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match="(?i)broadcast"):
        ops.add(np.zeros((2, 3)), np.zeros((4,)))
    with pytest.raises(ValueError, match="(?i)axis"):
        ops.sum(np.zeros((2, 3)), axis=5)


def test_wrong_dtypes_and_names():
    with pytest.raises((TypeError, ValueError), match="float33"):
        ops.cast(np.zeros(3), "float33")
    with pytest.raises(ValueError, match="rulu"):
        layers.Dense(3, activation="rulu")
    with pytest.raises(ValueError, match="adamm"):
        keras.Sequential([keras.Input((2,)), layers.Dense(1)]).compile("adamm", "mse")
    with pytest.raises(ValueError, match="-3"):
        layers.Dense(-3)


def test_labels_out_of_range():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises((IndexError, ValueError), match="(?i)class|index|label"):
        model.fit(np.zeros((8, 4), "float32"), np.full(8, 7), verbose=0)


def test_data_that_does_not_match():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="8.*7|7.*8"):
        model.fit(np.zeros((8, 4), "float32"), np.zeros((7, 3), "float32"), verbose=0)
    with pytest.raises(ValueError):
        model.fit(np.zeros((8, 5), "float32"), np.zeros((8, 3), "float32"), verbose=0)
    with pytest.raises(ValueError, match="compile"):
        keras.Sequential([keras.Input((4,)), layers.Dense(3)]).fit(np.zeros((8, 4)), np.zeros((8, 3)))


def test_values_of_symbols_cannot_be_looked_at():
    with pytest.raises((TypeError, ValueError), match="(?i)symbolic|keras"):
        bool(keras.Input((3,)) > 0)
