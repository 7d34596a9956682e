"""Checks of values and shapes (`tf.debugging`). In a compiled function values are not known yet: they are checked where
they are known, that is eagerly."""

from rkeras import ops
from rkeras._core.tensor import Tensor
from rkeras.tf.dtypes import as_dtype
from rkeras.tf.errors import InvalidArgumentError


def _known(*tensors):
    return not any(
        (isinstance(t, Tensor) and t.is_symbolic)
        or hasattr(t, "_keras_history")
        or None in getattr(t, "shape", ())
        for t in tensors
    )


def _check(holds, tensors, message, what):
    if not _known(*tensors):
        return
    if not bool(ops.all(holds())):
        shown = ", ".join(repr(ops.convert_to_numpy(t)) for t in tensors)
        raise InvalidArgumentError(
            f"{message or ''} tf.debugging: expected {what}. Received: {shown}".strip()
        )


def _comparison(name, function, what):
    def f(x, y, message=None, summarize=None, name=None):
        _check(lambda: function(x, y), (x, y), message, what)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"Raises InvalidArgumentError unless {what}, element by element."
    return f


assert_equal = _comparison("assert_equal", ops.equal, "x = y")
assert_none_equal = _comparison("assert_none_equal", ops.not_equal, "x ≠ y")
assert_less = _comparison("assert_less", ops.less, "x < y")
assert_less_equal = _comparison("assert_less_equal", ops.less_equal, "x ≤ y")
assert_greater = _comparison("assert_greater", ops.greater, "x > y")
assert_greater_equal = _comparison("assert_greater_equal", ops.greater_equal, "x ≥ y")


def assert_near(x, y, rtol=None, atol=None, message=None, summarize=None, name=None):
    """Raises InvalidArgumentError unless |x - y| ≤ atol + rtol |y|."""
    rtol, atol = (1e-6 if v is None else v for v in (rtol, atol))
    _check(lambda: ops.isclose(x, y, rtol=rtol, atol=atol), (x, y), message, "x close to y")


def assert_positive(x, message=None, summarize=None, name=None):
    """Raises InvalidArgumentError unless all elements are above 0."""
    _check(lambda: ops.greater(x, 0), (x,), message, "x > 0")


def assert_negative(x, message=None, summarize=None, name=None):
    """Raises InvalidArgumentError unless all elements are below 0."""
    _check(lambda: ops.less(x, 0), (x,), message, "x < 0")


def assert_non_negative(x, message=None, summarize=None, name=None):
    """Raises InvalidArgumentError unless all elements are 0 or above."""
    _check(lambda: ops.greater_equal(x, 0), (x,), message, "x ≥ 0")


def assert_non_positive(x, message=None, summarize=None, name=None):
    """Raises InvalidArgumentError unless all elements are 0 or below."""
    _check(lambda: ops.less_equal(x, 0), (x,), message, "x ≤ 0")


def assert_all_finite(x, message, name=None):
    """Raises InvalidArgumentError if an element is infinite or NaN."""
    _check(lambda: ops.isfinite(x), (x,), message, "finite numbers")


def check_numerics(tensor, message, name=None):
    """The tensor; raises InvalidArgumentError if an element is infinite or NaN.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.debugging.check_numerics(tf.constant([1.0]), "loss").numpy().tolist()
        [1.0]
    """
    assert_all_finite(tensor, message)
    return ops.convert_to_tensor(tensor)


def assert_shapes(shapes, data=None, summarize=None, message=None, name=None):
    """Raises ValueError unless tensors have these shapes; equal letters stand for equal sizes.

    Args:
        shapes: pairs of tensor and shape, or a dict.
    """
    seen = {}
    for x, shape in shapes.items() if isinstance(shapes, dict) else shapes:
        sizes = tuple(x.shape)
        if len(sizes) != len(tuple(shape)):
            raise ValueError(
                f"{message or ''} tf.debugging.assert_shapes: expected {shape}. Received: {sizes}".strip()
            )
        for size, want in zip(sizes, shape, strict=True):
            want = seen.setdefault(want, size) if isinstance(want, str) else want
            if want is not None and size is not None and want != size:
                raise ValueError(
                    f"{message or ''} tf.debugging.assert_shapes: expected {shape}. Received: {sizes}".strip()
                )


def assert_rank(x, rank, message=None, name=None):
    """Raises ValueError unless the tensor has that many axes."""
    if ops.ndim(x) != rank:
        raise ValueError(
            f"{message or ''} tf.debugging: expected {rank} axes. Received: {ops.ndim(x)}".strip()
        )


def assert_rank_at_least(x, rank, message=None, name=None):
    """Raises ValueError if the tensor has fewer axes."""
    if ops.ndim(x) < rank:
        raise ValueError(
            f"{message or ''} tf.debugging: expected {rank} axes or more. Received: {ops.ndim(x)}".strip()
        )


def assert_type(tensor, tf_type, message=None, name=None):
    """Raises TypeError unless the tensor has that dtype."""
    if str(tensor.dtype) != as_dtype(tf_type):
        raise TypeError(f"{message or ''} tf.debugging: expected {tf_type}. Received: {tensor.dtype}".strip())


def assert_same_float_dtype(tensors=None, dtype=None):
    """The common float dtype; raises ValueError if they differ."""
    kinds = {str(t.dtype) for t in tensors or []} | ({str(as_dtype(dtype))} if dtype else set())
    if len(kinds) > 1:
        raise ValueError(f"tf.debugging: expected one float dtype. Received: {sorted(kinds)}")
    return as_dtype(kinds.pop() if kinds else "float32")


def is_numeric_tensor(tensor):
    """Is it a tensor of numbers?"""
    return isinstance(tensor, Tensor) and tensor.dtype != "bool"


def Assert(condition, data, summarize=None, name=None):
    """Raises InvalidArgumentError unless the condition holds; `data` is shown."""
    _check(lambda: condition, (condition,), " ".join(map(str, data)), "the condition to hold")
