"""Normalisation: of batches, layers, roots of mean squares, vectors; attention."""

from rkeras._core import settings
from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import cast, convert_to_tensor, is_float_dtype, result_type
from rkeras.ops import views
from rkeras.ops.linalg import norm

op = operation("nn")
_attention = primitive("attention")
_layer_norm = primitive("layer_norm")
_batch_norm = primitive("batch_norm")
_mean = primitive("mean")
_square = primitive("square")
_rsqrt = primitive("rsqrt")
_reshape = primitive("reshape")
_maximum = primitive("maximum")
_matmul = primitive("matmul")
_transpose = primitive("transpose")
_where = primitive("where")
_greater_equal = primitive("greater_equal")
_softmax = primitive("softmax")
_tanh = primitive("tanh")


def _along(value, rank, axis):
    """A vector over one axis as a tensor that broadcasts."""
    value = convert_to_tensor(value)
    if value.ndim == 0 or value.ndim == rank:
        return value
    shape = [1] * rank
    shape[axis] = -1
    return _reshape(value, newshape=shape)


@op
def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    """(x - mean) / sqrt(variance + epsilon) scale + offset.

    Args:
        x: a tensor.
        mean, variance, offset, scale: vectors over the axis; the last two may be None.
        axis: the axis that stays.
        epsilon: added to the variance.

    Example:
        >>> y = keras.ops.batch_normalization([[1.0], [3.0]], [2.0], [1.0], -1, epsilon=0.0)
        >>> y.numpy().ravel().tolist()
        [-1.0, 1.0]

    Source: Ioffe and Szegedy, 2015.
    """
    x = convert_to_tensor(x)
    # One factor and one offset per channel, so that the big tensor is read once.
    factor = _rsqrt(convert_to_tensor(variance) + epsilon)
    if scale is not None:
        factor = factor * convert_to_tensor(scale)
    shift = -(convert_to_tensor(mean) * factor)
    if offset is not None:
        shift = shift + convert_to_tensor(offset)
    factor, shift = (cast(_along(v, x.ndim, axis), x.dtype) for v in (factor, shift))
    return x * factor + shift


def over_last(v, x):
    """A vector over the last axis in the dtype of x."""
    return cast(_reshape(v, newshape=(-1,)), x.dtype)


def batch_moments_and_norm(x, axis, offset, scale, epsilon):
    """The batch normalised by its own statistics: (result, mean, variance), statistics over the axis."""
    axis = views.resolve_axis(axis, x.ndim, "batch_normalization")
    vectors = [over_last(v, x) for v in (scale, offset) if v is not None]
    y, mean, variance = _batch_norm(
        views.swap_last(x, axis),
        *vectors,
        epsilon=epsilon,
        scale=scale is not None,
        offset=offset is not None,
    )
    return views.swap_last(y, axis), mean, variance


@op
def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None, **kwargs):
    """(x - mean) / sqrt(variance + epsilon) gamma + beta, mean and variance over the axes.

    Args:
        x: a tensor.
        gamma, beta: of the sizes of the axes, or None.
        axis: an axis or several.
        epsilon: added to the variance; the session's if None.

    Example:
        >>> keras.ops.layer_normalization([[1.0, 3.0]], epsilon=0.0).numpy().tolist()
        [[-1.0, 1.0]]

    Source: Ba et al., 2016.
    """
    x = convert_to_tensor(x)
    epsilon = settings.epsilon() if epsilon is None else epsilon
    rms_scaling = kwargs.pop("rms_scaling", False)
    dtype = x.dtype
    if dtype in ("float16", "bfloat16"):
        x = cast(x, "float32")
    axes = [a % x.ndim for a in ([axis] if isinstance(axis, int) else axis)]
    shape = [x.shape[a] if a in axes else 1 for a in range(x.ndim)]

    def over(v):
        v = convert_to_tensor(v)
        return cast(v if v.ndim == x.ndim else _reshape(v, newshape=shape), x.dtype)

    if (
        not rms_scaling
        and axes == [x.ndim - 1]
        and x.dtype in ("float32", "float64")
        and x.shape[-1] is not None
    ):
        vectors = [over_last(v, x) for v in (gamma, beta) if v is not None]
        y, _, _ = _layer_norm(x, *vectors, epsilon=epsilon, scale=gamma is not None, offset=beta is not None)
        return cast(y, dtype)
    if rms_scaling:
        variance = _mean(_square(x - _mean(x, axis=axes, keepdims=True)), axis=axes, keepdims=True)
        y = x * _rsqrt(variance + epsilon)
        return cast(y * over(gamma) if gamma is not None else y, dtype)
    centred = x - _mean(x, axis=axes, keepdims=True)
    y = centred * _rsqrt(_mean(_square(centred), axis=axes, keepdims=True) + epsilon)
    if gamma is not None:
        y = y * over(gamma)
    if beta is not None:
        y = y + over(beta)
    return cast(y, dtype)


