"""New tensors: constants, ranges, identities; conversion and casts."""

from rkeras._core import settings, tensor
from rkeras._core.primitive import primitive
from rkeras._core.symbolic import KerasTensor, operation
from rkeras._core.tensor import convert_to_numpy, standardize_dtype

op = operation("numpy")
core = operation("core")
_broadcast_to = primitive("broadcast_to")
_cast = primitive("cast")
_stop_gradient = primitive("stop_gradient")


def _shape(shape):
    return (shape,) if isinstance(shape, int) else tuple(int(d) for d in shape)


def _filled(shape, value, dtype):
    # A view of one element: memory is taken where somebody writes into it or needs it whole.
    sizes = _shape(shape)
    count = 1
    for n in sizes:
        count *= n
    if count >= 2**48:
        raise MemoryError(
            f"full: expected a size that fits into memory. Received: shape={sizes}, {count} elements"
        )
    return _broadcast_to(tensor.convert_to_tensor(value, dtype), shape=sizes)


@core
def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    """A tensor of a number, nested lists, an array or a Variable.

    Args:
        x: the value.
        dtype: the dtype; by default that of the value (Python floats: `floatx`).
        sparse, ragged: only None or False.

    Example:
        >>> keras.ops.convert_to_tensor([1, 2]).dtype
        'int32'
    """
    if sparse or ragged:
        raise NotImplementedError("convert_to_tensor: expected a dense tensor. Received: sparse or ragged")
    return tensor.convert_to_tensor(x, dtype)


@op
def array(x, dtype=None):
    """A tensor of `x`; see `convert_to_tensor`."""
    return tensor.convert_to_tensor(x, dtype)


def is_tensor(x):
    """Whether x is a tensor of rkeras.

    Example:
        >>> keras.ops.is_tensor([1, 2])
        False
    """
    return tensor.is_tensor(x)


@core
def cast(x, dtype):
    """x in another dtype.

    Example:
        >>> keras.ops.cast([1.7, -1.7], "int32").numpy().tolist()
        [1, -1]
    """
    return tensor.cast(tensor.convert_to_tensor(x), standardize_dtype(dtype))


