"""Convolutions of every channel on its own, and separable ones."""

from rkeras import constraints, initializers, ops, regularizers
from rkeras.layers.convolution import BaseConv, sizes


class BaseDepthwiseConv(BaseConv):
    """What depthwise convolutions share.

    Args:
        rank: the number of spatial axes.
        others: see `DepthwiseConv2D`.
    """

    def __init__(
        self, rank, kernel_size, strides=1, padding="valid", depth_multiplier=1, data_format=None,
        dilation_rate=1,
        activation=None, use_bias=True, depthwise_initializer="glorot_uniform", bias_initializer="zeros",
        depthwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        depthwise_constraint=None,
        bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            rank, None, kernel_size, strides, padding, data_format, dilation_rate, 1, activation, use_bias,
            bias_initializer=bias_initializer, bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer, bias_constraint=bias_constraint, **kwargs,
        )  # fmt: skip
        if not isinstance(depth_multiplier, int) or depth_multiplier <= 0:
            raise ValueError(
                f"{type(self).__name__}: expected depth_multiplier as a positive integer. Received: "
                f"{depth_multiplier!r}"
            )
        self.depth_multiplier = depth_multiplier
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def build(self, input_shape):
        """Makes kernel (*kernel_size, channels, depth_multiplier) and bias."""
        channels = self._channels(input_shape)
        self.kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier), self.depthwise_initializer,
            regularizer=self.depthwise_regularizer, constraint=self.depthwise_constraint, name="kernel",
        )  # fmt: skip
        self._add_bias(channels * self.depth_multiplier)
        self._check_size(input_shape)

    def call(self, inputs):
        """activation(inputs * kernel + bias), channel by channel."""
        return self._finish(
            ops.depthwise_conv(
                inputs, self.kernel, strides=self.strides, padding=self.padding, data_format=self.data_format,
                dilation_rate=self.dilation_rate,
            )
        )  # fmt: skip


class DepthwiseConv1D(BaseDepthwiseConv):
    """Every channel convolved with kernels of its own, over one spatial axis.

    Args:
        kernel_size: the window, in steps.
        strides: the step from window to window.
        padding: "valid" (none), "same" or "causal".
        depth_multiplier: how many outputs each channel has.
        data_format: "channels_last" or "channels_first"; the session's if None.
        dilation_rate: the distance between the elements of the window.
        activation: a function or its name; none if None.
        use_bias: whether a bias is added.
        depthwise_initializer, bias_initializer: the first values.
        depthwise_regularizer, bias_regularizer, activity_regularizer: penalties.
        depthwise_constraint, bias_constraint: what weights are brought back to after updates.

    Example:
        >>> keras.layers.DepthwiseConv1D(3)(keras.ops.ones((1, 8, 4))).shape
        (1, 6, 4)
    """

    def __init__(
        self, kernel_size, strides=1, padding="valid", depth_multiplier=1, data_format=None, dilation_rate=1,
        activation=None, use_bias=True, depthwise_initializer="glorot_uniform", bias_initializer="zeros",
        depthwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        depthwise_constraint=None,
        bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            1, kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation,
            use_bias,
            depthwise_initializer, bias_initializer, depthwise_regularizer, bias_regularizer,
            activity_regularizer,
            depthwise_constraint, bias_constraint, **kwargs,
        )  # fmt: skip


class DepthwiseConv2D(BaseDepthwiseConv):
    """Every channel convolved with kernels of its own, over two spatial axes.

    Args:
        kernel_size: the window: an integer, or (height, width).
        strides: the step from window to window.
        padding: "valid" (none) or "same".
        depth_multiplier: how many outputs each channel has.
        data_format: "channels_last" or "channels_first"; the session's if None.
        dilation_rate: the distance between the elements of the window.
        activation: a function or its name; none if None.
        use_bias: whether a bias is added.
        depthwise_initializer, bias_initializer: the first values.
        depthwise_regularizer, bias_regularizer, activity_regularizer: penalties.
        depthwise_constraint, bias_constraint: what weights are brought back to after updates.

    Example:
        >>> keras.layers.DepthwiseConv2D(3, depth_multiplier=2)(keras.ops.ones((1, 8, 8, 4))).shape
        (1, 6, 6, 8)
    """

    def __init__(
        self, kernel_size, strides=(1, 1), padding="valid", depth_multiplier=1, data_format=None,
        dilation_rate=(1, 1),
        activation=None, use_bias=True, depthwise_initializer="glorot_uniform", bias_initializer="zeros",
        depthwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        depthwise_constraint=None,
        bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            2, kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation,
            use_bias,
            depthwise_initializer, bias_initializer, depthwise_regularizer, bias_regularizer,
            activity_regularizer,
            depthwise_constraint, bias_constraint, **kwargs,
        )  # fmt: skip


