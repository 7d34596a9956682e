"""Classes that only tf.keras 2 has."""

from rkeras import ops
from rkeras._core.registry import register_keras_serializable
from rkeras.layers import Layer


class Reduction:
    """The names of reductions of losses.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.keras.losses.Reduction.SUM
        'sum'
    """

    AUTO = "auto"
    NONE = "none"
    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"

    @classmethod
    def all(cls):
        """All of them."""
        return (cls.AUTO, cls.NONE, cls.SUM, cls.SUM_OVER_BATCH_SIZE)

    @classmethod
    def validate(cls, key):
        """Raises ValueError unless it is one of them."""
        if key not in cls.all():
            raise ValueError(f"Reduction: expected one of {cls.all()}. Received: {key!r}")


@register_keras_serializable("tf")
class ThresholdedReLU(Layer):
    """x where x > θ, else 0.

    Args:
        theta: the threshold.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.keras.layers.ThresholdedReLU(1.0)(tf.constant([0.5, 2.0])).numpy().tolist()
        [0.0, 2.0]
    """

    def __init__(self, theta=1.0, **kwargs):
        super().__init__(**kwargs)
        if theta is None or theta < 0:
            raise ValueError(f"ThresholdedReLU: expected theta of zero or more. Received: {theta}")
        self.supports_masking = True
        self.theta = float(theta)

    def call(self, inputs):
        """Computes the outputs."""
        return ops.where(inputs > self.theta, inputs, ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape):
        """The shape of the input."""
        return input_shape
