"""Activations, losses, convolution and pooling under TensorFlow's names (`tf.nn`)."""

from rkeras import ops
from rkeras import random as _random
from rkeras.tf.arrays import _layout
from rkeras.tf.arrays import depth_to_space as depth_to_space
from rkeras.tf.arrays import space_to_depth as space_to_depth
from rkeras.tf.math import in_top_k as in_top_k
from rkeras.tf.math import l2_normalize as l2_normalize
from rkeras.tf.math import sigmoid as sigmoid
from rkeras.tf.math import softplus as softplus
from rkeras.tf.math import softsign as softsign
from rkeras.tf.math import tanh as tanh
from rkeras.tf.math import top_k as top_k


def relu(features, name=None):
    """max(x, 0)."""
    return ops.relu(features)


def relu6(features, name=None):
    """min(max(x, 0), 6)."""
    return ops.relu6(features)


def leaky_relu(features, alpha=0.2, name=None):
    """x where x > 0, else α x."""
    return ops.leaky_relu(features, negative_slope=alpha)


def elu(features, name=None):
    """x where x > 0, else eˣ - 1."""
    return ops.elu(features)


def selu(features, name=None):
    """Scaled elu, which keeps mean and variance."""
    return ops.selu(features)


def gelu(features, approximate=False, name=None):
    """x Φ(x)."""
    return ops.gelu(features, approximate=approximate)


def silu(features, beta=1.0):
    """x σ(β x)."""
    return (
        ops.silu(features)
        if beta == 1.0
        else ops.multiply(features, ops.sigmoid(ops.multiply(features, beta)))
    )


swish = silu


def softmax(logits, axis=None, name=None):
    """eˣ / Σ eˣ along an axis, the last if None.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.nn.softmax([0.0, 0.0]).numpy().tolist()
        [0.5, 0.5]
    """
    return ops.softmax(logits, axis=-1 if axis is None else axis)


def log_softmax(logits, axis=None, name=None):
    """log softmax(x), computed without loss of accuracy."""
    return ops.log_softmax(logits, axis=-1 if axis is None else axis)


def dropout(x, rate, noise_shape=None, seed=None, name=None):
    """Elements zero with probability `rate`, the others scaled by 1 / (1 - rate)."""
    return _random.dropout(x, rate, noise_shape=noise_shape, seed=seed)


def bias_add(value, bias, data_format=None, name=None):
    """A bias per channel."""
    value = ops.convert_to_tensor(value) if not hasattr(value, "shape") else value
    if data_format is not None and data_format.startswith("NC") and len(value.shape) > 2:
        bias = ops.reshape(bias, (-1, *[1] * (len(value.shape) - 2)))
    return ops.add(value, bias)


def embedding_lookup(params, ids, max_norm=None, name=None):
    """The rows of a table."""
    if max_norm is not None:
        raise NotImplementedError("tf.nn.embedding_lookup: expected max_norm=None. Hint: use tf.clip_by_norm")
    return ops.take(params, ids, axis=0)


def moments(x, axes, shift=None, keepdims=False, name=None):
    """Mean and variance along axes."""
    return ops.moments(x, axes, keepdims=keepdims)


def batch_normalization(x, mean, variance, offset, scale, variance_epsilon, name=None):
    """γ (x - mean) / √(variance + ε) + β."""
    factor = ops.rsqrt(ops.add(variance, variance_epsilon))
    if scale is not None:
        factor = factor * scale
    y = ops.multiply(ops.subtract(x, mean), factor)
    return y if offset is None else ops.add(y, offset)


def softmax_cross_entropy_with_logits(labels, logits, axis=-1, name=None):
    """-Σ y log softmax(x): one number per row."""
    return ops.categorical_crossentropy(
        ops.cast(labels, str(ops.convert_to_tensor(logits).dtype)), logits, from_logits=True, axis=axis
    )


def sparse_softmax_cross_entropy_with_logits(labels, logits, name=None):
    """-log softmax(x) at the class given: one number per row."""
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def sigmoid_cross_entropy_with_logits(labels=None, logits=None, name=None):
    """max(x, 0) - x y + log(1 + e^-|x|), element by element."""
    logits = ops.convert_to_tensor(logits)
    labels = ops.cast(labels, logits.dtype)
    return ops.relu(logits) - logits * labels + ops.log1p(ops.exp(-ops.abs(logits)))


def l2_loss(t, name=None):
    """Σ t² / 2."""
    return ops.sum(ops.square(t)) / 2


