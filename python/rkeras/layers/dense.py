"""The fully connected layer."""

from rkeras import activations, constraints, initializers, ops, regularizers
from rkeras.layers.input_spec import InputSpec
from rkeras.layers.layer import Layer


class Dense(Layer):
    """activation(x W + b), on the last axis.

    Args:
        units: the size of the output.
        activation: a function or its name; none if None.
        use_bias: whether b is added.
        kernel_initializer, bias_initializer: the first values of W and b.
        kernel_regularizer, bias_regularizer: penalties on them.
        activity_regularizer: a penalty on the output.
        kernel_constraint, bias_constraint: what they are brought back to after updates.
        lora_rank, lora_alpha, quantization_config: only None.

    Raises:
        ValueError: for units below one, and for inputs of another size than the first.

    Example:
        >>> keras.layers.Dense(4, activation="relu")(keras.ops.ones((2, 3))).shape
        (2, 4)
    """

    _config_omit = ("activity_regularizer", "lora_rank", "lora_alpha")

    def __init__(
        self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None, lora_rank=None, lora_alpha=None, quantization_config=None, **kwargs,
    ):  # fmt: skip
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        if isinstance(units, bool) or not isinstance(units, int) or units <= 0:
            raise ValueError(f"Dense: expected units as a positive integer. Received: units={units!r}")
        if lora_rank is not None or quantization_config is not None:
            raise NotImplementedError(
                "Dense: expected lora_rank=None and quantization_config=None. Received: others"
            )
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.quantization_config = quantization_config
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape):
        """Makes kernel (inputs, units) and bias (units,)."""
        size = input_shape[-1]
        if size is None:
            raise ValueError(
                f'Dense "{self.name}": expected a known last size. Received: input shape {input_shape}'
            )
        self.kernel = self.add_weight(
            (size, self.units), self.kernel_initializer, regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint, name="kernel",
        )  # fmt: skip
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,), self.bias_initializer, regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )  # fmt: skip
        self.input_spec = InputSpec(min_ndim=2, axes={-1: size})

    def call(self, inputs, training=None):
        """activation(inputs W + b)."""
        x = ops.matmul(inputs, self.kernel)
        if self.bias is not None:
            x = ops.add(x, self.bias)
        return self.activation(x)
