"""The table of translations, and elementwise functions as ONNX operators.

A table from the name of an op to a function `(builder, node, inputs) -> [Value]`.
"""

import math

from rkeras.export.onnx_builder import Value

TABLE = {}


def translates(*names):
    """Enters a function under the names of ops."""

    def enter(function):
        for name in names:
            TABLE[name] = function
        return function

    return enter


def out(b, node, op, inputs, i=0, **attributes):
    """One node whose output has the shape and dtype of the node's output `i`."""
    shape, dtype = node.outputs[i]
    return b.value(op, inputs, shape, dtype, **attributes)


_SAME = {
    "absolute": "Abs", "add": "Add", "arccos": "Acos", "arccosh": "Acosh", "arcsin": "Asin", "arcsinh": "Asinh",
    "arctan": "Atan", "arctanh": "Atanh", "bitwise_and": "BitwiseAnd", "bitwise_not": "BitwiseNot",
    "bitwise_or": "BitwiseOr", "bitwise_xor": "BitwiseXor", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh",
    "divide": "Div", "equal": "Equal", "erf": "Erf", "exp": "Exp", "floor": "Floor", "greater": "Greater",
    "greater_equal": "GreaterOrEqual", "isinf": "IsInf", "isnan": "IsNaN", "less": "Less",
    "less_equal": "LessOrEqual", "log": "Log", "logical_and": "And", "logical_not": "Not", "logical_or": "Or",
    "logical_xor": "Xor", "maximum": "Max", "minimum": "Min", "multiply": "Mul", "negative": "Neg", "power": "Pow",
    "reciprocal": "Reciprocal", "relu": "Relu", "round": "Round", "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin",
    "sinh": "Sinh", "softplus": "Softplus", "sqrt": "Sqrt", "stop_gradient": "Identity", "subtract": "Sub",
    "tan": "Tan", "tanh": "Tanh", "where": "Where",
}  # fmt: skip
_COMPARISONS = ("greater", "greater_equal", "less", "less_equal")
_ROUNDING = ("ceil", "floor", "round", "isinf", "isnan")
_LOGIC = {"add": "Or", "multiply": "And", "maximum": "Or", "minimum": "And"}


def _same(name, op):
    def translate(b, node, x):
        if x[0].dtype == "bool" and name in _COMPARISONS:
            x = [b.cast(v, "int32") for v in x]
        if x[0].dtype == "bool" and name in _LOGIC:
            return [out(b, node, _LOGIC[name], x)]
        if not x[0].is_float and name in _ROUNDING:
            if name.startswith("is"):
                return [out(b, node, "And", [b.cast(x[0], "bool"), b.scalar(False, "bool")])]
            return [x[0]]
        return [out(b, node, op, x)]

    return translate


for _name, _op in _SAME.items():
    TABLE[_name] = _same(_name, _op)


def chain(b, node, op, inputs):
    """A node whose output has the shape of the result and the dtype of the first input."""
    first = next(v for v in inputs if isinstance(v, Value))
    return b.value(op, inputs, node.outputs[0][0], first.dtype)


@translates("not_equal")
def _not_equal(b, node, x):
    same = b.value("Equal", x, node.outputs[0][0], "bool")
    return [out(b, node, "Not", [same])]


@translates("square")
def _square(b, node, x):
    return [out(b, node, "Mul", [x[0], x[0]])]


@translates("squared_difference")
def _squared_difference(b, node, x):
    d = chain(b, node, "Sub", x)
    return [out(b, node, "Mul", [d, d])]


@translates("rsqrt")
def _rsqrt(b, node, x):
    return [out(b, node, "Reciprocal", [chain(b, node, "Sqrt", x)])]


@translates("exp2")
def _exp2(b, node, x):
    return [out(b, node, "Pow", [b.scalar(2, x[0].dtype), x[0]])]


@translates("expm1")
def _expm1(b, node, x):
    # 2 sinh(x/2) exp(x/2): exact near zero, where exp(x) - 1 is not.
    half = chain(b, node, "Mul", [x[0], b.scalar(0.5, x[0].dtype)])
    product = chain(b, node, "Mul", [chain(b, node, "Sinh", [half]), chain(b, node, "Exp", [half])])
    return [out(b, node, "Mul", [product, b.scalar(2, x[0].dtype)])]


@translates("log1p")
def _log1p(b, node, x):
    return [_log1p_of(b, node, x[0])]


def _log1p_of(b, node, x):
    # log(u) x / (u - 1) with u = 1 + x takes back the rounding of u (Goldberg, 1991).
    one = b.scalar(1, x.dtype)
    u = chain(b, node, "Add", [x, one])
    d = chain(b, node, "Sub", [u, one])
    none = b.value("Equal", [d, b.scalar(0, x.dtype)], node.outputs[0][0], "bool")
    infinite = b.value("IsInf", [u], node.outputs[0][0], "bool")
    plain = chain(b, node, "Log", [u])
    divisor = b.value("Where", [none, one, d], node.outputs[0][0], x.dtype)
    better = chain(b, node, "Mul", [plain, chain(b, node, "Div", [x, divisor])])
    kept = b.value("Where", [infinite, plain, better], node.outputs[0][0], x.dtype)
    return b.value("Where", [none, x, kept], node.outputs[0][0], x.dtype)


