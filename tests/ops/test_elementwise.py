"""Elementwise ops against NumPy, gradients against finite differences."""

import math

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import check_gradient, check_value
from checks.strategies import broadcastable, floats, seeds, shapes
from hypothesis import given

ops = keras.ops
erf = np.vectorize(math.erf, otypes=[float])

# name: (NumPy's function, lower and upper bound of the arguments)
UNARY = {
    "negative": (np.negative, -2, 2), "absolute": (np.abs, -2, 2), "square": (np.square, -2, 2),
    "sqrt": (np.sqrt, 0.1, 4), "rsqrt": (lambda x: 1 / np.sqrt(x), 0.1, 4), "reciprocal": (np.reciprocal, 0.3, 2),
    "exp": (np.exp, -3, 3), "expm1": (np.expm1, -3, 3), "log": (np.log, 0.1, 5), "log1p": (np.log1p, -0.5, 4),
    "log2": (np.log2, 0.1, 5), "log10": (np.log10, 0.1, 5), "sin": (np.sin, -3, 3), "cos": (np.cos, -3, 3),
    "tan": (np.tan, -1.2, 1.2), "arcsin": (np.arcsin, -0.9, 0.9), "arccos": (np.arccos, -0.9, 0.9),
    "arctan": (np.arctan, -3, 3), "sinh": (np.sinh, -2, 2), "cosh": (np.cosh, -2, 2), "tanh": (np.tanh, -3, 3),
    "arcsinh": (np.arcsinh, -3, 3), "arccosh": (np.arccosh, 1.2, 4), "arctanh": (np.arctanh, -0.9, 0.9),
    "erf": (erf, -3, 3), "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -5, 5),
    "softplus": (lambda x: np.log1p(np.exp(x)), -5, 5), "relu": (lambda x: np.maximum(x, 0), -2, 2),
    "relu6": (lambda x: np.clip(x, 0, 6), -8, 8), "silu": (lambda x: x / (1 + np.exp(-x)), -4, 4),
    "softsign": (lambda x: x / (1 + np.abs(x)), -4, 4), "elu": (lambda x: np.where(x > 0, x, np.expm1(x)), -3, 3),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.2 * x), -3, 3), "log_sigmoid": (lambda x: -np.log1p(np.exp(-x)), -4, 4),
    "gelu": (lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), -3, 3),
    "hard_sigmoid": (lambda x: np.clip(x / 6 + 0.5, 0, 1), -2, 2),
}  # fmt: skip
FLAT = {
    "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "round": np.round, "isnan": np.isnan,
    "isinf": np.isinf, "isfinite": np.isfinite, "logical_not": np.logical_not,
}  # fmt: skip
BINARY = {
    "add": (np.add, -2, 2), "subtract": (np.subtract, -2, 2), "multiply": (np.multiply, -2, 2),
    "divide": (np.divide, 0.3, 2), "power": (np.power, 0.3, 2), "maximum": (np.maximum, -2, 2),
    "minimum": (np.minimum, -2, 2), "arctan2": (np.arctan2, 0.2, 2), "logaddexp": (np.logaddexp, -2, 2),
}  # fmt: skip
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
LOGIC = ["logical_and", "logical_or", "logical_xor"]


@pytest.mark.parametrize("name", UNARY)
@given(shape=shapes, seed=seeds)
def test_unary(name, shape, seed):
    reference, low, high = UNARY[name]
    x = floats(shape, seed, low, high)
    check_value(getattr(ops, name), [x], reference, rtol=1e-9, atol=1e-12)
    check_value(getattr(ops, name), [x.astype("float32")], reference, rtol=3e-6, atol=1e-6)
    check_gradient(getattr(ops, name), [x], rtol=2e-5)


@pytest.mark.parametrize("name", FLAT)
@given(shape=shapes, seed=seeds)
def test_without_gradient(name, shape, seed):
    x = floats(shape, seed, -3, 3, "float32")
    if x.size:
        x.flat[0] = {"isnan": np.nan, "isinf": np.inf, "isfinite": -np.inf}.get(name, x.flat[0])
    check_value(getattr(ops, name), [x], FLAT[name])


