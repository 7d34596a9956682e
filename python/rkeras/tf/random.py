"""Random numbers (`tf.random`). The same seed gives the same numbers; not TensorFlow's."""

from rkeras import ops
from rkeras import random as _random
from rkeras.tf.tensors import _number, _plain, _sizes


def set_seed(seed):
    """Seeds all draws that are not told a seed, those of layers, initializers and data sets included.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.random.set_seed(1)
        >>> a = tf.random.normal([3])
        >>> tf.random.set_seed(1)
        >>> bool(tf.reduce_all(a == tf.random.normal([3])))
        True
    """
    _random.seed_defaults(int(seed) % 2**63)


_streams = {}


def _seed(seed):
    """A stream that a seed starts and draws move on, so that repeated draws differ as in TensorFlow."""
    if seed is None:
        return None
    seed = int(seed) % 2**63
    home = _random.global_generator()
    key = (id(home), seed)
    if key not in _streams:
        _streams[key] = (home, _random.SeedGenerator(seed))
    return _streams[key][1]


def normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None, name=None):
    """Normally distributed numbers.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.random.normal([2, 3]).shape
        (2, 3)
    """
    if _is_number(mean) and _is_number(stddev):
        return _random.normal(_sizes(shape), mean, stddev, dtype=_plain(dtype), seed=_seed(seed))
    return _random.normal(_sizes(shape), dtype=_plain(dtype), seed=_seed(seed)) * stddev + mean


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None, name=None):
    """Normally distributed numbers within two standard deviations."""
    return _random.truncated_normal(_sizes(shape), mean, stddev, dtype=_plain(dtype), seed=_seed(seed))


def uniform(shape, minval=0, maxval=None, dtype="float32", seed=None, name=None):
    """Numbers evenly over [minval, maxval); whole ones if the dtype is an integer's."""
    dtype = _plain(dtype)
    if dtype.startswith(("int", "uint")):
        if maxval is None:
            raise ValueError("tf.random.uniform: expected maxval for integers. Received: None")
        return _random.randint(_sizes(shape), int(_number(minval)), int(_number(maxval)), dtype, _seed(seed))
    maxval = 1.0 if maxval is None else maxval
    if _is_number(minval) and _is_number(maxval):
        return _random.uniform(_sizes(shape), float(minval), float(maxval), dtype=dtype, seed=_seed(seed))
    return _random.uniform(_sizes(shape), dtype=dtype, seed=_seed(seed)) * (maxval - minval) + minval


def _is_number(value):
    return isinstance(value, (int, float))


def categorical(logits, num_samples, dtype="int64", seed=None, name=None):
    """Class numbers drawn by unnormalised log-probabilities."""
    return _random.categorical(logits, int(num_samples), dtype=_plain(dtype), seed=_seed(seed))


def shuffle(value, seed=None, name=None):
    """The slices along the first axis in random order."""
    return _random.shuffle(value, seed=_seed(seed))


def gamma(shape, alpha, beta=None, dtype="float32", seed=None, name=None):
    """Gamma-distributed numbers of shape α and rate β (eager only)."""
    y = _random.gamma(_sizes(shape), alpha, dtype=_plain(dtype), seed=_seed(seed))
    return y if beta is None else ops.divide(y, beta)


def _stateless(function):
    def f(shape, seed, *args, **kwargs):
        a, b = (int(v) for v in ops.convert_to_tensor(seed).numpy().tolist())
        mixed = (a * 0x9E3779B97F4A7C15 + b * 0xC2B2AE3D27D4EB4F + 1) % 2**63
        kwargs.pop("name", None)
        return function(shape, *args, seed=_random.SeedGenerator(mixed), **kwargs)

    f.__name__ = f.__qualname__ = f"stateless_{function.__name__}"
    f.__doc__ = f"As `{function.__name__}`; the same seed (two integers) always gives the same numbers."
    return f


def _plain_normal(shape, mean=0.0, stddev=1.0, dtype="float32", seed=None):
    return _random.normal(_sizes(shape), mean, stddev, dtype=_plain(dtype), seed=seed)


def _plain_uniform(shape, minval=0, maxval=1, dtype="float32", seed=None):
    return _random.uniform(_sizes(shape), minval, maxval, dtype=_plain(dtype), seed=seed)


_plain_normal.__name__, _plain_uniform.__name__ = "normal", "uniform"
stateless_normal = _stateless(_plain_normal)
stateless_uniform = _stateless(_plain_uniform)


class Generator:
    """A source of random numbers with a state of its own.

    Args:
        seed: an integer.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.random.Generator.from_seed(1).normal([2]).shape
        (2,)
    """

    def __init__(self, seed=None):
        self._generator = _random.SeedGenerator(None if seed is None else int(seed) % 2**63)

    @classmethod
    def from_seed(cls, seed, alg=None):
        """The generator of that seed."""
        return cls(seed)

    @classmethod
    def from_non_deterministic_state(cls, alg=None):
        """A generator of a random seed."""
        return cls()

    @property
    def state(self):
        """Its state."""
        return self._generator.state

    def normal(self, shape, mean=0.0, stddev=1.0, dtype="float32", name=None):
        """Normally distributed numbers."""
        return _plain_normal(shape, mean, stddev, dtype, self._generator)

    def truncated_normal(self, shape, mean=0.0, stddev=1.0, dtype="float32", name=None):
        """Normally distributed numbers within two standard deviations."""
        return _random.truncated_normal(
            _sizes(shape), mean, stddev, dtype=_plain(dtype), seed=self._generator
        )

    def uniform(self, shape, minval=0, maxval=None, dtype="float32", name=None):
        """Numbers evenly over [minval, maxval)."""
        return _plain_uniform(shape, minval, 1 if maxval is None else maxval, dtype, self._generator)