@op
def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    """x / sqrt(mean(x²) + epsilon) scale, the mean over the axes.

    Example:
        >>> keras.ops.rms_normalization([[3.0, 3.0]], epsilon=0.0).numpy().tolist()
        [[1.0, 1.0]]

    Source: Zhang and Sennrich, 2019.
    """
    x = convert_to_tensor(x)
    epsilon = settings.epsilon() if epsilon is None else epsilon
    dtype = x.dtype
    if dtype in ("float16", "bfloat16"):
        x = cast(x, "float32")
    axes = [a % x.ndim for a in ([axis] if isinstance(axis, int) else axis)]
    y = x * _rsqrt(_mean(_square(x), axis=axes, keepdims=True) + epsilon)
    if scale is not None:
        shape = [x.shape[a] if a in axes else 1 for a in range(x.ndim)]
        scale = convert_to_tensor(scale)
        y = y * cast(scale if scale.ndim == x.ndim else _reshape(scale, newshape=shape), x.dtype)
    return cast(y, dtype)


@op
def normalize(x, axis=-1, order=2, epsilon=None):
    """x divided by its norm over an axis.

    Args:
        x: a tensor.
        axis: an axis.
        order: of the norm.
        epsilon: the least norm divided by; the session's if None.

    Example:
        >>> keras.ops.normalize([[3.0, 4.0]]).numpy().astype(float).round(3).tolist()
        [[0.6, 0.8]]
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"normalize: expected order as a positive integer. Received: {order!r}")
    x = convert_to_tensor(x)
    if not is_float_dtype(x.dtype):
        x = cast(x, settings.floatx())
    epsilon = settings.epsilon() if epsilon is None else epsilon
    if order == 2:
        total = primitive("sum")(_square(x), axis=axis, keepdims=True)
        return x * _rsqrt(_maximum(total, epsilon * epsilon))
    return x / _maximum(norm(x, ord=order, axis=axis, keepdims=True), epsilon)


def _positions(x):
    """0, 1 … along the second axis of x (batch, length, heads, d)."""
    from rkeras.ops.creation import arange, ones_like
    from rkeras.ops.reduction import cumsum

    if x.shape[1] is not None:
        return arange(x.shape[1], dtype="int32")
    return cumsum(ones_like(x[0, :, 0, 0], dtype="int32")) - 1


@op
def dot_product_attention(
    query,
    key,
    value,
    bias=None,
    mask=None,
    scale=None,
    is_causal=False,
    flash_attention=None,
    attn_logits_soft_cap=None,
):
    """softmax(scale q kᵀ + bias) v for every head.

    Args:
        query: tensor of shape (batch, t, heads, d).
        key, value: tensors of shape (batch, s, heads of their own that divide the others, d).
        bias: added to the scores, broadcast to (batch, heads, t, s).
        mask: True where attention is allowed, broadcast likewise.
        scale: 1 / sqrt(d) if None.
        is_causal: whether position i sees only positions up to i.
        flash_attention: a hint that is not needed here.
        attn_logits_soft_cap: c in c tanh(scores / c), if given.

    Example:
        >>> x = keras.ops.ones((1, 3, 2, 4))
        >>> keras.ops.dot_product_attention(x, x, x).shape
        (1, 3, 2, 4)

    Source: Vaswani et al., 2017.
    """
    from rkeras.ops.shaping import repeat

    query, key, value = (convert_to_tensor(v) for v in (query, key, value))
    for name, v in (("query", query), ("key", key), ("value", value)):
        if v.ndim != 4:
            raise ValueError(
                f"dot_product_attention: expected {name} of shape (batch, length, heads, d). Received: "
                f"{v.shape}"
            )
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    if attn_logits_soft_cap is None:
        return fused_attention(query, key, value, bias, mask, scale, is_causal)
    groups = query.shape[2] // key.shape[2]
    if groups > 1:
        key, value = repeat(key, groups, axis=2), repeat(value, groups, axis=2)
    q, k, v = (_transpose(a, axes=(0, 2, 1, 3)) for a in (query, key, value))
    scores = _matmul(q, _transpose(k, axes=(0, 1, 3, 2))) * scale
    scores = _tanh(scores / attn_logits_soft_cap) * attn_logits_soft_cap
    if bias is not None:
        scores = scores + cast(convert_to_tensor(bias), scores.dtype)
    low = -1e30 if scores.dtype in ("float32", "float64", "bfloat16") else -65504.0 / 2
    if mask is not None:
        scores = _where(cast(convert_to_tensor(mask), "bool"), scores, low)
    if is_causal:
        # Compared positions rather than a constant triangle: lengths may be unknown, here and in exported files.
        rows, columns = (_reshape(_positions(a), newshape=s) for a, s in ((query, (-1, 1)), (key, (1, -1))))
        scores = _where(_greater_equal(rows, columns), scores, low)
    return _transpose(
        _matmul(views.over_rows(_softmax, scores, -1, "dot_product_attention"), v), axes=(0, 2, 1, 3)
    )


def fused_attention(query, key, value, bias, mask, scale, is_causal, dropout=0.0, state=None):
    """The core's attention, which never stores the scores; with dropout a pair (result, next state)."""
    dtype = result_type(query.dtype, key.dtype, value.dtype)
    wide = dtype if dtype in ("float32", "float64") else "float32"
    inputs = [cast(v, wide) for v in (query, key, value)]
    if mask is not None:
        inputs.append(cast(convert_to_tensor(mask), "bool"))
    if bias is not None:
        inputs.append(cast(convert_to_tensor(bias), wide))
    if dropout > 0.0:
        inputs.append(state)
    y, *rest = _attention(
        *inputs, scale=float(scale), causal=bool(is_causal), mask=mask is not None, bias=bias is not None,
        dropout=float(dropout),
    )  # fmt: skip
    return (cast(y, dtype), rest[1]) if dropout > 0.0 else cast(y, dtype)
