"""Shapes: flatten, reshape, permute, repeat, pad, crop, enlarge."""

import math

from rkeras import ops
from rkeras._core.settings import standardize_data_format
from rkeras.layers.convolution import sizes
from rkeras.layers.input_spec import InputSpec, who
from rkeras.layers.layer import Layer


class Flatten(Layer):
    """All axes but the batch as one.

    Args:
        data_format: "channels_last" or "channels_first" (channels are moved last first).

    Example:
        >>> keras.layers.Flatten()(keras.ops.ones((2, 3, 4))).shape
        (2, 12)
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self.built = True

    def call(self, inputs):
        """The flattened inputs."""
        shape = inputs.shape
        if self.data_format == "channels_first" and len(shape) > 2:
            inputs = ops.transpose(inputs, (0, *range(2, len(shape)), 1))
            shape = inputs.shape
        if None not in shape[1:]:
            return ops.reshape(inputs, (-1, math.prod(shape[1:])))
        return ops.views.reshape(inputs, (shape[0], None))


class Reshape(Layer):
    """Each example under another shape.

    Args:
        target_shape: sizes without the batch; -1 once for what is left.

    Example:
        >>> keras.layers.Reshape((-1, 2))(keras.ops.ones((3, 8))).shape
        (3, 4, 2)
    """

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        target_shape = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if sum(d == -1 for d in target_shape) > 1:
            raise ValueError(f"Reshape: expected -1 once at most. Received: target_shape={target_shape}")
        self.target_shape = target_shape
        self.built = True

    def _resolved(self, shape):
        """The target with -1 replaced, where it can be."""
        if -1 not in self.target_shape or None in shape:
            return tuple(None if d == -1 else d for d in self.target_shape)
        size, known = math.prod(shape), math.prod(d for d in self.target_shape if d != -1)
        if not known or size % known:
            raise ValueError(
                f"{who(self)}: expected {size} elements in target_shape. Received: {self.target_shape}"
            )
        return tuple(size // known if d == -1 else d for d in self.target_shape)

    def call(self, inputs):
        """The reshaped inputs."""
        shape = inputs.shape
        target = self._resolved(shape[1:])
        if None not in shape[1:] and math.prod(shape[1:]) != math.prod(target):
            raise ValueError(
                f"{who(self)}: expected as many elements as in {self.target_shape}. Received: input shape "
                f"{shape}"
            )
        if None in target:
            return ops.views.reshape(inputs, (shape[0], *target))
        return ops.reshape(inputs, (-1 if shape[0] is None else shape[0], *target))


class Permute(Layer):
    """The axes of each example in another order.

    Args:
        dims: the old axes, counted from 1, in their new order.

    Example:
        >>> keras.layers.Permute((2, 1))(keras.ops.ones((1, 3, 4))).shape
        (1, 4, 3)
    """

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"Permute: expected dims as an order of 1 to {len(self.dims)}. Received: {dims}")
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)
        self.built = True

    def call(self, inputs):
        """The permuted inputs."""
        return ops.transpose(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """(batch, features) -> (batch, n, features).

    Args:
        n: how often.

    Example:
        >>> keras.layers.RepeatVector(3)(keras.ops.ones((2, 4))).shape
        (2, 3, 4)
    """

    def __init__(self, n, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(n, int):
            raise TypeError(f"RepeatVector: expected n as an integer. Received: {n!r}")
        self.n = n
        self.input_spec = InputSpec(ndim=2)
        self.built = True

    def call(self, inputs):
        """The repeated inputs."""
        return ops.tile(ops.expand_dims(inputs, 1), (1, self.n, 1))


def _pairs(value, rank, name, layer):
    """((before, after), ...) per spatial axis from an integer, integers or pairs."""
    if isinstance(value, int):
        return ((value, value),) * rank
    value = tuple(value)
    if rank == 1 and len(value) == 2 and all(isinstance(v, int) for v in value):
        return (value,)
    if len(value) == rank:
        pairs = tuple((v, v) if isinstance(v, int) else tuple(v) for v in value)
        if all(len(p) == 2 and min(p) >= 0 for p in pairs):
            return pairs
    raise ValueError(
        f"{layer}: expected {name} as an integer, {rank} integers or {rank} pairs. Received: {value}"
    )


class _Spatial(Layer):
    """A layer on the spatial axes."""

    _rank = 1

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self._rank + 2)
        self.built = True

    @property
    def _first_axis(self):
        return 2 if self.data_format == "channels_first" else 1


class _ZeroPadding(_Spatial):
    def __init__(self, padding, data_format, **kwargs):
        super().__init__(data_format, **kwargs)
        pairs = _pairs(padding, self._rank, "padding", type(self).__name__)
        self.padding = pairs[0] if self._rank == 1 else pairs

    def call(self, inputs):
        """The inputs with a margin of zeros."""
        pairs = (self.padding,) if self._rank == 1 else self.padding
        width = [(0, 0)] * len(inputs.shape)
        width[self._first_axis : self._first_axis + self._rank] = pairs
        return ops.pad(inputs, width)


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps.

    Args:
        padding: an integer, or (before, after).
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.ZeroPadding1D(2)(keras.ops.ones((1, 3, 1))).shape
        (1, 7, 1)
    """

    def __init__(self, padding=1, data_format=None, **kwargs):
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding2D(_ZeroPadding):
    """A margin of zeros around images.

    Args:
        padding: an integer, (height, width), or ((top, bottom), (left, right)).
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.ZeroPadding2D(1)(keras.ops.ones((1, 3, 3, 1))).shape
        (1, 5, 5, 1)
    """

    _rank = 2

    def __init__(self, padding=(1, 1), data_format=None, **kwargs):
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding3D(_ZeroPadding):
    """A margin of zeros around volumes.

    Args:
        padding: an integer, three integers, or three pairs.
        data_format: "channels_last" or "channels_first"; the session's if None.
    """

    _rank = 3

    def __init__(self, padding=((1, 1), (1, 1), (1, 1)), data_format=None, **kwargs):
        super().__init__(padding, data_format, **kwargs)


