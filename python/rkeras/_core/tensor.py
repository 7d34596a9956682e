"""Tensors: conversion, dtype names, masks that travel with them."""

from rkeras import _rkeras
from rkeras._core import settings
from rkeras._core.notebook import tensor_html

Tensor = _rkeras.Tensor
Tensor._repr_html_ = tensor_html  # type: ignore[method-assign,assignment]

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
ALLOWED = frozenset((*FLOATS, *INTS, "bool"))
_SHORT = {bool: "bool", int: "int32", float: None, "int": "int32", "float": "float32", "double": "float64",
          "half": "float16", "bool_": "bool", "long": "int64"}  # fmt: skip


def standardize_dtype(dtype):
    """The name of a dtype given as a name, a NumPy dtype, a Python type, or None for `floatx`.

    Example:
        >>> import numpy as np
        >>> keras.backend.standardize_dtype(np.dtype("int8"))
        'int8'
    """
    if type(dtype) is str and dtype in ALLOWED:
        return dtype
    if dtype is None:
        return settings.values["floatx"]
    try:
        name = _SHORT.get(dtype, dtype) or settings.values["floatx"]
    except TypeError:
        name = dtype
    if not isinstance(name, str):
        name = getattr(name, "name", None) or getattr(name, "__name__", None) or str(name)
    if name in ALLOWED:
        return name
    raise ValueError(f"dtype: expected one of {sorted(ALLOWED)}. Received: {dtype!r}")


def is_float_dtype(dtype):
    """True for float16, bfloat16, float32, float64."""
    return standardize_dtype(dtype) in FLOATS


def is_int_dtype(dtype):
    """True for signed and unsigned integers."""
    return standardize_dtype(dtype) in INTS


def is_tensor(x):
    """True for a value that ops take without conversion: a tensor, eager or symbolic."""
    return isinstance(x, Tensor)


def _scalar_kind(value):
    """The default dtype of Python numbers (nested or not); None if there is something else."""
    if hasattr(value, "dtype"):  # NumPy's float64 is a Python float too, but knows its dtype
        return standardize_dtype(value.dtype) if isinstance(value, float) else None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int32"
    if isinstance(value, float):
        return settings.values["floatx"]
    return None


def convert_to_tensor(x, dtype=None):
    """A tensor of `x`, which may be a number, nested lists, an array, a Variable or a tensor."""
    if isinstance(x, Tensor):
        return x if dtype is None or x.dtype == (dtype := standardize_dtype(dtype)) else cast(x, dtype)
    if isinstance(x, _rkeras.Variable):
        return convert_to_tensor(x.read(), dtype)
    if hasattr(x, "_keras_history"):
        raise ValueError(
            "convert_to_tensor: expected a value. Received: a KerasTensor, which has no values. Hint: "
            "use ops from "
            "rkeras.ops on it, or a layer; NumPy functions cannot take it."
        )
    if dtype is not None:
        dtype = standardize_dtype(dtype)
    else:
        dtype = _scalar_kind(x)
    if dtype is None and isinstance(x, (list, tuple)):
        leaves = _leaves(x)
        if any(isinstance(v, (Tensor, _rkeras.Variable)) for v in leaves):
            rows = [convert_to_tensor(v) for v in x]
            shape = (1, *(-1 if d is None else d for d in rows[0].shape))
            reshape = _rkeras.primitive("reshape")
            return _rkeras.primitive("concatenate")(*[reshape(r, newshape=shape) for r in rows], axis=0)
        kinds = {type(v) for v in leaves}
        if kinds <= {bool, int, float}:
            dtype = (
                settings.values["floatx"]
                if float in kinds or not kinds
                else "int32"
                if int in kinds
                else "bool"
            )
    return _rkeras.tensor(x, dtype)


def _leaves(x):
    if isinstance(x, (list, tuple)):
        return [leaf for item in x for leaf in _leaves(item)]
    return [x]


_cast = None


def cast(x, dtype):
    """The tensor in another dtype."""
    global _cast
    if _cast is None:
        _cast = _rkeras.primitive("cast")
    return x if x.dtype == dtype else _cast(x, dtype=dtype)


def convert_to_numpy(x):
    """A NumPy array of the values of `x`."""
    import numpy as np

    if isinstance(x, _rkeras.Variable):
        x = x.tensor()
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def get_keras_mask(x):
    """The mask that a layer attached to this tensor, or None."""
    return getattr(x, "_keras_mask", None)


def set_keras_mask(x, mask):
    """Attaches a mask (True where an element counts) to a tensor."""
    x._keras_mask = mask


_WEAK = {bool: "bool_", int: "int", float: "float"}


def result_type(*dtypes):
    """The dtype that values of these dtypes give together; Python types adapt to the others.

    Example:
        >>> keras.backend.result_type("int32", "float16"), keras.backend.result_type("int8", float)
        ('float16', 'float32')
    """
    if not dtypes:
        return standardize_dtype(None)
    names = []
    for d in dtypes:
        dtype = getattr(d, "dtype", d)
        weak = _WEAK.get(dtype) if isinstance(dtype, type) else dtype if dtype in ("int", "float") else None
        names.append(weak or standardize_dtype(dtype))
    return _rkeras.result_type(*names)


def _format(self, specification):
    """A single number formats as a number: `f"{loss:.4f}"`."""
    if specification and not self.is_symbolic and self.ndim == 0:
        return format(self.item(), specification)
    return object.__format__(self, specification)


Tensor.__format__ = _format  # type: ignore[method-assign, assignment]