class BaseSeparableConv(BaseConv):
    """What separable convolutions share: a depthwise one, then one of size 1 across channels.

    Args:
        rank: the number of spatial axes.
        others: see `SeparableConv2D`.
    """

    def __init__(
        self, rank, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        depth_multiplier=1, activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform", bias_initializer="zeros", depthwise_regularizer=None,
        pointwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        depthwise_constraint=None,
        pointwise_constraint=None, bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            rank, filters, kernel_size, strides, padding, data_format, dilation_rate, 1, activation, use_bias,
            bias_initializer=bias_initializer, bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer, bias_constraint=bias_constraint, **kwargs,
        )  # fmt: skip
        (self.depth_multiplier,) = sizes(depth_multiplier, 1, "depth_multiplier", type(self).__name__)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape):
        """Makes both kernels and the bias."""
        channels = self._channels(input_shape)
        self.depthwise_kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier), self.depthwise_initializer,
            regularizer=self.depthwise_regularizer, constraint=self.depthwise_constraint,
            name="depthwise_kernel",
        )  # fmt: skip
        self.pointwise_kernel = self.add_weight(
            (*(1,) * self.rank, channels * self.depth_multiplier, self.filters), self.pointwise_initializer,
            regularizer=self.pointwise_regularizer, constraint=self.pointwise_constraint,
            name="pointwise_kernel",
        )  # fmt: skip
        self._add_bias(self.filters)
        self._check_size(input_shape)

    def call(self, inputs):
        """activation(separable_conv(inputs) + bias)."""
        return self._finish(
            ops.separable_conv(
                inputs, self.depthwise_kernel, self.pointwise_kernel, strides=self.strides,
                padding=self.padding,
                data_format=self.data_format, dilation_rate=self.dilation_rate,
            )
        )  # fmt: skip


class SeparableConv1D(BaseSeparableConv):
    """A depthwise convolution, then one of size 1 across channels, over one spatial axis.

    Args:
        filters: the number of output channels.
        kernel_size, strides, padding, data_format, dilation_rate: as in `Conv1D`.
        depth_multiplier: how many outputs each channel has in between.
        activation: a function or its name; none if None.
        use_bias: whether a bias is added.
        depthwise_initializer, pointwise_initializer, bias_initializer: the first values.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer: penalties.
        depthwise_constraint, pointwise_constraint, bias_constraint: what weights are brought back to after
            updates.
    """

    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        depth_multiplier=1,
        activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform", bias_initializer="zeros", depthwise_regularizer=None,
        pointwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        depthwise_constraint=None,
        pointwise_constraint=None, bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            1, filters, kernel_size, strides, padding, data_format, dilation_rate, depth_multiplier,
            activation, use_bias,
            depthwise_initializer, pointwise_initializer, bias_initializer, depthwise_regularizer,
            pointwise_regularizer, bias_regularizer, activity_regularizer, depthwise_constraint,
            pointwise_constraint,
            bias_constraint, **kwargs,
        )  # fmt: skip


class SeparableConv2D(BaseSeparableConv):
    """A depthwise convolution, then one of size 1 across channels, over two spatial axes.

    Args:
        filters: the number of output channels.
        kernel_size, strides, padding, data_format, dilation_rate: as in `Conv2D`.
        depth_multiplier: how many outputs each channel has in between.
        activation: a function or its name; none if None.
        use_bias: whether a bias is added.
        depthwise_initializer, pointwise_initializer, bias_initializer: the first values.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer: penalties.
        depthwise_constraint, pointwise_constraint, bias_constraint: what weights are brought back to after
            updates.

    Example:
        >>> keras.layers.SeparableConv2D(8, 3)(keras.ops.ones((1, 8, 8, 4))).shape
        (1, 6, 6, 8)
    """

    def __init__(
        self, filters, kernel_size, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1),
        depth_multiplier=1, activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform", bias_initializer="zeros", depthwise_regularizer=None,
        pointwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        depthwise_constraint=None,
        pointwise_constraint=None, bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            2, filters, kernel_size, strides, padding, data_format, dilation_rate, depth_multiplier,
            activation, use_bias,
            depthwise_initializer, pointwise_initializer, bias_initializer, depthwise_regularizer,
            pointwise_regularizer, bias_regularizer, activity_regularizer, depthwise_constraint,
            pointwise_constraint,
            bias_constraint, **kwargs,
        )  # fmt: skip