def _window(value, data_format):
    """Sizes along the axes of space, which TensorFlow lets users write with those of batch and channel."""
    if isinstance(value, int):
        return value
    value = list(value)
    if len(value) == 1:
        return int(value[0])
    spatial = len(data_format) - 2
    if len(value) == spatial + 2:
        value = value[2:] if data_format.startswith("NC") else value[1:-1]
    return tuple(int(v) for v in value)


def _padding(padding):
    if not isinstance(padding, str):
        raise NotImplementedError(
            'tf.nn: expected padding "SAME" or "VALID". Received: sizes. Hint: use tf.pad first'
        )
    return padding.lower()


def _convolution(rank, name):
    default = {1: "NWC", 2: "NHWC", 3: "NDHWC"}[rank]

    def f(input, filters, strides, padding, data_format=default, dilations=None, name=None):
        return ops.conv(
            input, filters, strides=_window(strides, data_format), padding=_padding(padding),
            data_format=_layout(data_format), dilation_rate=1 if dilations is None else _window(dilations, data_format),
        )  # fmt: skip

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"Convolution over {rank} axes; `filters` has shape (sizes..., channels in, channels out)."
    return f


conv1d, conv2d, conv3d = (_convolution(n, f"conv{n}d") for n in (1, 2, 3))


def convolution(input, filters, strides=None, padding="VALID", data_format=None, dilations=None, name=None):
    """Convolution over as many axes as the filters have."""
    rank = ops.ndim(filters) - 2
    default = {1: "NWC", 2: "NHWC", 3: "NDHWC"}[rank]
    f = {1: conv1d, 2: conv2d, 3: conv3d}[rank]
    return f(input, filters, 1 if strides is None else strides, padding, data_format or default, dilations)


def depthwise_conv2d(input, filter, strides, padding, data_format="NHWC", dilations=None, name=None):
    """Convolution of each channel by itself."""
    return ops.depthwise_conv(
        input, filter, strides=_window(strides, data_format or "NHWC"), padding=_padding(padding),
        data_format=_layout(data_format or "NHWC"), dilation_rate=1 if dilations is None else _window(dilations, "NHWC"),
    )  # fmt: skip


def conv2d_transpose(
    input, filters, output_shape, strides, padding="SAME", data_format="NHWC", dilations=None, name=None
):
    """The gradient of `conv2d`; `filters` has shape (height, width, channels out, channels in)."""
    y = ops.conv_transpose(
        input, filters, strides=_window(strides, data_format), padding=_padding(padding), data_format=_layout(data_format),
        dilation_rate=1 if dilations is None else _window(dilations, data_format),
    )  # fmt: skip
    if output_shape is not None and tuple(int(d) for d in output_shape)[1:] != tuple(y.shape)[1:]:
        raise ValueError(
            f"tf.nn.conv2d_transpose: expected output_shape {tuple(y.shape)}. Received: {output_shape}"
        )
    return y


def _pooling(rank, which):
    default = {1: "NWC", 2: "NHWC", 3: "NDHWC"}[rank]
    function = ops.max_pool if which == "max" else ops.average_pool

    def f(input, ksize, strides, padding, data_format=default, name=None):
        size = _window(ksize, data_format)
        return function(
            input, size if not isinstance(size, int) else (size,) * rank, strides=_window(strides, data_format),
            padding=_padding(padding), data_format=_layout(data_format),
        )  # fmt: skip

    f.__name__ = f.__qualname__ = f"{which}_pool{rank}d"
    f.__doc__ = f"The {'greatest' if which == 'max' else 'mean'} of each window over {rank} axes."
    return f


max_pool1d, max_pool2d, max_pool3d = (_pooling(n, "max") for n in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_pooling(n, "avg") for n in (1, 2, 3))


def max_pool(input, ksize, strides, padding, data_format=None, name=None):
    """The greatest of each window; over as many axes as the input has between batch and channels."""
    rank = ops.ndim(input) - 2
    f = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}[rank]
    return f(input, ksize, strides, padding, data_format or {1: "NWC", 2: "NHWC", 3: "NDHWC"}[rank])


def avg_pool(input, ksize, strides, padding, data_format=None, name=None):
    """The mean of each window; over as many axes as the input has between batch and channels."""
    rank = ops.ndim(input) - 2
    f = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}[rank]
    return f(input, ksize, strides, padding, data_format or {1: "NWC", 2: "NHWC", 3: "NDHWC"}[rank])
