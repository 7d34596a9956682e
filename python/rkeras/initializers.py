"""First values of weights."""

import math

from rkeras import ops, random
from rkeras._core import registry
from rkeras._core.tensor import convert_to_tensor, standardize_dtype


class Initializer:
    """Makes the first value of a weight: `initializer(shape, dtype) -> tensor`.

    Example:
        >>> class Halves(keras.Initializer):
        ...     def __call__(self, shape, dtype=None, **kwargs):
        ...         return keras.ops.full(shape, 0.5, dtype)
        >>> Halves()((2,)).numpy().tolist()
        [0.5, 0.5]
    """

    def __call__(self, shape, dtype=None):
        raise NotImplementedError(
            f"{type(self).__name__}: expected a method __call__(shape, dtype). Received: none"
        )

    def get_config(self):
        """What `from_config` needs."""
        return {}

    @classmethod
    def from_config(cls, config):
        """The initializer of that config."""
        return cls(**config)

    def clone(self):
        """Another one of the same config."""
        return type(self).from_config(self.get_config())


class Zeros(Initializer):
    """Zeros.

    Example:
        >>> keras.initializers.Zeros()((2,)).numpy().tolist()
        [0.0, 0.0]
    """

    def __call__(self, shape, dtype=None):
        return ops.zeros(shape, dtype=standardize_dtype(dtype))


class Ones(Initializer):
    """Ones."""

    def __call__(self, shape, dtype=None):
        return ops.ones(shape, dtype=standardize_dtype(dtype))


class Constant(Initializer):
    """One value everywhere.

    Args:
        value: a number (or an array that broadcasts).
    """

    def __init__(self, value=0.0):
        self.value = value

    def __call__(self, shape, dtype=None):
        return ops.broadcast_to(convert_to_tensor(self.value, standardize_dtype(dtype)), shape)

    def get_config(self):
        """What `from_config` needs."""
        return {"value": registry.serialize_keras_object(self.value)}

    @classmethod
    def from_config(cls, config):
        """The initializer of that config."""
        return cls(registry.deserialize_keras_object(config["value"]))


class Identity(Initializer):
    """The identity matrix times `gain`.

    Args:
        gain: the factor.
    """

    def __init__(self, gain=1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) != 2:
            raise ValueError(f"Identity: expected a matrix. Received: shape={tuple(shape)}")
        return ops.eye(*shape, dtype=standardize_dtype(dtype)) * self.gain

    def get_config(self):
        """What `from_config` needs."""
        return {"gain": self.gain}


class RandomInitializer(Initializer):
    """An initializer that draws: the same seed gives the same values every time."""

    def __init__(self, seed=None):
        self._init_seed = seed
        if seed is None:
            seed = random.make_default_seed()
        elif isinstance(seed, dict):
            seed = registry.deserialize_keras_object(seed)
        elif not isinstance(seed, (int, random.SeedGenerator)):
            raise ValueError(
                f"{type(self).__name__}: expected seed as an integer or a SeedGenerator. Received: {seed!r}"
            )
        self.seed = seed

    def get_config(self):
        """What `from_config` needs."""
        return {"seed": registry.serialize_keras_object(self._init_seed)}


class RandomUniform(RandomInitializer):
    """Evenly over [minval, maxval).

    Args:
        minval, maxval: the bounds.
        seed: an integer, a SeedGenerator, or None.
    """

    def __init__(self, minval=-0.05, maxval=0.05, seed=None):
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        return random.uniform(shape, self.minval, self.maxval, dtype, self.seed)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


