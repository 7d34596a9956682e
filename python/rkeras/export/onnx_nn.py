"""Ops as ONNX operators: products, convolutions, pooling, normalisation, control flow."""

from rkeras._core.listing import Dim
from rkeras.export.onnx_builder import Graph, Value, live, value_info
from rkeras.export.onnx_elementwise import TABLE, out, translates
from rkeras.export.onnx_ops import cut


def _activated(b, node, x):
    """The result with the activation that a compiled op carries."""
    name = node.attrs.get("activation")
    return x if name is None else TABLE[name](b, node, [x])[0]


@translates("matmul")
def _matmul(b, node, x):
    a = [_turned(b, v, node.attrs[k]) for v, k in zip(x, ("transpose_a", "transpose_b"), strict=False)]
    y = out(b, node, "MatMul", a[:2])
    if node.attrs["bias"]:
        y = out(b, node, "Add", [y, x[2]])
    return [_activated(b, node, y)]


def _turned(b, x, turn):
    if not turn:
        return x
    axes = list(range(x.rank))
    return b.transpose(x, [*axes[:-2], axes[-1], axes[-2]])


# ONNX has channels first, rkeras last.


def _first(b, x):
    return b.transpose(x, [0, x.rank - 1, *range(1, x.rank - 1)])


def _last(b, name, node, rank, i=0):
    shape, dtype = node.outputs[i]
    y = Value(name, [shape[0], shape[-1], *shape[1:-1]], dtype)
    return b.transpose(y, [0, *range(2, rank + 2), 1])


def _kernel_first(b, k):
    return b.transpose(k, [k.rank - 1, k.rank - 2, *range(k.rank - 2)])


def _reach(node, size):
    return [(n - 1) * d + 1 for n, d in zip(size, node.attrs["dilation_rate"], strict=True)]


