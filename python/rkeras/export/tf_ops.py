"""What each op is in TensorFlow: a table of functions (function under construction, node, inputs) -> results."""

import math

import numpy as np

from rkeras.export.tf_graph import Value, dtype_attribute

TABLE = {}


def translates(*names):
    """Enters a function into the table."""

    def enter(function):
        for name in names:
            TABLE[name] = function
        return function

    return enter


def translate(f, listing, arguments, variables):
    """Adds the nodes of a listing to a function.

    Args:
        f: a `tf_graph.Function` whose sizes are known.
        listing: a Listing.
        arguments: Values of its inputs.
        variables: dict of ids of Variables to Values of their contents; or a function from Variable to Value.

    Returns:
        Values of its results.

    Raises:
        NotImplementedError: for an op that the table lacks.
    """
    live, stack = set(), [n for n, _ in listing.outputs] + [n for n, _, _ in listing.found.values()]
    met = {place: name for name, place in listing.found.items()}
    while stack:
        n = stack.pop()
        if n not in live:
            live.add(n)
            stack.extend(p for p, _ in listing.nodes[n].inputs)
    values = {}
    for n, node in enumerate(listing.nodes):
        if n not in live:
            continue
        if node.op == "input":
            found = [arguments[node.position]]
        elif node.op == "variable":
            found = [variables(node.value)]
        elif node.op == "constant":
            found = [_constant(f, node)]
        elif node.op not in TABLE and node.reference is not None:
            found = translate(f, node.reference, [values[p] for p in node.inputs], variables)
        else:
            if node.op not in TABLE:
                raise NotImplementedError(
                    f"export: expected ops that have a counterpart in TensorFlow. Received: {node.op!r}, which this build does "
                    "not translate. Hint: export(format='onnx') may know it"
                )
            found = TABLE[node.op](f, node, [values[p] for p in node.inputs])
        for i, value in enumerate(found):
            values[(n, i)] = value
            for axis in range(value.rank if met else 0):
                if (n, i, axis) in met:
                    f.sizes[met[n, i, axis]] = f.size_in(value, axis)
    return [values[p] for p in listing.outputs]


def _constant(f, node):
    shape, dtype = node.outputs[0]
    if node.fill == "scalar":
        return f.cast(f.size(node.value), dtype)
    if node.fill == "range":
        return f.cast(f.reshape(_range(f, next((n for n in shape if n != 1), 1)), shape), dtype)
    if isinstance(node.fill, tuple):
        _, k, inverted = node.fill
        rows = f.op("AddV2", [_range(f, shape[-2]), f.ints(k)], shape[-2:-1])
        ends = [_range(f, shape[-1]), f.reshape(rows, (shape[-2], 1))]
        found = f.op("Greater" if inverted else "LessEqual", ends, shape[-2:], "bool")
        return f.cast(f.reshape(found, shape), dtype)
    value = np.asarray(node.value)
    fill = node.fill
    if fill is None and value.size > 64 and (value == value.flat[0]).all():
        fill = value.flat[0].item()
    if fill is None:
        return f.constant(value, dtype)
    return Value(f.node("Fill", [f.sizes_of(shape), f.constant(fill, dtype)], T=dtype_attribute(dtype),
                        index_type=dtype_attribute("int32")), shape, dtype)  # fmt: skip


def _range(f, count):
    """0, 1 … as int32."""
    ref = f.node("Range", [f.ints(0), f.size(count), f.ints(1)], Tidx=dtype_attribute("int32"))
    return Value(ref, (count,), "int32")


def _out(node, i=0):
    return node.outputs[i]


def _simple(op):
    def emit(f, node, x):
        shape, dtype = _out(node)
        return [f.op(op, x, shape, dtype)]

    return emit


def _plain(op):
    """For ops without attribute T."""

    def emit(f, node, x):
        shape, dtype = _out(node)
        return [Value(f.node(op, x), shape, dtype)]

    return emit


