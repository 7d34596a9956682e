"""What weights are brought back to after every update."""

from rkeras import ops
from rkeras._core import registry, settings


class Constraint:
    """A projection: `constraint(weight) -> weight`.

    Example:
        >>> class Half(keras.constraints.Constraint):
        ...     def __call__(self, w):
        ...         return w * 0.5
        >>> Half()(keras.ops.ones((1,))).numpy().tolist()
        [0.5]
    """

    def __call__(self, w):
        raise NotImplementedError(f"{type(self).__name__}: expected a method __call__(w). Received: none")

    def get_config(self):
        """What `from_config` needs."""
        return {}

    @classmethod
    def from_config(cls, config):
        """The constraint of that config."""
        return cls(**config)


def _norms(w, axis):
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


class MaxNorm(Constraint):
    """Norms over `axis` of at most `max_value`.

    Args:
        max_value: the largest norm.
        axis: the axis the norms are taken over.

    Example:
        >>> w = keras.ops.convert_to_tensor([[3.0], [4.0]])
        >>> keras.constraints.MaxNorm(1.0)(w).numpy().astype(float).round(4).ravel().tolist()
        [0.6, 0.8]
    """

    def __init__(self, max_value=2, axis=0):
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w):
        norms = _norms(w, self.axis)
        return w * (ops.clip(norms, 0, self.max_value) / (settings.epsilon() + norms))

    def get_config(self):
        """What `from_config` needs."""
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """No weight below zero."""

    def __call__(self, w):
        return ops.relu(w)


class UnitNorm(Constraint):
    """Norms over `axis` of one.

    Args:
        axis: the axis the norms are taken over.
    """

    def __init__(self, axis=0):
        self.axis = axis

    def __call__(self, w):
        return w / (settings.epsilon() + _norms(w, self.axis))

    def get_config(self):
        """What `from_config` needs."""
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Norms over `axis` moved towards the range [min_value, max_value].

    Args:
        min_value, max_value: the range.
        rate: how far: 1 all the way.
        axis: the axis the norms are taken over.
    """

    def __init__(self, min_value=0.0, max_value=1.0, rate=1.0, axis=0):
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w):
        norms = _norms(w, self.axis)
        wanted = self.rate * ops.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return w * (wanted / (settings.epsilon() + norms))

    def get_config(self):
        """What `from_config` needs."""
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm

_catalogue = registry.Catalogue(
    "constraint", "keras.constraints", [Constraint, MaxNorm, NonNeg, UnitNorm, MinMaxNorm]
)


def serialize(constraint):
    """A constraint as plain data."""
    return registry.serialize_keras_object(constraint)


def deserialize(config, custom_objects=None):
    """The constraint of that data."""
    return _catalogue.deserialize(config, custom_objects)


def get(identifier):
    """The constraint that an argument means: None, a name, a config, or a callable.

    Example:
        >>> type(keras.constraints.get("non_neg")).__name__
        'NonNeg'
    """
    return _catalogue.get(identifier)
