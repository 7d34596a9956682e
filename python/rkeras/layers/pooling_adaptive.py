"""Pooling to a given size."""

from typing import Any

from rkeras import ops
from rkeras._core.settings import standardize_data_format
from rkeras.layers.input_spec import InputSpec
from rkeras.layers.layer import Layer


class BaseAdaptivePooling(Layer):
    """What poolings to a given size share.

    Args:
        rank: the number of spatial axes.
        output_size: an integer, or one per spatial axis.
        data_format: "channels_last" or "channels_first"; the session's if None.
    """

    _pool: Any = None

    def __init__(self, rank, output_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        numbers = (output_size,) * rank if isinstance(output_size, int) else output_size
        if (
            not isinstance(numbers, (list, tuple))
            or len(numbers) != rank
            or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers)
        ):
            raise TypeError(
                f"{type(self).__name__}: expected output_size as a positive integer or {rank} of them. Received: "
                f"{output_size!r}"
            )
        self.output_size = tuple(numbers)
        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=rank + 2)
        self.built = True

    def call(self, inputs):
        """The pooled inputs."""
        return type(self)._pool(inputs, self.output_size, self.data_format)


class AdaptiveAveragePooling1D(BaseAdaptivePooling):
    """The mean of windows that cut the input into `output_size` parts.

    Part i of n positions reaches from floor(i n / size) to ceil((i + 1) n / size).

    Args:
        output_size: an integer.
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.AdaptiveAveragePooling1D(2)(keras.ops.ones((1, 5, 3))).shape
        (1, 2, 3)
    """

    _pool = staticmethod(ops.adaptive_average_pool)

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(1, output_size, data_format, **kwargs)


class AdaptiveAveragePooling2D(BaseAdaptivePooling):
    """The mean of windows that cut the input into `output_size` parts.

    Part i of n positions reaches from floor(i n / size) to ceil((i + 1) n / size).

    Args:
        output_size: an integer, or one per spatial axis.
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.AdaptiveAveragePooling2D(2)(keras.ops.ones((1, 5, 5, 3))).shape
        (1, 2, 2, 3)
    """

    _pool = staticmethod(ops.adaptive_average_pool)

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(2, output_size, data_format, **kwargs)


class AdaptiveAveragePooling3D(BaseAdaptivePooling):
    """The mean of windows that cut the input into `output_size` parts.

    Part i of n positions reaches from floor(i n / size) to ceil((i + 1) n / size).

    Args:
        output_size: an integer, or one per spatial axis.
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.AdaptiveAveragePooling3D(2)(keras.ops.ones((1, 5, 5, 5, 3))).shape
        (1, 2, 2, 2, 3)
    """

    _pool = staticmethod(ops.adaptive_average_pool)

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(3, output_size, data_format, **kwargs)


class AdaptiveMaxPooling1D(BaseAdaptivePooling):
    """The largest element of windows that cut the input into `output_size` parts.

    Part i of n positions reaches from floor(i n / size) to ceil((i + 1) n / size).

    Args:
        output_size: an integer.
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.AdaptiveMaxPooling1D(2)(keras.ops.ones((1, 5, 3))).shape
        (1, 2, 3)
    """

    _pool = staticmethod(ops.adaptive_max_pool)

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(1, output_size, data_format, **kwargs)


class AdaptiveMaxPooling2D(BaseAdaptivePooling):
    """The largest element of windows that cut the input into `output_size` parts.

    Part i of n positions reaches from floor(i n / size) to ceil((i + 1) n / size).

    Args:
        output_size: an integer, or one per spatial axis.
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.AdaptiveMaxPooling2D(2)(keras.ops.ones((1, 5, 5, 3))).shape
        (1, 2, 2, 3)
    """

    _pool = staticmethod(ops.adaptive_max_pool)

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(2, output_size, data_format, **kwargs)


class AdaptiveMaxPooling3D(BaseAdaptivePooling):
    """The largest element of windows that cut the input into `output_size` parts.

    Part i of n positions reaches from floor(i n / size) to ceil((i + 1) n / size).

    Args:
        output_size: an integer, or one per spatial axis.
        data_format: "channels_last" or "channels_first"; the session's if None.

    Example:
        >>> keras.layers.AdaptiveMaxPooling3D(2)(keras.ops.ones((1, 5, 5, 5, 3))).shape
        (1, 2, 2, 2, 3)
    """

    _pool = staticmethod(ops.adaptive_max_pool)

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(3, output_size, data_format, **kwargs)
