"""`tf.keras.backend`, the functions that old programs call `K.*`."""

from rkeras import ops as _ops
from rkeras import random as _random
from rkeras._core.naming import name_scope as name_scope
from rkeras._core.variable import Variable as _Variable
from rkeras.backend import *  # noqa: F403
from rkeras.backend import backend as backend
from rkeras.backend import clear_session as clear_session
from rkeras.backend import count_params as count_params
from rkeras.backend import epsilon as epsilon
from rkeras.backend import floatx as floatx
from rkeras.backend import get_uid as get_uid
from rkeras.backend import image_data_format as image_data_format
from rkeras.backend import is_keras_tensor as is_keras_tensor
from rkeras.backend import set_epsilon as set_epsilon
from rkeras.backend import set_floatx as set_floatx
from rkeras.backend import set_image_data_format as set_image_data_format
from rkeras.tf import math as _math
from rkeras.tf import tensors as _tensors
from rkeras.tf.keras._backend_nn import *  # noqa: F403
from rkeras.tf.math import cumprod as cumprod
from rkeras.tf.math import cumsum as cumsum


def _same(name, function, doc=None):
    """One of our functions of one tensor, under its old name."""

    def f(x):
        return function(x)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc or function.__doc__
    return f


abs = _same("abs", _ops.abs)
cos = _same("cos", _ops.cos)
exp = _same("exp", _ops.exp)
log = _same("log", _ops.log)
round = _same("round", _ops.round)
sign = _same("sign", _ops.sign)
sin = _same("sin", _ops.sin)
square = _same("square", _ops.square)
stop_gradient = _same("stop_gradient", _ops.stop_gradient)
ndim = _same("ndim", _ops.ndim)
shape = _same("shape", _tensors.shape, "The sizes as a tensor.")
equal, not_equal = _ops.equal, _ops.not_equal
greater, greater_equal, less, less_equal = _ops.greater, _ops.greater_equal, _ops.less, _ops.less_equal
maximum, minimum = _ops.maximum, _ops.minimum


def sqrt(x):
    """√max(x, 0)."""
    return _ops.sqrt(_ops.maximum(x, 0))


def pow(x, a):
    """xᵃ."""
    return _ops.power(x, a)


def dtype(x):
    """The dtype's name."""
    return str(x.dtype)


def int_shape(x):
    """The sizes as a tuple, None where unknown.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.keras.backend.int_shape(tf.keras.Input((3,)))
        (None, 3)
    """
    return tuple(x.shape)


def is_sparse(tensor):
    """False: tensors are dense."""
    return False


def to_dense(tensor):
    """The tensor itself."""
    return tensor


# Making.


def variable(value, dtype=None, name=None, constraint=None):
    """A variable."""
    v = _Variable(_ops.convert_to_tensor(value, dtype or floatx()), name=name)
    v.constraint = constraint
    return v


def constant(value, dtype=None, shape=None, name=None):
    """A tensor of these values."""
    return _tensors.constant(value, dtype or floatx(), shape)


def zeros(shape, dtype=None, name=None):
    """A variable of zeros."""
    return variable(_ops.zeros(shape, dtype=dtype or floatx()), dtype, name)


def ones(shape, dtype=None, name=None):
    """A variable of ones."""
    return variable(_ops.ones(shape, dtype=dtype or floatx()), dtype, name)


def eye(size, dtype=None, name=None):
    """A variable with ones on the diagonal."""
    return variable(_ops.eye(size, dtype=dtype or floatx()), dtype, name)


def zeros_like(x, dtype=None, name=None):
    """Zeros in the shape of a tensor."""
    return _ops.zeros_like(x, dtype=dtype)


def ones_like(x, dtype=None, name=None):
    """Ones in the shape of a tensor."""
    return _ops.ones_like(x, dtype=dtype)


def arange(start, stop=None, step=1, dtype="int32"):
    """Numbers from `start` up to but without `stop`."""
    return _tensors.range(start, stop, step, dtype)


def cast(x, dtype):
    """The tensor in another dtype."""
    return _ops.cast(x, dtype)


def cast_to_floatx(x):
    """Values in the default float dtype: an array for arrays and lists, a tensor for tensors."""
    import numpy as np

    return (
        _ops.cast(x, floatx())
        if hasattr(x, "is_symbolic") or isinstance(x, _Variable)
        else np.asarray(x, dtype=floatx())
    )


def random_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normally distributed numbers."""
    return _random.normal(shape, mean, stddev, dtype=dtype, seed=seed)


def random_uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Numbers evenly over [minval, maxval)."""
    return _random.uniform(shape, minval, maxval, dtype=dtype, seed=seed)