class RandomNormal(RandomInitializer):
    """Normally distributed.

    Args:
        mean, stddev: mean and standard deviation.
        seed: an integer, a SeedGenerator, or None.
    """

    _draw = staticmethod(random.normal)

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        return self._draw(shape, self.mean, self.stddev, dtype, self.seed)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Normally distributed within two standard deviations.

    Args:
        mean, stddev: mean and standard deviation.
        seed: an integer, a SeedGenerator, or None.
    """

    _draw = staticmethod(random.truncated_normal)

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        super().__init__(mean, stddev, seed)


def compute_fans(shape, input_axes=None, output_axes=None):
    """(fan in, fan out) of a kernel: how many values go into and come out of one of its connections."""
    shape = tuple(shape)
    if input_axes is not None or output_axes is not None:
        size = [1, 1]
        for i, axes in enumerate((input_axes, output_axes)):
            for a in [] if axes is None else [axes] if isinstance(axes, int) else axes:
                size[i] *= shape[a]
        return tuple(size)
    if len(shape) < 1:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


class VarianceScaling(RandomInitializer):
    """Draws of variance scale / n, with n by `mode` the fan in, the fan out, or their mean.

    Args:
        scale: the factor.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
        seed: an integer, a SeedGenerator, or None.
        input_axes, output_axes: the axes of the kernel that count as inputs and outputs; None for Keras's
            rule.

    Example:
        >>> keras.initializers.VarianceScaling(seed=1)((3, 4)).shape
        (3, 4)
    """

    def __init__(
        self, scale=1.0, mode="fan_in", distribution="truncated_normal", seed=None, input_axes=None,
        output_axes=None
    ):  # fmt: skip
        if scale <= 0.0:
            raise ValueError(f"VarianceScaling: expected scale above 0. Received: {scale}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(
                f'VarianceScaling: expected mode "fan_in", "fan_out" or "fan_avg". Received: {mode!r}'
            )
        distribution = str(distribution).lower()
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ValueError(
                'VarianceScaling: expected distribution "truncated_normal", "untruncated_normal" or '
                '"uniform". '
                f"Received: {distribution!r}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return random.uniform(shape, -limit, limit, dtype, self.seed)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, math.sqrt(variance), dtype, self.seed)
        # The standard deviation of a normal distribution cut off at two.
        return random.truncated_normal(
            shape, 0.0, math.sqrt(variance) / 0.87962566103423978, dtype, self.seed
        )

    def get_config(self):
        """What `from_config` needs."""
        return {
            **super().get_config(), "scale": self.scale, "mode": self.mode, "distribution": self.distribution,
            "input_axes": self.input_axes, "output_axes": self.output_axes,
        }  # fmt: skip


class _Named(VarianceScaling):
    """A VarianceScaling whose parameters its name tells."""

    _parameters = (1.0, "fan_in", "truncated_normal")

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        scale, mode, distribution = self._parameters
        super().__init__(scale, mode, distribution, seed, input_axes, output_axes)

    def get_config(self):
        """What `from_config` needs."""
        return {
            "seed": registry.serialize_keras_object(self._init_seed), "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }  # fmt: skip


class GlorotUniform(_Named):
    """Evenly over ±sqrt(6 / (fan in + fan out)).

    Args:
        seed: an integer, a SeedGenerator, or None.
        input_axes, output_axes: see `VarianceScaling`.

    Source: Glorot and Bengio, 2010.
    """

    _parameters = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Named):
    """Truncated normal with standard deviation sqrt(2 / (fan in + fan out)).

    Args:
        seed: an integer, a SeedGenerator, or None.
        input_axes, output_axes: see `VarianceScaling`.

    Source: Glorot and Bengio, 2010.
    """

    _parameters = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Named):
    """Evenly over ±sqrt(6 / fan in).

    Args:
        seed: an integer, a SeedGenerator, or None.
        input_axes, output_axes: see `VarianceScaling`.

    Source: He et al., 2015.
    """

    _parameters = (2.0, "fan_in", "uniform")


class HeNormal(_Named):
    """Truncated normal with standard deviation sqrt(2 / fan in).

    Args:
        seed: an integer, a SeedGenerator, or None.
        input_axes, output_axes: see `VarianceScaling`.

    Source: He et al., 2015.
    """

    _parameters = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Named):
    """Evenly over ±sqrt(3 / fan in).

    Args:
        seed: an integer, a SeedGenerator, or None.
        input_axes, output_axes: see `VarianceScaling`.

    Source: Klambauer et al., 2017.
    """

    _parameters = (1.0, "fan_in", "uniform")


class LecunNormal(_Named):
    """Truncated normal with standard deviation sqrt(1 / fan in).

    Args:
        seed: an integer, a SeedGenerator, or None.
        input_axes, output_axes: see `VarianceScaling`.

    Source: Klambauer et al., 2017.
    """

    _parameters = (1.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """A matrix with orthonormal rows or columns times `gain`; more axes are flattened into the rows.

    Args:
        gain: the factor.
        seed: an integer, a SeedGenerator, or None.

    Example:
        >>> q = keras.initializers.Orthogonal(seed=1)((3, 3)).numpy()
        >>> bool(abs(q @ q.T - np.eye(3)).max() < 1e-5)
        True

    Source: Saxe et al., 2013.
    """

    def __init__(self, gain=1.0, seed=None):
        self.gain = gain
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        import numpy as np

        if len(shape) < 2:
            raise ValueError(f"Orthogonal: expected at least two axes. Received: shape={tuple(shape)}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        draws = random.normal(
            (max(rows, columns), min(rows, columns)), dtype="float32", seed=self.seed
        ).numpy()
        q, r = np.linalg.qr(draws.astype("float64"))
        q = q * np.sign(np.diag(r))
        q = (q.T if rows < columns else q).reshape(shape)
        return convert_to_tensor(np.ascontiguousarray(q * self.gain), standardize_dtype(dtype))

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "gain": self.gain}


zeros, ones, constant, identity = Zeros, Ones, Constant, Identity
random_uniform, random_normal, truncated_normal = RandomUniform, RandomNormal, TruncatedNormal
variance_scaling, orthogonal = VarianceScaling, Orthogonal
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal = HeUniform, HeNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal

_catalogue = registry.Catalogue(
    "initializer", "keras.initializers",
    [
        Zeros, Ones, Constant, Identity, RandomUniform, RandomNormal, TruncatedNormal, VarianceScaling,
        GlorotUniform,
        GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal,
    ],
    {
        "uniform": RandomUniform, "normal": RandomNormal, "one": Ones, "zero": Zeros, "IdentityInitializer":
        Identity,
        "OrthogonalInitializer": Orthogonal,
    },
)  # fmt: skip


def serialize(initializer):
    """An initializer as plain data."""
    return registry.serialize_keras_object(initializer)


def deserialize(config, custom_objects=None):
    """The initializer of that data."""
    return _catalogue.deserialize(config, custom_objects)


def get(identifier):
    """The initializer that an argument means: a name, a config, a class, a callable, or an array of values.

    Example:
        >>> type(keras.initializers.get("he_normal")).__name__
        'HeNormal'
    """
    if hasattr(identifier, "shape") and hasattr(identifier, "dtype") and not callable(identifier):
        values = convert_to_tensor(identifier)
        return lambda shape, dtype=None: convert_to_tensor(values, dtype)
    return _catalogue.get(identifier)
