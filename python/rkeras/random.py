"""Random numbers. State is a variable, seed and counter: the same seed, the same numbers."""

from rkeras import _rkeras
from rkeras._core import registry, settings
from rkeras._core.primitive import primitive
from rkeras._core.tensor import cast, convert_to_tensor, standardize_dtype
from rkeras._core.variable import Variable
from rkeras.ops import views

_uniform = primitive("random_uniform")
_normal = primitive("random_normal")
_truncated = primitive("random_truncated_normal")
_integers = primitive("random_integers")
_bernoulli = primitive("random_bernoulli")
_dropout = primitive("dropout")


class SeedGenerator:
    """A source of random numbers that moves on with every draw.

    Args:
        seed: an integer; a random one if None.
        name: a name.

    Example:
        >>> g = keras.random.SeedGenerator(1)
        >>> a, b = keras.random.uniform((2,), seed=g), keras.random.uniform((2,), seed=g)
        >>> bool((a == b).numpy().all())
        False
    """

    def __init__(self, seed=None, name=None, **kwargs):
        from rkeras._core import naming

        if kwargs:
            raise ValueError(f"SeedGenerator: expected arguments seed and name. Received: {list(kwargs)}")
        self.name = name or naming.auto_name("SeedGenerator")
        self._initial_seed = seed
        if seed is None:
            seed = make_default_seed()
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ValueError(
                f"SeedGenerator: expected an integer of zero or more as seed. Received: {seed!r}"
            )
        with naming.name_scope(self.name, caller=self):
            self.state = Variable(
                convert_to_tensor([seed % 2**32, seed // 2**32 % 2**32], "uint32"), trainable=False,
                name="seed_generator_state",
            )  # fmt: skip

    @property
    def seed(self):
        """The seed it was made with, None if it was random."""
        return self._initial_seed

    def next(self, ordered=True):
        """A state to draw with; the generator moves on."""
        state = self.state.read()
        _, after = _uniform(state, shape=(), dtype="float32")
        self.state.assign(after)
        return state

    def get_config(self):
        """What `from_config` needs."""
        return {"seed": self._initial_seed}

    @classmethod
    def from_config(cls, config):
        """The generator of that config."""
        return cls(**config)


def make_default_seed():
    """A new seed from Python's generator (which `set_random_seed` seeds)."""
    import random

    return _global.get("seeds", random).randint(1, int(1e9))


_global = {}


def seed_defaults(seed):
    """Draws, layers and data sets that are not told a seed follow this one; the generators of Python and NumPy do not."""
    import random

    reset_global_generator(seed)
    _global["seeds"] = random.Random(seed)


def global_generator():
    """The generator of draws that are not told a seed."""
    if "generator" not in _global:
        _global["generator"] = SeedGenerator(make_default_seed(), name="global_seed_generator")
    return _global["generator"]


def reset_global_generator(seed=None):
    """The next draws without a seed follow this one."""
    _global.pop("generator", None)
    if seed is not None:
        _global["generator"] = SeedGenerator(seed, name="global_seed_generator")


def draw_seed(seed):
    """The state tensor for an argument `seed`, and where the next state goes (None: nowhere)."""
    if isinstance(seed, SeedGenerator):
        return seed.state.read(), seed.state
    if seed is None:
        generator = global_generator()
        return generator.state.read(), generator.state
    if isinstance(seed, int) and not isinstance(seed, bool):
        return convert_to_tensor([seed % 2**32, seed // 2**32 % 2**32], "uint32"), None
    if isinstance(seed, _rkeras.Tensor) and seed.shape == (2,):
        return cast(seed, "uint32"), None
    raise ValueError(f"random: expected seed as an integer, a SeedGenerator or None. Received: {seed!r}")


def _draw(function, seed, **attributes):
    state, home = draw_seed(seed)
    sample, after = function(state, **attributes)
    if home is not None:
        home.assign(after)
    return sample


def _shape(shape):
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(d is None for d in shape):
        raise ValueError(f"random: expected known sizes. Received: shape={shape}")
    return tuple(int(d) for d in shape)


def _float(dtype):
    dtype = standardize_dtype(dtype)
    if dtype not in ("float16", "bfloat16", "float32", "float64"):
        raise ValueError(f"random: expected a float dtype. Received: {dtype!r}")
    return dtype


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Numbers evenly over [minval, maxval); integers if the dtype is one.

    Args:
        shape: sizes.
        minval, maxval: the bounds.
        dtype: the dtype; `floatx` if None.
        seed: an integer (the same numbers every time), a SeedGenerator, or None.

    Example:
        >>> keras.random.uniform((2, 3), seed=1).shape
        (2, 3)
    """
    if dtype is not None and standardize_dtype(dtype).startswith(("int", "uint")):
        return randint(shape, int(minval), int(maxval), dtype, seed)
    return _draw(_uniform, seed, a=float(minval), b=float(maxval), shape=_shape(shape), dtype=_float(dtype))


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normally distributed numbers; see `uniform`.

    Args:
        shape: sizes.
        mean, stddev: mean and standard deviation.
        dtype: the dtype; `floatx` if None.
        seed: an integer (the same numbers every time), a SeedGenerator, or None.

    Example:
        >>> keras.random.normal((2,), seed=1).dtype
        'float32'
    """
    return _draw(_normal, seed, a=float(mean), b=float(stddev), shape=_shape(shape), dtype=_float(dtype))


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normally distributed numbers within two standard deviations; see `normal`."""
    return _draw(_truncated, seed, a=float(mean), b=float(stddev), shape=_shape(shape), dtype=_float(dtype))


def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Integers evenly over [minval, maxval); see `uniform`.

    Example:
        >>> int(keras.random.randint((), 3, 4, seed=1))
        3
    """
    dtype = standardize_dtype(dtype)
    if not dtype.startswith(("int", "uint")):
        raise ValueError(f"randint: expected an integer dtype. Received: {dtype!r}")
    return _draw(_integers, seed, a=float(minval), b=float(maxval), shape=_shape(shape), dtype=dtype)


def bernoulli(shape, probability, dtype=None, seed=None):
    """1 with the given probability, else 0."""
    return _draw(_bernoulli, seed, a=float(probability), shape=_shape(shape), dtype=_float(dtype))


def categorical(logits, num_samples, dtype="int32", seed=None):
    """Class numbers drawn by unnormalised log-probabilities.

    Args:
        logits: tensor of shape (batch, classes).
        num_samples: how many per row.
        dtype: the dtype of the class numbers.
        seed: an integer, a SeedGenerator, or None.

    Returns:
        Tensor of shape (batch, num_samples).

    Example:
        >>> keras.random.categorical([[0.0, 100.0]], 3, seed=1).numpy().tolist()
        [[1, 1, 1]]
    """
    logits = convert_to_tensor(logits)
    if logits.ndim != 2:
        raise ValueError(f"categorical: expected logits of shape (batch, classes). Received: {logits.shape}")
    # The largest of logits plus Gumbel noise is distributed as wanted.
    batch, classes = logits.shape
    u = uniform((batch, num_samples, classes), 1e-20, 1.0, dtype=logits.dtype, seed=seed)
    gumbel = -primitive("log")(-primitive("log")(u))
    return cast(primitive("argmax")(gumbel + views.expand_dims(logits, 1), axis=-1), standardize_dtype(dtype))


def dropout(inputs, rate, noise_shape=None, seed=None):
    """Each element zero with probability `rate`, the others scaled by 1 / (1 - rate).

    Args:
        inputs: a tensor of floats.
        rate: in [0, 1).
        noise_shape: sizes, 1 where whole slices share a fate.
        seed: an integer, a SeedGenerator, or None.

    Example:
        >>> x = keras.random.dropout(keras.ops.ones((1000,)), 0.5, seed=1)
        >>> sorted(set(x.numpy().tolist()))
        [0.0, 2.0]
    """
    inputs = convert_to_tensor(inputs)
    attributes = {"rate": float(rate)}
    if noise_shape is not None:
        attributes["noise_shape"] = [-1 if d is None else int(d) for d in noise_shape]
    state, home = draw_seed(seed)
    y, _, after = _dropout(inputs, state, **attributes)
    if home is not None:
        home.assign(after)
    return y


def shuffle(x, axis=0, seed=None):
    """The slices along an axis in random order.

    Example:
        >>> sorted(keras.random.shuffle([1, 2, 3], seed=1).numpy().tolist())
        [1, 2, 3]
    """
    x = convert_to_tensor(x)
    keys = uniform((x.shape[axis],), dtype="float32", seed=seed)
    return primitive("gather")(x, views.argsort(keys, -1), axis=axis)


def gamma(shape, alpha, dtype=None, seed=None):
    """Gamma-distributed numbers of shape `alpha` and scale 1 (eager only).

    Args:
        shape: sizes.
        alpha: the shape parameter, broadcast.
        dtype: the dtype; `floatx` if None.
        seed: an integer, a SeedGenerator, or None.

    Example:
        >>> keras.random.gamma((3,), 2.0, seed=1).shape
        (3,)
    """
    import numpy as np

    draws = _numpy_generator(seed).gamma(np.asarray(convert_to_tensor(alpha)), size=_shape(shape))
    return convert_to_tensor(draws, _float(dtype))


def beta(shape, alpha, beta, dtype=None, seed=None):
    """Beta-distributed numbers (eager only); see `gamma`."""
    import numpy as np

    a, b = (np.asarray(convert_to_tensor(v)) for v in (alpha, beta))
    return convert_to_tensor(_numpy_generator(seed).beta(a, b, size=_shape(shape)), _float(dtype))


def binomial(shape, counts, probabilities, dtype=None, seed=None):
    """How many of `counts` trials succeed (eager only); see `gamma`."""
    import numpy as np

    n, p = (np.asarray(convert_to_tensor(v)) for v in (counts, probabilities))
    return convert_to_tensor(
        _numpy_generator(seed).binomial(n.astype("int64"), p, size=_shape(shape)), _float(dtype)
    )


def _numpy_generator(seed):
    """NumPy's generator seeded with a drawn state."""
    import numpy as np

    state, home = draw_seed(seed)
    _, after = _uniform(state, shape=(), dtype="float32")
    if home is not None:
        home.assign(after)
    return np.random.Generator(np.random.Philox(key=[int(v) for v in state.numpy()]))


def set_random_seed(seed):
    """Seeds Python's generator, NumPy's and ours: what follows is repeatable.

    Args:
        seed: an integer.

    Example:
        >>> keras.utils.set_random_seed(1)
        >>> a = keras.random.uniform((2,))
        >>> keras.utils.set_random_seed(1)
        >>> bool((a == keras.random.uniform((2,))).numpy().all())
        True
    """
    if not isinstance(seed, int):
        raise ValueError(f"set_random_seed: expected an integer. Received: {seed!r}")
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)
    settings.values["seed"] = seed
    _global.pop("seeds", None)
    reset_global_generator(seed)


def serialize_seed(seed):
    """A layer's `seed` argument for its config."""
    return registry.serialize_keras_object(seed) if isinstance(seed, SeedGenerator) else seed


def draw_like(x, mean, stddev, seed):
    """Normal noise of the shape and dtype of x (whose sizes need not be known yet)."""
    state, home = draw_seed(seed)
    sample, after = _normal(state, x, a=float(mean), b=float(stddev), dtype=x.dtype)
    if home is not None:
        home.assign(after)
    return sample
