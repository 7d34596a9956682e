"""The functions of `tf.keras.backend` that shape tensors, multiply them and make networks."""

from rkeras import losses as _losses
from rkeras import ops as _ops
from rkeras import random as _random
from rkeras._core import settings as _settings


def reshape(x, shape):
    """The same elements under another shape."""
    return _ops.reshape(x, tuple(-1 if d is None else d for d in shape))


def permute_dimensions(x, pattern):
    """The axes in another order."""
    return _ops.transpose(x, tuple(pattern))


def transpose(x):
    """The axes in reverse order."""
    return _ops.transpose(x)


def expand_dims(x, axis=-1):
    """A new axis of size 1."""
    return _ops.expand_dims(x, axis)


def squeeze(x, axis):
    """Without an axis of size 1."""
    return _ops.squeeze(x, axis)


def flatten(x):
    """All elements along one axis."""
    return _ops.reshape(x, (-1,))


def batch_flatten(x):
    """All elements of a sample along one axis."""
    size = 1
    for d in tuple(x.shape)[1:]:
        size *= d
    return _ops.reshape(x, (-1, size))


def concatenate(tensors, axis=-1):
    """Tensors one after the other along an axis."""
    return _ops.concatenate(tensors, axis=axis)


def stack(x, axis=0):
    """Tensors along a new axis."""
    return _ops.stack(x, axis=axis)


def tile(x, n):
    """A tensor repeated along its axes."""
    return _ops.tile(x, [n] if isinstance(n, int) else n)


def repeat(x, n):
    """A matrix repeated along a new second axis."""
    return _ops.repeat(_ops.expand_dims(x, 1), n, axis=1)


def repeat_elements(x, rep, axis):
    """Each slice along an axis repeated."""
    return _ops.repeat(x, rep, axis=axis)


def reverse(x, axes):
    """The elements along axes in reverse order."""
    for a in [axes] if isinstance(axes, int) else axes:
        x = _ops.flip(x, axis=a)
    return x


def gather(reference, indices):
    """The slices at these positions along the first axis."""
    return _ops.take(reference, indices, axis=0)


def one_hot(indices, num_classes):
    """Class numbers as rows of zeros with a one."""
    return _ops.one_hot(indices, num_classes)


def slice(x, start, size):
    """A block: where it begins and its sizes."""
    from rkeras.tf.arrays import slice as block

    return block(x, start, size)


def temporal_padding(x, padding=(1, 1)):
    """Zeros before and after the second axis."""
    return _ops.pad(x, ((0, 0), tuple(padding), (0, 0)))


def _spatial_padding(x, padding, data_format):
    pairs = [tuple(p) for p in padding]
    if _settings.standardize_data_format(data_format) == "channels_first":
        return _ops.pad(x, [(0, 0), (0, 0), *pairs])
    return _ops.pad(x, [(0, 0), *pairs, (0, 0)])


def spatial_2d_padding(x, padding=((1, 1), (1, 1)), data_format=None):
    """Zeros around images."""
    return _spatial_padding(x, padding, data_format)


def spatial_3d_padding(x, padding=((1, 1), (1, 1), (1, 1)), data_format=None):
    """Zeros around volumes."""
    return _spatial_padding(x, padding, data_format)


def resize_images(x, height_factor, width_factor, data_format, interpolation="nearest"):
    """Images made larger by whole factors; only "nearest"."""
    if interpolation != "nearest":
        raise NotImplementedError(
            'K.resize_images: expected interpolation "nearest". Hint: use layers.Resizing'
        )
    first = 2 if _settings.standardize_data_format(data_format) == "channels_first" else 1
    return _ops.repeat(_ops.repeat(x, height_factor, axis=first), width_factor, axis=first + 1)


def resize_volumes(x, depth_factor, height_factor, width_factor, data_format):
    """Volumes made larger by whole factors."""
    first = 2 if _settings.standardize_data_format(data_format) == "channels_first" else 1
    for i, factor in enumerate((depth_factor, height_factor, width_factor)):
        x = _ops.repeat(x, factor, axis=first + i)
    return x


# Products.


def dot(x, y):
    """The sum of products over the last axis of x and the last but one of y."""
    rank = len(y.shape)
    if rank <= 2:
        return _ops.matmul(x, y)
    return _ops.tensordot(x, y, axes=[[len(x.shape) - 1], [rank - 2]])


def batch_dot(x, y, axes=None):
    """The sum of products over an axis of each, sample by sample.

    Args:
        x, y: tensors with a batch axis.
        axes: the axis of both, or a pair; the last of x and the last but one of y if None.
    """
    rx, ry = len(x.shape), len(y.shape)
    if axes is None:
        axes = (rx - 1, ry - 1 if ry == 2 else ry - 2)
    a, b = (axes, axes) if isinstance(axes, int) else tuple(axes)
    a, b = a % rx, b % ry
    letters = "abcdefghijklmnopqrstuvwxyz"
    left = ["z" if i == 0 else "y" if i == a else letters[i] for i in range(rx)]
    right = ["z" if i == 0 else "y" if i == b else letters[rx + i] for i in range(ry)]
    out = "".join(c for c in [*left, *right[1:]] if c != "y")
    y = _ops.einsum(f"{''.join(left)},{''.join(right)}->{out}", x, y)
    return _ops.expand_dims(y, 1) if len(out) == 1 else y


# Networks.


def relu(x, alpha=0.0, max_value=None, threshold=0.0):
    """max(x, 0), with a slope below, a bound above and a threshold."""
    from rkeras import activations

    return activations.relu(x, negative_slope=alpha, max_value=max_value, threshold=threshold)


