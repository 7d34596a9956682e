"""Matrices, sorting and updates of parts as TensorFlow's ops."""

from rkeras.export.tf_graph import Value, dtype_attribute
from rkeras.export.tf_ops import translates


@translates("det", "inv", "cholesky")
def _matrix(f, node, x):
    op = {"det": "MatrixDeterminant", "inv": "MatrixInverse", "cholesky": "Cholesky"}[node.op]
    return [f.op(op, x, *node.outputs[0])]


@translates("solve")
def _solve(f, node, x):
    return [f.op("MatrixSolve", x, *node.outputs[0])]


@translates("solve_triangular")
def _solve_triangular(f, node, x):
    return [f.op("MatrixTriangularSolve", x, *node.outputs[0], lower=node.attrs["lower"])]


@translates("argsort")
def _argsort(f, node, x):
    shape, _ = node.outputs[0]
    attrs = {
        "T": dtype_attribute(x[0].dtype),
        "Tk": dtype_attribute("int32"),
        "index_type": dtype_attribute("int32"),
    }
    if x[0].dtype.startswith("float") or x[0].dtype == "bfloat16":
        falling = f.op("Neg", x, x[0].shape)
    elif x[0].dtype.startswith("int"):
        # The complement, as the least integer has no negative.
        falling = f.op("Invert", x, x[0].shape)
    else:
        raise NotImplementedError(
            f"export: expected floats or signed integers to sort. Received: {x[0].dtype}"
        )
    ref = f.node("TopKV2", [falling, f.size(shape[-1])], result="indices", **attrs)
    return [Value(ref, shape, "int32")]


@translates("slice_update")
def _slice_update(f, node, x):
    shape, dtype = node.outputs[0]
    begin_mask = end_mask = 0
    begin, end = list(node.attrs["start"]), list(node.attrs["stop"])
    for axis in range(x[0].rank):
        if begin[axis] is None:
            begin_mask, begin[axis] = begin_mask | 1 << axis, 0
        if end[axis] is None:
            end_mask, end[axis] = end_mask | 1 << axis, 0
    inputs = [x[0], f.sizes_of(begin), f.sizes_of(end), f.sizes_of(node.attrs["step"]), x[1]]
    attrs = {"Index": dtype_attribute("int32"), "begin_mask": begin_mask, "end_mask": end_mask}
    return [f.op("TensorStridedSliceUpdate", inputs, shape, dtype, **attrs)]
