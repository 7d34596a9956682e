"""Convolutions of one, two or three spatial axes."""

from rkeras import _rkeras
from rkeras._core import settings
from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import cast, convert_to_tensor, result_type
from rkeras.ops import views

op = operation("nn")
_conv = primitive("conv")
_conv_input_grad = primitive("conv_input_grad")
_transpose = primitive("transpose")


def channels_last(x):
    """(n, c, ...) -> (n, ..., c)."""
    return _transpose(x, axes=(0, *range(2, x.ndim), 1))


def channels_first(x):
    """(n, ..., c) -> (n, c, ...)."""
    return _transpose(x, axes=(0, x.ndim - 1, *range(1, x.ndim - 1)))


def tuple_of(value, rank, name, who, smallest=1):
    """A size per spatial axis from one number or a sequence."""
    numbers = (
        (value,) * rank
        if isinstance(value, int)
        else tuple(value)
        if isinstance(value, (list, tuple))
        else None
    )
    if numbers is not None and len(numbers) == 1 and rank > 1:
        numbers = numbers * rank
    if (
        numbers is None
        or len(numbers) != rank
        or any(not isinstance(n, int) or n < smallest for n in numbers)
    ):
        raise ValueError(
            f"{who}: expected {name} as one integer or {rank} integers of at least {smallest}. Received: "
            f"{value!r}"
        )
    return numbers


def _in_layout(x, data_format):
    data_format = settings.standardize_data_format(data_format)
    x = convert_to_tensor(x)
    first = data_format == "channels_first"
    return (channels_last(x) if first else x), first


def _check(who, x, kernel):
    if x.ndim != kernel.ndim or x.ndim not in (3, 4, 5):
        raise ValueError(
            f"{who}: expected inputs (batch, spatial axes, channels) and a kernel of the same rank, 3 to 5. "
            f"Received: inputs of shape {x.shape}, kernel of shape {kernel.shape}. Hint: add a channel axis."
        )


@op
def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """The correlation of inputs with a kernel over the spatial axes.

    y[n, p, o] = Σ_{k, c} x[n, p s + k d, c] w[k, c, o]

    Args:
        inputs: tensor of shape (batch, ..., channels).
        kernel: tensor of shape (..., channels / groups, filters).
        strides: s, one number or one per spatial axis.
        padding: "valid", "same" or "causal" (one spatial axis).
        data_format: "channels_last" or "channels_first"; the session's if None.
        dilation_rate: d.

    Returns:
        Tensor of shape (batch, ..., filters).

    Raises:
        ValueError: if ranks or channels do not fit.

    Example:
        >>> x = keras.ops.ones((1, 4, 1))
        >>> keras.ops.conv(x, keras.ops.ones((2, 1, 1))).numpy().ravel().tolist()
        [2.0, 2.0, 2.0]
    """
    x, first = _in_layout(inputs, data_format)
    kernel = convert_to_tensor(kernel)
    _check("conv", x, kernel)
    rank = x.ndim - 2
    channels, per_group = x.shape[-1], kernel.shape[-2]
    if channels is not None and channels % per_group:
        raise ValueError(
            f"conv: expected channels that the kernel's {per_group} divide. Received: {channels} channels"
        )
    y = _run(
        _conv, x, kernel, strides=tuple_of(strides, rank, "strides", "conv"), padding=padding.lower(),
        dilation_rate=tuple_of(dilation_rate, rank, "dilation_rate", "conv"),
    )  # fmt: skip
    return channels_first(y) if first else y


def _run(function, x, kernel, **attributes):
    """The core's op, which takes float32 and float64; other dtypes are cast around it."""
    dtype = result_type(x.dtype, kernel.dtype)
    wide = dtype if dtype in ("float32", "float64") else "float32"
    y = function(cast(x, wide), cast(kernel, wide), **attributes)
    return cast(y, dtype) if dtype in ("float16", "bfloat16") else y


