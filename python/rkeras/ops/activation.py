"""Activation functions."""

from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import convert_to_tensor
from rkeras.ops import views

op = operation("nn")
_relu = primitive("relu")
_gelu = primitive("gelu")
_gelu_tanh = primitive("gelu_tanh")
_sigmoid = primitive("sigmoid")
_softplus = primitive("softplus")
_tanh = primitive("tanh")
_softmax = primitive("softmax")
_log_softmax = primitive("log_softmax")
_expm1 = primitive("expm1")
_sqrt = primitive("sqrt")
_absolute = primitive("absolute")
_maximum = primitive("maximum")
_minimum = primitive("minimum")
_where = primitive("where")
_greater = primitive("greater")
_negative = primitive("negative")
_multiply = primitive("multiply")
_reshape = primitive("reshape")
_cumsum = primitive("cumsum")


def _clip(x, low, high):
    return _minimum(_maximum(x, low), high)


@op
def relu(x):
    """max(x, 0).

    Example:
        >>> keras.ops.relu([-1.0, 2.0]).numpy().tolist()
        [0.0, 2.0]
    """
    return _relu(x)


@op
def relu6(x):
    """min(max(x, 0), 6)."""
    return _minimum(_relu(x), 6)


@op
def sigmoid(x):
    """1 / (1 + e^-x).

    Example:
        >>> keras.ops.sigmoid([0.0]).numpy().tolist()
        [0.5]
    """
    return _sigmoid(x)


@op
def sparse_sigmoid(x):
    """0 below -1, 1 above 1, (x + 1) / 2 between."""
    return _clip((convert_to_tensor(x) + 1) * 0.5, 0.0, 1.0)


@op
def log_sigmoid(x):
    """ln(1 / (1 + e^-x)), without overflow."""
    return _negative(_softplus(_negative(x)))


@op
def softplus(x):
    """ln(1 + e^x), without overflow."""
    return _softplus(x)


@op
def sparse_plus(x):
    """0 below -1, x above 1, (x + 1)² / 4 between."""
    x = convert_to_tensor(x)
    return _where(x <= -1, 0.0, _where(x < 1, (x + 1) * (x + 1) * 0.25, x))


@op
def softsign(x):
    """x / (1 + |x|)."""
    x = convert_to_tensor(x)
    return x / (_absolute(x) + 1)


@op
def silu(x):
    """x sigmoid(x), also called swish.

    Example:
        >>> keras.ops.silu([0.0]).numpy().tolist()
        [0.0]

    Source: Ramachandran et al., 2017.
    """
    return _multiply(x, _sigmoid(x))


swish = silu


@op
def squareplus(x, b=4):
    """(x + sqrt(x² + b)) / 2."""
    x = convert_to_tensor(x)
    return (x + _sqrt(x * x + b)) * 0.5


@op
def hard_sigmoid(x):
    """min(max(x / 6 + 1/2, 0), 1).

    Example:
        >>> keras.ops.hard_sigmoid([-4.0, 0.0, 4.0]).numpy().tolist()
        [0.0, 0.5, 1.0]
    """
    return _clip(convert_to_tensor(x) / 6 + 0.5, 0.0, 1.0)


@op
def hard_silu(x):
    """x hard_sigmoid(x), also called hard swish."""
    x = convert_to_tensor(x)
    return x * _clip(x / 6 + 0.5, 0.0, 1.0)


hard_swish = hard_silu


@op
def hard_tanh(x):
    """x held between -1 and 1."""
    return _clip(x, -1.0, 1.0)


@op
def hard_shrink(x, threshold=0.5):
    """x where |x| is above the threshold, else 0."""
    x = convert_to_tensor(x)
    return _where(_absolute(x) > threshold, x, 0.0)


@op
def soft_shrink(x, threshold=0.5):
    """x moved towards 0 by the threshold, and 0 within it."""
    x = convert_to_tensor(x)
    return _where(x > threshold, x - threshold, _where(x < -threshold, x + threshold, 0.0))


@op
def tanh_shrink(x):
    """x - tanh(x)."""
    x = convert_to_tensor(x)
    return x - _tanh(x)


@op
def threshold(x, threshold, default_value):
    """x where it is above the threshold, else the default value."""
    x = convert_to_tensor(x)
    return _where(x > threshold, x, default_value)


