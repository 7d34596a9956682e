"""Text: the tensors of strings that files and data sets need, over NumPy arrays of bytes."""

import numpy as np

from rkeras.tf.dtypes import string


def holds_text(value):
    """Is it text, or nested text?"""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    if isinstance(value, StringTensor):
        return True
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind in "SU" or (
            value.dtype.kind == "O" and value.size > 0 and isinstance(value.reshape(-1)[0], (str, bytes))
        )
    return isinstance(value, (str, bytes))


class StringTensor:
    """Text in the shape of a tensor; elements are bytes.

    Args:
        value: str or bytes, or nested lists of them.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.constant(["a", "bc"]).numpy().tolist()
        [b'a', b'bc']
    """

    dtype = string

    def __init__(self, value):
        if isinstance(value, StringTensor):
            value = value.values
        if isinstance(value, (str, bytes)):
            array = np.empty((), object)
            array[()] = value
        else:
            array = np.asarray(_plain(value), dtype=object)
        flat = [v.encode() if isinstance(v, str) else v for v in array.reshape(-1)]
        if not all(isinstance(v, bytes) for v in flat):
            raise TypeError(f"tf.constant: expected text. Received: {value!r}")
        self.values = np.empty(len(flat), object)
        self.values[:] = flat
        self.values = self.values.reshape(array.shape)

    @property
    def shape(self):
        """The sizes."""
        return self.values.shape

    @property
    def ndim(self):
        """The number of axes."""
        return self.values.ndim

    def numpy(self):
        """The elements as bytes: one, or an array of them."""
        return self.values[()] if self.ndim == 0 else self.values

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __bytes__(self):
        return self.values[()]

    def __str__(self):
        return f"tf.Tensor({self.values[()] if self.ndim == 0 else self.values}, shape={self.shape}, dtype=string)"

    __repr__ = __str__

    def __fspath__(self):
        return self.values[()].decode()

    def decode(self, *args):
        """The text of a single element."""
        return self.values[()].decode(*args)

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return iter(self[i] for i in range(len(self.values)))

    def __getitem__(self, index):
        return StringTensor(self.values[index])

    def __eq__(self, other):
        from rkeras import ops

        return ops.convert_to_tensor(np.equal(self.values, StringTensor(other).values).astype(bool))

    def __ne__(self, other):
        from rkeras import ops

        return ops.logical_not(self == other)

    def __add__(self, other):
        return StringTensor(self.values + StringTensor(other).values)

    def __radd__(self, other):
        return StringTensor(StringTensor(other).values + self.values)

    def __hash__(self):
        return hash(self.values.tobytes())


def _plain(value):
    if isinstance(value, StringTensor):
        return value.values.tolist()
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def map_text(function, value):
    """`function(bytes)` of every element, as text."""
    t = StringTensor(value)
    flat = [function(v) for v in t.values.reshape(-1)]
    array = np.empty(len(flat), object)
    array[:] = flat
    return StringTensor(array.reshape(t.shape))
