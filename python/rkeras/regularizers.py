"""Penalties on weights, added to the loss."""

from rkeras import ops
from rkeras._core import registry


def _number(value, name, who):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(f"{who}: expected {name} as a number of zero or more. Received: {value!r}")
    return float(value)


class Regularizer:
    """A penalty: `regularizer(weight) -> number`.

    Example:
        >>> class Sum(keras.Regularizer):
        ...     def __call__(self, x):
        ...         return keras.ops.sum(x)
        >>> float(Sum()(keras.ops.ones((3,))))
        3.0
    """

    def __call__(self, x):
        return 0.0

    def get_config(self):
        """What `from_config` needs."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method get_config(). Received: none")

    @classmethod
    def from_config(cls, config):
        """The regularizer of that config."""
        return cls(**config)


class L1L2(Regularizer):
    """l1 Σ|x| + l2 Σx².

    Args:
        l1, l2: the factors.

    Example:
        >>> float(keras.regularizers.L1L2(1.0, 1.0)(keras.ops.convert_to_tensor([1.0, -2.0])))
        8.0
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = _number(0.0 if l1 is None else l1, "l1", "L1L2")
        self.l2 = _number(0.0 if l2 is None else l2, "l2", "L1L2")

    def __call__(self, x):
        total = 0.0
        if self.l1:
            total = self.l1 * ops.sum(ops.absolute(x))
        if self.l2:
            total = total + self.l2 * ops.sum(ops.square(x))
        return ops.convert_to_tensor(total, x.dtype)

    def get_config(self):
        """What `from_config` needs."""
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """l1 Σ|x|.

    Args:
        l1: the factor.
    """

    def __init__(self, l1=0.01):
        self.l1 = _number(0.01 if l1 is None else l1, "l1", "L1")

    def __call__(self, x):
        return self.l1 * ops.sum(ops.absolute(x))

    def get_config(self):
        """What `from_config` needs."""
        return {"l1": self.l1}


class L2(Regularizer):
    """l2 Σx².

    Args:
        l2: the factor.

    Example:
        >>> float(keras.regularizers.L2(0.5)(keras.ops.convert_to_tensor([2.0])))
        2.0
    """

    def __init__(self, l2=0.01):
        self.l2 = _number(0.01 if l2 is None else l2, "l2", "L2")

    def __call__(self, x):
        return self.l2 * ops.sum(ops.square(x))

    def get_config(self):
        """What `from_config` needs."""
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """How far rows (or columns) are from being at right angles: factor mean |cosine| over all pairs.

    Args:
        factor: the factor.
        mode: "rows" or "columns".

    Source: Brock et al., 2016.
    """

    def __init__(self, factor=0.01, mode="rows"):
        self.factor = _number(factor, "factor", "OrthogonalRegularizer")
        if mode not in ("rows", "columns"):
            raise ValueError(f'OrthogonalRegularizer: expected mode "rows" or "columns". Received: {mode!r}')
        self.mode = mode

    def __call__(self, x):
        if len(x.shape) != 2:
            raise ValueError(f"OrthogonalRegularizer: expected a matrix. Received: shape {x.shape}")
        rows = self.mode == "rows"
        x = ops.normalize(x, axis=1 if rows else 0)
        xt = ops.transpose(x)
        products = ops.matmul(x, xt) if rows else ops.matmul(xt, x)
        n = x.shape[0 if rows else 1]
        products = products * (1.0 - ops.eye(n, dtype=products.dtype))
        return self.factor * 0.5 * ops.sum(ops.absolute(products)) / (n * (n - 1.0) / 2.0)

    def get_config(self):
        """What `from_config` needs."""
        return {"factor": self.factor, "mode": self.mode}


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer

_catalogue = registry.Catalogue(
    "regularizer", "keras.regularizers", [Regularizer, L1L2, L1, L2, OrthogonalRegularizer],
    {"l1": L1, "l2": L2, "l1_l2": L1L2},
)  # fmt: skip


def serialize(regularizer):
    """A regularizer as plain data."""
    return registry.serialize_keras_object(regularizer)


def deserialize(config, custom_objects=None):
    """The regularizer of that data."""
    return _catalogue.deserialize(config, custom_objects)


def get(identifier):
    """The regularizer that an argument means: None, a name, a config, or a callable.

    Example:
        >>> keras.regularizers.get("l2").l2
        0.01
    """
    return _catalogue.get(identifier)