for _name, _op in {
    "negative": "Neg", "absolute": "Abs", "sign": "Sign", "square": "Square", "sqrt": "Sqrt", "rsqrt": "Rsqrt",
    "reciprocal": "Reciprocal", "exp": "Exp", "expm1": "Expm1", "log": "Log", "log1p": "Log1p", "sin": "Sin", "cos": "Cos",
    "tan": "Tan", "arcsin": "Asin", "arccos": "Acos", "arctan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh",
    "arcsinh": "Asinh", "arccosh": "Acosh", "arctanh": "Atanh", "erf": "Erf", "erfc": "Erfc", "erfinv": "Erfinv",
    "sigmoid": "Sigmoid", "softplus": "Softplus", "relu": "Relu", "floor": "Floor", "ceil": "Ceil", "round": "Round",
    "isnan": "IsNan", "isinf": "IsInf", "isfinite": "IsFinite", "lgamma": "Lgamma", "digamma": "Digamma",
    "bitwise_not": "Invert", "stop_gradient": "Identity", "softmax": "Softmax", "log_softmax": "LogSoftmax",
    "add": "AddV2", "subtract": "Sub", "multiply": "Mul", "divide": "RealDiv", "floor_divide": "FloorDiv", "mod": "FloorMod",
    "power": "Pow", "maximum": "Maximum", "minimum": "Minimum", "arctan2": "Atan2", "equal": "Equal", "not_equal": "NotEqual",
    "less": "Less", "less_equal": "LessEqual", "greater": "Greater", "greater_equal": "GreaterEqual",
    "squared_difference": "SquaredDifference", "bitwise_and": "BitwiseAnd", "bitwise_or": "BitwiseOr",
    "bitwise_xor": "BitwiseXor", "left_shift": "LeftShift", "right_shift": "RightShift", "logical_xor": "NotEqual",
}.items():  # fmt: skip
    TABLE[_name] = _simple(_op)
for _name, _op in {
    "logical_not": "LogicalNot",
    "logical_and": "LogicalAnd",
    "logical_or": "LogicalOr",
}.items():
    TABLE[_name] = _plain(_op)


def _scaled_log(base):
    def emit(f, node, x):
        y = f.op("Log", x, *_out(node))
        return [f.op("Mul", [y, f.constant(1 / math.log(base), y.dtype)], y.shape)]

    return emit


TABLE["log2"], TABLE["log10"] = _scaled_log(2), _scaled_log(10)


@translates("exp2")
def _exp2(f, node, x):
    return [f.op("Pow", [f.constant(2, x[0].dtype), x[0]], *_out(node))]


@translates("trunc")
def _trunc(f, node, x):
    down, up = f.op("Floor", x, *_out(node)), f.op("Ceil", x, *_out(node))
    negative = f.op("Less", [x[0], f.constant(0, x[0].dtype)], x[0].shape, "bool")
    return [f.op("SelectV2", [negative, up, down], *_out(node), T=dtype_attribute(x[0].dtype))]


@translates("gelu")
def _gelu(f, node, x):
    shape, dtype = _out(node)
    gate = f.op("Erfc", [f.op("Mul", [x[0], f.constant(-(0.5**0.5), dtype)], shape)], shape)
    return [f.op("Mul", [f.op("Mul", [x[0], f.constant(0.5, dtype)], shape), gate], shape)]


@translates("gelu_tanh")
def _gelu_tanh(f, node, x):
    shape, dtype = _out(node)
    factor = math.sqrt(2 / math.pi)
    inner = f.op("Mul", [f.op("Square", x, shape), f.constant(0.044715 * factor, dtype)], shape)
    inner = f.op("Mul", [x[0], f.op("AddV2", [inner, f.constant(factor, dtype)], shape)], shape)
    gate = f.op("AddV2", [f.op("Tanh", [inner], shape), f.constant(1, dtype)], shape)
    return [f.op("Mul", [f.op("Mul", [x[0], f.constant(0.5, dtype)], shape), gate], shape)]


