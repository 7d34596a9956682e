"""Lists of tensors that are written one by one (`tf.TensorArray`)."""

from rkeras import ops
from rkeras.tf.tensors import _number, _plain


class TensorArray:
    """Tensors by position; `write` gives the array with one more.

    Positions are numbers when the code runs; in a compiled function they have to be known while it is traced.

    Args:
        dtype: the dtype of the tensors.
        size: how many there are at first.
        dynamic_size: whether there may be more.
        element_shape: their shape, for what `stack` gives where none was written.
        Others: accepted for compatibility.

    Example:
        >>> import rkeras.tf as tf
        >>> array = tf.TensorArray(tf.float32, size=2)
        >>> array = array.write(0, 1.0).write(1, 2.0)
        >>> array.stack().numpy().tolist()
        [1.0, 2.0]
    """

    def __init__(
        self, dtype, size=None, dynamic_size=None, clear_after_read=None, tensor_array_name=None, handle=None, flow=None,
        infer_shape=True, element_shape=None, colocate_with_first_write_call=True, name=None,
    ):  # fmt: skip
        self.dtype = _plain(dtype)
        self.dynamic_size = bool(dynamic_size)
        self.element_shape = element_shape
        self._items = [None] * (0 if size is None else int(_number(size)))

    def _with(self, items):
        new = TensorArray(self.dtype, 0, self.dynamic_size, element_shape=self.element_shape)
        new._items = items
        return new

    def write(self, index, value, name=None):
        """The array with a tensor at a position."""
        index = int(_number(index))
        items = list(self._items)
        if index >= len(items):
            if not self.dynamic_size:
                raise IndexError(
                    f"TensorArray.write: expected a position below {len(items)}. Received: {index}. Hint: dynamic_size=True"
                )
            items.extend([None] * (index + 1 - len(items)))
        items[index] = ops.convert_to_tensor(value, self.dtype)
        return self._with(items)

    def read(self, index, name=None):
        """The tensor at a position."""
        value = self._items[int(_number(index))]
        return self._blank() if value is None else value

    def _blank(self):
        shape = next((v.shape for v in self._items if v is not None), self.element_shape)
        if shape is None or None in tuple(shape):
            raise ValueError(
                "TensorArray: expected a tensor at every position. Received: one that was not written"
            )
        return ops.zeros(tuple(shape), dtype=self.dtype)

    def _all(self):
        return [self._blank() if v is None else v for v in self._items]

    def stack(self, name=None):
        """All of them along a new first axis."""
        return ops.stack(self._all(), axis=0)

    def concat(self, name=None):
        """All of them along their first axis."""
        return ops.concatenate(self._all(), axis=0)

    def gather(self, indices, name=None):
        """Those at some positions along a new first axis."""
        return ops.take(self.stack(), indices, axis=0)

    def unstack(self, value, name=None):
        """The array of the slices of a tensor."""
        return self._with(list(ops.unstack(ops.convert_to_tensor(value, self.dtype), axis=0)))

    def size(self, name=None):
        """How many there are."""
        return ops.convert_to_tensor(len(self._items), "int32")

    def identity(self):
        """The array."""
        return self
