"""Activation functions by name."""

from rkeras import ops
from rkeras._core import registry
from rkeras._core.tensor import convert_to_tensor


def linear(x):
    """x itself."""
    return x


def exponential(x):
    """e^x."""
    return ops.exp(x)


def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """x from `threshold` up to `max_value`, negative_slope (x - threshold) below.

    Args:
        x: a tensor.
        negative_slope: the slope below the threshold.
        max_value: the largest value, or None.
        threshold: where it sets in.

    Example:
        >>> keras.activations.relu([-1.0, 2.0]).numpy().tolist()
        [0.0, 2.0]
    """
    if negative_slope == 0.0 and threshold == 0.0:
        if max_value is None:
            return ops.relu(x)
        return ops.minimum(ops.relu(x), max_value)
    if not hasattr(x, "_keras_history"):
        x = convert_to_tensor(x)
    if threshold == 0.0:
        y = ops.leaky_relu(x, negative_slope)
    else:
        # From the threshold on x itself; below it the line through (threshold, 0).
        y = ops.where(x > threshold, x, (x - threshold) * negative_slope)
    return y if max_value is None else ops.minimum(y, max_value)


def sigmoid(x):
    """1 / (1 + e^-x)."""
    return ops.sigmoid(x)


def tanh(x):
    """The hyperbolic tangent."""
    return ops.tanh(x)


def softmax(x, axis=-1):
    """e^x / Σ e^x along an axis.

    Example:
        >>> keras.activations.softmax([[0.0, 0.0]]).numpy().tolist()
        [[0.5, 0.5]]
    """
    return ops.softmax(x, axis=axis)


def log_softmax(x, axis=-1):
    """x - ln Σ e^x along an axis."""
    return ops.log_softmax(x, axis=axis)


def softplus(x):
    """ln(1 + e^x)."""
    return ops.softplus(x)


def softsign(x):
    """x / (1 + |x|)."""
    return ops.softsign(x)


def elu(x, alpha=1.0):
    """x above zero, alpha (e^x - 1) below."""
    return ops.elu(x, alpha=alpha)


def celu(x, alpha=1.0):
    """x above zero, alpha (e^(x / alpha) - 1) below."""
    return ops.celu(x, alpha=alpha)


def selu(x):
    """The scaled elu that keeps mean 0 and variance 1."""
    return ops.selu(x)


def gelu(x, approximate=False):
    """x Φ(x), with Φ the normal distribution function; see `ops.gelu`."""
    return ops.gelu(x, approximate=approximate)


def silu(x):
    """x sigmoid(x)."""
    return ops.silu(x)


def mish(x):
    """x tanh(softplus(x))."""
    return x * ops.tanh(ops.softplus(x))


def leaky_relu(x, negative_slope=0.2):
    """x above zero, negative_slope x below."""
    return ops.leaky_relu(x, negative_slope=negative_slope)


def relu6(x):
    """min(max(x, 0), 6)."""
    return ops.relu6(x)


def hard_sigmoid(x):
    """min(max(x / 6 + 1/2, 0), 1)."""
    return ops.hard_sigmoid(x)


def hard_silu(x):
    """x hard_sigmoid(x)."""
    return ops.hard_silu(x)


def hard_tanh(x):
    """x held between -1 and 1."""
    return ops.hard_tanh(x)


def hard_shrink(x, threshold=0.5):
    """x where |x| is above the threshold, else 0."""
    return ops.hard_shrink(x, threshold=threshold)


def soft_shrink(x, threshold=0.5):
    """x moved towards 0 by the threshold, and 0 within it."""
    return ops.soft_shrink(x, threshold=threshold)


def tanh_shrink(x):
    """x - tanh(x)."""
    return ops.tanh_shrink(x)


def threshold(x, threshold, default_value):
    """x where it is above the threshold, else the default value."""
    return ops.threshold(x, threshold, default_value)


def log_sigmoid(x):
    """ln(1 / (1 + e^-x))."""
    return ops.log_sigmoid(x)


def glu(x, axis=-1):
    """The first half along an axis times the sigmoid of the second half."""
    return ops.glu(x, axis=axis)


def sparse_plus(x):
    """0 below -1, x above 1, (x + 1)² / 4 between."""
    return ops.sparse_plus(x)


def sparse_sigmoid(x):
    """0 below -1, 1 above 1, (x + 1) / 2 between."""
    return ops.sparse_sigmoid(x)


def sparsemax(x, axis=-1):
    """The point of the simplex nearest to x along an axis."""
    return ops.sparsemax(x, axis=axis)


def squareplus(x, b=4):
    """(x + sqrt(x² + b)) / 2."""
    return ops.squareplus(x, b=b)


swish = silu
hard_swish = hard_silu

_catalogue = registry.Catalogue(
    "activation", "keras.activations",
    [
        linear, exponential, relu, sigmoid, tanh, softmax, log_softmax, softplus, softsign, elu, celu, selu,
        gelu, silu,
        mish, leaky_relu, relu6, hard_sigmoid, hard_silu, hard_tanh, hard_shrink, soft_shrink, tanh_shrink,
        threshold,
        log_sigmoid, glu, sparse_plus, sparse_sigmoid, sparsemax, squareplus,
    ],
    {"swish": silu, "hard_swish": hard_silu},
)  # fmt: skip


def serialize(activation):
    """An activation as plain data: the name of ours, a dict for others.

    Example:
        >>> keras.activations.serialize(keras.activations.relu)
        'relu'
    """
    name = getattr(activation, "__name__", None)
    if name is not None and _catalogue.by_name.get(name) is activation:
        return name
    return registry.serialize_keras_object(activation)


def deserialize(config, custom_objects=None):
    """The activation of that data."""
    return _catalogue.deserialize(config, custom_objects)


def get(identifier):
    """The activation that an argument means: None (linear), a name, a config, or a callable.

    Example:
        >>> keras.activations.get("tanh") is keras.activations.tanh
        True
    """
    return linear if identifier is None else _catalogue.get(identifier)