@translates("hypot")
def _hypot(f, node, x):
    shape, _ = _out(node)
    squares = [f.op("Square", [v], v.shape) for v in x]
    return [f.op("Sqrt", [f.op("AddV2", squares, shape)], shape)]


@translates("logaddexp")
def _logaddexp(f, node, x):
    shape, _ = _out(node)
    distance = f.op("Neg", [f.op("Abs", [f.op("Sub", x, shape)], shape)], shape)
    rest = f.op("Log1p", [f.op("Exp", [distance], shape)], shape)
    return [f.op("AddV2", [f.op("Maximum", x, shape), rest], shape)]


@translates("where")
def _where(f, node, x):
    shape, dtype = _out(node)
    return [f.op("SelectV2", x, shape, dtype, T=dtype_attribute(dtype))]


@translates("cast")
def _cast(f, node, x):
    return [f.cast(x[0], _out(node)[1])]


@translates("reshape")
def _reshape(f, node, x):
    return [f.reshape(x[0], _out(node)[0])]


@translates("transpose")
def _transpose(f, node, x):
    return [f.transpose(x[0], [a % x[0].rank for a in node.attrs["axes"]])]


@translates("broadcast_to")
def _broadcast(f, node, x):
    shape, _ = _out(node)
    return [f.op("BroadcastTo", [x[0], f.sizes_of(shape)], shape, Tidx=dtype_attribute("int32"))]


@translates("concatenate")
def _concatenate(f, node, x):
    shape, dtype = _out(node)
    axis = f.ints(node.attrs["axis"] % len(shape))
    return [f.op("ConcatV2", [*x, axis], shape, dtype, N=len(x), Tidx=dtype_attribute("int32"))]


@translates("tile")
def _tile(f, node, x):
    repeats = f.sizes_of(node.attrs["repeats"])
    return [f.op("Tile", [x[0], repeats], _out(node)[0], Tmultiples=dtype_attribute("int32"))]


@translates("slice")
def _slice(f, node, x):
    shape, _ = _out(node)
    begin_mask = end_mask = 0
    begin, end = list(node.attrs["start"]), list(node.attrs["stop"])
    for axis in range(x[0].rank):
        if begin[axis] is None:
            begin_mask, begin[axis] = begin_mask | 1 << axis, 0
        # An end at or beyond the axis, or the end of an unknown axis, is an open end.
        if end[axis] is None:
            end_mask, end[axis] = end_mask | 1 << axis, 0
    inputs = [x[0], f.sizes_of(begin), f.sizes_of(end), f.sizes_of(node.attrs["step"])]
    return [
        f.op("StridedSlice", inputs, shape, Index=dtype_attribute("int32"), begin_mask=begin_mask, end_mask=end_mask)
    ]  # fmt: skip


@translates("pad")
def _pad(f, node, x):
    shape, dtype = _out(node)
    widths = f.ints([list(w) for w in zip(node.attrs["before"], node.attrs["after"], strict=True)])
    mode = node.attrs["mode"]
    if mode == "constant":
        fill = f.constant(node.attrs["constant_values"], dtype)
        return [f.op("PadV2", [x[0], widths, fill], shape, Tpaddings=dtype_attribute("int32"))]
    return [f.op("MirrorPad", [x[0], widths], shape, Tpaddings=dtype_attribute("int32"), mode=mode.upper())]


@translates("gather")
def _gather(f, node, x):
    return [gathered(f, x[0], x[1], node.attrs["axis"] % x[0].rank, _out(node)[0])]


def gathered(f, x, indices, axis, shape, batch_dims=0):
    attrs = {
        "Tparams": dtype_attribute(x.dtype), "Tindices": dtype_attribute(indices.dtype), "Taxis": dtype_attribute("int32"),
        "batch_dims": batch_dims,
    }  # fmt: skip
    return Value(f.node("GatherV2", [x, indices, f.ints(axis)], **attrs), shape, x.dtype)


