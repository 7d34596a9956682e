"""The dtypes of `tf`: names that compare equal to the plain names of rkeras."""

from rkeras._core.tensor import FLOATS, INTS, standardize_dtype


class DType(str):
    """A dtype: its name as a string, with what TensorFlow's dtypes can tell.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.float32 == "float32", tf.float32.is_floating, tf.float32.size
        (True, True, 4)
    """

    __slots__ = ()

    @property
    def name(self):
        """The name."""
        return str(self)

    @property
    def as_numpy_dtype(self):
        """NumPy's type of the elements."""
        if self == "string":
            return object
        import numpy as np

        if self == "bfloat16":
            import ml_dtypes

            return ml_dtypes.bfloat16
        return np.dtype(str(self)).type

    @property
    def base_dtype(self):
        """The dtype itself: there are no references to dtypes."""
        return self

    real_dtype = base_dtype

    @property
    def is_floating(self):
        """Is it a float?"""
        return self in FLOATS

    @property
    def is_integer(self):
        """Is it an integer?"""
        return self in INTS

    @property
    def is_bool(self):
        """Is it bool?"""
        return self == "bool"

    @property
    def is_unsigned(self):
        """Is it an unsigned integer?"""
        return self.startswith("uint")

    @property
    def is_complex(self):
        """Is it complex? None is."""
        return False

    @property
    def is_numpy_compatible(self):
        """Has NumPy such a type?"""
        return True

    @property
    def size(self):
        """The number of bytes of an element."""
        import numpy as np

        return 2 if self == "bfloat16" else np.dtype(self.as_numpy_dtype).itemsize

    @property
    def _limits(self):
        import numpy as np

        if self.is_bool:
            return False, True
        if self == "bfloat16":
            import ml_dtypes

            info = ml_dtypes.finfo("bfloat16")
        else:
            info = np.finfo(str(self)) if self.is_floating else np.iinfo(str(self))
        return info.min, info.max

    @property
    def min(self):
        """The least number."""
        return self._limits[0]

    @property
    def max(self):
        """The greatest number."""
        return self._limits[1]

    def __repr__(self):
        return f"tf.{self}"


def as_dtype(type_value):
    """The dtype of a name, a NumPy dtype or a Python type.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.as_dtype("int8")
        tf.int8
    """
    if isinstance(type_value, DType):
        return type_value
    if type_value in (str, bytes, "string"):
        return string
    if type_value is float:
        return float32
    return DType(standardize_dtype(type_value))


float16, bfloat16, float32, float64 = map(DType, FLOATS)
half, double = float16, float64
uint8, uint16, uint32, uint64, int8, int16, int32, int64 = map(DType, INTS)
bool = DType("bool")
string = DType("string")
