"""Convolution and pooling against plain loops; gradients against finite differences."""

import itertools

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import check_gradient, check_value
from checks.strategies import floats, seeds
from hypothesis import given, settings
from hypothesis import strategies as st

ops = keras.ops


def padded(x, window, strides, dilation, padding, fill=0.0):
    """The input with the zeros that "same" adds, and the output sizes."""
    sizes, widths = [], [(0, 0)]
    for n, k, s, d in zip(x.shape[1:-1], window, strides, dilation, strict=True):
        reach = (k - 1) * d + 1
        if padding == "same":
            out = -(-n // s)
            total = max((out - 1) * s + reach - n, 0)
            widths.append((total // 2, total - total // 2))
        else:
            out = (n - reach) // s + 1
            widths.append((0, 0))
        sizes.append(out)
    return np.pad(x, [*widths, (0, 0)], constant_values=fill), sizes


def naive_conv(x, kernel, strides, dilation, padding, groups=1):
    window = kernel.shape[:-2]
    xp, sizes = padded(x, window, strides, dilation, padding)
    out = np.zeros((x.shape[0], *sizes, kernel.shape[-1]), x.dtype)
    ci, co = kernel.shape[-2], kernel.shape[-1] // groups
    for at in itertools.product(*map(range, sizes)):
        for tap in itertools.product(*map(range, window)):
            where = tuple(o * s + t * d for o, s, t, d in zip(at, strides, tap, dilation, strict=True))
            pixel = xp[(slice(None), *where)]
            for g in range(groups):
                out[(slice(None), *at, slice(g * co, (g + 1) * co))] += (
                    pixel[:, g * ci : (g + 1) * ci] @ kernel[tap][:, g * co : (g + 1) * co]
                )
    return out


def naive_pool(x, window, strides, padding, kind):
    ones = (1,) * len(window)
    xp, sizes = padded(x, window, strides, ones, padding, np.nan)
    out = np.zeros((x.shape[0], *sizes, x.shape[-1]), x.dtype)
    for at in itertools.product(*map(range, sizes)):
        where = tuple(slice(o * s, o * s + k) for o, s, k in zip(at, strides, window, strict=True))
        patch = xp[(slice(None), *where)].reshape(x.shape[0], -1, x.shape[-1])
        out[(slice(None), *at)] = np.nanmax(patch, 1) if kind == "max" else np.nanmean(patch, 1)
    return out


@st.composite
def geometry(draw):
    rank = draw(st.integers(1, 3))
    window = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    strided = draw(st.booleans())
    strides = tuple(draw(st.integers(1, 3)) if strided else 1 for _ in range(rank))
    dilation = tuple(1 if strided else draw(st.integers(1, 2)) for _ in range(rank))
    sizes = tuple(
        (k - 1) * d + draw(st.integers(1, 5 if rank < 3 else 3))
        for k, d in zip(window, dilation, strict=True)
    )
    return window, strides, dilation, sizes, draw(st.sampled_from(["valid", "same"]))


@settings(max_examples=60)
@given(
    shape=geometry(),
    seed=seeds,
    batch=st.integers(1, 2),
    groups=st.integers(1, 3),
    ci=st.integers(1, 4),
    co=st.integers(1, 9),
)
def test_conv(shape, seed, batch, groups, ci, co):
    window, strides, dilation, sizes, padding = shape
    x = floats((batch, *sizes, ci * groups), seed)
    kernel = floats((*window, ci, co * groups), seed + 1)
    fn = lambda a, k: ops.conv(a, k, strides=strides, padding=padding, dilation_rate=dilation)
    reference = lambda a, k: naive_conv(a, k, strides, dilation, padding, groups)
    check_value(fn, [x, kernel], reference, rtol=1e-9, atol=1e-11)
    check_value(fn, [x.astype("float32"), kernel.astype("float32")], reference, rtol=1e-4, atol=1e-5)
    check_gradient(fn, [x, kernel])


@given(shape=geometry(), seed=seeds, channels=st.integers(1, 9), multiplier=st.integers(1, 2))
def test_depthwise(shape, seed, channels, multiplier):
    window, strides, dilation, sizes, padding = shape
    if len(window) == 3 or len(set(strides)) > 1:
        return  # Keras offers depthwise convolution in one and two dimensions, with one stride
    x = floats((2, *sizes, channels), seed)
    kernel = floats((*window, channels, multiplier), seed + 1)
    fn = lambda a, k: ops.depthwise_conv(a, k, strides=strides, padding=padding, dilation_rate=dilation)

    def reference(a, k):
        return naive_conv(
            a, k.reshape(*window, 1, channels * multiplier), strides, dilation, padding, channels
        )

    check_value(fn, [x, kernel], reference, rtol=1e-9, atol=1e-11)
    check_gradient(fn, [x, kernel])


@pytest.mark.parametrize("kind", ["max", "average"])
@given(shape=geometry(), seed=seeds, channels=st.integers(1, 9))
def test_pool(kind, shape, seed, channels):
    window, strides, _, sizes, padding = shape
    # Distinct values everywhere, so that the maximum is unique and finite differences see one branch.
    count = 2 * int(np.prod(sizes)) * channels
    x = np.random.default_rng(seed).permutation(count).reshape(2, *sizes, channels) / 7.0
    fn = lambda a: getattr(ops, f"{kind}_pool")(a, window, strides=strides, padding=padding)
    check_value(fn, [x], lambda a: naive_pool(a, window, strides, padding, kind), rtol=1e-9, atol=1e-11)
    check_gradient(fn, [x])


@given(shape=geometry(), seed=seeds, ci=st.integers(1, 3), co=st.integers(1, 3))
def test_conv_transpose(shape, seed, ci, co):
    """The transpose of a convolution is its gradient: <conv(x), y> = <x, conv_transpose(y)>."""
    window, strides, _, sizes, padding = shape
    strides = (strides[0],) * len(window)
    y = floats((2, *sizes, co), seed)
    kernel = floats((*window, ci, co), seed + 1)
    fn = lambda a, k: ops.conv_transpose(a, k, strides=strides, padding=padding)
    out = np.asarray(check_value(fn, [y, kernel], rtol=1e-9, atol=1e-11))
    x = floats(out.shape, seed + 2)
    forward = np.asarray(ops.conv(x, kernel, strides=strides, padding=padding))
    if forward.shape == y.shape:
        np.testing.assert_allclose(np.sum(forward * y), np.sum(x * out), rtol=1e-8, atol=1e-8)
    check_gradient(fn, [y, kernel])