def elu(x, alpha=1.0):
    """x where x > 0, else α (eˣ - 1)."""
    return _ops.elu(x, alpha)


def softmax(x, axis=-1):
    """eˣ / Σ eˣ along an axis."""
    return _ops.softmax(x, axis=axis)


def softplus(x):
    """log(1 + eˣ)."""
    return _ops.softplus(x)


def softsign(x):
    """x / (1 + |x|)."""
    return _ops.softsign(x)


def sigmoid(x):
    """1 / (1 + e⁻ˣ)."""
    return _ops.sigmoid(x)


def hard_sigmoid(x):
    """0.2 x + 0.5 within 0 and 1, as in tf.keras 2."""
    return _ops.clip(_ops.add(_ops.multiply(x, 0.2), 0.5), 0.0, 1.0)


def tanh(x):
    """The hyperbolic tangent."""
    return _ops.tanh(x)


def dropout(x, level, noise_shape=None, seed=None):
    """Elements zero with probability `level`, the others scaled by 1 / (1 - level)."""
    return _random.dropout(x, level, noise_shape=noise_shape, seed=seed)


def l2_normalize(x, axis=None):
    """x / √max(Σ x², 1e-12)."""
    from rkeras.tf.math import l2_normalize as normalize

    return normalize(x, axis=axis)


def in_top_k(predictions, targets, k):
    """Is each target among the k classes of the highest score?"""
    return _ops.in_top_k(_ops.cast(targets, "int32"), predictions, k)


def batch_normalization(x, mean, var, beta, gamma, axis=-1, epsilon=1e-3):
    """γ (x - mean) / √(var + ε) + β."""
    flat = [None if v is None else _ops.reshape(v, (-1,)) for v in (mean, var, beta, gamma)]
    return _ops.batch_normalization(x, flat[0], flat[1], axis, offset=flat[2], scale=flat[3], epsilon=epsilon)


def bias_add(x, bias, data_format=None):
    """A bias per channel."""
    if _settings.standardize_data_format(data_format) == "channels_first" and len(x.shape) > 2:
        bias = _ops.reshape(bias, (-1, *[1] * (len(x.shape) - 2)))
    return _ops.add(x, bias)


def _convolution(rank):
    def f(x, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
        return _ops.conv(x, kernel, strides, padding, data_format, dilation_rate)

    f.__name__ = f.__qualname__ = f"conv{rank}d"
    f.__doc__ = f"Convolution over {rank} axes."
    return f


conv1d, conv2d, conv3d = (_convolution(n) for n in (1, 2, 3))


def conv2d_transpose(
    x, kernel, output_shape, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1)
):
    """The gradient of `conv2d`."""
    return _ops.conv_transpose(
        x, kernel, strides, padding, data_format=data_format, dilation_rate=dilation_rate
    )


def depthwise_conv2d(
    x, depthwise_kernel, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1)
):
    """Convolution of each channel by itself."""
    return _ops.depthwise_conv(x, depthwise_kernel, strides, padding, data_format, dilation_rate)


def separable_conv2d(
    x, depthwise_kernel, pointwise_kernel, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1)
):  # fmt: skip
    """A depthwise convolution, then one over single pixels."""
    return _ops.separable_conv(
        x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate
    )


def _pool(x, pool_size, strides, padding, data_format, pool_mode):
    function = {"max": _ops.max_pool, "avg": _ops.average_pool}[pool_mode]
    return function(x, pool_size, strides, padding, data_format)


def pool2d(x, pool_size, strides=(1, 1), padding="valid", data_format=None, pool_mode="max"):
    """The greatest ("max") or mean ("avg") of each window."""
    return _pool(x, pool_size, strides, padding, data_format, pool_mode)


def pool3d(x, pool_size, strides=(1, 1, 1), padding="valid", data_format=None, pool_mode="max"):
    """The greatest ("max") or mean ("avg") of each window."""
    return _pool(x, pool_size, strides, padding, data_format, pool_mode)


def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """-Σ t log p."""
    return _ops.categorical_crossentropy(target, output, from_logits=from_logits, axis=axis)


def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1, ignore_class=None):
    """-log p of the class given."""
    if ignore_class is not None:
        return _losses.sparse_categorical_crossentropy(target, output, from_logits, ignore_class, axis)
    return _ops.sparse_categorical_crossentropy(target, output, from_logits=from_logits, axis=axis)


def binary_crossentropy(target, output, from_logits=False):
    """-t log p - (1 - t) log(1 - p), element by element."""
    return _ops.binary_crossentropy(target, output, from_logits=from_logits)


# Control flow.


def switch(condition, then_expression, else_expression):
    """One of two tensors (or of what two functions give)."""
    if len(getattr(condition, "shape", ())) == 0 and callable(then_expression):
        return _ops.cond(condition, then_expression, else_expression)
    a = then_expression() if callable(then_expression) else then_expression
    b = else_expression() if callable(else_expression) else else_expression
    rank = len(getattr(condition, "shape", ()))
    for _ in range(len(a.shape) - rank if rank else 0):
        condition = _ops.expand_dims(condition, -1)
    return _ops.where(condition, a, b)


def in_train_phase(x, alt, training=None):
    """x while training, else `alt`."""
    chosen = x if training else alt
    return chosen() if callable(chosen) else chosen


def in_test_phase(x, alt, training=None):
    """`alt` while training, else x."""
    return in_train_phase(alt, x, training)


def map_fn(fn, elems, name=None, dtype=None):
    """`fn` of every slice along the first axis."""
    return _ops.map(fn, elems)


def foldl(fn, elems, initializer=None, name=None):
    """`a = fn(a, x)` over slices; the last value."""
    from rkeras.tf.functions import foldl as fold

    return fold(fn, elems, initializer)
