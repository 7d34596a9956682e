"""Convolutions; transposed and depthwise ones are in files of their own."""

from rkeras import activations, constraints, initializers, ops, regularizers
from rkeras._core.settings import standardize_data_format
from rkeras.layers.input_spec import InputSpec, who
from rkeras.layers.layer import Layer


def sizes(value, rank, name, layer, smallest=1):
    """A size per spatial axis from one integer or several."""
    numbers = (value,) * rank if isinstance(value, int) and not isinstance(value, bool) else value
    try:
        numbers = tuple(numbers)
        good = len(numbers) == rank and all(isinstance(n, int) and n >= smallest for n in numbers)
    except TypeError:
        good = False
    if not good:
        raise ValueError(
            f"{layer}: expected {name} as an integer or {rank} integers of at least {smallest}. Received: "
            f"{value!r}"
        )
    return numbers


def padding_name(padding, layer, allowed=("valid", "same")):
    """The padding in lower case, if it is one of those allowed."""
    name = str(padding).lower()
    if name not in allowed:
        raise ValueError(f"{layer}: expected padding as one of {', '.join(allowed)}. Received: {padding!r}")
    return name


class BaseConv(Layer):
    """What all convolutions share.

    Args:
        rank: the number of spatial axes.
        filters: the number of output channels.
        others: see `Conv2D`.
    """

    def __init__(
        self, rank, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        groups=1,
        activation=None, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        name = type(self).__name__
        if filters is not None and (
            isinstance(filters, bool) or not isinstance(filters, int) or filters <= 0
        ):
            raise ValueError(f"{name}: expected filters as a positive integer. Received: filters={filters!r}")
        if not isinstance(groups, int) or groups <= 0:
            raise ValueError(f"{name}: expected groups as a positive integer. Received: groups={groups!r}")
        if filters is not None and filters % groups:
            raise ValueError(
                f"{name}: expected filters that groups={groups} divides. Received: filters={filters}"
            )
        self.rank = rank
        self.filters = filters
        self.groups = groups
        self.kernel_size = sizes(kernel_size, rank, "kernel_size", name)
        self.strides = sizes(strides, rank, "strides", name)
        self.dilation_rate = sizes(dilation_rate, rank, "dilation_rate", name)
        self.padding = padding_name(
            padding, name, ("valid", "same", "causal") if rank == 1 else ("valid", "same")
        )
        self.data_format = standardize_data_format(data_format)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{name}: expected strides or dilation_rate of 1. Received: strides={self.strides}, "
                f"dilation_rate={self.dilation_rate}"
            )
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(ndim=rank + 2)

    _config_omit = ()

    def _channels(self, input_shape):
        axis = 1 if self.data_format == "channels_first" else -1
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"{who(self)}: expected a known number of channels. Received: input shape "
                f"{tuple(input_shape)}"
            )
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={axis: channels})
        return channels

    def _add_bias(self, n):
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (n,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def build(self, input_shape):
        """Makes kernel (*kernel_size, channels / groups, filters) and bias (filters,)."""
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"{who(self)}: expected channels that groups={self.groups} divides. Received: {channels} "
                "channels"
            )
        self.kernel = self.add_weight(
            (*self.kernel_size, channels // self.groups, self.filters), self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint, name="kernel",
        )  # fmt: skip
        self._add_bias(self.filters)
        self._check_size(input_shape)

    def _check_size(self, input_shape):
        """A window larger than the input is found when the layer is built, not when it runs."""
        if self.padding != "valid":
            return
        spatial = input_shape[2:] if self.data_format == "channels_first" else input_shape[1:-1]
        for n, k, d in zip(spatial, self.kernel_size, self.dilation_rate, strict=True):
            if n is not None and n < (k - 1) * d + 1:
                raise ValueError(
                    f"{who(self)}: expected inputs at least as large as the kernel {self.kernel_size} "
                    "(dilated by "
                    f"{self.dilation_rate}). Received: input shape {tuple(input_shape)}. Hint: "
                    'padding="same".'
                )

    def _finish(self, y):
        """Bias and activation."""
        if self.bias is not None:
            bias = self.bias
            if self.data_format == "channels_first":
                bias = ops.reshape(bias, (1, -1) + (1,) * self.rank)
            y = ops.add(y, bias)
        return self.activation(y)

    def call(self, inputs):
        """activation(inputs * kernel + bias)."""
        return self._finish(
            ops.conv(
                inputs, self.kernel, strides=self.strides, padding=self.padding, data_format=self.data_format,
                dilation_rate=self.dilation_rate,
            )
        )  # fmt: skip


class Conv1D(BaseConv):
    """activation(x * W + b) over one spatial axis, e.g. time.

    Args:
        filters: the number of output channels.
        kernel_size: the window, in steps.
        strides: the step from window to window.
        padding: "valid" (none), "same", or "causal" (only what came before is seen).
        data_format: "channels_last" (batch, steps, channels) or "channels_first"; the session's if None.
        dilation_rate: the distance between the elements of the window.
        groups: into how many independent parts the channels are cut.
        activation: a function or its name; none if None.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: the first values.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties.
        kernel_constraint, bias_constraint: what weights are brought back to after updates.

    Example:
        >>> keras.layers.Conv1D(8, 3)(keras.ops.ones((2, 10, 4))).shape
        (2, 8, 8)
    """

    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1, groups=1,
        activation=None, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            1, filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation,
            use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint, bias_constraint, **kwargs,
        )  # fmt: skip


class Conv2D(BaseConv):
    """activation(x * W + b) over two spatial axes, e.g. of images.

    Args:
        filters: the number of output channels.
        kernel_size: the window: an integer, or (height, width).
        strides: the step from window to window.
        padding: "valid" (none) or "same".
        data_format: "channels_last" (batch, height, width, channels) or "channels_first"; the session's if
            None.
        dilation_rate: the distance between the elements of the window.
        groups: into how many independent parts the channels are cut.
        activation: a function or its name; none if None.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: the first values.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties.
        kernel_constraint, bias_constraint: what weights are brought back to after updates.

    Example:
        >>> keras.layers.Conv2D(8, 3, activation="relu")(keras.ops.ones((1, 28, 28, 1))).shape
        (1, 26, 26, 8)
    """

    def __init__(
        self, filters, kernel_size, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1),
        groups=1,
        activation=None, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            2, filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation,
            use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint, bias_constraint, **kwargs,
        )  # fmt: skip


class Conv3D(BaseConv):
    """activation(x * W + b) over three spatial axes, e.g. of volumes.

    Args:
        filters: the number of output channels.
        kernel_size: the window: an integer, or one per axis.
        strides: the step from window to window.
        padding: "valid" (none) or "same".
        data_format: "channels_last" (batch, depth, height, width, channels) or "channels_first".
        dilation_rate: the distance between the elements of the window.
        groups: into how many independent parts the channels are cut.
        activation: a function or its name; none if None.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: the first values.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties.
        kernel_constraint, bias_constraint: what weights are brought back to after updates.

    Example:
        >>> keras.layers.Conv3D(2, 2)(keras.ops.ones((1, 4, 4, 4, 1))).shape
        (1, 3, 3, 3, 2)
    """

    def __init__(
        self, filters, kernel_size, strides=(1, 1, 1), padding="valid", data_format=None, dilation_rate=(1,
        1, 1),
        groups=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            3, filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation,
            use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint, bias_constraint, **kwargs,
        )  # fmt: skip
