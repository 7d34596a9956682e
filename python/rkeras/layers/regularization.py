"""Noise in training: dropout and its kin."""

from rkeras import ops, random
from rkeras.layers.input_spec import InputSpec
from rkeras.layers.layer import Layer


class _Noise(Layer):
    """A layer that acts in training only, with a generator of its own."""

    def __init__(self, rate, seed=None, name=None, dtype=None, smallest=0, largest=1, what="rate", **kwargs):
        super().__init__(name=name, dtype=dtype, **kwargs)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not smallest <= rate <= largest:
            raise ValueError(
                f"{type(self).__name__}: expected {what} as a number from {smallest} to {largest}. "
                f"Received: {rate!r}"
            )
        self.rate = rate
        self.seed = seed
        if rate > 0:
            self.seed_generator = random.SeedGenerator(seed)
        self.supports_masking = True
        self.built = True


class Dropout(_Noise):
    """Each element zero with probability `rate`, the others scaled by 1 / (1 - rate), in training.

    Args:
        rate: the probability.
        noise_shape: sizes of the pattern, 1 where whole slices share a fate, None for the input's.
        seed: an integer, or None.

    Example:
        >>> x = keras.ops.ones((2, 3))
        >>> keras.layers.Dropout(0.5)(x).numpy().tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]

    Source: Srivastava et al., 2014.
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(rate, seed, **kwargs)
        if noise_shape is not None and (
            not isinstance(noise_shape, (list, tuple)) or any(d is not None and d < 1 for d in noise_shape)
        ):
            raise ValueError(f"Dropout: expected noise_shape as sizes or None. Received: {noise_shape!r}")
        self.noise_shape = noise_shape

    def call(self, inputs, training=False):
        """The inputs with holes, in training."""
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return ops.zeros_like(inputs)
        return random.dropout(inputs, self.rate, self.noise_shape, self.seed_generator)


class _SpatialDropout(_Noise):
    """Whole channels dropped."""

    _rank = 1

    def __init__(self, rate, data_format, seed, name, dtype):
        super().__init__(rate, seed, name, dtype)
        from rkeras._core.settings import standardize_data_format

        self.data_format = standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self._rank + 2)

    def call(self, inputs, training=False):
        """The inputs without some channels, in training."""
        if not training or self.rate == 0:
            return inputs
        ones = (1,) * self._rank
        shape = (None, None, *ones) if self.data_format == "channels_first" else (None, *ones, None)
        return random.dropout(inputs, self.rate, shape, self.seed_generator)


class SpatialDropout1D(_SpatialDropout):
    """Whole channels zero with probability `rate`, in training, over one spatial axis.

    Args:
        rate: the probability.
        seed: an integer, or None.
    """

    _config_omit = ("activity_regularizer", "data_format")

    def __init__(self, rate, seed=None, name=None, dtype=None):
        super().__init__(rate, "channels_last", seed, name, dtype)


class SpatialDropout2D(_SpatialDropout):
    """Whole channels zero with probability `rate`, in training, over two spatial axes.

    Args:
        rate: the probability.
        data_format: "channels_last" or "channels_first"; the session's if None.
        seed: an integer, or None.
    """

    _rank = 2

    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None):
        super().__init__(rate, data_format, seed, name, dtype)


class SpatialDropout3D(_SpatialDropout):
    """Whole channels zero with probability `rate`, in training, over three spatial axes.

    Args:
        rate: the probability.
        data_format: "channels_last" or "channels_first"; the session's if None.
        seed: an integer, or None.
    """

    _rank = 3

    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None):
        super().__init__(rate, data_format, seed, name, dtype)


class GaussianNoise(_Noise):
    """x plus normal noise, in training.

    Args:
        stddev: the standard deviation of the noise.
        seed: an integer, or None.
    """

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(stddev, seed, what="stddev", **kwargs)
        self.stddev = stddev

    def call(self, inputs, training=False):
        """The noisy inputs, in training."""
        if not training or self.stddev == 0:
            return inputs
        noise = random.draw_like(inputs, 0.0, self.stddev, self.seed_generator)
        return inputs + noise


class GaussianDropout(_Noise):
    """x times normal noise of mean 1 and standard deviation sqrt(rate / (1 - rate)), in training.

    Args:
        rate: as in `Dropout`.
        seed: an integer, or None.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(rate, seed, **kwargs)

    def call(self, inputs, training=False):
        """The noisy inputs, in training."""
        if not training or self.rate == 0:
            return inputs
        deviation = (self.rate / (1.0 - self.rate)) ** 0.5
        return inputs * random.draw_like(inputs, 1.0, deviation, self.seed_generator)


class AlphaDropout(_Noise):
    """Elements set to the lower end of selu with probability `rate`, then scaled and shifted, in training.

    Mean and variance of inputs that are normal stay as they are: a (x kept + α' dropped) + b with α' = -α λ of selu.

    Args:
        rate: the probability.
        noise_shape: sizes of the pattern, 1 where whole slices share a fate, None for the input's.
        seed: an integer, or None.

    Example:
        >>> keras.layers.AlphaDropout(0.5)(keras.ops.ones((1, 2))).numpy().tolist()
        [[1.0, 1.0]]

    Source: Klambauer et al., 2017.
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = noise_shape

    def call(self, inputs, training=False):
        """The inputs with some elements at the lower end, in training."""
        if not training or self.rate == 0:
            return inputs
        low = -1.6732632423543772 * 1.0507009873554805
        kept = random.dropout(ops.ones_like(inputs), self.rate, self.noise_shape, self.seed_generator)
        kept = ops.cast(kept > 0, inputs.dtype)
        a = ((1.0 - self.rate) * (1.0 + self.rate * low**2)) ** -0.5 if self.rate < 1 else 0.0
        b = -a * low * self.rate
        return (inputs * kept + (1.0 - kept) * low) * a + b


class ActivityRegularization(Layer):
    """The inputs unchanged; l1 Σ|x| + l2 Σx² is added to the loss.

    Args:
        l1, l2: the factors.
    """

    def __init__(self, l1=0.0, l2=0.0, **kwargs):
        from rkeras.regularizers import L1L2

        super().__init__(activity_regularizer=L1L2(l1=l1, l2=l2), **kwargs)
        self.supports_masking = True
        self.l1 = l1
        self.l2 = l2
        self.built = True

    def call(self, inputs):
        """The inputs."""
        return inputs

    def get_config(self):
        """What `from_config` needs."""
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return config
