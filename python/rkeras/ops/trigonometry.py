"""Exponentials, logarithms, angles and their inverses, element by element."""

from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import convert_to_tensor

op = operation("numpy")
math = operation("math")
_exp = primitive("exp")
_exp2 = primitive("exp2")
_expm1 = primitive("expm1")
_log = primitive("log")
_log2 = primitive("log2")
_log10 = primitive("log10")
_log1p = primitive("log1p")
_sin = primitive("sin")
_cos = primitive("cos")
_tan = primitive("tan")
_arcsin = primitive("arcsin")
_arccos = primitive("arccos")
_arctan = primitive("arctan")
_arctan2 = primitive("arctan2")
_sinh = primitive("sinh")
_cosh = primitive("cosh")
_tanh = primitive("tanh")
_arcsinh = primitive("arcsinh")
_arccosh = primitive("arccosh")
_arctanh = primitive("arctanh")
_erf = primitive("erf")
_erfc = primitive("erfc")
_erfinv = primitive("erfinv")
_logaddexp = primitive("logaddexp")
_where = primitive("where")
_equal = primitive("equal")


@op
def exp(x):
    """e^x.

    Example:
        >>> keras.ops.exp([0.0]).numpy().tolist()
        [1.0]
    """
    return _exp(x)


@op
def exp2(x):
    """2^x.

    Example:
        >>> keras.ops.exp2([3.0]).numpy().tolist()
        [8.0]
    """
    return _exp2(x)


@op
def expm1(x):
    """e^x - 1, accurate near zero.

    Example:
        >>> keras.ops.expm1([0.0]).numpy().tolist()
        [0.0]
    """
    return _expm1(x)


@op
def log(x):
    """The natural logarithm.

    Example:
        >>> keras.ops.log([1.0]).numpy().tolist()
        [0.0]
    """
    return _log(x)


@op
def log2(x):
    """The logarithm to base 2."""
    return _log2(x)


@op
def log10(x):
    """The logarithm to base 10."""
    return _log10(x)


@op
def log1p(x):
    """ln(1 + x), accurate near zero."""
    return _log1p(x)


@op
def logaddexp(x1, x2):
    """ln(e^x1 + e^x2), without overflow."""
    return _logaddexp(x1, x2)


@op
def logaddexp2(x1, x2):
    """log2(2^x1 + 2^x2), without overflow."""
    ln2 = 0.6931471805599453
    return _logaddexp(convert_to_tensor(x1) * ln2, convert_to_tensor(x2) * ln2) / ln2


@op
def sin(x):
    """The sine of x (radians).

    Example:
        >>> keras.ops.sin([0.0]).numpy().tolist()
        [0.0]
    """
    return _sin(x)


@op
def cos(x):
    """The cosine of x (radians)."""
    return _cos(x)


@op
def tan(x):
    """The tangent of x (radians)."""
    return _tan(x)


@op
def arcsin(x):
    """The angle whose sine is x."""
    return _arcsin(x)


@op
def arccos(x):
    """The angle whose cosine is x."""
    return _arccos(x)


@op
def arctan(x):
    """The angle whose tangent is x."""
    return _arctan(x)


@op
def arctan2(x1, x2):
    """The angle of the point (x2, x1), between -π and π."""
    return _arctan2(x1, x2)


@op
def sinh(x):
    """The hyperbolic sine."""
    return _sinh(x)


@op
def cosh(x):
    """The hyperbolic cosine."""
    return _cosh(x)


@op
def tanh(x):
    """The hyperbolic tangent.

    Example:
        >>> keras.ops.tanh([0.0]).numpy().tolist()
        [0.0]
    """
    return _tanh(x)


@op
def arcsinh(x):
    """The inverse of sinh."""
    return _arcsinh(x)


@op
def arccosh(x):
    """The inverse of cosh."""
    return _arccosh(x)


@op
def arctanh(x):
    """The inverse of tanh."""
    return _arctanh(x)


@op
def sinc(x):
    """sin(πx) / (πx), and 1 at zero."""
    x = convert_to_tensor(x)
    zero = _equal(x, 0)
    angle = _where(zero, 1.0, x * 3.141592653589793)
    return _where(zero, 1.0, _sin(angle) / angle)


@math
def erf(x):
    """The error function: 2/sqrt(π) times the integral of exp(-t²) from 0 to x.

    Example:
        >>> keras.ops.erf([0.0]).numpy().tolist()
        [0.0]
    """
    return _erf(x)


@math
def erfc(x):
    """1 - erf(x), accurate for large x."""
    return _erfc(x)


@math
def erfinv(x):
    """The inverse of the error function."""
    return _erfinv(x)
