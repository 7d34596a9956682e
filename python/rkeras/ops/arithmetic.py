"""Sums, products, powers, rounding, and other functions of numbers element by element."""

from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import FLOATS, convert_to_tensor, is_float_dtype

op = operation("numpy")
_add = primitive("add")
_subtract = primitive("subtract")
_multiply = primitive("multiply")
_divide = primitive("divide")
_floor_divide = primitive("floor_divide")
_mod = primitive("mod")
_power = primitive("power")
_maximum = primitive("maximum")
_minimum = primitive("minimum")
_negative = primitive("negative")
_absolute = primitive("absolute")
_sign = primitive("sign")
_square = primitive("square")
_sqrt = primitive("sqrt")
_rsqrt = primitive("rsqrt")
_reciprocal = primitive("reciprocal")
_floor = primitive("floor")
_ceil = primitive("ceil")
_round = primitive("round")
_trunc = primitive("trunc")
_where = primitive("where")
_equal = primitive("equal")
_less = primitive("less")
_cast = primitive("cast")
_nextafter = primitive("nextafter")
_hypot = primitive("hypot")


@op
def add(x1, x2):
    """x1 + x2, broadcast.

    Example:
        >>> keras.ops.add([1, 2], 3).numpy().tolist()
        [4, 5]
    """
    return _add(x1, x2)


@op
def subtract(x1, x2):
    """x1 - x2, broadcast.

    Example:
        >>> keras.ops.subtract([1.0, 2.0], 3.0).numpy().tolist()
        [-2.0, -1.0]
    """
    return _subtract(x1, x2)


@op
def multiply(x1, x2):
    """x1 x2 element by element, broadcast.

    Example:
        >>> keras.ops.multiply([1.0, 2.0], 3.0).numpy().tolist()
        [3.0, 6.0]
    """
    return _multiply(x1, x2)


@op
def divide(x1, x2):
    """x1 / x2, broadcast; integers give floats.

    Example:
        >>> keras.ops.divide([1, 2], 2).numpy().tolist()
        [0.5, 1.0]
    """
    return _divide(x1, x2)


@op
def true_divide(x1, x2):
    """x1 / x2; see `divide`."""
    return _divide(x1, x2)


@op
def divide_no_nan(x1, x2):
    """x1 / x2, and 0 where x2 is 0; gradients stay finite there.

    Example:
        >>> keras.ops.divide_no_nan([1.0, 2.0], [0.0, 4.0]).numpy().tolist()
        [0.0, 0.5]
    """
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    zero = _equal(x2, 0)
    return _where(zero, 0, _divide(x1, _where(zero, 1, x2)))


@op
def floor_divide(x1, x2):
    """The largest integer not above x1 / x2.

    Example:
        >>> keras.ops.floor_divide([7, -7], 2).numpy().tolist()
        [3, -4]
    """
    return _floor_divide(x1, x2)


@op
def mod(x1, x2):
    """The remainder x1 - floor(x1 / x2) x2, of the sign of x2.

    Example:
        >>> keras.ops.mod([7, -7], 3).numpy().tolist()
        [1, 2]
    """
    return _mod(x1, x2)


@op
def fmod(x1, x2):
    """The remainder x1 - trunc(x1 / x2) x2, of the sign of x1.

    Example:
        >>> keras.ops.fmod([7.0, -7.0], 3.0).numpy().tolist()
        [1.0, -1.0]
    """
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    return _multiply(_sign(x1), _mod(_absolute(x1), _absolute(x2)))


@op
def power(x1, x2):
    """x1 to the power x2.

    Example:
        >>> keras.ops.power([2.0, 3.0], 2.0).numpy().tolist()
        [4.0, 9.0]
    """
    return _power(x1, x2)


@op
def maximum(x1, x2):
    """The larger of both, element by element.

    Example:
        >>> keras.ops.maximum([1, 5], 3).numpy().tolist()
        [3, 5]
    """
    return _maximum(x1, x2)


@op
def minimum(x1, x2):
    """The smaller of both, element by element.

    Example:
        >>> keras.ops.minimum([1, 5], 3).numpy().tolist()
        [1, 3]
    """
    return _minimum(x1, x2)


@op
def negative(x):
    """-x.

    Example:
        >>> keras.ops.negative([1, -2]).numpy().tolist()
        [-1, 2]
    """
    return _negative(x)


@op
def absolute(x):
    """|x|.

    Example:
        >>> keras.ops.absolute([1, -2]).numpy().tolist()
        [1, 2]
    """
    return _absolute(x)


@op
def abs(x):
    """|x|; see `absolute`."""
    return _absolute(x)


@op
def fabs(x):
    """|x| as a float."""
    x = convert_to_tensor(x)
    return _absolute(x if x.dtype in FLOATS else _cast(x, dtype=_float_of(x)))


def _float_of(x):
    from rkeras._core.settings import floatx

    return x.dtype if is_float_dtype(x.dtype) else floatx()


@op
def sign(x):
    """-1, 0 or 1.

    Example:
        >>> keras.ops.sign([-3.0, 0.0, 2.0]).numpy().tolist()
        [-1.0, 0.0, 1.0]
    """
    return _sign(x)


@op
def signbit(x):
    """Is x below zero? (-0.0 counts as below zero, NaN does not.)"""
    x = convert_to_tensor(x)
    if not is_float_dtype(x.dtype):
        return _less(x, 0)
    return _less(_where(_equal(x, 0), _reciprocal(x), x), 0)


@op
def square(x):
    """x².

    Example:
        >>> keras.ops.square([2, -3]).numpy().tolist()
        [4, 9]
    """
    return _square(x)


