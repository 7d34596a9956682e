"""Shapes and specs of tensors as TensorFlow writes them."""

from rkeras.tf.dtypes import as_dtype, float32


class TensorShape(tuple):
    """A shape: a tuple of sizes, None where unknown, with TensorFlow's methods.

    Args:
        dims: sizes.

    Example:
        >>> import rkeras.tf as tf
        >>> shape = tf.TensorShape([None, 3])
        >>> shape.as_list(), shape.rank, shape.is_fully_defined()
        ([None, 3], 2, False)
    """

    __slots__ = ()

    def __new__(cls, dims=()):
        if dims is None:
            raise ValueError(
                "TensorShape: expected the sizes, None where unknown. Received: None. Hint: every tensor here "
                "has a known number of axes"
            )
        return super().__new__(cls, (dims,) if isinstance(dims, int) else dims)

    def as_list(self):
        """The sizes as a list."""
        return list(self)

    @property
    def rank(self):
        """The number of axes."""
        return len(self)

    ndims = rank

    @property
    def dims(self):
        """The sizes as a list."""
        return list(self)

    def is_fully_defined(self):
        """Are all sizes known?"""
        return None not in self

    def num_elements(self):
        """The number of elements; None if a size is unknown."""
        n = 1
        for d in self:
            if d is None:
                return None
            n *= d
        return n

    def concatenate(self, other):
        """These axes, then those of the other."""
        return TensorShape((*self, *TensorShape(other)))

    def is_compatible_with(self, other):
        """May both be shapes of one tensor?"""
        other = TensorShape(other)
        return len(self) == len(other) and all(
            a is None or b is None or a == b for a, b in zip(self, other, strict=True)
        )

    def assert_is_compatible_with(self, other):
        """Raises ValueError unless `is_compatible_with`."""
        if not self.is_compatible_with(other):
            raise ValueError(f"TensorShape: expected a shape compatible with {self}. Received: {other}")

    def with_rank(self, rank):
        """The shape itself, if it has that many axes."""
        if len(self) != rank:
            raise ValueError(f"TensorShape: expected {rank} axes. Received: {self}")
        return self

    def __getitem__(self, index):
        got = tuple.__getitem__(self, index)
        return TensorShape(got) if isinstance(index, slice) else got

    def __add__(self, other):
        return TensorShape(tuple.__add__(self, tuple(other)))

    def __radd__(self, other):
        return TensorShape(tuple(other) + tuple(self))

    def __eq__(self, other):
        return tuple.__eq__(self, tuple(other) if isinstance(other, list) else other)

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return tuple.__hash__(self)

    def __reduce__(self):
        return TensorShape, (tuple(self),)


class TensorSpec:
    """The shape and dtype of a tensor to come.

    Args:
        shape: sizes, None where unknown.
        dtype: the dtype.
        name: a name.
    """

    def __init__(self, shape, dtype=float32, name=None):
        self.shape, self.dtype, self.name = TensorShape(shape), as_dtype(dtype), name

    @classmethod
    def from_tensor(cls, tensor, name=None):
        """The spec of a tensor."""
        return cls(tensor.shape, tensor.dtype, name)

    from_spec = from_tensor

    def is_compatible_with(self, other):
        """Does a tensor (or spec) fit?"""
        return self.dtype == other.dtype and self.shape.is_compatible_with(other.shape)

    def __eq__(self, other):
        return isinstance(other, TensorSpec) and (self.shape, self.dtype) == (other.shape, other.dtype)

    def __hash__(self):
        return hash((self.shape, self.dtype))

    def __repr__(self):
        return f"TensorSpec(shape={tuple(self.shape)}, dtype={self.dtype!r}, name={self.name!r})"
