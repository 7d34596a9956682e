"""Pooling over windows of the spatial axes."""

from rkeras import _rkeras
from rkeras._core import settings
from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import cast, convert_to_tensor
from rkeras.ops import views
from rkeras.ops.convolution import channels_first, channels_last, tuple_of

op = operation("nn")
_max_pool = primitive("max_pool")
_average_pool = primitive("average_pool")
_concatenate = primitive("concatenate")


def _pool(who, function, inputs, pool_size, strides, padding, data_format):
    first = settings.standardize_data_format(data_format) == "channels_first"
    x = convert_to_tensor(inputs)
    if x.ndim not in (3, 4, 5):
        raise ValueError(
            f"{who}: expected inputs (batch, spatial axes, channels) of rank 3 to 5. Received: shape "
            f"{x.shape}. "
            "Hint: add a channel axis."
        )
    x = channels_last(x) if first else x
    rank = x.ndim - 2
    pool_size = tuple_of(pool_size, rank, "pool_size", who)
    strides = pool_size if strides is None else tuple_of(strides, rank, "strides", who)
    dtype = x.dtype
    # The core pools float32 and float64.
    wide = cast(x, "float32") if dtype not in ("float32", "float64") else x
    y = cast(function(wide, pool_size=pool_size, strides=strides, padding=padding.lower()), dtype)
    return channels_first(y) if first else y


@op
def max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """The largest element of every window.

    Args:
        inputs: tensor of shape (batch, ..., channels).
        pool_size: the window, one number or one per spatial axis.
        strides: the step from window to window; the window's size if None.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> x = keras.ops.reshape(keras.ops.arange(4.0), (1, 4, 1))
        >>> keras.ops.max_pool(x, 2).numpy().ravel().tolist()
        [1.0, 3.0]
    """
    return _pool("max_pool", _max_pool, inputs, pool_size, strides, padding, data_format)


@op
def average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """The mean of every window (of what lies inside, at the edges); see `max_pool`.

    Example:
        >>> x = keras.ops.reshape(keras.ops.arange(4.0), (1, 4, 1))
        >>> keras.ops.average_pool(x, 2).numpy().ravel().tolist()
        [0.5, 2.5]
    """
    return _pool("average_pool", _average_pool, inputs, pool_size, strides, padding, data_format)


def _parts(n, size):
    """The bounds of the parts that n positions are cut into."""
    return [(i * n // size, -(-(i + 1) * n // size)) for i in range(size)]


def _adaptive(who, inputs, output_size, data_format, reduce):
    x = convert_to_tensor(inputs)
    rank = x.ndim - 2
    if rank not in (1, 2, 3):
        raise ValueError(
            f"{who}: expected inputs (batch, 1 to 3 spatial axes, channels). Received: shape {x.shape}"
        )
    sizes = tuple_of(output_size, rank, "output_size", who)
    first = settings.standardize_data_format(data_format) == "channels_first"
    for axis, size in enumerate(sizes, start=2 if first else 1):
        n = x.shape[axis]
        if n is None:
            x = _rkeras.spec((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
        elif n % size == 0:
            shape = (*x.shape[:axis], size, n // size, *x.shape[axis + 1 :])
            x = reduce(views.reshape(x, shape), axis=axis + 1)
        else:
            before = (slice(None),) * axis
            parts = [reduce(x[(*before, slice(a, b))], axis=axis, keepdims=True) for a, b in _parts(n, size)]
            x = _concatenate(*parts, axis=axis)
    return x


@op
def adaptive_average_pool(inputs, output_size, data_format=None):
    """The means of the parts that every spatial axis is cut into; part i reaches from floor(i n / size) to
    ceil((i + 1) n / size).

    Args:
        inputs: tensor of shape (batch, ..., channels).
        output_size: the number of parts, one number or one per spatial axis.
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> x = keras.ops.reshape(keras.ops.arange(4, dtype="float32"), (1, 4, 1))
        >>> keras.ops.adaptive_average_pool(x, 2).numpy().ravel().tolist()
        [0.5, 2.5]
    """
    return _adaptive("adaptive_average_pool", inputs, output_size, data_format, primitive("mean"))


@op
def adaptive_max_pool(inputs, output_size, data_format=None):
    """The largest elements of the parts that every spatial axis is cut into; see `adaptive_average_pool`.

    Example:
        >>> x = keras.ops.reshape(keras.ops.arange(4, dtype="float32"), (1, 4, 1))
        >>> keras.ops.adaptive_max_pool(x, 2).numpy().ravel().tolist()
        [1.0, 3.0]
    """
    return _adaptive("adaptive_max_pool", inputs, output_size, data_format, primitive("max"))
