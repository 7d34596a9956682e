"""Ops as ONNX operators: reductions, shapes, indices."""

import numpy as np

from rkeras._core.listing import Dim
from rkeras.export.onnx_builder import Value
from rkeras.export.onnx_elementwise import out, translates

_LAST, _FIRST = np.iinfo(np.int64).max, np.iinfo(np.int64).min

# Reductions.

_REDUCTIONS = {
    "sum": "ReduceSum", "mean": "ReduceMean", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin",
    "logsumexp": "ReduceLogSumExp", "all": "ReduceMin", "any": "ReduceMax",
}  # fmt: skip


@translates(*_REDUCTIONS)
def _reduce(b, node, x):
    axes = node.attrs["axis"]
    if axes == () or x[0].rank == 0:
        return [x[0]]
    v = b.cast(x[0], "int32") if x[0].dtype == "bool" else x[0]
    inputs = [v] if axes is None else [v, b.ints(axes)]
    shape, dtype = node.outputs[0]
    found = b.value(_REDUCTIONS[node.op], inputs, shape, v.dtype, keepdims=int(node.attrs["keepdims"]))
    return [b.cast(found, dtype)]


@translates("argmax", "argmin")
def _arg(b, node, x):
    v, axis = b.cast(x[0], "int32") if x[0].dtype == "bool" else x[0], node.attrs["axis"]
    op = "ArgMax" if node.op == "argmax" else "ArgMin"
    shape, dtype = node.outputs[0]
    if axis is None:
        flat = b.value("Reshape", [v, b.ints([-1])], (1,), v.dtype)
        found = b.value(op, [flat], (), "int64", axis=0, keepdims=0)
        if shape:
            found = b.reshape(found, shape)
    else:
        found = b.value(op, [v], shape, "int64", axis=axis, keepdims=int(node.attrs["keepdims"]))
    return [b.cast(found, dtype)]


@translates("cumsum")
def _cumsum(b, node, x):
    axis = b.scalar(node.attrs["axis"], "int64")
    return [out(b, node, "CumSum", [x[0], axis], reverse=int(node.attrs["reverse"]))]


@translates("argsort", "top_k")
def _sort(b, node, x):
    rising = node.op == "argsort"
    v = b.cast(x[0], "int32") if x[0].dtype == "bool" else x[0]
    k = b.size(v.shape[-1] if rising else node.attrs["k"])
    values, indices = b.node("TopK", [v.name, k], count=2, axis=-1, largest=int(not rising), sorted=1)
    where = b.cast(Value(indices, node.outputs[-1][0], "int64"), node.outputs[-1][1])
    return [where] if rising else [b.cast(Value(values, node.outputs[0][0], v.dtype), x[0].dtype), where]


# Shapes.


@translates("reshape")
def _reshape(b, node, x):
    return [b.reshape(x[0], node.outputs[0][0])]


@translates("transpose")
def _transpose(b, node, x):
    return [b.transpose(x[0], node.attrs["axes"])]


@translates("broadcast_to")
def _broadcast_to(b, node, x):
    return [out(b, node, "Expand", [x[0].name, b.vector(node.outputs[0][0])])]


@translates("concatenate")
def _concatenate(b, node, x):
    return [out(b, node, "Concat", x, axis=node.attrs["axis"])]


@translates("tile")
def _tile(b, node, x):
    return [out(b, node, "Tile", [x[0].name, b.vector(node.attrs["repeats"])])]


@translates("slice")
def _slice(b, node, x):
    starts, stops, steps, axes = [], [], [], []
    for axis, (start, stop, step) in enumerate(
        zip(*(node.attrs[k] for k in ("start", "stop", "step")), strict=True)
    ):
        if start in (None, 0) and stop is None and step == 1:
            continue
        starts.append((0 if step > 0 else _LAST) if start is None else start)
        stops.append((_LAST if step > 0 else _FIRST) if stop is None else stop)
        steps.append(step)
        axes.append(axis)
    if not axes:
        return [x[0]]
    return [
        out(
            b,
            node,
            "Slice",
            [x[0].name, b.vector(starts), b.vector(stops), b.ints(axes).name, b.ints(steps).name],
        )
    ]


