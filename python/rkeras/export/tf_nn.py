"""Products, convolutions, pooling and normalisation as TensorFlow's ops."""

from rkeras.export.tf_graph import dtype_attribute
from rkeras.export.tf_ops import TABLE, translates

_MAX_GROUPS = 512


def _activated(f, node, y):
    name = node.attrs.get("activation")
    return y if name is None else TABLE[name](f, node, [y])[0]


@translates("matmul")
def _matmul(f, node, x):
    shape, dtype = node.outputs[0]
    turn_a, turn_b = node.attrs["transpose_a"], node.attrs["transpose_b"]
    a, b = (f.cast(v, dtype) for v in x[:2])
    if a.rank == 2 and b.rank == 2:
        y = f.op("MatMul", [a, b], shape, transpose_a=turn_a, transpose_b=turn_b)
    elif b.rank == 2 and not turn_a:
        # One product of many rows, not a product per batch entry.
        rows = f.op(
            "Reshape", [a, f.ints([-1, a.shape[-1]])], (None, a.shape[-1]), Tshape=dtype_attribute("int32")
        )
        y = f.reshape(
            f.op("MatMul", [rows, b], (None, shape[-1]), transpose_a=False, transpose_b=turn_b), shape
        )
    else:
        y = f.op("BatchMatMulV2", [a, b], shape, adj_x=turn_a, adj_y=turn_b)
    if node.attrs["bias"]:
        y = f.op("AddV2", [y, x[2]], shape)
    return [_activated(f, node, y)]


def _window(f, node, x, size, fill=0.0):
    """(input, "VALID" or "SAME"): other paddings are made beforehand."""
    mode = node.attrs["padding"]
    if mode in ("valid", "same"):
        return x, mode.upper()
    if mode == "causal":
        before, after = (
            [(n - 1) * d for n, d in zip(size, node.attrs["dilation_rate"], strict=True)],
            [0] * len(size),
        )
    else:
        before, after = list(node.attrs["pad_before"]), list(node.attrs["pad_after"])
    widths = [[0, 0], *([b, a] for b, a in zip(before, after, strict=True)), [0, 0]]
    shape = [d if not b + a else _plus(d, b + a) for d, (b, a) in zip(x.shape, widths, strict=True)]
    y = f.op(
        "PadV2", [x, f.ints(widths), f.constant(fill, x.dtype)], shape, Tpaddings=dtype_attribute("int32")
    )
    return y, "VALID"


def _plus(size, n):
    from rkeras._core.listing import Dim

    if not isinstance(size, Dim):
        return size + n
    return Dim({**size.terms, (): size.terms.get((), 0) + n})


def _up(f, x, axis=1):
    """A further axis of size one."""
    shape = [*x.shape[:axis], 1, *x.shape[axis:]]
    return f.op("ExpandDims", [x, f.ints(axis)], shape, Tdim=dtype_attribute("int32"))


def _down(f, x, shape):
    return f.op("Squeeze", [x], shape, squeeze_dims=[1])


@translates("conv")
def _conv(f, node, x):
    shape, dtype = node.outputs[0]
    image, kernel = x[:2]
    strides, dilation = list(node.attrs["strides"]), list(node.attrs["dilation_rate"])
    image, padding = _window(f, node, image, kernel.shape[:-2])
    flat = len(strides) == 1
    if flat:
        image, kernel = _up(f, image), _up(f, kernel, 0)
        strides, dilation = [1, *strides], [1, *dilation]
    full = (*shape[:1], 1, *shape[1:]) if flat else shape
    y = _grouped(f, image, kernel, full, strides, dilation, padding)
    if flat:
        y = _down(f, y, shape)
    if node.attrs["bias"]:
        y = f.op("AddV2", [y, x[2]], shape)
    return [_activated(f, node, y)]


