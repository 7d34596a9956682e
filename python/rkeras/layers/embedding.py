"""Vectors for integers; masks for padding."""

from rkeras import constraints, initializers, ops, regularizers
from rkeras.layers.layer import Layer


class Embedding(Layer):
    """The row of a trained table for every integer.

    Args:
        input_dim: the number of rows (largest integer plus 1).
        output_dim: the size of a row.
        embeddings_initializer: the first values.
        embeddings_regularizer: a penalty.
        embeddings_constraint: what the table is brought back to after updates.
        mask_zero: whether 0 stands for padding and is masked.
        weights: the first values, as an array.
        lora_rank, lora_alpha, quantization_config: only None.

    Example:
        >>> keras.layers.Embedding(10, 4)(keras.ops.convert_to_tensor([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    _config_omit = ("weights", "lora_rank", "lora_alpha")

    def __init__(
        self, input_dim, output_dim, embeddings_initializer="uniform", embeddings_regularizer=None,
        embeddings_constraint=None, mask_zero=False, weights=None, lora_rank=None, lora_alpha=None,
        quantization_config=None, **kwargs,
    ):  # fmt: skip
        length = kwargs.pop("input_length", None)
        if length is not None and "input_shape" not in kwargs:
            kwargs["input_shape"] = (length,)
        super().__init__(**kwargs)
        if lora_rank is not None or quantization_config is not None:
            raise NotImplementedError(
                "Embedding: expected lora_rank=None and quantization_config=None. Received: others"
            )
        for name, value in (("input_dim", input_dim), ("output_dim", output_dim)):
            if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                raise ValueError(
                    f"Embedding: expected {name} as a positive integer. Received: {name}={value!r}"
                )
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.quantization_config = quantization_config
        self.supports_masking = mask_zero
        self.autocast = False
        if weights is not None:
            self.build()
            if not (isinstance(weights, list) and len(weights) == 1):
                weights = [weights]
            self.set_weights(weights)

    def build(self, input_shape=None):
        """Makes the table (input_dim, output_dim)."""
        if self.built:
            return
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim), self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint, name="embeddings",
        )  # fmt: skip

    def call(self, inputs):
        """The rows."""
        if inputs.dtype not in ("int32", "int64"):
            inputs = ops.cast(inputs, "int32")
        return ops.cast(ops.take(self.embeddings, inputs, axis=0), self.compute_dtype)

    def get_config(self):
        """What `from_config` needs."""
        return {"activity_regularizer": None, **super().get_config()}

    def compute_mask(self, inputs, mask=None):
        """True where the integer is not 0, if `mask_zero`."""
        return ops.not_equal(inputs, 0) if self.mask_zero else None


class Masking(Layer):
    """Masks the steps whose features are all `mask_value`.

    Args:
        mask_value: the value.

    Example:
        >>> y = keras.layers.Masking(0.0)(keras.ops.convert_to_tensor([[[1.0], [0.0]]]))
        >>> y._keras_mask.numpy().tolist()
        [[True, False]]
    """

    def __init__(self, mask_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True
        self.built = True

    def compute_mask(self, inputs, mask=None):
        """True where some feature is not the value."""
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs):
        """The inputs, zero where they are masked."""
        keep = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        y = inputs * ops.cast(keep, inputs.dtype)
        y._keras_mask = ops.squeeze(keep, -1)
        return y