@op
def sqrt(x):
    """The square root.

    Example:
        >>> keras.ops.sqrt([4.0, 9.0]).numpy().tolist()
        [2.0, 3.0]
    """
    return _sqrt(x)


@operation("math")
def rsqrt(x):
    """1 / sqrt(x).

    Example:
        >>> keras.ops.rsqrt([4.0]).numpy().tolist()
        [0.5]
    """
    return _rsqrt(x)


@op
def cbrt(x):
    """The cube root, of the sign of x."""
    x = convert_to_tensor(x)
    return _multiply(_sign(x), _power(_absolute(x), 1 / 3))


@op
def reciprocal(x):
    """1 / x.

    Example:
        >>> keras.ops.reciprocal([4.0]).numpy().tolist()
        [0.25]
    """
    return _reciprocal(x)


@op
def hypot(x1, x2):
    """sqrt(x1² + x2²).

    Example:
        >>> keras.ops.hypot([3.0], [4.0]).numpy().tolist()
        [5.0]
    """
    return _hypot(x1, x2)


@op
def floor(x):
    """The largest integer not above x, as a float.

    Example:
        >>> keras.ops.floor([1.7, -1.2]).numpy().tolist()
        [1.0, -2.0]
    """
    x = convert_to_tensor(x)
    return _floor(x if is_float_dtype(x.dtype) else _cast(x, dtype=_float_of(x)))


@op
def ceil(x):
    """The smallest integer not below x, as a float.

    Example:
        >>> keras.ops.ceil([1.2, -1.7]).numpy().tolist()
        [2.0, -1.0]
    """
    x = convert_to_tensor(x)
    return _ceil(x if is_float_dtype(x.dtype) else _cast(x, dtype=_float_of(x)))


@op
def trunc(x):
    """x without its fraction.

    Example:
        >>> keras.ops.trunc([1.7, -1.7]).numpy().tolist()
        [1.0, -1.0]
    """
    return _trunc(x)


@op
def round(x, decimals=0):
    """The nearest number of `decimals` digits after the point, halves to even.

    Args:
        x: a tensor.
        decimals: digits after the point; negative for tens, hundreds ...

    Example:
        >>> keras.ops.round([1.26, 2.5], decimals=1).numpy().astype(float).round(3).tolist()
        [1.3, 2.5]
    """
    if decimals == 0:
        return _round(x)
    x = convert_to_tensor(x)
    factor = 10.0 ** (decimals if decimals > 0 else -decimals)
    if not is_float_dtype(x.dtype):
        if decimals > 0:
            return x
        scaled = _multiply(_round(_divide(x, factor)), factor)
        return _cast(scaled, dtype=x.dtype)
    if decimals > 0:
        return _divide(_round(_multiply(x, factor)), factor)
    return _multiply(_round(_divide(x, factor)), factor)


@op
def clip(x, x_min, x_max):
    """x held between x_min and x_max.

    Args:
        x: a tensor.
        x_min, x_max: the bounds, broadcast; None for none.

    Example:
        >>> keras.ops.clip([-2.0, 0.5, 3.0], 0.0, 1.0).numpy().tolist()
        [0.0, 0.5, 1.0]
    """
    x = convert_to_tensor(x)
    if x_min is not None:
        x = _maximum(x, x_min)
    return x if x_max is None else _minimum(x, x_max)


@op
def fmax(x1, x2):
    """The larger of both; the other one where one is NaN."""
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    return _where(_isnan(x1), x2, _where(_isnan(x2), x1, _maximum(x1, x2)))


@op
def fmin(x1, x2):
    """The smaller of both; the other one where one is NaN."""
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    return _where(_isnan(x1), x2, _where(_isnan(x2), x1, _minimum(x1, x2)))


_isnan = primitive("isnan")
_isinf = primitive("isinf")
_greater = primitive("greater")


@op
def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """x with NaN and infinities replaced.

    Args:
        x: a tensor.
        nan: what NaN becomes.
        posinf, neginf: what infinities become; by default the largest and smallest finite number.

    Example:
        >>> keras.ops.nan_to_num([float("nan"), 1.0]).numpy().tolist()
        [0.0, 1.0]
    """
    x = convert_to_tensor(x)
    if not is_float_dtype(x.dtype):
        return x
    top = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38}
    big = top.get(x.dtype, 1.7976931348623157e308)
    infinite = _isinf(x)
    x = _where(_isnan(x), nan, _where(infinite, _where(_greater(x, 0), big if posinf is None else posinf,
                                                       -big if neginf is None else neginf), x))  # fmt: skip
    return x


@op
def nextafter(x1, x2):
    """The next representable number from x1 towards x2."""
    return _nextafter(x1, x2)


@op
def deg2rad(x):
    """Degrees as radians: x π / 180."""
    return _multiply(x, 0.017453292519943295)


@op
def rad2deg(x):
    """Radians as degrees: x 180 / π."""
    return _multiply(x, 57.29577951308232)


@op
def heaviside(x1, x2):
    """0 below zero, 1 above, x2 at zero.

    Example:
        >>> keras.ops.heaviside([-1.0, 0.0, 2.0], 0.5).numpy().tolist()
        [0.0, 0.5, 1.0]
    """
    x1 = convert_to_tensor(x1)
    step = _where(_less(x1, 0), 0.0, 1.0)
    return _where(_equal(x1, 0), x2, step)


@op
def ldexp(x1, x2):
    """x1 2^x2."""
    return _multiply(x1, _power(2.0, x2))
