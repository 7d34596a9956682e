"""Layers that bring data into range."""

from rkeras import ops
from rkeras.layers.layer import Layer


class Rescaling(Layer):
    """x scale + offset.

    Args:
        scale: the factor: a number, or one per channel.
        offset: what is added.

    Example:
        >>> keras.layers.Rescaling(1 / 255)(np.array([[255, 0]], "uint8")).numpy().tolist()
        [[1.0, 0.0]]
    """

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True
        self.built = True

    def call(self, inputs):
        """The rescaled inputs, as floats."""
        dtype = self.compute_dtype
        scale, offset = self.scale, self.offset
        if not isinstance(scale, (int, float)):
            scale = ops.cast(ops.convert_to_tensor(scale), dtype)
        if not isinstance(offset, (int, float)):
            offset = ops.cast(ops.convert_to_tensor(offset), dtype)
        return ops.cast(inputs, dtype) * scale + offset


class Identity(Layer):
    """The inputs unchanged."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True

    def call(self, inputs):
        """The inputs."""
        return inputs