@op
def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Every channel convolved with kernels of its own; see `conv`.

    Args:
        inputs: tensor of shape (batch, ..., channels).
        kernel: tensor of shape (..., channels, multiplier).
        strides, padding, data_format, dilation_rate: as in `conv`.

    Returns:
        Tensor of shape (batch, ..., channels multiplier).

    Example:
        >>> x = keras.ops.ones((1, 3, 3, 2))
        >>> keras.ops.depthwise_conv(x, keras.ops.ones((3, 3, 2, 1))).shape
        (1, 1, 1, 2)
    """
    x, first = _in_layout(inputs, data_format)
    kernel = convert_to_tensor(kernel)
    _check("depthwise_conv", x, kernel)
    rank = x.ndim - 2
    *window, channels, multiplier = kernel.shape
    if x.shape[-1] not in (channels, None):
        raise ValueError(
            f"depthwise_conv: expected {channels} channels as the kernel has. Received: inputs of shape "
            f"{x.shape}"
        )
    # As many groups as channels.
    y = _run(
        _conv, x, views.reshape(kernel, (*window, 1, channels * multiplier)),
        strides=tuple_of(strides, rank, "strides", "depthwise_conv"), padding=padding.lower(),
        dilation_rate=tuple_of(dilation_rate, rank, "dilation_rate", "depthwise_conv"),
    )  # fmt: skip
    return channels_first(y) if first else y


@op
def separable_conv(
    inputs, depthwise_kernel, pointwise_kernel, strides=1, padding="valid", data_format=None, dilation_rate=1
):
    """A depthwise convolution, then one of kernel size 1 across channels; see `conv`."""
    x, first = _in_layout(inputs, data_format)
    y = depthwise_conv(x, depthwise_kernel, strides, padding, "channels_last", dilation_rate)
    y = conv(y, pointwise_kernel, 1, "valid", "channels_last", 1)
    return channels_first(y) if first else y


@op
def conv_transpose(
    inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1
):
    """The gradient of a convolution with respect to its input: from coarse to fine.

    Args:
        inputs: tensor of shape (batch, ..., channels).
        kernel: tensor of shape (..., filters, channels).
        strides, padding, data_format, dilation_rate: as in `conv`.
        output_padding: how much larger the output is than needed; None for Keras's rule.

    Returns:
        Tensor of shape (batch, ..., filters).

    Example:
        >>> x = keras.ops.ones((1, 3, 1))
        >>> keras.ops.conv_transpose(x, keras.ops.ones((2, 1, 1)), strides=2).shape
        (1, 6, 1)
    """
    x, first = _in_layout(inputs, data_format)
    kernel = convert_to_tensor(kernel)
    _check("conv_transpose", x, kernel)
    rank = x.ndim - 2
    *window, filters, channels = kernel.shape
    if x.shape[-1] not in (channels, None):
        raise ValueError(
            f"conv_transpose: expected {channels} channels as the kernel has. Received: inputs of shape "
            f"{x.shape}"
        )
    strides = tuple_of(strides, rank, "strides", "conv_transpose")
    dilation = tuple_of(dilation_rate, rank, "dilation_rate", "conv_transpose")
    extra = (
        (None,) * rank
        if output_padding is None
        else tuple_of(output_padding, rank, "output_padding", "conv_transpose", 0)
    )
    sizes, before, after = [], [], []
    for n, k, s, d, e in zip(x.shape[1:-1], window, strides, dilation, extra, strict=True):
        size, low, high = transposed_axis(n, (k - 1) * d + 1, s, padding.lower(), e)
        sizes.append(size)
        before.append(low)
        after.append(high)
    if None in sizes:
        y = _rkeras.spec((x.shape[0], *sizes, filters), x.dtype)
    else:
        y = _run(
            _conv_input_grad, x, kernel, strides=strides, dilation_rate=dilation, padding="explicit",
            pad_before=before,
            pad_after=after, sizes=sizes, channels=filters,
        )  # fmt: skip
    return channels_first(y) if first else y


def transposed_axis(n, reach, stride, padding, extra):
    """(output size, padding before, padding after) of the convolution whose gradient this is."""
    if padding not in ("valid", "same"):
        raise ValueError(f'conv_transpose: expected padding "valid" or "same". Received: {padding!r}')
    if padding == "valid":
        low = reach - 1
        high = reach - 1 + (max(reach, stride) - reach if extra is None else extra)
    else:
        total = reach + stride - 2 if extra is None else reach + reach % 2 - 2 + extra
        low = min(total // 2 + total % 2, reach - 1)
        high = total - low
    size = None if n is None else (n - 1) * stride + 2 + low + high - reach
    return size, reach - 1 - low, max(reach - 1 - high, 0)
