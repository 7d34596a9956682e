"""Activation functions as layers."""

from rkeras import activations, constraints, initializers, ops, regularizers
from rkeras.layers.input_spec import InputSpec
from rkeras.layers.layer import Layer


class _Elementwise(Layer):
    """A layer without weights that passes masks on."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True


class Activation(_Elementwise):
    """An activation function.

    Args:
        activation: a function or its name.

    Example:
        >>> keras.layers.Activation("relu")(keras.ops.convert_to_tensor([-1.0, 2.0])).numpy().tolist()
        [0.0, 2.0]
    """

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs):
        """activation(inputs)."""
        return self.activation(inputs)


class ReLU(_Elementwise):
    """x from `threshold` up to `max_value`, negative_slope (x - threshold) below.

    Args:
        max_value: the largest value, or None.
        negative_slope: the slope below the threshold.
        threshold: where it sets in.

    Example:
        >>> keras.layers.ReLU(max_value=1.0)(keras.ops.convert_to_tensor([-1.0, 2.0])).numpy().tolist()
        [0.0, 1.0]
    """

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        if max_value is not None and max_value < 0.0:
            raise ValueError(f"ReLU: expected max_value of at least 0. Received: {max_value}")
        if negative_slope is None or negative_slope < 0.0:
            raise ValueError(f"ReLU: expected negative_slope of at least 0. Received: {negative_slope}")
        if threshold is None or threshold < 0.0:
            raise ValueError(f"ReLU: expected threshold of at least 0. Received: {threshold}")
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def call(self, inputs):
        """The rectified inputs."""
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(_Elementwise):
    """x above zero, negative_slope x below.

    Args:
        negative_slope: the slope below zero.
    """

    def __init__(self, negative_slope=0.3, **kwargs):
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(f"LeakyReLU: expected negative_slope of at least 0. Received: {negative_slope}")
        self.negative_slope = negative_slope

    def call(self, inputs):
        """The leaky rectified inputs."""
        return activations.leaky_relu(inputs, self.negative_slope)


class ELU(_Elementwise):
    """x above zero, alpha (e^x - 1) below.

    Args:
        alpha: the factor.
    """

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha

    def call(self, inputs):
        """elu(inputs)."""
        return activations.elu(inputs, self.alpha)


class PReLU(Layer):
    """x above zero, a x below, with a trained factor a per element.

    Args:
        alpha_initializer, alpha_regularizer, alpha_constraint: for a.
        shared_axes: axes along which a is the same.

    Source: He et al., 2015.
    """

    def __init__(
        self, alpha_initializer="Zeros", alpha_regularizer=None, alpha_constraint=None, shared_axes=None,
        **kwargs
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.supports_masking = True
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = (
            None
            if shared_axes is None
            else list(shared_axes)
            if isinstance(shared_axes, (list, tuple))
            else [shared_axes]
        )

    def build(self, input_shape):
        """Makes a, of the input's shape without the batch."""
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            shape[axis - 1] = 1
        self.alpha = self.add_weight(
            shape,
            self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
            name="alpha",
        )
        axes = {i: n for i, n in enumerate(input_shape) if i and i not in (self.shared_axes or ())}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=axes)

    def call(self, inputs):
        """max(x, 0) - a max(-x, 0)."""
        return ops.relu(inputs) - self.alpha * ops.relu(ops.negative(inputs))


class Softmax(_Elementwise):
    """e^x / Σ e^x along an axis (or several); masked elements get nothing.

    Args:
        axis: the axis.

    Example:
        >>> keras.layers.Softmax()(keras.ops.zeros((1, 2))).numpy().tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs, mask=None):
        """softmax(inputs)."""
        if mask is not None:
            mask = mask if mask.dtype == "bool" else ops.greater(mask, 0.5)
            low = -3e4 if inputs.dtype == "float16" else -1e9
            inputs = ops.where(mask, inputs, low)
        if isinstance(self.axis, (list, tuple)) and len(self.axis) > 1:
            y = ops.exp(inputs - ops.logsumexp(inputs, axis=list(self.axis), keepdims=True))
        else:
            axis = self.axis[0] if isinstance(self.axis, (list, tuple)) else self.axis
            y = activations.softmax(inputs, axis=axis)
        # Where everything is masked the weights are zero, not equal.
        return y if mask is None else ops.where(mask, y, 0.0)
