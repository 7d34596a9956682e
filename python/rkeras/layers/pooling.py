"""Pooling over windows."""

from rkeras import ops
from rkeras._core.settings import standardize_data_format
from rkeras.layers.convolution import padding_name, sizes
from rkeras.layers.input_spec import InputSpec
from rkeras.layers.layer import Layer


class BasePooling(Layer):
    """What poolings share.

    Args:
        rank: the number of spatial axes.
        others: see `MaxPooling2D`.
    """

    _pool = None

    def __init__(self, rank, pool_size, strides, padding, data_format, name, **kwargs):
        super().__init__(name=name, **kwargs)
        who = type(self).__name__
        self.pool_size = sizes(pool_size, rank, "pool_size", who)
        self.strides = self.pool_size if strides is None else sizes(strides, rank, "strides", who)
        self.padding = padding_name(padding, who)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=rank + 2)
        self.built = True

    def call(self, inputs):
        """The pooled inputs."""
        return type(self)._pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class MaxPooling1D(BasePooling):
    """The largest element of every window, over one spatial axis.

    Args:
        pool_size: the window: an integer.
        strides: the step from window to window; the window's size if None.
        padding: "valid" (none) or "same".
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.MaxPooling1D()(keras.ops.ones((2, 8, 3))).shape
        (2, 4, 3)
    """

    _pool = ops.max_pool

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(1, pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling2D(BasePooling):
    """The largest element of every window, over two spatial axes.

    Args:
        pool_size: the window: an integer, or one per axis.
        strides: the step from window to window; the window's size if None.
        padding: "valid" (none) or "same".
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.MaxPooling2D()(keras.ops.ones((1, 8, 8, 3))).shape
        (1, 4, 4, 3)
    """

    _pool = ops.max_pool

    def __init__(
        self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, name=None, **kwargs
    ):
        super().__init__(2, pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling3D(BasePooling):
    """The largest element of every window, over three spatial axes.

    Args:
        pool_size: the window: an integer, or one per axis.
        strides: the step from window to window; the window's size if None.
        padding: "valid" (none) or "same".
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.MaxPooling3D()(keras.ops.ones((1, 4, 4, 4, 3))).shape
        (1, 2, 2, 2, 3)
    """

    _pool = ops.max_pool

    def __init__(
        self, pool_size=(2, 2, 2), strides=None, padding="valid", data_format=None, name=None, **kwargs
    ):
        super().__init__(3, pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling1D(BasePooling):
    """The mean of every window, over one spatial axis.

    Args:
        pool_size: the window: an integer.
        strides: the step from window to window; the window's size if None.
        padding: "valid" (none) or "same".
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.AveragePooling1D(2)(keras.ops.ones((2, 8, 3))).shape
        (2, 4, 3)
    """

    _pool = ops.average_pool

    def __init__(self, pool_size, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(1, pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling2D(BasePooling):
    """The mean of every window, over two spatial axes.

    Args:
        pool_size: the window: an integer, or one per axis.
        strides: the step from window to window; the window's size if None.
        padding: "valid" (none) or "same".
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.AveragePooling2D(2)(keras.ops.ones((1, 8, 8, 3))).shape
        (1, 4, 4, 3)
    """

    _pool = ops.average_pool

    def __init__(self, pool_size, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(2, pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling3D(BasePooling):
    """The mean of every window, over three spatial axes.

    Args:
        pool_size: the window: an integer, or one per axis.
        strides: the step from window to window; the window's size if None.
        padding: "valid" (none) or "same".
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.AveragePooling3D(2)(keras.ops.ones((1, 4, 4, 4, 3))).shape
        (1, 2, 2, 2, 3)
    """

    _pool = ops.average_pool

    def __init__(self, pool_size, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(3, pool_size, strides, padding, data_format, name, **kwargs)


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
