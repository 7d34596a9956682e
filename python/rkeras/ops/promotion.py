"""Which dtype the operands of an op meet in."""

from rkeras import _rkeras
from rkeras._core.tensor import standardize_dtype

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
