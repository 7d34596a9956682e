"""Models as ONNX files: the traced prediction, translated op by op and encoded here (no package is needed)."""

import os

from rkeras.export import onnx_nn
from rkeras.export.graph import trace_model
from rkeras.export.onnx_builder import Builder, Value, inputs_of, live, value_info
from rkeras.saving.files import replace_file
from rkeras.saving.protobuf import REPEATED, encode

OPSETS = range(18, 24)
_IR_VERSION = 8
_LARGEST = 2**31 - 1

_TENSOR = {
    "dims": (1, "int", REPEATED), "data_type": (2, "int"), "name": (8, "string"), "raw_data": (9, "bytes"),
}  # fmt: skip
_DIMENSION = {"dim_value": (1, "int"), "dim_param": (2, "string")}
_TENSOR_TYPE = {"elem_type": (1, "int"), "shape": (2, {"dim": (1, _DIMENSION, REPEATED)})}
_VALUE_INFO = {"name": (1, "string"), "type": (2, {"tensor_type": (1, _TENSOR_TYPE)})}
_ATTRIBUTE = {
    "name": (1, "string"), "f": (2, "float"), "i": (3, "int"), "s": (4, "bytes"), "t": (5, _TENSOR),
    "g": (6, lambda: GRAPH), "floats": (7, "float", REPEATED), "ints": (8, "int", REPEATED), "type": (20, "int"),
}  # fmt: skip
_NODE = {
    "input": (1, "string", REPEATED), "output": (2, "string", REPEATED), "name": (3, "string"),
    "op_type": (4, "string"), "attribute": (5, _ATTRIBUTE, REPEATED),
}  # fmt: skip
GRAPH: dict = {
    "node": (1, _NODE, REPEATED), "name": (2, "string"), "initializer": (5, _TENSOR, REPEATED),
    "input": (11, _VALUE_INFO, REPEATED), "output": (12, _VALUE_INFO, REPEATED),
}  # fmt: skip
MODEL = {
    "ir_version": (1, "int"), "producer_name": (2, "string"), "producer_version": (3, "string"), "graph": (7, GRAPH),
    "opset_import": (8, {"domain": (1, "string"), "version": (2, "int")}, REPEATED),
}  # fmt: skip


def export(model, filepath, input_signature=None, opset_version=18, **kwargs):
    """Writes a model's prediction as an ONNX file.

    Unknown sizes stay unknown in the file. What ONNX has no operator for is an error that says so.

    Args:
        model: a built model.
        filepath: where to.
        input_signature: shapes and dtypes of the inputs; by default those of the model.
        opset_version: the version of ONNX's operators, 18 to 23.
        **kwargs: none others are allowed.
    """
    who = f"{model.name}.export"
    if kwargs:
        raise ValueError(f"{who}: expected no other settings for ONNX. Received: {sorted(kwargs)}")
    opset_version = 18 if opset_version is None else opset_version
    if opset_version not in OPSETS:
        raise ValueError(
            f"{who}: expected opset_version from {OPSETS[0]} to {OPSETS[-1]}. Received: {opset_version}"
        )
    data = encode(MODEL, translate(trace_model(model, input_signature), model.name, opset_version))
    if len(data) > _LARGEST:
        raise ValueError(
            f"{who}: expected at most 2 GB, the limit of an ONNX file. Received: {len(data) / 2**30:.1f} GB"
        )
    replace_file(os.fspath(filepath), lambda f: f.write(data))


def translate(traced, name, opset):
    """The ModelProto of a traced model, as a dict."""
    import rkeras

    b = Builder(opset)
    listing = traced.listing
    shapes = {}
    for node in listing.nodes:
        if node.op == "input":
            shapes[node.position] = node.outputs[0]
    arguments = []
    for i, (given, _, _) in enumerate(traced.inputs):
        shape, dtype = shapes[i]
        arguments.append(Value(b.name(given), shape, dtype))
    b.sizes_of = {size: (arguments[i].name, axis) for size, (i, axis) in listing.sizes.items()}
    b.early = set(b.sizes_of)
    wanted = [b.name(n) for n in traced.output_names]
    try:
        results = onnx_nn.run(b, listing, arguments, listing.found)
    except NotImplementedError as error:
        raise NotImplementedError(
            f"{name}.export: expected a model whose ops ONNX has. Received: {error}. Hint: leave that part out of the "
            "exported model and run it in Python."
        ) from None
    outputs = []
    for out, v in zip(wanted, results, strict=True):
        b.graph.nodes.append({"input": [v.name], "output": [out], "op_type": "Identity", "name": out})
        outputs.append(value_info(out, v.shape, v.dtype))
    nodes = live([*b.prologue, *b.graph.nodes], wanted)
    used = {name for node in nodes for name in inputs_of(node)}
    graph = {
        "name": name,
        "node": nodes,
        "initializer": [t for t in b.initializers if t["name"] in used],
        "input": [value_info(v.name, v.shape, v.dtype) for v in arguments],
        "output": outputs,
    }
    return {
        "ir_version": _IR_VERSION,
        "producer_name": "rkeras",
        "producer_version": getattr(rkeras, "__version__", ""),
        "graph": graph,
        "opset_import": [{"domain": "", "version": opset}],
    }