def _grouped(f, image, kernel, shape, strides, dilation, padding):
    channels, per_group, filters = image.shape[-1], kernel.shape[-2], kernel.shape[-1]
    groups = channels // per_group
    if len(strides) == 3:
        if any(d != 1 for d in dilation):
            raise NotImplementedError(
                "export: expected dilation_rate 1 of Conv3D, as TensorFlow on CPUs has no other"
            )
        op, attrs = "Conv3D", {"strides": [1, *strides, 1], "padding": padding}
    else:
        op = "Conv2D"
        attrs = {"strides": [1, *strides, 1], "padding": padding, "dilations": [1, *dilation, 1]}
    if groups == 1:
        return f.op(op, [image, kernel], shape, **attrs)
    # A height of one, of signals, takes any stride.
    square = [strides[1]] * 2 if op == "Conv2D" and image.shape[1] == 1 and kernel.shape[0] == 1 else strides
    dilated = any(d != 1 for d in dilation)
    if op == "Conv2D" and per_group == 1 and len(set(square)) == 1 and not (dilated and set(square) != {1}):
        each = f.reshape(kernel, (*kernel.shape[:-2], channels, filters // channels))
        attrs["strides"] = [1, *square, 1]
        return f.op("DepthwiseConv2dNative", [image, each], shape, **attrs)
    if groups > _MAX_GROUPS:
        raise NotImplementedError(
            f"export: expected at most {_MAX_GROUPS} groups of a convolution. Received: {groups}"
        )
    width, parts = filters // groups, []
    for g in range(groups):
        one = f.cut(image, image.rank - 1, g * per_group, (g + 1) * per_group)
        own = f.cut(kernel, kernel.rank - 1, g * width, (g + 1) * width)
        parts.append(f.op(op, [one, own], (*shape[:-1], width), **attrs))
    axis = f.ints(len(shape) - 1)
    return f.op("ConcatV2", [*parts, axis], shape, N=len(parts), Tidx=dtype_attribute("int32"))


@translates("conv_input_grad")
def _transposed(f, node, x):
    shape, dtype = node.outputs[0]
    dy, kernel = x[:2]
    strides, dilation = list(node.attrs["strides"]), list(node.attrs["dilation_rate"])
    if shape[-1] != kernel.shape[-2]:
        raise NotImplementedError("export: expected one group of a transposed convolution. Received: several")
    mode = node.attrs["padding"]
    before = after = [0] * len(strides)
    if mode == "explicit":
        before, after = list(node.attrs["pad_before"]), list(node.attrs["pad_after"])
    elif mode == "causal":
        raise NotImplementedError(
            "export: expected padding 'valid' or 'same' of a transposed convolution. Received: 'causal'"
        )
    target = [
        shape[0],
        *(_plus(d, b + a) for d, b, a in zip(shape[1:-1], before, after, strict=True)),
        shape[-1],
    ]
    flat = len(strides) == 1
    if flat:
        dy, kernel = _up(f, dy), _up(f, kernel, 0)
        strides, dilation = [1, *strides], [1, *dilation]
        target.insert(1, 1)
    attrs = {"strides": [1, *strides, 1], "padding": "SAME" if mode == "same" else "VALID"}
    if len(strides) == 3:
        if any(d != 1 for d in dilation):
            raise NotImplementedError(
                "export: expected dilation_rate 1 of Conv3DTranspose, as TensorFlow on CPUs has no other"
            )
        op, attrs["Tshape"] = "Conv3DBackpropInputV2", dtype_attribute("int32")
    else:
        op, attrs["dilations"] = "Conv2DBackpropInput", [1, *dilation, 1]
    y = f.op(op, [f.sizes_of(target), kernel, dy], target, dtype, T=dtype_attribute(dtype), **attrs)
    if flat:
        target.pop(1)
        y = _down(f, y, target)
    for axis, (b, a) in enumerate(zip(before, after, strict=True), 1):
        if b or a:
            inputs = [y, f.ints([b if i == axis else 0 for i in range(y.rank)]),
                      f.ints([-a if i == axis else 0 for i in range(y.rank)]), f.ints([1] * y.rank)]  # fmt: skip
            free = sum(1 << i for i in range(y.rank) if i != axis)
            sizes = [shape[axis] if i == axis else d for i, d in enumerate(y.shape)]
            y = f.op("StridedSlice", inputs, sizes, Index=dtype_attribute("int32"), begin_mask=free,
                     end_mask=free if a else free | 1 << axis)  # fmt: skip
    return [y]


def _pool(op):
    def emit(f, node, x):
        shape, _ = node.outputs[0]
        size, strides = list(node.attrs["pool_size"]), list(node.attrs["strides"])
        if any(d != 1 for d in node.attrs["dilation_rate"]) or node.attrs["padding"] not in ("valid", "same"):
            raise NotImplementedError(
                "export: expected pooling with padding 'valid' or 'same' and without dilation"
            )
        image, full = x[0], shape
        flat = len(size) == 1
        if flat:
            image, size, strides, full = _up(f, image), [1, *size], [1, *strides], (*shape[:1], 1, *shape[1:])
        name = op + "3D" if len(size) == 3 else op
        padding = node.attrs["padding"].upper()
        y = f.op(name, [image], full, ksize=[1, *size, 1], strides=[1, *strides, 1], padding=padding)
        return [_down(f, y, shape) if flat else y]

    return emit


TABLE["max_pool"], TABLE["average_pool"] = _pool("MaxPool"), _pool("AvgPool")


@translates("layer_norm")
def _layer_norm(f, node, x):
    (shape, dtype), (rows, _), _ = node.outputs
    kept = (*shape[:-1], 1)

    def mean(v):
        return f.op("Mean", [v, f.ints([-1])], kept, keep_dims=True, Tidx=dtype_attribute("int32"))

    inputs = [f.cast(v, dtype) for v in x]
    average = mean(inputs[0])
    centred = inputs[0] if node.attrs["rms"] else f.op("Sub", [inputs[0], average], shape)
    variance = mean(f.op("Square", [centred], shape))
    rstd = f.op("Rsqrt", [f.op("AddV2", [variance, f.constant(node.attrs["epsilon"], dtype)], kept)], kept)
    y = f.op("Mul", [centred, rstd], shape)
    rest = iter(inputs[1:])
    if node.attrs["scale"]:
        y = f.op("Mul", [y, next(rest)], shape)
    if node.attrs["offset"]:
        y = f.op("AddV2", [y, next(rest)], shape)
    return [y, f.reshape(average, rows), f.reshape(rstd, rows)]
