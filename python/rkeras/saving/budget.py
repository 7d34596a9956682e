"""How much memory a model from a file may take: known before it is taken."""

from rkeras._core import scopes
from rkeras.saving.files import OversizeError

_DEFAULT_BYTES = 4 << 30
_limit = _DEFAULT_BYTES
# HDF5's densest filter stores 1,032 bytes in one; whoever compressed zeros may have this many weights per stored byte.
_MAX_EXPANSION = 1032
_FREE_BYTES = 64 << 20


class limit_model_bytes:
    """Context in which models loaded from files may have weights of so many bytes.

    Args:
        max_bytes: the limit; 4 GiB outside of this context.

    Example:
        >>> with keras.saving.limit_model_bytes(16 * 2**30):
        ...     pass  # keras.models.load_model("large.keras")
    """

    def __init__(self, max_bytes):
        if not max_bytes > 0:
            raise ValueError(f"limit_model_bytes: expected a positive number. Received: {max_bytes}")
        self.max_bytes = int(max_bytes)

    def __enter__(self):
        global _limit
        self._before, _limit = _limit, self.max_bytes
        return self

    def __exit__(self, *exception):
        global _limit
        _limit = self._before


def allowed_bytes(stored_bytes):
    """The most bytes of weights that a file of that size may hold."""
    return min(_limit, _FREE_BYTES + _MAX_EXPANSION * stored_bytes)


class WeightBudget:
    """Context of building a model from a file: its weights may not be larger than the limit, nor than the file allows.

    Args:
        stored_bytes: the size of the file.
    """

    def __init__(self, stored_bytes):
        self.allowed = allowed_bytes(stored_bytes)
        self.used = 0

    def take(self, shape, dtype, who):
        """Counts a weight before it is made.

        Raises:
            UnsafeFileError: if all weights so far would be more than allowed.
        """
        import math

        width = {"float64": 8, "int64": 8, "uint64": 8, "bool": 1, "int8": 1, "uint8": 1}.get(dtype, 4)
        self.used += width * math.prod(shape)
        if self.used > self.allowed:
            raise OversizeError(
                f"load_model: expected weights of at most {self.allowed} bytes. Received: a config that asks for {self.used} by "
                f"{who}, more than {'the limit' if self.allowed == _limit else 'the file can hold'}. They were not made."
                + (" Hint: raise it with keras.saving.limit_model_bytes()." if self.allowed == _limit else "")
            )

    def __enter__(self):
        self._before, scopes.weight_budget = scopes.weight_budget, self
        return self

    def __exit__(self, *exception):
        scopes.weight_budget = self._before