class _Cropping(_Spatial):
    def __init__(self, cropping, data_format, **kwargs):
        super().__init__(data_format, **kwargs)
        pairs = _pairs(cropping, self._rank, "cropping", type(self).__name__)
        self.cropping = pairs[0] if self._rank == 1 else pairs

    def call(self, inputs):
        """The inputs without a margin."""
        pairs = (self.cropping,) if self._rank == 1 else self.cropping
        for n, (a, b) in zip(inputs.shape[self._first_axis :], pairs, strict=False):
            if n is not None and a + b >= n:
                raise ValueError(
                    f"{who(self)}: expected something left. Received: input {inputs.shape}, cropping {pairs}"
                )
        key = (slice(None),) * self._first_axis + tuple(slice(a, -b if b else None) for a, b in pairs)
        return inputs[key]


class Cropping1D(_Cropping):
    """The steps without some at both ends.

    Args:
        cropping: an integer, or (before, after).
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.Cropping1D(1)(keras.ops.ones((1, 5, 1))).shape
        (1, 3, 1)
    """

    def __init__(self, cropping=(1, 1), data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)


class Cropping2D(_Cropping):
    """Images without a margin.

    Args:
        cropping: an integer, (height, width), or ((top, bottom), (left, right)).
        data_format: "channels_last" or "channels_first"; the session's if None.
    """

    _rank = 2

    def __init__(self, cropping=((0, 0), (0, 0)), data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(_Cropping):
    """Volumes without a margin.

    Args:
        cropping: an integer, three integers, or three pairs.
        data_format: "channels_last" or "channels_first"; the session's if None.
    """

    _rank = 3

    def __init__(self, cropping=((1, 1), (1, 1), (1, 1)), data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)


class UpSampling1D(Layer):
    """Every step repeated.

    Args:
        size: how often.

    Example:
        >>> keras.layers.UpSampling1D(2)(keras.ops.ones((1, 3, 1))).shape
        (1, 6, 1)
    """

    def __init__(self, size=2, **kwargs):
        super().__init__(**kwargs)
        self.size = int(size)
        self.input_spec = InputSpec(ndim=3)
        self.built = True

    def call(self, inputs):
        """The repeated steps."""
        return ops.repeat(inputs, self.size, axis=1)


class _UpSampling(_Spatial):
    def __init__(self, size, data_format, **kwargs):
        super().__init__(data_format, **kwargs)
        self.size = sizes(size, self._rank, "size", type(self).__name__)

    def call(self, inputs):
        """The enlarged inputs."""
        for i, n in enumerate(self.size):
            inputs = ops.repeat(inputs, n, axis=self._first_axis + i)
        return inputs


class UpSampling2D(_UpSampling):
    """Images enlarged by repeating pixels.

    Args:
        size: an integer, or (height, width).
        data_format: "channels_last" or "channels_first"; the session's if None.
        interpolation: only "nearest".

    Example:
        >>> keras.layers.UpSampling2D(2)(keras.ops.ones((1, 2, 2, 1))).shape
        (1, 4, 4, 1)
    """

    _rank = 2

    def __init__(self, size=(2, 2), data_format=None, interpolation="nearest", **kwargs):
        super().__init__(size, data_format, **kwargs)
        if str(interpolation).lower() != "nearest":
            raise NotImplementedError(
                f'UpSampling2D: expected interpolation="nearest". Received: {interpolation!r}'
            )
        self.interpolation = "nearest"


class UpSampling3D(_UpSampling):
    """Volumes enlarged by repeating elements.

    Args:
        size: an integer, or one per axis.
        data_format: "channels_last" or "channels_first"; the session's if None.
    """

    _rank = 3

    def __init__(self, size=(2, 2, 2), data_format=None, **kwargs):
        super().__init__(size, data_format, **kwargs)
