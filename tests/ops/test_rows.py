"""Softmax, normalisation, gathering and scattering against NumPy; gradients against finite differences."""

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import check_gradient, check_value
from checks.strategies import axis_of, floats, nonscalar_shapes, seeds
from hypothesis import given
from hypothesis import strategies as st

ops = keras.ops


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@given(data=st.data(), shape=nonscalar_shapes, seed=seeds)
def test_softmax(data, shape, seed):
    axis = data.draw(axis_of(shape, none=False))
    x = floats(shape, seed)
    check_value(lambda a: ops.softmax(a, axis=axis), [x], lambda a: softmax(a, axis), rtol=1e-9, atol=1e-12)
    check_gradient(lambda a: ops.softmax(a, axis=axis), [x])
    fn = lambda a: ops.log_softmax(a, axis=axis)
    check_value(fn, [x], lambda a: np.log(softmax(a, axis)), rtol=1e-9, atol=1e-11)
    check_gradient(fn, [x])


@given(rows=st.integers(1, 5), n=st.integers(2, 20), seed=seeds)
def test_layer_normalization(rows, n, seed):
    x, gamma, beta = floats((rows, n), seed), floats((n,), seed + 1), floats((n,), seed + 2)

    def expected(x, gamma, beta):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-3) * gamma + beta

    fn = lambda a, g, b: ops.layer_normalization(a, g, b, epsilon=1e-3)
    check_value(fn, [x, gamma, beta], expected, rtol=1e-8, atol=1e-10)
    check_gradient(fn, [x, gamma, beta], rtol=5e-5)


@given(rows=st.integers(1, 5), n=st.integers(1, 20), seed=seeds)
def test_rms_normalization(rows, n, seed):
    x, scale = floats((rows, n), seed), floats((n,), seed + 1)
    expected = lambda x, s: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * s
    fn = lambda a, s: ops.rms_normalization(a, s, epsilon=1e-6)
    check_value(fn, [x, scale], expected, rtol=1e-8, atol=1e-10)
    check_gradient(fn, [x, scale], rtol=5e-5)


@given(shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6)), seed=seeds)
def test_batch_normalization(shape, seed):
    n = shape[-1]
    x, mean, offset, scale = floats(shape, seed), floats((n,), 1), floats((n,), 2), floats((n,), 3)
    variance = np.abs(floats((n,), seed + 4)) + 0.1
    expected = lambda x, m, v, o, s: (x - m) / np.sqrt(v + 1e-3) * s + o
    fn = lambda x, m, v, o, s: ops.batch_normalization(x, m, v, -1, o, s, 1e-3)
    arrays = [x, mean, variance, offset, scale]
    check_value(fn, arrays, expected, rtol=1e-8, atol=1e-10)
    check_gradient(fn, arrays, rtol=5e-5)


@given(data=st.data(), shape=nonscalar_shapes, seed=seeds, count=st.integers(1, 6))
def test_take(data, shape, seed, count):
    axis = data.draw(st.integers(0, len(shape) - 1))
    index = np.random.default_rng(seed).integers(0, shape[axis], (2, count)).astype("int32")
    x = floats(shape, seed)
    fn = lambda a: ops.take(a, index, axis=axis)
    check_value(fn, [x], lambda a: np.take(a, index, axis=axis))
    check_gradient(fn, [x])


@given(rows=st.integers(1, 8), width=st.integers(1, 4), segments=st.integers(1, 5), seed=seeds)
def test_sums_by_index(rows, width, segments, seed):
    """Rows that share an index are added up, whatever their order."""
    index = np.random.default_rng(seed).integers(0, segments, rows).astype("int32")
    x = floats((rows, width), seed)

    def expected(x):
        out = np.zeros((segments, width))
        np.add.at(out, index, x)
        return out

    fn = lambda a: ops.segment_sum(a, index, num_segments=segments)
    check_value(fn, [x], expected, rtol=1e-9, atol=1e-11)
    check_gradient(fn, [x])
    scattered = lambda a: ops.scatter(index[:, None], a, (segments, width))
    check_value(scattered, [x], expected, rtol=1e-9, atol=1e-11)
    check_gradient(scattered, [x])


@pytest.mark.parametrize(
    "name", ["elu", "gelu", "selu", "silu", "softplus", "softsign", "leaky_relu", "hard_silu"]
)
@given(shape=nonscalar_shapes, seed=seeds)
def test_activation_gradients(name, shape, seed):
    check_gradient(getattr(ops, name), [floats(shape, seed)])