def cut(b, x, axis, start, stop, step=1):
    """x[start:stop:step] along an axis; None leaves a bound out."""
    start = (0 if step > 0 else _LAST) if start is None else start
    stop = (_LAST if step > 0 else _FIRST) if stop is None else stop
    shape = list(x.shape)
    shape[axis] = Dim({("?",): 1})  # nobody asks for it
    return b.value(
        "Slice", [x, b.ints([start]), b.ints([stop]), b.ints([axis]), b.ints([step])], shape, x.dtype
    )


@translates("slice_update")
def _slice_update(b, node, x):
    bounds = [
        (a, start, stop, step)
        for a, (start, stop, step) in enumerate(
            zip(*(node.attrs[k] for k in ("start", "stop", "step")), strict=True)
        )
        if not (start in (None, 0) and step == 1 and (stop is None or stop == x[0].shape[a]))
    ]
    if any(step != 1 or isinstance(start, Dim) or isinstance(stop, Dim) for _, start, stop, step in bounds):
        raise NotImplementedError(
            "assignments to slices with steps, or at positions that depend on unknown sizes"
        )

    def update(old, rest):
        if not rest:
            return x[1]
        axis, start, stop, _ = rest[0]
        inner = update(cut(b, old, axis, start, stop), rest[1:])
        parts = [inner]
        if start not in (None, 0):
            parts.insert(0, cut(b, old, axis, None, start))
        if stop is not None:
            parts.append(cut(b, old, axis, stop, None))
        return b.value("Concat", parts, old.shape, old.dtype, axis=axis)

    return [update(x[0], bounds)]


@translates("pad")
def _pad(b, node, x):
    before, after, mode = node.attrs["before"], node.attrs["after"], node.attrs["mode"]
    if mode == "symmetric":
        v = x[0]
        for axis, (first, last) in enumerate(zip(before, after, strict=True)):
            parts = [v]
            if first:
                parts.insert(0, cut(b, v, axis, first - 1, None, -1))
            if last:
                parts.append(cut(b, v, axis, None, -last - 1, -1))
            if len(parts) > 1:
                v = b.value("Concat", parts, node.outputs[0][0], v.dtype, axis=axis)
        return [v]
    inputs = [x[0].name, b.vector([*before, *after])]
    if mode == "constant":
        inputs.append(b.scalar(node.attrs["constant_values"], x[0].dtype).name)
    return [out(b, node, "Pad", inputs, mode=mode)]


# Indices.


@translates("gather")
def _gather(b, node, x):
    return [out(b, node, "Gather", [x[0], _positions(b, x[1])], axis=node.attrs["axis"])]


def _positions(b, x):
    return x if x.dtype in ("int32", "int64") else b.cast(x, "int64")


@translates("take_along_axis")
def _take_along_axis(b, node, x):
    return [out(b, node, "GatherElements", [x[0], _positions(b, x[1])], axis=node.attrs["axis"])]


def _zeros(b, node):
    shape, dtype = node.outputs[0]
    return b.value("Expand", [b.scalar(0, dtype).name, b.vector(shape)], shape, dtype)


@translates("add_along_axis")
def _add_along_axis(b, node, x):
    inputs = [_zeros(b, node), _positions(b, x[1]), x[0]]
    return [out(b, node, "ScatterElements", inputs, axis=node.attrs["axis"], reduction="add")]


@translates("scatter_add")
def _scatter_add(b, node, x):
    if node.attrs["axis"] != 0:
        raise NotImplementedError("scattered additions along an axis other than the first")
    indices = b.reshape(b.cast(x[1], "int64"), (*x[1].shape, 1))
    return [out(b, node, "ScatterND", [_zeros(b, node), indices, x[0]], reduction="add")]


@translates("one_hot")
def _one_hot(b, node, x):
    shape, dtype = node.outputs[0]
    column = b.reshape(b.cast(x[0], "int64"), (*x[0].shape, 1))
    same = b.value("Equal", [column, b.ints(range(node.attrs["num_classes"]))], shape, "bool")
    return [b.cast(same, dtype)]