def _padding(node, size, spatial):
    """The attributes that say how a window is padded: numbers where sizes are known."""
    mode, reach, strides = node.attrs["padding"], _reach(node, size), node.attrs["strides"]
    if mode == "valid":
        return {}
    if mode == "causal":
        return {"pads": [r - 1 for r in reach] + [0] * len(reach)}
    if mode == "explicit":
        return {"pads": [*node.attrs["pad_before"], *node.attrs["pad_after"]]}
    if any(isinstance(n, Dim) for n in spatial):
        if any(d != 1 for d in node.attrs["dilation_rate"]):
            raise NotImplementedError("padding='same' with dilation over axes of unknown size")
        return {"auto_pad": "SAME_UPPER"}
    totals = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(spatial, strides, reach, strict=True)]
    return {"pads": [t // 2 for t in totals] + [t - t // 2 for t in totals]}


@translates("conv")
def _conv(b, node, x):
    image, kernel = x[:2]
    size = kernel.shape[:-2]
    rank = len(size)
    inputs = [_first(b, image), _kernel_first(b, kernel)]
    if node.attrs["bias"]:
        inputs.append(x[2])
    name = b.node(
        "Conv", inputs, group=image.shape[-1] // kernel.shape[-2], strides=node.attrs["strides"],
        dilations=node.attrs["dilation_rate"], **_padding(node, size, image.shape[1:-1]),
    )  # fmt: skip
    return [_activated(b, node, _last(b, name, node, rank))]


@translates("conv_input_grad")
def _conv_input_grad(b, node, x):
    small, kernel = x
    size, strides, mode = kernel.shape[:-2], node.attrs["strides"], node.attrs["padding"]
    before, after, extra = [], [], []
    for i, (n, m, s, r) in enumerate(
        zip(node.attrs["sizes"], small.shape[1:-1], strides, _reach(node, size), strict=True)
    ):
        # What a plain transposed convolution gives, less what is wanted: cut off, or left out at the end.
        spare = _minus(_times(m, s), n)
        if isinstance(spare, Dim):
            raise NotImplementedError("transposed convolution to a size that is no multiple of the input's")
        spare += r - s
        if mode == "same":
            first = max(spare, 0) // 2
        elif mode == "causal":
            first = r - 1
        else:
            first = node.attrs["pad_before"][i] if mode == "explicit" else 0
        before.append(first)
        after.append(max(spare - first, 0))
        extra.append(max(first - spare, 0))
    name = b.node(
        "ConvTranspose", [_first(b, small), _kernel_first(b, kernel)], strides=strides,
        group=node.attrs["channels"] // kernel.shape[-2], dilations=node.attrs["dilation_rate"],
        pads=before + after, output_padding=extra,
    )  # fmt: skip
    return [_last(b, name, node, len(size))]


def _times(n, factor):
    return Dim({k: c * factor for k, c in n.terms.items()}) if isinstance(n, Dim) else n * factor


def _minus(a, c):
    """a - c; a number if the unknown sizes cancel."""
    a, c = (n if isinstance(n, Dim) else Dim({(): n}) for n in (a, c))
    terms = {k: a.terms.get(k, 0) - c.terms.get(k, 0) for k in {*a.terms, *c.terms}}
    found = Dim(terms)
    return found if set(found.terms) - {()} else found.terms.get((), 0)


@translates("max_pool", "average_pool")
def _pool(b, node, x):
    size = node.attrs["pool_size"]
    op = "MaxPool" if node.op == "max_pool" else "AveragePool"
    name = b.node(
        op, [_first(b, x[0])], kernel_shape=size, strides=node.attrs["strides"],
        **_padding(node, size, x[0].shape[1:-1]),
    )  # fmt: skip
    return [_last(b, name, node, len(size))]


@translates("softmax", "log_softmax")
def _softmax(b, node, x):
    return [out(b, node, "Softmax" if node.op == "softmax" else "LogSoftmax", x, axis=-1)]


@translates("layer_norm", "batch_norm")
def _norm(b, node, x):
    v, dtype = x[0], x[0].dtype
    axes = b.ints([-1] if node.op == "layer_norm" else range(v.rank - 1))
    shape = v.shape
    centred, mean = v, None
    if not node.attrs.get("rms"):
        mean = b.value("ReduceMean", [v, axes], shape, dtype, keepdims=1)
        centred = b.value("Sub", [v, mean], shape, dtype)
    var = b.node("ReduceMean", [b.node("Mul", [centred, centred]), axes], keepdims=1)
    deviation = b.node("Sqrt", [b.node("Add", [var, b.scalar(node.attrs["epsilon"], dtype)])])
    y = b.value("Div", [centred, deviation], shape, dtype)
    rest = list(x[1:])
    if node.attrs["scale"]:
        y = b.value("Mul", [y, rest.pop(0)], shape, dtype)
    if node.attrs["offset"]:
        y = b.value("Add", [y, rest.pop(0)], shape, dtype)
    flat = node.outputs[1][0]

    def statistic(name):
        return Value(b.node("Squeeze", [name, axes]), flat, dtype)

    if mean is None:
        zero = b.node("Mul", [var, b.scalar(0, dtype)])
        return [y, statistic(zero), statistic(b.node("Reciprocal", [deviation]))]
    second = var if node.op == "batch_norm" else b.node("Reciprocal", [deviation])
    return [y, statistic(mean.name), statistic(second)]


# Control flow: what a function captured is seen from inside by name.


def run(b, listing, arguments, found=None):
    """Adds the nodes of a listing to the open graph; returns the Values of its results.

    Args:
        b: the Builder.
        listing: what to add.
        arguments: the Values of its inputs.
        found: where sizes are met that are no formula of the inputs' sizes; see Listing.
    """
    values = {}
    met = {place: name for name, place in (found or {}).items()}
    for i, node in enumerate(_needed(listing)):
        if node is None:
            continue
        if node.op == "input":
            values[i, 0] = arguments[node.position]
        elif node.op == "constant":
            values[i, 0] = _constant(b, node)
        elif node.op == "variable":
            values[i, 0] = _variable(b, node)
        else:
            given = [values[p] for p in node.inputs]
            if node.op in TABLE:
                results = TABLE[node.op](b, node, given)
            elif node.reference is not None:
                results = run(b, node.reference, given)
            else:
                raise NotImplementedError(f"the op {node.op!r}, for which ONNX has no operator")
            for o, value in enumerate(results):
                values[i, o] = value
                for axis in range(len(node.outputs[o][0]) if met else 0):
                    if (i, o, axis) in met:
                        b.sizes_of[met[i, o, axis]] = (value.name, axis)
    return [values[p] for p in listing.outputs]


def _needed(listing):
    """The nodes, None for those that no result needs."""
    kept = {n for n, _ in listing.outputs}
    kept.update(n for n, _, _ in listing.found.values())
    for i in reversed(range(len(listing.nodes))):
        if i in kept:
            kept.update(n for n, _ in listing.nodes[i].inputs)
    return [n if i in kept or n.op == "input" else None for i, n in enumerate(listing.nodes)]


def _variable(b, node):
    key = id(node.value)
    if key not in b.variables:
        array = node.value.numpy()
        b.variables[key] = b.constant(array, node.value.dtype, node.value.path)
    value = b.variables[key]
    dtype = node.outputs[0][1]
    return value if value.dtype == dtype else b.cast(value, dtype)


def _constant(b, node):
    shape, dtype = node.outputs[0]
    if node.fill is None:
        return b.constant(node.value, dtype)
    if node.fill == "scalar":
        one = Value(b.node("Squeeze", [b.size(node.value)]), (), "int64")
        return b.cast(one, dtype)
    if node.fill == "range":
        return b.cast(b.reshape(_range(b, next((n for n in shape if n != 1), 1)), shape), dtype)
    if isinstance(node.fill, tuple):
        _, k, inverted = node.fill
        rows = b.value("Add", [_range(b, shape[-2]), b.scalar(k, "int64")], shape[-2:-1], "int64")
        ends = [_range(b, shape[-1]), b.reshape(rows, (shape[-2], 1))]
        found = b.reshape(b.value("Greater" if inverted else "LessOrEqual", ends, shape[-2:], "bool"), shape)
        return b.cast(found, dtype)
    return b.value("Expand", [b.scalar(node.fill, dtype).name, b.vector(shape)], shape, dtype)


def _range(b, count):
    """0, 1 … as int64."""
    end = b.node("Squeeze", [b.size(count)])
    return Value(b.node("Range", [b.scalar(0, "int64"), end, b.scalar(1, "int64")]), (count,), "int64")


def subgraph(b, name, inputs, body):
    """The GraphProto of what `body(*inputs)` adds, with its results as outputs."""
    outer, b.graph = b.graph, Graph()
    try:
        results = body(*inputs)
        outputs = []
        for v in results:  # a result has to be made in the graph itself, and once
            copy = b.value("Identity", [v], v.shape, v.dtype)
            outputs.append(value_info(copy.name, copy.shape, copy.dtype))
        nodes = live(b.graph.nodes, [v["name"] for v in outputs])
    finally:
        b.graph = outer
    return {
        "node": nodes, "name": b.name(name), "output": outputs,
        "input": [value_info(v.name, v.shape, v.dtype) for v in inputs],
    }  # fmt: skip


def _argument(b, shape, dtype):
    return Value(b.name("arg"), shape, dtype)


@translates("scan")
def _scan(b, node, x):
    body, carries, xs = node.attrs["body"], node.attrs["carries"], node.attrs["xs"]
    captured = x[carries + xs :]
    states = [_argument(b, v.shape, v.dtype) for v in x[:carries]]
    if not xs:
        return _counted(b, node, x, states, captured)
    slices = [_argument(b, v.shape[1:], v.dtype) for v in x[carries : carries + xs]]
    inner = subgraph(b, "step", [*states, *slices], lambda *a: run(b, body, [*a, *captured]))
    ys = len(node.outputs) - carries
    backward = int(node.attrs["reverse"])
    attributes = {"scan_input_directions": [backward] * xs}
    if ys:
        attributes["scan_output_directions"] = [backward] * ys
    names = _names(
        b.node("Scan", x[: carries + xs], len(node.outputs), body=inner, num_scan_inputs=xs, **attributes)
    )
    return _results(node, names)


def _names(found):
    return [found] if isinstance(found, str) else found


def _results(node, names):
    return [Value(n, *spec) for n, spec in zip(names, node.outputs, strict=True)]


def _counted(b, node, x, states, captured):
    """A scan over nothing but a number of steps."""
    go = _argument(b, (), "bool")
    step = _argument(b, (), "int64")
    inner = subgraph(
        b,
        "step",
        [step, go, *states],
        lambda _, again, *a: [again, *run(b, node.attrs["body"], [*a, *captured])],
    )
    length = node.attrs["length"]
    count = b.node("Squeeze", [b.size(length)]) if isinstance(length, Dim) else b.scalar(length, "int64").name
    carries = node.attrs["carries"]
    names = _names(b.node("Loop", [count, "", *x[:carries]], len(node.outputs), body=inner))
    found = _results(node, names)
    if node.attrs["reverse"]:
        for i in range(carries, len(found)):
            turned = cut(b, found[i], 0, None, None, -1)
            found[i] = Value(turned.name, *node.outputs[i])
    return found


@translates("while_loop")
def _while_loop(b, node, x):
    n = len(node.outputs)
    first, rest = x[:n], x[n:]
    of_cond, of_body = rest[: node.attrs["cond_count"]], rest[node.attrs["cond_count"] :]
    condition, step = node.attrs["cond"], node.attrs["body"]
    start = run(b, condition, [*first, *of_cond])[0]
    states = [_argument(b, v.shape, v.dtype) for v in first]

    def once(_, __, *a):
        now = run(b, step, [*a, *of_body])
        return [*run(b, condition, [*now, *of_cond]), *now]

    inner = subgraph(b, "step", [_argument(b, (), "int64"), _argument(b, (), "bool"), *states], once)
    most = node.attrs["maximum_iterations"]
    limit = "" if most < 0 else b.scalar(most, "int64").name
    names = _names(b.node("Loop", [limit, start, *first], n, body=inner))
    return _results(node, names)


@translates("cond")
def _cond(b, node, x):
    count = node.attrs["true_count"]
    branches = {
        "then_branch": (node.attrs["true_fn"], x[1 : 1 + count]),
        "else_branch": (node.attrs["false_fn"], x[1 + count :]),
    }
    attributes = {
        name: subgraph(b, name, [], lambda f=f, captured=captured: run(b, f, captured))
        for name, (f, captured) in branches.items()
    }
    return _results(node, _names(b.node("If", [x[0]], len(node.outputs), **attributes)))


@translates("det")
def _det(b, node, x):
    return [out(b, node, "Det", x)]


@translates("cumprod")
def _cumprod(b, node, x):
    """Along the first axis with ONNX's Scan: y[i] = y[i-1] x[i]."""
    axis = node.attrs["axis"] % x[0].rank
    order = [axis, *(a for a in range(x[0].rank) if a != axis)]
    v = b.transpose(x[0], order)
    one = b.value("Expand", [b.scalar(1, v.dtype).name, b.vector(v.shape[1:])], v.shape[1:], v.dtype)
    state, row = (_argument(b, v.shape[1:], v.dtype) for _ in range(2))

    def step(a, c):
        product = b.value("Mul", [a, c], a.shape, a.dtype)
        return [product, product]

    backward = [int(node.attrs["reverse"])]
    names = b.node(
        "Scan", [one, v], 2, body=subgraph(b, "step", [state, row], step), num_scan_inputs=1,
        scan_input_directions=backward, scan_output_directions=backward,
    )  # fmt: skip
    return [b.transpose(Value(names[1], v.shape, v.dtype), [order.index(a) for a in range(len(order))])]
