"""Tensors and variables of `tf`: constants, conversion, assignment."""

from rkeras import ops
from rkeras._core import tree
from rkeras._core.tensor import Tensor as Tensor
from rkeras._core.variable import Variable as KerasVariable
from rkeras.tf.dtypes import as_dtype
from rkeras.tf.shapes import TensorShape
from rkeras.tf.text import StringTensor, holds_text


def _plain(dtype):
    return None if dtype is None else str(as_dtype(dtype))


def constant(value, dtype=None, shape=None, name=None):
    """A tensor of these values.

    Args:
        value: a number, nested lists, an array; or text.
        dtype: the dtype; that of the value if None.
        shape: sizes; a single number fills them.
        name: accepted for compatibility.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.constant([[1, 2], [3, 4]]).numpy().tolist()
        [[1, 2], [3, 4]]
    """
    if holds_text(value) or _plain(dtype) == "string":
        return StringTensor(value)
    x = ops.convert_to_tensor(value, _plain(dtype))
    if shape is None:
        return x
    shape = tuple(int(d) for d in shape)
    if x.size == 1:
        return ops.broadcast_to(ops.reshape(x, ()), shape)
    return ops.reshape(x, shape)


def convert_to_tensor(value, dtype=None, dtype_hint=None, name=None):
    """A tensor of a number, nested lists, an array or a variable; see `tf.constant`.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.convert_to_tensor([1.0, 2.0]).dtype
        'float32'
    """
    if isinstance(value, StringTensor):
        return value
    return constant(value, dtype)


def is_tensor(x):
    """Is it a tensor, a variable, or text?"""
    return isinstance(x, (Tensor, KerasVariable, StringTensor)) or hasattr(x, "_keras_history")


class Variable(KerasVariable):
    """A tensor that changes.

    Args:
        initial_value: the first value, or a function of no arguments that makes it.
        trainable: whether tapes watch it and optimizers change it; True if None.
        name: a name.
        dtype: the dtype; that of the value if None.
        constraint: a function that updated values are passed through.
        shape: the shape, which has to be that of the value.
        Others: accepted for compatibility.

    Example:
        >>> import rkeras.tf as tf
        >>> v = tf.Variable([1.0, 2.0])
        >>> v.assign_add([1.0, 1.0]).numpy().tolist()
        [2.0, 3.0]
    """

    def __new__(
        cls, initial_value=None, trainable=None, validate_shape=True, caching_device=None, name=None, variable_def=None,
        dtype=None, import_scope=None, constraint=None, synchronization="auto", aggregation="none", shape=None, **kwargs,
    ):  # fmt: skip
        if initial_value is None:
            raise ValueError("tf.Variable: expected an initial_value. Received: None")
        if callable(initial_value) and not isinstance(initial_value, (Tensor, KerasVariable)):
            initial_value = initial_value()
        name = None if name is None else name.split("/")[-1]
        shape = None if shape is None or None in tuple(shape) else tuple(shape)
        return super().__new__(
            cls,
            ops.convert_to_tensor(initial_value, _plain(dtype)),
            shape=shape,
            trainable=trainable is None or trainable,
            name=name,
        )

    def __init__(
        self, initial_value=None, trainable=None, validate_shape=True, caching_device=None, name=None, variable_def=None,
        dtype=None, import_scope=None, constraint=None, synchronization="auto", aggregation="none", shape=None, **kwargs,
    ):  # fmt: skip
        super().__init__(None, synchronization=synchronization, aggregation=aggregation)
        self.constraint = constraint

    def value(self):  # type: ignore[override]
        """Its value now."""
        return self.read()

    def read_value(self):
        """Its value now."""
        return self.read()

    def assign(self, value, use_locking=False, name=None, read_value=True):
        """Gives it a new value of the same shape; returns the variable."""
        return super().assign(value)

    def assign_add(self, delta, use_locking=False, name=None, read_value=True):
        """Adds to it; returns the variable."""
        return super().assign_add(ops.convert_to_tensor(delta, self.dtype))

    def assign_sub(self, delta, use_locking=False, name=None, read_value=True):
        """Subtracts from it; returns the variable."""
        return super().assign_sub(ops.convert_to_tensor(delta, self.dtype))

    def get_shape(self):
        """Its shape."""
        return TensorShape(self.shape)

    @property
    def device(self):
        """Where it is."""
        return "CPU:0"


