"""Reductions, cumulative ops, sorting against NumPy; gradients against finite differences."""

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import check_gradient, check_value
from checks.strategies import axis_of, floats, nonscalar_shapes, seeds
from hypothesis import given
from hypothesis import strategies as st

ops = keras.ops

SMOOTH = {
    "sum": np.sum,
    "mean": np.mean,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "var": np.var,
    "std": np.std,
}


@pytest.mark.parametrize("name", SMOOTH)
@given(data=st.data(), shape=nonscalar_shapes, seed=seeds, keepdims=st.booleans())
def test_reduce(name, data, shape, seed, keepdims):
    axis = data.draw(axis_of(shape))
    x = floats(shape, seed)
    fn = lambda a: getattr(ops, name)(a, axis=axis, keepdims=keepdims)
    check_value(fn, [x], lambda a: SMOOTH[name](a, axis=axis, keepdims=keepdims), rtol=1e-9, atol=1e-11)
    if name != "std" or min(np.atleast_1d(x.std(axis=axis)).min(), 1) > 1e-2:
        check_gradient(fn, [x], rtol=5e-5)


@given(shape=nonscalar_shapes, seed=seeds)
def test_several_axes(shape, seed):
    x = floats(shape, seed)
    axes = tuple(range(0, len(shape), 2))
    check_value(lambda a: ops.sum(a, axis=axes), [x], lambda a: np.sum(a, axis=axes), rtol=1e-9)
    check_value(lambda a: ops.max(a, axis=axes), [x], lambda a: np.max(a, axis=axes))


@pytest.mark.parametrize("name", ["any", "all"])
@given(data=st.data(), shape=nonscalar_shapes, seed=seeds)
def test_truth(name, data, shape, seed):
    axis = data.draw(axis_of(shape))
    x = np.random.default_rng(seed).integers(0, 2, shape).astype(bool)
    check_value(lambda a: getattr(ops, name)(a, axis=axis), [x], lambda a: getattr(np, name)(a, axis=axis))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@given(data=st.data(), shape=nonscalar_shapes, seed=seeds)
def test_arg(name, data, shape, seed):
    axis = data.draw(axis_of(shape))
    x = np.random.default_rng(seed).integers(0, 4, shape).astype("float32")
    check_value(
        lambda a: getattr(ops, name)(a, axis=axis), [x], lambda a: np.asarray(getattr(np, name)(a, axis=axis))
    )


@given(data=st.data(), shape=nonscalar_shapes, seed=seeds)
def test_logsumexp(data, shape, seed):
    axis = data.draw(axis_of(shape))
    x = floats(shape, seed, -30, 30)
    shifted = lambda a: np.log(np.sum(np.exp(a), axis=axis))
    check_value(lambda a: ops.logsumexp(a, axis=axis), [x], shifted, rtol=1e-9)
    check_gradient(lambda a: ops.logsumexp(a, axis=axis), [x])


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@given(data=st.data(), shape=nonscalar_shapes, seed=seeds)
def test_cumulative(name, data, shape, seed):
    axis = data.draw(axis_of(shape, none=False))
    x = floats(shape, seed)
    check_value(
        lambda a: getattr(ops, name)(a, axis=axis), [x], lambda a: getattr(np, name)(a, axis=axis), rtol=1e-9
    )
    check_gradient(lambda a: getattr(ops, name)(a, axis=axis), [x], rtol=5e-5)


@given(data=st.data(), shape=nonscalar_shapes, seed=seeds)
def test_sort(data, shape, seed):
    axis = data.draw(axis_of(shape, none=False))
    x = floats(shape, seed)
    check_value(lambda a: ops.sort(a, axis=axis), [x], lambda a: np.sort(a, axis=axis))
    check_value(lambda a: ops.argsort(a, axis=axis), [x], lambda a: np.argsort(a, axis=axis, kind="stable"))
    check_gradient(lambda a: ops.sort(a, axis=axis), [x])


@given(shape=nonscalar_shapes, seed=seeds, data=st.data())
def test_top_k(shape, seed, data):
    k = data.draw(st.integers(1, shape[-1]))
    x = floats(shape, seed)
    order = np.argsort(-x, axis=-1, kind="stable")[..., :k]
    check_value(lambda a: list(ops.top_k(a, k)), [x], lambda a: [np.take_along_axis(a, order, -1), order])
    check_gradient(lambda a: ops.top_k(a, k)[0], [x])