@core
def saturate_cast(x, dtype):
    """x in another dtype, held inside its range first.

    Example:
        >>> keras.ops.saturate_cast([300, -5], "uint8").numpy().tolist()
        [255, 0]
    """
    x, dtype = tensor.convert_to_tensor(x), standardize_dtype(dtype)
    if dtype == "bool" or dtype in tensor.FLOATS:
        return tensor.cast(x, dtype)
    bits = int(dtype.lstrip("uint"))
    low, high = (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if x.dtype in tensor.INTS:
        own_bits = int(x.dtype.lstrip("uint"))
        signed = not x.dtype.startswith("u")
        own_low, own_high = (
            (-(2 ** (own_bits - 1)), 2 ** (own_bits - 1) - 1) if signed else (0, 2**own_bits - 1)
        )
        low, high = (low if low > own_low else own_low), (high if high < own_high else own_high)
    x = primitive("minimum")(primitive("maximum")(x, low), high)
    return tensor.cast(x, dtype)


def dtype(x):
    """The name of the dtype.

    Example:
        >>> keras.ops.dtype(keras.ops.zeros(2))
        'float32'
    """
    return standardize_dtype(x.dtype)


@op
def view(x, dtype=None):
    """The same bits read as another dtype of the same size."""
    import numpy as np

    return tensor.convert_to_tensor(np.asarray(convert_to_numpy(x)).view(standardize_dtype(dtype)))


@core
def stop_gradient(variable):
    """The value unchanged; gradients end here.

    Example:
        >>> float(keras.ops.stop_gradient(2.0))
        2.0
    """
    return _stop_gradient(variable)


@op
def copy(x):
    """A tensor of the same values."""
    return tensor.convert_to_tensor(x)


def zeros(shape, dtype=None):
    """Zeros.

    Args:
        shape: sizes.
        dtype: the dtype; `floatx` if None.

    Example:
        >>> keras.ops.zeros((2,)).numpy().tolist()
        [0.0, 0.0]
    """
    return _filled(shape, 0, standardize_dtype(dtype))


def ones(shape, dtype=None):
    """Ones; see `zeros`."""
    return _filled(shape, 1, standardize_dtype(dtype))


def empty(shape, dtype=None):
    """A tensor of any values (zeros); see `zeros`."""
    return _filled(shape, 0, standardize_dtype(dtype))


@op
def full(shape, fill_value, dtype=None):
    """A tensor filled with one value.

    Args:
        shape: sizes.
        fill_value: a number, or a tensor that broadcasts.
        dtype: the dtype; that of the value if None.

    Example:
        >>> keras.ops.full((2,), 7).numpy().tolist()
        [7, 7]
    """
    return _filled(shape, fill_value, None if dtype is None else standardize_dtype(dtype))


def _like(x, value, dtype):
    x = tensor.convert_to_tensor(x)
    dtype = x.dtype if dtype is None else standardize_dtype(dtype)
    if None in x.shape:  # only known by shape rules: a function of x that has no values of its own
        from rkeras import _rkeras

        return _rkeras.spec(x.shape, dtype)
    return _filled(x.shape, value, dtype)


@op
def zeros_like(x, dtype=None):
    """Zeros of the shape and dtype of x.

    Example:
        >>> keras.ops.zeros_like([3, 4]).numpy().tolist()
        [0, 0]
    """
    return _like(x, 0, dtype)


@op
def ones_like(x, dtype=None):
    """Ones of the shape and dtype of x."""
    return _like(x, 1, dtype)


@op
def empty_like(x, dtype=None):
    """A tensor of any values (zeros) of the shape and dtype of x."""
    return _like(x, 0, dtype)


@op
def full_like(x, fill_value, dtype=None):
    """A tensor of the shape and dtype of x, filled with one value."""
    return _like(x, fill_value, dtype)


def arange(start, stop=None, step=None, dtype=None):
    """Numbers from start (0 if only one is given) up to but without stop.

    Args:
        start, stop, step: numbers.
        dtype: the dtype; int32 or `floatx` by the arguments if None.

    Example:
        >>> keras.ops.arange(1, 7, 2).numpy().tolist()
        [1, 3, 5]
    """
    import numpy as np

    if dtype is None:
        dtypes = [getattr(v, "dtype", type(v)) for v in (start, stop, step) if v is not None]
        floats = any(d is float or "float" in str(d) for d in dtypes)
        wide = [str(d) for d in dtypes if str(d) in ("int64", "float64")]
        dtype = wide[0] if wide else settings.floatx() if floats else "int32"
    start, stop, step = (
        v if v is None or isinstance(v, (int, float)) else np.asarray(v).item() for v in (start, stop, step)
    )
    low, high = (0, start) if stop is None else (start, stop)
    return tensor.convert_to_tensor(
        np.arange(low, high, 1 if step is None else step), standardize_dtype(dtype)
    )


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """Evenly spaced numbers.

    Args:
        start, stop: the ends.
        num: how many.
        endpoint: whether stop is the last one.
        retstep: whether to return the spacing too.
        dtype: the dtype; a float if None.
        axis: where the samples lie, for ends that are tensors.

    Example:
        >>> keras.ops.linspace(0.0, 1.0, 3).numpy().tolist()
        [0.0, 0.5, 1.0]
    """
    import numpy as np

    ends = [convert_to_numpy(v) for v in (start, stop)]
    dtype = standardize_dtype(dtype)
    values, step = np.linspace(*ends, num, endpoint=endpoint, retstep=True, axis=axis)
    values = tensor.convert_to_tensor(values, dtype)
    return (values, tensor.convert_to_tensor(step, dtype)) if retstep else values


def logspace(start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0):
    """base to the power of evenly spaced numbers; see `linspace`."""
    import numpy as np

    ends = [convert_to_numpy(v) for v in (start, stop)]
    return tensor.convert_to_tensor(
        np.logspace(*ends, num, endpoint, base, axis=axis), standardize_dtype(dtype)
    )


def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """Numbers of constant ratio; see `linspace`."""
    import numpy as np

    ends = [convert_to_numpy(v) for v in (start, stop)]
    return tensor.convert_to_tensor(np.geomspace(*ends, num, endpoint, axis=axis), standardize_dtype(dtype))


def eye(N, M=None, k=0, dtype=None):
    """Ones on a diagonal, zeros elsewhere.

    Args:
        N, M: rows and columns (M = N if None).
        k: which diagonal, 0 the main one.
        dtype: the dtype; `floatx` if None.

    Example:
        >>> keras.ops.eye(2).numpy().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    import numpy as np

    return tensor.convert_to_tensor(
        np.eye(int(N), None if M is None else int(M), k), standardize_dtype(dtype)
    )


def identity(n, dtype=None):
    """The identity matrix of n rows."""
    return eye(n, dtype=dtype)


def tri(N, M=None, k=0, dtype=None):
    """Ones at and below a diagonal, zeros above; see `eye`."""
    import numpy as np

    return tensor.convert_to_tensor(
        np.tri(int(N), None if M is None else int(M), k), standardize_dtype(dtype)
    )


def _window(name):
    def window(x):
        import numpy as np

        return tensor.convert_to_tensor(getattr(np, name)(int(x)), settings.floatx())

    window.__name__ = window.__qualname__ = name
    window.__doc__ = f"The {name} window of x samples."
    return window


bartlett, blackman, hamming, hanning = (_window(n) for n in ("bartlett", "blackman", "hamming", "hanning"))


def kaiser(x, beta):
    """The Kaiser window of x samples and shape beta."""
    import numpy as np

    return tensor.convert_to_tensor(np.kaiser(int(x), float(beta)), settings.floatx())


def shape(x):
    """The shape as a tuple; None where a size is not known.

    Example:
        >>> keras.ops.shape(keras.ops.zeros((2, 3)))
        (2, 3)
    """
    if isinstance(x, KerasTensor):
        return x.shape
    return tuple(x.shape) if hasattr(x, "shape") else tensor.convert_to_tensor(x).shape


@op
def ndim(x):
    """The number of axes."""
    return x.ndim if hasattr(x, "ndim") else tensor.convert_to_tensor(x).ndim


@op
def size(x):
    """The number of elements."""
    return tensor.convert_to_tensor(x).size
