"""Transposed convolutions: from coarse to fine."""

from rkeras import ops
from rkeras.layers.convolution import BaseConv, padding_name, sizes
from rkeras.layers.input_spec import InputSpec


class BaseConvTranspose(BaseConv):
    """What transposed convolutions share.

    Args:
        rank: the number of spatial axes.
        filters: the number of output channels.
        others: see `Conv2DTranspose`.
    """

    def __init__(
        self, rank, filters, kernel_size, strides=1, padding="valid", output_padding=None, data_format=None,
        dilation_rate=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, **kwargs,
    ):  # fmt: skip
        name = type(self).__name__
        super().__init__(
            rank, filters, kernel_size, strides, padding_name(padding, name), data_format, dilation_rate, 1,
            activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )  # fmt: skip
        if output_padding is not None:
            output_padding = sizes(output_padding, rank, "output_padding", name, 0)
            if any(p >= s for p, s in zip(output_padding, self.strides, strict=True)):
                raise ValueError(
                    f"{name}: expected output_padding below strides={self.strides}. Received: {output_padding}"
                )
        self.output_padding = output_padding
        self.input_spec = InputSpec(min_ndim=rank + 2)

    def build(self, input_shape):
        """Makes kernel (*kernel_size, filters, channels) and bias (filters,)."""
        channels = self._channels(input_shape)
        self.kernel = self.add_weight(
            (*self.kernel_size, self.filters, channels), self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint, name="kernel",
        )  # fmt: skip
        self._add_bias(self.filters)

    def call(self, inputs):
        """activation(the gradient of a convolution with the kernel, at inputs, + bias)."""
        return self._finish(
            ops.conv_transpose(
                inputs, self.kernel, strides=self.strides, padding=self.padding,
                output_padding=self.output_padding, data_format=self.data_format,
                dilation_rate=self.dilation_rate,
            )
        )  # fmt: skip


class Conv1DTranspose(BaseConvTranspose):
    """The gradient of `Conv1D` with respect to its input, as a layer with weights of its own.

    Args:
        filters: the number of output channels.
        kernel_size: the window: an integer, or one per axis.
        strides: how much finer the output is.
        padding: "valid" (all that windows reach) or "same" (strides times the input).
        output_padding: how much larger the output is than needed; None for Keras's rule.
        data_format: "channels_last" or "channels_first"; the session's if None.
        dilation_rate: the distance between the elements of the window.
        activation: a function or its name; none if None.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: the first values.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties.
        kernel_constraint, bias_constraint: what weights are brought back to after updates.

    Example:
        >>> keras.layers.Conv1DTranspose(2, 3, strides=2, padding="same")(keras.ops.ones((1, 4, 3))).shape
        (1, 8, 2)

    Source: Zeiler et al., 2010.
    """

    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", output_padding=None, data_format=None,
        dilation_rate=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            1, filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation,
            use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )  # fmt: skip


class Conv2DTranspose(BaseConvTranspose):
    """The gradient of `Conv2D` with respect to its input, as a layer with weights of its own.

    Args:
        filters: the number of output channels.
        kernel_size: the window: an integer, or one per axis.
        strides: how much finer the output is.
        padding: "valid" (all that windows reach) or "same" (strides times the input).
        output_padding: how much larger the output is than needed; None for Keras's rule.
        data_format: "channels_last" or "channels_first"; the session's if None.
        dilation_rate: the distance between the elements of the window.
        activation: a function or its name; none if None.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: the first values.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties.
        kernel_constraint, bias_constraint: what weights are brought back to after updates.

    Example:
        >>> keras.layers.Conv2DTranspose(2, 3, strides=2, padding="same")(keras.ops.ones((1, 4, 4, 3))).shape
        (1, 8, 8, 2)

    Source: Zeiler et al., 2010.
    """

    def __init__(
        self, filters, kernel_size, strides=(1, 1), padding="valid", output_padding=None, data_format=None,
        dilation_rate=(1, 1), activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            2, filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation,
            use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )  # fmt: skip


class Conv3DTranspose(BaseConvTranspose):
    """The gradient of `Conv3D` with respect to its input, as a layer with weights of its own.

    Args:
        filters: the number of output channels.
        kernel_size: the window: an integer, or one per axis.
        strides: how much finer the output is.
        padding: "valid" (all that windows reach) or "same" (strides times the input).
        output_padding: how much larger the output is than needed; None for Keras's rule.
        data_format: "channels_last" or "channels_first"; the session's if None.
        dilation_rate: the distance between the elements of the window.
        activation: a function or its name; none if None.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: the first values.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties.
        kernel_constraint, bias_constraint: what weights are brought back to after updates.

    Example:
        >>> keras.layers.Conv3DTranspose(2, 3, strides=2, padding="same")(keras.ops.ones((1, 4, 4, 4, 3))).shape
        (1, 8, 8, 8, 2)

    Source: Zeiler et al., 2010.
    """

    def __init__(
        self, filters, kernel_size, strides=(1, 1, 1), padding="valid", data_format=None, output_padding=None,
        dilation_rate=(1, 1, 1), activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            3, filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation,
            use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )  # fmt: skip