@translates("take_along_axis")
def _take_along_axis(f, node, x):
    rank = x[0].rank
    axis = node.attrs["axis"] % rank
    order = [*(a for a in range(rank) if a != axis), axis]
    back = [order.index(a) for a in range(rank)]
    values, indices = f.transpose(x[0], order), f.transpose(x[1], order)
    y = gathered(f, values, indices, rank - 1, indices.shape, batch_dims=rank - 1)
    return [f.transpose(y, back)]


@translates("one_hot")
def _one_hot(f, node, x):
    shape, dtype = _out(node)
    inputs = [x[0], f.ints(node.attrs["num_classes"]), f.constant(1, dtype), f.constant(0, dtype)]
    return [
        f.op(
            "OneHot", inputs, shape, dtype, T=dtype_attribute(dtype), TI=dtype_attribute(x[0].dtype), axis=-1
        )
    ]


@translates("top_k")
def _top_k(f, node, x):
    (shape, dtype), (_, index_type) = node.outputs
    attrs = {
        "T": dtype_attribute(dtype),
        "Tk": dtype_attribute("int32"),
        "index_type": dtype_attribute("int32"),
    }
    values = f.node("TopKV2", [x[0], f.ints(node.attrs["k"])], **attrs)
    indices = Value(values.replace(":values:", ":indices:"), shape, "int32")
    return [Value(values, shape, dtype), f.cast(indices, index_type)]


# Reductions.


def _axes(node, rank):
    axis = node.attrs["axis"]
    if axis is None:
        return list(range(rank))
    return [a % rank for a in (axis if isinstance(axis, tuple) else (axis,))]


def _reduced(f, op, x, axes, keep, shape, dtype=None):
    attrs = {"keep_dims": keep, "Tidx": dtype_attribute("int32")}
    if op in ("All", "Any"):
        return Value(f.node(op, [x, f.ints(axes)], **attrs), shape, "bool")
    return f.op(op, [x, f.ints(axes)], shape, dtype, **attrs)


def _reduction(op):
    def emit(f, node, x):
        shape, dtype = _out(node)
        return [_reduced(f, op, f.cast(x[0], dtype), _axes(node, x[0].rank), node.attrs["keepdims"], shape)]

    return emit


for _name in ("sum", "prod", "max", "min", "mean", "all", "any"):
    TABLE[_name] = _reduction(_name.capitalize())


@translates("logsumexp")
def _logsumexp(f, node, x):
    shape, _ = _out(node)
    axes = _axes(node, x[0].rank)
    kept = [1 if a in axes else d for a, d in enumerate(x[0].shape)]
    most = _reduced(f, "Max", x[0], axes, True, kept)
    total = _reduced(
        f, "Sum", f.op("Exp", [f.op("Sub", [x[0], most], x[0].shape)], x[0].shape), axes, True, kept
    )
    y = f.op("AddV2", [f.op("Log", [total], kept), most], kept)
    return [y if node.attrs["keepdims"] else f.reshape(y, shape)]


def _position(op):
    def emit(f, node, x):
        shape, dtype = _out(node)
        axis, source = node.attrs["axis"], x[0]
        if axis is None:
            axis, source = 0, f.op("Reshape", [x[0], f.ints([-1])], (None,), Tshape=dtype_attribute("int32"))
        inputs = [source, f.ints(axis % source.rank)]
        y = f.op(
            op, inputs, shape, "int64", Tidx=dtype_attribute("int32"), output_type=dtype_attribute("int64")
        )
        y = f.cast(y, dtype)
        return [f.reshape(y, shape) if node.attrs["keepdims"] else y]

    return emit


TABLE["argmax"], TABLE["argmin"] = _position("ArgMax"), _position("ArgMin")


def _running(op):
    def emit(f, node, x):
        axis = f.ints(node.attrs["axis"] % x[0].rank)
        return [
            f.op(op, [x[0], axis], *_out(node), Tidx=dtype_attribute("int32"), reverse=node.attrs["reverse"])
        ]

    return emit


TABLE["cumsum"], TABLE["cumprod"] = _running("Cumsum"), _running("Cumprod")