@op
def leaky_relu(x, negative_slope=0.2):
    """x above zero, negative_slope x below.

    Example:
        >>> keras.ops.leaky_relu([-1.0, 2.0], 0.5).numpy().tolist()
        [-0.5, 2.0]
    """
    x = convert_to_tensor(x)
    return _where(_greater(x, 0), x, x * negative_slope)


@op
def elu(x, alpha=1.0):
    """x above zero, alpha (e^x - 1) below.

    Source: Clevert et al., 2015.
    """
    x = convert_to_tensor(x)
    return _where(_greater(x, 0), x, _expm1(_minimum(x, 0)) * alpha)


@op
def celu(x, alpha=1.0):
    """x above zero, alpha (e^(x / alpha) - 1) below."""
    x = convert_to_tensor(x)
    return _maximum(x, 0) + _expm1(_minimum(x, 0) / alpha) * alpha


@op
def selu(x):
    """The scaled elu that keeps mean 0 and variance 1.

    Source: Klambauer et al., 2017.
    """
    x = convert_to_tensor(x)
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return _where(_greater(x, 0), x, _expm1(_minimum(x, 0)) * alpha) * scale


@op
def gelu(x, approximate=True):
    """x Φ(x), with Φ the normal distribution function.

    Args:
        x: a tensor.
        approximate: whether to use x/2 (1 + tanh(sqrt(2/π) (x + 0.044715 x³))) instead of erf.

    Example:
        >>> keras.ops.gelu([0.0, 1.0]).numpy().astype(float).round(3).tolist()
        [0.0, 0.841]

    Source: Hendrycks and Gimpel, 2016.
    """
    return _gelu_tanh(x) if approximate else _gelu(x)


@op
def glu(x, axis=-1):
    """The first half along an axis times the sigmoid of the second half."""
    x = convert_to_tensor(x)
    axis = axis % x.ndim
    n = x.shape[axis]
    if n is None or n % 2:
        raise ValueError(f"glu: expected an even size along axis {axis}. Received: shape {x.shape}")
    before = (slice(None),) * axis
    return x[(*before, slice(0, n // 2))] * _sigmoid(x[(*before, slice(n // 2, None))])


@op
def softmax(x, axis=-1):
    """e^x / Σ e^x along an axis (or over several).

    Example:
        >>> keras.ops.softmax([0.0, 0.0]).numpy().tolist()
        [0.5, 0.5]
    """
    return _over(_softmax, x, axis, "softmax")


@op
def log_softmax(x, axis=-1):
    """x - ln Σ e^x along an axis (or over several).

    Example:
        >>> keras.ops.log_softmax([0.0, 0.0]).numpy().astype(float).round(4).tolist()
        [-0.6931, -0.6931]
    """
    return _over(_log_softmax, x, axis, "log_softmax")


def _over(function, x, axis, who):
    x = convert_to_tensor(x)
    if isinstance(axis, (list, tuple)) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, int):
        return views.over_rows(function, x, axis, who)
    # Several axes (or all): flattened into the last one and back.
    axes = list(range(x.ndim)) if axis is None else [views.resolve_axis(a, x.ndim, who) for a in axis]
    order = [*(a for a in range(x.ndim) if a not in axes), *axes]
    moved = primitive("transpose")(x, axes=order)
    flat = views.reshape(moved, [*moved.shape[: x.ndim - len(axes)], None])
    y = views.reshape(views.over_rows(function, flat, -1, who), moved.shape)
    return primitive("transpose")(y, axes=[order.index(a) for a in range(x.ndim)])


@op
def sparsemax(x, axis=-1):
    """The point of the simplex nearest to x along an axis: like softmax, with zeros.

    Source: Martins and Astudillo, 2016.
    """
    x = convert_to_tensor(x)
    from rkeras.ops.indexing import take_along_axis

    axis = axis % x.ndim
    n = x.shape[axis]
    ordered = views.flip(views.sort(x, axis), axis)
    total = _cumsum(ordered, axis=axis)
    shape = [1] * x.ndim
    shape[axis] = n
    k = _reshape(convert_to_tensor([float(i) for i in range(1, n + 1)], x.dtype), newshape=shape)
    inside = primitive("cast")(ordered * k + 1 > total, dtype="int32")
    count = primitive("sum")(inside, axis=axis, keepdims=True)
    top = take_along_axis(total, count - 1, axis)
    return _maximum(x - (top - 1) / primitive("cast")(count, dtype=x.dtype), 0)
