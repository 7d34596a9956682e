"""Comparisons, truth values, bits, choices."""

from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import convert_to_tensor
from rkeras.ops import views

op = operation("numpy")
_equal = primitive("equal")
_not_equal = primitive("not_equal")
_less = primitive("less")
_less_equal = primitive("less_equal")
_greater = primitive("greater")
_greater_equal = primitive("greater_equal")
_and = primitive("logical_and")
_or = primitive("logical_or")
_xor = primitive("logical_xor")
_not = primitive("logical_not")
_isnan = primitive("isnan")
_isinf = primitive("isinf")
_isfinite = primitive("isfinite")
_where = primitive("where")
_all = primitive("all")
_any = primitive("any")
_absolute = primitive("absolute")
_bitwise_and = primitive("bitwise_and")
_bitwise_or = primitive("bitwise_or")
_bitwise_xor = primitive("bitwise_xor")
_bitwise_not = primitive("bitwise_not")
_left_shift = primitive("left_shift")
_right_shift = primitive("right_shift")
_cast = primitive("cast")
_reshape = primitive("reshape")


def _truth(x):
    x = convert_to_tensor(x)
    return x if x.dtype == "bool" else _cast(x, dtype="bool")


@op
def equal(x1, x2):
    """x1 == x2, element by element.

    Example:
        >>> keras.ops.equal([1, 2], 2).numpy().tolist()
        [False, True]
    """
    return _equal(x1, x2)


@op
def not_equal(x1, x2):
    """x1 != x2, element by element."""
    return _not_equal(x1, x2)


@op
def less(x1, x2):
    """x1 < x2, element by element."""
    return _less(x1, x2)


@op
def less_equal(x1, x2):
    """x1 <= x2, element by element."""
    return _less_equal(x1, x2)


@op
def greater(x1, x2):
    """x1 > x2, element by element."""
    return _greater(x1, x2)


@op
def greater_equal(x1, x2):
    """x1 >= x2, element by element."""
    return _greater_equal(x1, x2)


@op
def logical_and(x1, x2):
    """Whether both are true (not zero).

    Example:
        >>> keras.ops.logical_and([True, False], True).numpy().tolist()
        [True, False]
    """
    return _and(_truth(x1), _truth(x2))


@op
def logical_or(x1, x2):
    """Whether one is true (not zero)."""
    return _or(_truth(x1), _truth(x2))


@op
def logical_xor(x1, x2):
    """Whether exactly one is true (not zero)."""
    return _xor(_truth(x1), _truth(x2))


@op
def logical_not(x):
    """Whether x is false (zero)."""
    return _not(_truth(x))


@op
def isnan(x):
    """Whether x is not a number."""
    return _isnan(x)


@op
def isinf(x):
    """Whether x is infinite."""
    return _isinf(x)


@op
def isfinite(x):
    """Whether x is neither infinite nor NaN."""
    return _isfinite(x)


@op
def isposinf(x):
    """Whether x is positive infinity."""
    return _and(_isinf(x), _greater(x, 0))


@op
def isneginf(x):
    """Whether x is negative infinity."""
    return _and(_isinf(x), _less(x, 0))


@op
def isclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """|x1 - x2| <= atol + rtol |x2|, element by element.

    Args:
        x1, x2: tensors.
        rtol, atol: relative and absolute tolerance.
        equal_nan: whether NaN is close to NaN.

    Example:
        >>> keras.ops.isclose([1.0, 2.0], [1.0, 2.1]).numpy().tolist()
        [True, False]
    """
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    near = _or(_equal(x1, x2), _less_equal(_absolute(x1 - x2), _absolute(x2) * rtol + atol))
    finite = _or(_equal(x1, x2), _and(_isfinite(x1), _isfinite(x2)))
    near = _and(near, finite)
    return _or(near, _and(_isnan(x1), _isnan(x2))) if equal_nan else near


@op
def allclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether all elements are close; see `isclose`."""
    return _all(isclose(x1, x2, rtol, atol, equal_nan))


@op
def isin(x1, x2, assume_unique=False, invert=False):
    """Which elements of x1 occur in x2.

    Args:
        x1, x2: tensors.
        assume_unique: a hint that is not needed here.
        invert: True for those that do not occur.

    Example:
        >>> keras.ops.isin([1, 2, 3], [2, 5]).numpy().tolist()
        [False, True, False]
    """
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    found = _any(_equal(views.expand_dims(x1, -1), _reshape(x2, newshape=(-1,))), axis=-1)
    return _not(found) if invert else found


@op
def where(condition, x1=None, x2=None):
    """x1 where the condition holds, else x2; without them the indices where it holds.

    Args:
        condition: truth values, broadcast with the rest.
        x1, x2: tensors or numbers.

    Example:
        >>> keras.ops.where([True, False], 1.0, 2.0).numpy().tolist()
        [1.0, 2.0]
    """
    if x1 is None and x2 is None:
        from rkeras.ops.indexing import nonzero

        return nonzero(condition)
    if x1 is None or x2 is None:
        raise ValueError("where: expected both x1 and x2, or neither. Received: one of them")
    return _where(_truth(condition), x1, x2)


@op
def select(condlist, choicelist, default=0):
    """The choice of the first condition that holds, else the default.

    Args:
        condlist: list of truth values.
        choicelist: list of as many tensors.
        default: what is left where no condition holds.

    Example:
        >>> x = keras.ops.convert_to_tensor([1, 5, 9])
        >>> keras.ops.select([x < 3, x < 7], [x, x * 10], 0).numpy().tolist()
        [1, 50, 0]
    """
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = _where(_truth(condition), choice, result)
    return result


def _bits(x):
    x = convert_to_tensor(x)
    if x.dtype in ("float16", "bfloat16", "float32", "float64"):
        raise TypeError(f"bitwise op: expected integers or truth values. Received: {x.dtype}")
    return x


@op
def bitwise_and(x, y):
    """x & y on the bits of integers.

    Example:
        >>> keras.ops.bitwise_and(6, 3).item()
        2
    """
    return _bitwise_and(_bits(x), _bits(y))


@op
def bitwise_or(x, y):
    """x | y on the bits of integers."""
    return _bitwise_or(_bits(x), _bits(y))


@op
def bitwise_xor(x, y):
    """x ^ y on the bits of integers."""
    return _bitwise_xor(_bits(x), _bits(y))


@op
def bitwise_not(x):
    """Every bit of integers flipped."""
    return _bitwise_not(_bits(x))


@op
def bitwise_invert(x):
    """Every bit of integers flipped."""
    return _bitwise_not(_bits(x))


@op
def left_shift(x, y):
    """x 2^y for integers."""
    return _left_shift(_bits(x), _bits(y))


@op
def bitwise_left_shift(x, y):
    """x 2^y for integers."""
    return _left_shift(_bits(x), _bits(y))


@op
def right_shift(x, y):
    """floor(x 2^-y) for integers."""
    return _right_shift(_bits(x), _bits(y))


@op
def bitwise_right_shift(x, y):
    """floor(x 2^-y) for integers."""
    return _right_shift(_bits(x), _bits(y))