@translates("log2", "log10")
def _log_base(b, node, x):
    factor = 1 / math.log(2 if node.op == "log2" else 10)
    return [out(b, node, "Mul", [chain(b, node, "Log", x), b.scalar(factor, x[0].dtype)])]


@translates("logaddexp")
def _logaddexp(b, node, x):
    distance = chain(b, node, "Neg", [chain(b, node, "Abs", [chain(b, node, "Sub", x)])])
    grown = _log1p_of(b, node, chain(b, node, "Exp", [distance]))
    return [out(b, node, "Add", [chain(b, node, "Max", x), grown])]


@translates("erfc")
def _erfc(b, node, x):
    return [out(b, node, "Sub", [b.scalar(1, x[0].dtype), chain(b, node, "Erf", x)])]


@translates("gelu")
def _gelu(b, node, x):
    inner = chain(b, node, "Erf", [chain(b, node, "Mul", [x[0], b.scalar(0.5**0.5, x[0].dtype)])])
    return [_gated(b, node, x[0], inner)]


@translates("gelu_tanh")
def _gelu_tanh(b, node, x):
    square = chain(b, node, "Mul", [x[0], x[0]])
    factor = chain(b, node, "Mul", [square, b.scalar(0.044715 * math.sqrt(2 / math.pi), x[0].dtype)])
    factor = chain(b, node, "Add", [factor, b.scalar(math.sqrt(2 / math.pi), x[0].dtype)])
    return [_gated(b, node, x[0], chain(b, node, "Tanh", [chain(b, node, "Mul", [x[0], factor])]))]


def _gated(b, node, x, inner):
    # x/2 (1 + inner)
    gate = chain(b, node, "Add", [inner, b.scalar(1, x.dtype)])
    return out(b, node, "Mul", [chain(b, node, "Mul", [x, b.scalar(0.5, x.dtype)]), gate])


@translates("hypot")
def _hypot(b, node, x):
    squares = [b.value("Mul", [v, v], v.shape, v.dtype) for v in x]
    return [out(b, node, "Sqrt", [chain(b, node, "Add", squares)])]


@translates("trunc")
def _trunc(b, node, x):
    if not x[0].is_float:
        return [x[0]]
    whole = chain(b, node, "Floor", [chain(b, node, "Abs", x)])
    return [out(b, node, "Mul", [chain(b, node, "Sign", x), whole])]


@translates("isfinite")
def _isfinite(b, node, x):
    shape = node.outputs[0][0]
    if not x[0].is_float:
        false = b.value("And", [b.cast(x[0], "bool"), b.scalar(False, "bool")], shape, "bool")
        return [out(b, node, "Not", [false])]
    either = b.value("Or", [b.node("IsInf", x), b.node("IsNaN", x)], shape, "bool")
    return [out(b, node, "Not", [either])]


@translates("mod")
def _mod(b, node, x):
    if not x[0].is_float:
        return [out(b, node, "Mod", x)]
    return [out(b, node, "Sub", [x[0], chain(b, node, "Mul", [_floor_quotient(b, node, x), x[1]])])]


@translates("floor_divide")
def _floor_divide(b, node, x):
    if x[0].is_float:
        return [_floor_quotient(b, node, x)]
    return [out(b, node, "Div", [chain(b, node, "Sub", [x[0], chain(b, node, "Mod", x)]), x[1]])]


def _floor_quotient(b, node, x):
    return chain(b, node, "Floor", [chain(b, node, "Div", x)])


@translates("arctan2")
def _arctan2(b, node, x):
    y, x = x
    dtype, shape = y.dtype, node.outputs[0][0]

    def where(condition, a, c):
        return b.value("Where", [condition, a, c], shape, dtype)

    zero = b.scalar(0, dtype)
    behind = b.node("Less", [x, zero])
    upright = b.node("Equal", [x, zero])
    below = b.node("Less", [y, zero])
    divisor = where(upright, b.scalar(1, dtype), x)
    angle = chain(b, node, "Atan", [chain(b, node, "Div", [y, divisor])])
    turn = where(below, b.scalar(-math.pi, dtype), b.scalar(math.pi, dtype))
    angle = where(behind, chain(b, node, "Add", [angle, turn]), angle)
    quarter = chain(b, node, "Mul", [chain(b, node, "Sign", [y]), b.scalar(math.pi / 2, dtype)])
    return [where(upright, quarter, angle)]


@translates("cast")
def _cast(b, node, x):
    return [b.cast(x[0], node.attrs["dtype"])]
