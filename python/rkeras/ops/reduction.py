"""Sums, products, extremes and truth over axes; running sums and products."""

from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import convert_to_tensor, is_float_dtype, standardize_dtype

op = operation("numpy")
_sum = primitive("sum")
_mean = primitive("mean")
_prod = primitive("prod")
_max = primitive("max")
_min = primitive("min")
_any = primitive("any")
_all = primitive("all")
_argmax = primitive("argmax")
_argmin = primitive("argmin")
_logsumexp = primitive("logsumexp")
_cumsum = primitive("cumsum")
_cumprod = primitive("cumprod")
_cast = primitive("cast")
_maximum = primitive("maximum")
_minimum = primitive("minimum")
_not_equal = primitive("not_equal")
_reshape = primitive("reshape")
_where = primitive("where")
_isnan = primitive("isnan")

# Small integers are added and multiplied in 32 bits.
_WIDER = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}


def _widen(x):
    x = convert_to_tensor(x)
    wider = _WIDER.get(x.dtype)
    return x if wider is None else _cast(x, dtype=wider)


def _truth(x):
    x = convert_to_tensor(x)
    return x if x.dtype == "bool" else _cast(x, dtype="bool")


@op
def sum(x, axis=None, keepdims=False):
    """The sum over axes.

    Args:
        x: a tensor.
        axis: an axis, a sequence of axes, or None for all.
        keepdims: whether the axes stay, with size 1.

    Example:
        >>> keras.ops.sum([[1, 2], [3, 4]], axis=0).numpy().tolist()
        [4, 6]
    """
    return _sum(_widen(x), axis=axis, keepdims=keepdims)


@op
def mean(x, axis=None, keepdims=False):
    """The mean over axes; see `sum`. Integers give floats.

    Example:
        >>> keras.ops.mean([[1.0, 2.0], [3.0, 4.0]], axis=1).numpy().tolist()
        [1.5, 3.5]
    """
    return _mean(x, axis=axis, keepdims=keepdims)


@op
def prod(x, axis=None, keepdims=False, dtype=None):
    """The product over axes; see `sum`.

    Example:
        >>> keras.ops.prod([2, 3, 4]).item()
        24
    """
    x = _widen(x) if dtype is None else _cast(convert_to_tensor(x), dtype=standardize_dtype(dtype))
    return _prod(x, axis=axis, keepdims=keepdims)


@op
def max(x, axis=None, keepdims=False, initial=None):
    """The largest element over axes; see `sum`.

    Args:
        x: a tensor.
        axis: an axis, a sequence of axes, or None for all.
        keepdims: whether the axes stay, with size 1.
        initial: a lower bound of the result.

    Example:
        >>> keras.ops.max([1, 7, 3]).item()
        7
    """
    y = _max(x, axis=axis, keepdims=keepdims)
    return y if initial is None else _maximum(y, initial)


@op
def min(x, axis=None, keepdims=False, initial=None):
    """The smallest element over axes; `initial` is an upper bound. See `max`."""
    y = _min(x, axis=axis, keepdims=keepdims)
    return y if initial is None else _minimum(y, initial)


@op
def amax(x, axis=None, keepdims=False):
    """The largest element over axes; see `max`."""
    return _max(x, axis=axis, keepdims=keepdims)


@op
def amin(x, axis=None, keepdims=False):
    """The smallest element over axes; see `min`."""
    return _min(x, axis=axis, keepdims=keepdims)


@op
def any(x, axis=None, keepdims=False):
    """Whether any element over axes is true; see `sum`.

    Example:
        >>> keras.ops.any([False, True]).item()
        True
    """
    return _any(_truth(x), axis=axis, keepdims=keepdims)


@op
def all(x, axis=None, keepdims=False):
    """Whether all elements over axes are true; see `sum`."""
    return _all(_truth(x), axis=axis, keepdims=keepdims)


@op
def argmax(x, axis=None, keepdims=False):
    """The position of the largest element along an axis (of the flattened tensor if None), as int32.

    Example:
        >>> keras.ops.argmax([[1, 9], [7, 3]], axis=1).numpy().tolist()
        [1, 0]
    """
    return _argmax(x, axis=axis, keepdims=keepdims)


@op
def argmin(x, axis=None, keepdims=False):
    """The position of the smallest element along an axis; see `argmax`."""
    return _argmin(x, axis=axis, keepdims=keepdims)


@operation("math")
def logsumexp(x, axis=None, keepdims=False):
    """ln Σ e^x over axes, without overflow; see `sum`.

    Example:
        >>> keras.ops.logsumexp([0.0, 0.0]).numpy().astype(float).round(4).item()
        0.6931
    """
    return _logsumexp(x, axis=axis, keepdims=keepdims)


@op
def cumsum(x, axis=None, dtype=None):
    """The running sum along an axis (of the flattened tensor if None).

    Example:
        >>> keras.ops.cumsum([1, 2, 3]).numpy().tolist()
        [1, 3, 6]
    """
    return _running(_cumsum, x, axis, dtype)


@op
def cumprod(x, axis=None, dtype=None):
    """The running product along an axis (of the flattened tensor if None)."""
    return _running(_cumprod, x, axis, dtype)


def _running(function, x, axis, dtype):
    x = convert_to_tensor(x)
    if dtype is not None:
        x = _cast(x, dtype=standardize_dtype(dtype))
    elif x.dtype == "bool":
        x = _cast(x, dtype="int32")
    if axis is None:
        return function(_reshape(x, newshape=(-1,)), axis=0)
    return function(x, axis=axis)


@op
def count_nonzero(x, axis=None):
    """How many elements over axes are not zero, as int32.

    Example:
        >>> keras.ops.count_nonzero([0, 3, 5]).item()
        2
    """
    return _sum(_cast(_not_equal(x, 0), dtype="int32"), axis=axis)


@op
def ptp(x, axis=None, keepdims=False):
    """The largest minus the smallest element over axes."""
    return _max(x, axis=axis, keepdims=keepdims) - _min(x, axis=axis, keepdims=keepdims)


def _without_nan(x, value):
    x = convert_to_tensor(x)
    return _where(_isnan(x), value, x) if is_float_dtype(x.dtype) else x


@op
def nansum(x, axis=None, keepdims=False):
    """The sum over axes, NaN left out."""
    return _sum(_widen(_without_nan(x, 0)), axis=axis, keepdims=keepdims)


@op
def nanprod(x, axis=None, keepdims=False):
    """The product over axes, NaN left out."""
    return _prod(_widen(_without_nan(x, 1)), axis=axis, keepdims=keepdims)


@op
def nanmean(x, axis=None, keepdims=False):
    """The mean over axes, NaN left out."""
    x = convert_to_tensor(x)
    if not is_float_dtype(x.dtype):
        return _mean(x, axis=axis, keepdims=keepdims)
    valid = _cast(primitive("logical_not")(_isnan(x)), dtype=x.dtype)
    total = _sum(_without_nan(x, 0), axis=axis, keepdims=keepdims)
    return total / _sum(valid, axis=axis, keepdims=keepdims)


@op
def nanmax(x, axis=None, keepdims=False):
    """The largest element over axes, NaN left out."""
    return _max(_without_nan(x, float("-inf")), axis=axis, keepdims=keepdims)


@op
def nanmin(x, axis=None, keepdims=False):
    """The smallest element over axes, NaN left out."""
    return _min(_without_nan(x, float("inf")), axis=axis, keepdims=keepdims)