def cast(x, dtype, name=None):
    """The tensor in another dtype.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.cast([1.7, 2.0], tf.int32).numpy().tolist()
        [1, 2]
    """
    return ops.cast(x, _plain(dtype))


def saturate_cast(value, dtype, name=None):
    """The tensor in another dtype; numbers out of its range become its bounds."""
    return ops.saturate_cast(value, _plain(dtype))


def zeros(shape, dtype="float32", name=None, layout=None):
    """Zeros."""
    return ops.zeros(_sizes(shape), dtype=_plain(dtype))


def ones(shape, dtype="float32", name=None, layout=None):
    """Ones."""
    return ops.ones(_sizes(shape), dtype=_plain(dtype))


def fill(dims, value, name=None, layout=None):
    """The shape filled with a value.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.fill([2], 3).numpy().tolist()
        [3, 3]
    """
    return ops.broadcast_to(ops.convert_to_tensor(value), _sizes(dims))


def zeros_like(input, dtype=None, name=None, layout=None):
    """Zeros in the shape of a tensor."""
    return ops.zeros_like(input, dtype=_plain(dtype))


def ones_like(input, dtype=None, name=None, layout=None):
    """Ones in the shape of a tensor."""
    return ops.ones_like(input, dtype=_plain(dtype))


def eye(num_rows, num_columns=None, batch_shape=None, dtype="float32", name=None):
    """Ones on the diagonal, zeros elsewhere."""
    x = ops.eye(num_rows, num_columns, dtype=_plain(dtype))
    return x if batch_shape is None else ops.broadcast_to(x, (*_sizes(batch_shape), *x.shape))


def range(start, limit=None, delta=1, dtype=None, name="range"):
    """Numbers from `start` up to but without `limit`.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.range(1, 7, 2).numpy().tolist()
        [1, 3, 5]
    """
    if limit is None:
        start, limit = 0, start
    start, limit, delta = (_number(v) for v in (start, limit, delta))
    return ops.arange(start, limit, delta, dtype=_plain(dtype))


def linspace(start, stop, num, name=None, axis=0):
    """So many numbers evenly from `start` to `stop`, both included."""
    return ops.linspace(start, stop, int(num), axis=axis)


def identity(input, name=None):
    """A tensor of the same values."""
    return tree.map_structure(ops.copy, input)


def stop_gradient(input, name=None):
    """The tensor, as a constant for gradients."""
    return ops.stop_gradient(input)


def shape(input, out_type="int32", name=None):
    """The sizes as a tensor of integers.

    Raises:
        ValueError: while a size is unknown, as in a KerasTensor: use `x.shape` there.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.shape([[1, 2, 3]]).numpy().tolist()
        [1, 3]
    """
    sizes = ops.shape(input if hasattr(input, "shape") else ops.convert_to_tensor(input))
    if any(d is None for d in sizes):
        if hasattr(input, "_keras_history"):
            # In the layer graph the sizes that are known are numbers; the others stay None, as for `x.shape`.
            return TensorShape(sizes)
        raise ValueError(f"tf.shape: expected known sizes. Received: {sizes}. Hint: use x.shape or -1")
    return ops.convert_to_tensor([int(d) for d in sizes], _plain(out_type))


def size(input, out_type="int32", name=None):
    """The number of elements."""
    n = 1
    for d in ops.convert_to_tensor(input).shape:
        n *= d
    return ops.convert_to_tensor(n, _plain(out_type))


def rank(input, name=None):
    """The number of axes."""
    return ops.convert_to_tensor(ops.ndim(input), "int32")


def get_static_value(tensor, partial=False):
    """The values as a NumPy array; None for a symbol."""
    if isinstance(tensor, Tensor) and not tensor.is_symbolic:
        return tensor.numpy()
    return None


def ensure_shape(x, shape, name=None):
    """The tensor, if it has that shape (None fits any size).

    Raises:
        ValueError: if it has not.
    """
    TensorShape(shape).assert_is_compatible_with(x.shape)
    return x


def _number(value):
    """A Python number of a number or a tensor of one."""
    if isinstance(value, (int, float)):
        return value
    value = ops.convert_to_tensor(value)
    return value.item()


def _sizes(shape):
    """Sizes given as numbers, a tensor of them, or one."""
    if isinstance(shape, int):
        return (shape,)
    if isinstance(shape, (Tensor, KerasVariable)):
        return tuple(int(d) for d in (shape.numpy().tolist() if shape.ndim else [int(shape)]))
    return tuple(int(d) for d in shape)