@pytest.mark.parametrize("name", BINARY)
@given(pair=broadcastable(), seed=seeds)
def test_binary(name, pair, seed):
    reference, low, high = BINARY[name]
    x, y = floats(pair[0], seed, low, high), floats(pair[1], seed + 1, low, high)
    check_value(getattr(ops, name), [x, y], reference, rtol=1e-9, atol=1e-12)
    check_gradient(getattr(ops, name), [x, y], rtol=2e-5)


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8", "int64"])
@given(pair=broadcastable(), seed=seeds)
def test_comparisons(name, dtype, pair, seed):
    rng = np.random.default_rng(seed)
    x, y = (np.asarray(rng.integers(0, 3, s), dtype) for s in pair)
    out = check_value(getattr(ops, name), [x, y], getattr(np, name))
    assert out.dtype == "bool"


@pytest.mark.parametrize("name", LOGIC)
@given(pair=broadcastable(), seed=seeds)
def test_logic(name, pair, seed):
    rng = np.random.default_rng(seed)
    x, y = (np.asarray(rng.integers(0, 2, s), "bool") for s in pair)
    check_value(getattr(ops, name), [x, y], getattr(np, name))


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "floor_divide", "mod", "maximum", "minimum"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint32"])
@given(pair=broadcastable(), seed=seeds)
def test_integers(name, dtype, pair, seed):
    rng = np.random.default_rng(seed)
    low = 1 if dtype.startswith("u") else -7
    x, y = (np.asarray(rng.integers(low, 8, s), dtype) for s in pair)
    y = np.where(y == 0, np.asarray(3, dtype), y).astype(dtype)
    check_value(getattr(ops, name), [x, y], lambda a, b: getattr(np, name)(a, b).astype(dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["add", "multiply", "exp", "tanh"])
@given(shape=shapes, seed=seeds)
def test_half_precision(name, dtype, shape, seed):
    x = ops.cast(floats(shape, seed, dtype="float32"), dtype)
    args = [x, x] if name in BINARY else [x]
    out = getattr(ops, name)(*args)
    assert out.dtype == dtype
    wide = np.asarray(ops.cast(x, "float32"))
    expected = getattr(np, name)(*([wide] * len(args)))
    np.testing.assert_allclose(np.asarray(ops.cast(out, "float32")), expected, rtol=1e-2, atol=1e-2)


@given(pair=broadcastable(), seed=seeds)
def test_where(pair, seed):
    x, y = floats(pair[0], seed), floats(pair[1], seed + 1)
    mask = np.random.default_rng(seed).integers(0, 2, np.broadcast_shapes(*pair)).astype(bool)
    check_value(lambda a, b: ops.where(mask, a, b), [x, y], lambda a, b: np.where(mask, a, b))
    check_gradient(lambda a, b: ops.where(mask, a, b), [x, y])


@given(shape=shapes, seed=seeds)
def test_clip(shape, seed):
    x = floats(shape, seed)
    check_value(lambda a: ops.clip(a, -1.013, 0.717), [x], lambda a: np.clip(a, -1.013, 0.717))
    check_gradient(lambda a: ops.clip(a, -1.013, 0.717), [x])


@given(shape=shapes, seed=seeds)
def test_second_order(shape, seed):
    """The gradient of a gradient, where both are known: (tanh)'' = -2 tanh (1 - tanh²)."""
    x = ops.convert_to_tensor(floats(shape, seed))
    with keras.GradientTape() as outer:
        outer.watch(x)
        with keras.GradientTape() as inner:
            inner.watch(x)
            y = ops.sum(ops.tanh(x))
        slope = ops.sum(inner.gradient(y, x))
    curvature = np.asarray(outer.gradient(slope, x))
    t = np.tanh(np.asarray(x))
    np.testing.assert_allclose(curvature, -2 * t * (1 - t * t), rtol=1e-8, atol=1e-12)
