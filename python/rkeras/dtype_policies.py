"""In which dtype layers compute and keep their weights."""

from rkeras._core import registry, settings
from rkeras._core.tensor import FLOATS, cast, convert_to_tensor, standardize_dtype
from rkeras.ops import cast as _cast_op


class DTypePolicy:
    """The dtypes of a layer: computation, weights.

    Args:
        name: a dtype ("float32"), or "mixed_float16" or "mixed_bfloat16": float32 weights, half-precision
            computation; `floatx` if None.

    Example:
        >>> keras.DTypePolicy("mixed_float16").compute_dtype
        'float16'
    """

    _keras_module = "keras"

    def __init__(self, name=None):
        name = settings.floatx() if name is None else name
        if not isinstance(name, str):
            raise TypeError(f"DTypePolicy: expected a string. Received: {name!r}")
        if name.startswith("mixed_"):
            compute, variable = name[len("mixed_") :], "float32"
            if compute not in ("float16", "bfloat16"):
                raise ValueError(
                    f'DTypePolicy: expected "mixed_float16" or "mixed_bfloat16". Received: {name!r}'
                )
        else:
            compute = variable = standardize_dtype(name)
        self._name = name
        self._compute_dtype = compute
        self._variable_dtype = variable
        self._source_name = None

    @property
    def name(self):
        """The name it was made with."""
        return self._name

    @property
    def compute_dtype(self):
        """The dtype of computation."""
        return self._compute_dtype

    @property
    def variable_dtype(self):
        """The dtype of weights."""
        return self._variable_dtype

    @property
    def quantization_mode(self):
        """None: weights are not quantised."""
        return None

    def convert_input(self, x, autocast, dtype):
        """The value as a tensor; floats in `dtype` if `autocast`."""
        if hasattr(x, "_keras_history"):
            return _cast_op(x, dtype) if autocast and x.dtype in FLOATS and x.dtype != dtype else x
        if not hasattr(x, "__array__") and not hasattr(x, "dtype"):
            return x
        x = convert_to_tensor(x)
        if autocast and x.dtype in FLOATS and x.dtype != dtype:
            mask = getattr(x, "_keras_mask", None)
            x = cast(x, dtype)
            if mask is not None:
                x._keras_mask = mask
        return x

    def get_config(self):
        """What `from_config` needs."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        """The policy of that config."""
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.name == other.name

    def __hash__(self):
        return hash((type(self), self.name))

    def __repr__(self):
        return f'<{type(self).__name__} "{self.name}">'


class FloatDTypePolicy(DTypePolicy):
    """A DTypePolicy (the name that Keras gives the unquantised ones)."""


def default_policy():
    """The policy of layers that are not told."""
    return settings.values["dtype_policy"] or DTypePolicy(settings.floatx())


def serialize(dtype_policy):
    """The policy as plain data."""
    return registry.serialize_keras_object(dtype_policy)


def deserialize(config, custom_objects=None):
    """The policy of that data."""
    return registry.deserialize_keras_object(config, custom_objects=custom_objects)


def get(identifier):
    """The policy that an argument means: None, a name, a config, or a policy.

    Example:
        >>> keras.dtype_policies.get("mixed_bfloat16").variable_dtype
        'float32'
    """
    if identifier is None:
        return default_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    try:
        return DTypePolicy(standardize_dtype(identifier))
    except ValueError:
        raise ValueError(
            f"dtype policy: expected a name, a config or a DTypePolicy. Received: {identifier!r}"
        ) from None
