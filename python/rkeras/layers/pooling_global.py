"""Pooling over all positions."""

from rkeras import ops
from rkeras._core.settings import standardize_data_format
from rkeras.layers.input_spec import InputSpec
from rkeras.layers.layer import Layer


class BaseGlobalPooling(Layer):
    """What poolings over all positions share.

    Args:
        rank: the number of spatial axes.
        data_format: "channels_last" or "channels_first"; the session's if None.
        keepdims: whether the spatial axes stay, with size 1.
    """

    def __init__(self, rank, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self.keepdims = keepdims
        first = 2 if self.data_format == "channels_first" else 1
        self._axes = tuple(range(first, first + rank))
        self.input_spec = InputSpec(ndim=rank + 2)
        self.built = True


class GlobalMaxPooling1D(BaseGlobalPooling):
    """The largest element over one spatial axis.

    Args:
        data_format: "channels_last" or "channels_first"; the session's if None.
        keepdims: whether the spatial axes stay, with size 1.

    Example:
        >>> keras.layers.GlobalMaxPooling1D()(keras.ops.ones((2, 8, 3))).shape
        (2, 3)
    """

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(1, data_format, keepdims, **kwargs)

    def call(self, inputs):
        """The largest element over the spatial axes."""
        return ops.max(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalMaxPooling2D(BaseGlobalPooling):
    """The largest element over two spatial axes.

    Args:
        data_format: "channels_last" or "channels_first"; the session's if None.
        keepdims: whether the spatial axes stay, with size 1.

    Example:
        >>> keras.layers.GlobalMaxPooling2D()(keras.ops.ones((1, 8, 8, 3))).shape
        (1, 3)
    """

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(2, data_format, keepdims, **kwargs)

    def call(self, inputs):
        """The largest element over the spatial axes."""
        return ops.max(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalMaxPooling3D(BaseGlobalPooling):
    """The largest element over three spatial axes.

    Args:
        data_format: "channels_last" or "channels_first"; the session's if None.
        keepdims: whether the spatial axes stay, with size 1.

    Example:
        >>> keras.layers.GlobalMaxPooling3D()(keras.ops.ones((1, 4, 4, 4, 3))).shape
        (1, 3)
    """

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(3, data_format, keepdims, **kwargs)

    def call(self, inputs):
        """The largest element over the spatial axes."""
        return ops.max(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalAveragePooling1D(BaseGlobalPooling):
    """The mean over one spatial axis, masked steps left out.

    Args:
        data_format: "channels_last" or "channels_first"; the session's if None.
        keepdims: whether the spatial axes stay, with size 1.

    Example:
        >>> keras.layers.GlobalAveragePooling1D()(keras.ops.ones((2, 8, 3))).shape
        (2, 3)
    """

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(1, data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        """The mean over steps."""
        if mask is None:
            return ops.mean(inputs, axis=self._axes, keepdims=self.keepdims)
        weights = ops.expand_dims(ops.cast(mask, inputs.dtype), 2 if self._axes == (1,) else 1)
        total = ops.sum(inputs * weights, axis=self._axes, keepdims=self.keepdims)
        return total / ops.sum(weights, axis=self._axes, keepdims=self.keepdims)

    def compute_mask(self, inputs, previous_mask=None):
        """No steps are left, so no mask is."""
        return None


class GlobalAveragePooling2D(BaseGlobalPooling):
    """The mean over two spatial axes.

    Args:
        data_format: "channels_last" or "channels_first"; the session's if None.
        keepdims: whether the spatial axes stay, with size 1.

    Example:
        >>> keras.layers.GlobalAveragePooling2D()(keras.ops.ones((1, 8, 8, 3))).shape
        (1, 3)
    """

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(2, data_format, keepdims, **kwargs)

    def call(self, inputs):
        """The mean over the spatial axes."""
        return ops.mean(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalAveragePooling3D(BaseGlobalPooling):
    """The mean over three spatial axes.

    Args:
        data_format: "channels_last" or "channels_first"; the session's if None.
        keepdims: whether the spatial axes stay, with size 1.

    Example:
        >>> keras.layers.GlobalAveragePooling3D()(keras.ops.ones((1, 4, 4, 4, 3))).shape
        (1, 3)
    """

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(3, data_format, keepdims, **kwargs)

    def call(self, inputs):
        """The mean over the spatial axes."""
        return ops.mean(inputs, axis=self._axes, keepdims=self.keepdims)


GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D, GlobalAvgPool3D = (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
)
