"""Variance, moments, averages, quantiles, counts."""

from rkeras._core import settings
from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import convert_to_tensor, is_float_dtype
from rkeras.ops import views

op = operation("numpy")
_mean = primitive("mean")
_sum = primitive("sum")
_square = primitive("square")
_sqrt = primitive("sqrt")
_cast = primitive("cast")
_subtract = primitive("subtract")
_multiply = primitive("multiply")
_divide = primitive("divide")
_reshape = primitive("reshape")
_gather = primitive("gather")


def _float(x):
    x = convert_to_tensor(x)
    return x if is_float_dtype(x.dtype) else _cast(x, dtype=settings.floatx())


def _variance(x, axis, keepdims):
    return _mean(_square(_subtract(x, _mean(x, axis=axis, keepdims=True))), axis=axis, keepdims=keepdims)


@op
def var(x, axis=None, keepdims=False):
    """The variance over axes: mean((x - mean(x))²).

    Args:
        x: a tensor.
        axis: an axis, a sequence of axes, or None for all.
        keepdims: whether the axes stay, with size 1.

    Example:
        >>> keras.ops.var([1.0, 3.0]).item()
        1.0
    """
    return _variance(_float(x), axis, keepdims)


@op
def std(x, axis=None, keepdims=False):
    """The standard deviation over axes: sqrt(var(x))."""
    return _sqrt(_variance(_float(x), axis, keepdims))


@operation("nn")
def moments(x, axes, keepdims=False, synchronized=False):
    """Mean and variance over axes.

    Args:
        x: a tensor.
        axes: axes.
        keepdims: whether the axes stay, with size 1.
        synchronized: accepted for compatibility (one device).

    Returns:
        (mean, variance); half precision is computed in float32.

    Example:
        >>> m, v = keras.ops.moments([1.0, 3.0], axes=[0])
        >>> m.item(), v.item()
        (2.0, 1.0)
    """
    x = _float(x)
    dtype = x.dtype
    if dtype == "float16":
        x = _cast(x, dtype="float32")
    axes = list(axes) if isinstance(axes, (list, tuple)) else axes
    mean = _mean(x, axis=axes, keepdims=True)
    variance = _mean(_square(_subtract(x, mean)), axis=axes, keepdims=keepdims)
    if not keepdims:
        mean = views.squeeze(mean, axes)
    if dtype == "float16":
        mean, variance = (_cast(v, dtype=dtype) for v in (mean, variance))
    return mean, variance


@op
def average(x, axis=None, weights=None):
    """The mean over axes, weighted: Σ w x / Σ w.

    Args:
        x: a tensor.
        axis: an axis, or None for all.
        weights: of the shape of x, or of its size along `axis`.

    Example:
        >>> keras.ops.average([1.0, 4.0], weights=[2.0, 1.0]).item()
        2.0
    """
    x = _float(x)
    if weights is None:
        return _mean(x, axis=axis)
    weights = convert_to_tensor(weights)
    if weights.ndim != x.ndim:
        if axis is None or weights.ndim != 1:
            raise ValueError(
                f"average: expected weights of shape {x.shape}, or of rank 1 with an axis. Received: "
                f"{weights.shape}"
            )
        shape = [1] * x.ndim
        shape[axis] = -1
        return _divide(_sum(_multiply(x, _reshape(weights, newshape=shape)), axis=axis), _sum(weights))
    return _divide(_sum(_multiply(x, weights), axis=axis), _sum(weights, axis=axis))


@op
def quantile(x, q, axis=None, method="linear", keepdims=False):
    """The value below which the part q of the elements lies.

    Args:
        x: a tensor.
        q: numbers in [0, 1], as Python numbers or an array.
        axis: an axis, a sequence of axes, or None for all.
        method: "linear", "lower", "higher", "nearest" or "midpoint", between two elements.
        keepdims: whether the axes stay, with size 1.

    Example:
        >>> keras.ops.quantile([1.0, 2.0, 3.0], 0.5).item()
        2.0
    """
    import numpy as np

    x = _float(x)
    rank = x.ndim
    axes = (
        list(range(rank))
        if axis is None
        else [a % rank for a in (axis if isinstance(axis, (list, tuple)) else [axis])]
    )
    rest = [a for a in range(rank) if a not in axes]
    flat = primitive("transpose")(x, axes=[*rest, *axes])
    flat = _reshape(flat, newshape=(*[x.shape[a] for a in rest], -1))
    ordered = views.sort(flat, -1)
    n = ordered.shape[-1]
    q = np.asarray(q, "float64")
    position = q.reshape(-1) * (n - 1)
    low, high = np.floor(position), np.ceil(position)
    if method == "lower":
        high = low
    elif method == "higher":
        low = high
    elif method == "nearest":
        low = high = np.round(position)
    elif method not in ("linear", "midpoint"):
        raise ValueError(
            f'quantile: expected "linear", "lower", "higher", "nearest" or "midpoint". Received: {method!r}'
        )
    weight = np.full_like(position, 0.5) if method == "midpoint" else position - np.floor(position)
    weight = np.where(low == high, 0.0, weight)
    below = _gather(ordered, low.astype("int32"), axis=len(rest))
    above = _gather(ordered, high.astype("int32"), axis=len(rest))
    y = below + (above - below) * weight.astype("float32" if x.dtype != "float64" else "float64")
    y = primitive("transpose")(y, axes=[len(rest), *range(len(rest))])
    shape = [1 if a in axes else x.shape[a] for a in range(rank)] if keepdims else [x.shape[a] for a in rest]
    return _reshape(y, newshape=(*q.shape, *shape))


@op
def median(x, axis=None, keepdims=False):
    """The middle element over axes (the mean of the two in the middle of an even number)."""
    return quantile(x, 0.5, axis=axis, keepdims=keepdims)


@op
def percentile(x, q, axis=None, method="linear", keepdims=False):
    """The value below which q percent of the elements lie; see `quantile`."""
    import numpy as np

    return quantile(x, np.asarray(q, "float64") / 100, axis=axis, method=method, keepdims=keepdims)


@op
def bincount(x, weights=None, minlength=0, sparse=False):
    """How often each integer occurs, along the last axis.

    Args:
        x: integers of shape (n,) or (batch, n), not negative.
        weights: what each occurrence counts; 1 if None.
        minlength: the least length of the result.
        sparse: only False.

    Example:
        >>> keras.ops.bincount([1, 2, 2], minlength=4).numpy().tolist()
        [0, 1, 2, 0]
    """
    if sparse:
        raise NotImplementedError("bincount: expected sparse=False. Received: True")
    x = convert_to_tensor(x)
    length = int(primitive("max")(x).item()) + 1 if x.size else 0
    length = length if length > minlength else minlength
    hot = primitive("equal")(views.expand_dims(x, -1), _positions(length, x.dtype))
    if weights is None:
        return _sum(_cast(hot, dtype="int32"), axis=x.ndim - 1)
    weights = convert_to_tensor(weights)
    return _sum(_multiply(_cast(hot, dtype=weights.dtype), views.expand_dims(weights, -1)), axis=x.ndim - 1)


def _positions(n, dtype):
    import numpy as np

    return convert_to_tensor(np.arange(n), dtype)