def random_bernoulli(shape, p=0.0, dtype=None, seed=None):
    """1 with probability p, else 0."""
    return _ops.cast(_ops.less_equal(_random.uniform(shape, seed=seed), p), dtype or floatx())


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normally distributed numbers within two standard deviations."""
    return _random.truncated_normal(shape, mean, stddev, dtype=dtype, seed=seed)


def random_normal_variable(shape, mean, scale, dtype=None, name=None, seed=None):
    """A variable of normally distributed numbers."""
    return variable(_random.normal(shape, mean, scale, dtype=dtype, seed=seed), dtype, name)


def random_uniform_variable(shape, low, high, dtype=None, name=None, seed=None):
    """A variable of numbers evenly over [low, high)."""
    return variable(_random.uniform(shape, low, high, dtype=dtype, seed=seed), dtype, name)


# Values of variables.


def eval(x):
    """The values as a NumPy array."""
    return _ops.convert_to_numpy(x)


get_value = eval


def set_value(x, value):
    """Gives a variable a value: `K.set_value(model.optimizer.learning_rate, 0.01)`."""
    import numpy as np

    x.assign(np.asarray(value, dtype=str(x.dtype)))


def batch_get_value(tensors):
    """The values of several variables."""
    return [eval(x) for x in tensors]


def batch_set_value(tuples):
    """Gives several variables values: pairs of variable and value."""
    for x, value in tuples:
        set_value(x, value)


def update(x, new_x):
    """Gives a variable a value; returns it."""
    return x.assign(new_x)


def update_add(x, increment):
    """Adds to a variable; returns it."""
    return x.assign_add(increment)


def update_sub(x, decrement):
    """Subtracts from a variable; returns it."""
    return x.assign_sub(decrement)


def moving_average_update(x, value, momentum):
    """x ← momentum x + (1 - momentum) value."""
    return x.assign(x.tensor_in_mode() * momentum + _ops.convert_to_tensor(value) * (1.0 - momentum))


def gradients(loss, variables):
    """Not offered.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("K.gradients: expected TensorFlow 2. Hint: use tf.GradientTape")


def function(inputs, outputs, updates=None, name=None, **kwargs):
    """A function from inputs to outputs of a layer graph; takes and returns lists of arrays.

    Example:
        >>> import rkeras.tf as tf
        >>> x = tf.keras.Input((2,))
        >>> f = tf.keras.backend.function([x], [x * 2.0])
        >>> f([[[1.0, 2.0]]])[0].tolist()
        [[2.0, 4.0]]
    """
    if updates:
        raise NotImplementedError(
            "K.function: expected no updates. Received: some. Hint: assign variables in call()"
        )
    from rkeras.models import Model

    many = isinstance(outputs, (list, tuple))
    model = Model(
        inputs if isinstance(inputs, (list, tuple)) else [inputs], list(outputs) if many else [outputs]
    )

    def run(values):
        values = values if isinstance(values, (list, tuple)) else [values]
        found = model([_ops.convert_to_tensor(v) for v in values])
        found = [eval(v) for v in (found if isinstance(found, (list, tuple)) else [found])]
        return found if many else found[0]

    return run


def learning_phase():
    """False: layers are told by their `training` argument."""
    return False


def set_learning_phase(value):
    """Not offered.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(
        "K.set_learning_phase: expected the argument `training` of calls. Hint: model(x, training=True)"
    )


# Reduction.


def sum(x, axis=None, keepdims=False):
    """The sum along axes."""
    return _ops.sum(x, axis=axis, keepdims=keepdims)


def prod(x, axis=None, keepdims=False):
    """The product along axes."""
    return _ops.prod(x, axis=axis, keepdims=keepdims)


def mean(x, axis=None, keepdims=False):
    """The mean along axes, as floats."""
    return _ops.mean(x, axis=axis, keepdims=keepdims)


def max(x, axis=None, keepdims=False):
    """The greatest along axes."""
    return _ops.max(x, axis=axis, keepdims=keepdims)


def min(x, axis=None, keepdims=False):
    """The least along axes."""
    return _ops.min(x, axis=axis, keepdims=keepdims)


def std(x, axis=None, keepdims=False):
    """The standard deviation along axes."""
    return _ops.std(x, axis=axis, keepdims=keepdims)


def var(x, axis=None, keepdims=False):
    """The variance along axes."""
    return _ops.var(x, axis=axis, keepdims=keepdims)


def all(x, axis=None, keepdims=False):
    """Do all along axes hold?"""
    return _ops.all(x, axis=axis, keepdims=keepdims)


def any(x, axis=None, keepdims=False):
    """Does any along axes hold?"""
    return _ops.any(x, axis=axis, keepdims=keepdims)


def argmax(x, axis=-1):
    """The position of the greatest along an axis."""
    return _math.argmax(x, axis)


def argmin(x, axis=-1):
    """The position of the least along an axis."""
    return _math.argmin(x, axis)


def logsumexp(x, axis=None, keepdims=False):
    """log Σ eˣ along axes."""
    return _ops.logsumexp(x, axis=axis, keepdims=keepdims)


def clip(x, min_value, max_value):
    """Elements within bounds."""
    low = -float("inf") if min_value is None else min_value
    high = float("inf") if max_value is None else max_value
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and high < low:
        high = low
    return _ops.clip(x, low, high)


def __getattr__(name):
    raise AttributeError(
        f"module 'tf.keras.backend': expected a name of rkeras. Received: {name!r}, which is absent. Hint: use rkeras.ops"
    )
