"""SavedModel folders: a graph that TensorFlow and its servers run, and objects that Keras reads."""

import json
import os

import numpy as np

from rkeras.export import tf_control as tf_control  # these enter their ops into the table
from rkeras.export import tf_linalg as tf_linalg
from rkeras.export import tf_nn as tf_nn
from rkeras.export.graph import trace_model
from rkeras.export.tf_graph import (
    GRAPH,
    NUMBERS,
    RESOURCE,
    STRING,
    Function,
    Library,
    Value,
    attribute,
    dtype_attribute,
    shape_proto,
    tensor_proto,
    types,
)
from rkeras.export.tf_ops import translate
from rkeras.saving import tf_bundle, tf_checkpoint, tf_objects
from rkeras.saving.files import replace_tree
from rkeras.saving.protobuf import encode
from rkeras.saving.saved_model import METADATA_FILE
from rkeras.saving.saved_model_proto import KERAS_METADATA, saved_model

_PRODUCER = 1645  # of graphs: the version whose rules the nodes follow
_VERSION = {"producer": 1, "min_consumer": 1}
_SIGNATURE = "serving_default"


def export(model, filepath, input_signature=None, keras_config=None, include_optimizer=False):
    """Writes a SavedModel.

    Args:
        model: a built model.
        filepath: the folder.
        input_signature: shapes and dtypes of the inputs; by default those of the model.
        keras_config: the model's config as JSON: names outputs as tf.keras 2 does, and lets `load_model` read the folder.
        include_optimizer: whether the state of the optimizer is stored.

    Raises:
        NotImplementedError: for a model with an op that has no counterpart in TensorFlow.
    """
    traced = trace_model(model, input_signature)
    objects, variables = tf_objects.build_graph(model, optimizer=include_optimizer)
    by_id = {id(v): key for key, v in variables.items()}
    used = list({id(n.value): n.value for n in _reads(traced.listing)}.values())
    lost = [v.path for v in used if id(v) not in by_id]
    if lost:
        raise ValueError(
            f"{model.name}.export: expected variables in attributes of layers. Received: {lost[:5]}, which are not"
        )
    used.sort(key=lambda v: by_id[id(v)])
    library = Library()
    serve = _Serve(library, traced, used, keras_config is not None)
    graph = encode(tf_objects.GRAPH, objects)
    meta = {
        "meta_info_def": {"tags": ["serve"], "tensorflow_version": "2.21.0", "stripped_default_attrs": True},
        "graph_def": _main_graph(library, serve, variables, by_id, graph),
        "saver_def": {
            "filename_tensor_name": "saver_filename:0", "save_tensor_name": "save_path:0", "restore_op_name": "restore_all",
            "version": 2,
        },
        "signature_def": _signatures(serve),
        "object_graph_def": _object_graph(objects, variables, serve, by_id),
    }  # fmt: skip
    message = {"saved_model_schema_version": 1, "meta_graphs": [meta]}
    tensors = {key: tf_checkpoint.stored(v) for key, v in variables.items()}
    tensors[tf_bundle.OBJECT_GRAPH] = graph

    def write(folder):
        os.mkdir(os.path.join(folder, "variables"))
        os.mkdir(os.path.join(folder, "assets"))
        tf_bundle.write_checkpoint(os.path.join(folder, "variables", "variables"), tensors, state=False)
        with open(os.path.join(folder, "saved_model.pb"), "wb") as f:
            f.write(encode(saved_model(GRAPH), message))
        if keras_config is not None:
            with open(os.path.join(folder, METADATA_FILE), "wb") as f:
                f.write(_keras_metadata(model, keras_config))

    replace_tree(filepath, write)


def _reads(listing):
    live, stack = set(), [n for n, _ in listing.outputs]
    while stack:
        n = stack.pop()
        if n not in live:
            live.add(n)
            stack.extend(p for p, _ in listing.nodes[n].inputs)
    return [listing.nodes[n] for n in sorted(live) if listing.nodes[n].op == "variable"]


class _Serve:
    """The two functions of the prediction: by position, and by names as a signature."""

    def __init__(self, library, traced, variables, keras):
        listing = traced.listing
        self.variables, self.inputs = variables, traced.inputs
        self.structure, self.input_structure = listing.structure, traced.structure
        specs = [listing.nodes[n].outputs[o] for n, o in listing.outputs]
        self.outputs = [(tuple(d if isinstance(d, int) else None for d in s), t) for s, t in specs]
        if keras:
            self.output_names = list(traced.output_names)
        elif isinstance(self.structure, dict) and all(isinstance(v, int) for v in self.structure.values()):
            by_place = {place: str(name) for name, place in self.structure.items()}
            self.output_names = [by_place[i] for i in range(len(specs))]
        else:
            self.output_names = [f"output_{i}" for i in range(len(specs))]

        f = Function(library, "serve")
        arguments = [f.argument(name, dtype, shape) for name, shape, dtype in traced.inputs]
        handles = {id(v): f.resource(v.path, v) for v in variables}
        contents: dict = {}
        for name, (i, axis) in listing.sizes.items():
            f.sizes[name] = f.size_in(arguments[i], axis)

        def content(variable):
            if id(variable) not in contents:
                ref = f.node("ReadVariableOp", [handles[id(variable)]], dtype=dtype_attribute(variable.dtype))
                contents[id(variable)] = Value(ref, variable.shape, variable.dtype)
            return contents[id(variable)]

        results = translate(f, listing, arguments, content)
        self.name = f.finish({f"output_{i}": v for i, v in enumerate(results)})

        # The signature: arguments and results in the order of their names.
        self.sorted_inputs = sorted(self.inputs)
        self.sorted_outputs = sorted(zip(self.output_names, self.outputs, range(len(specs)), strict=True))
        g = Function(library, "signature_wrapper_serve")
        given = {name: g.argument(name, dtype, shape) for name, shape, dtype in self.sorted_inputs}
        resources = [g.resource(v.path, v) for v in variables]
        results = g.call(self.name, [*(given[name] for name, _, _ in self.inputs), *resources], self.outputs)
        self.signature_name = g.finish({name: results[i] for name, _, i in self.sorted_outputs})


def _spec(name, shape, dtype):
    return {"tensor_spec_value": {"name": name, "shape": shape_proto(shape), "dtype": NUMBERS[dtype]}}


def _structured(structure, leaf):
    """A nested structure of positions as a StructuredValue."""
    if isinstance(structure, dict):
        return {"dict_value": {"fields": {str(k): _structured(v, leaf) for k, v in structure.items()}}}
    if isinstance(structure, (list, tuple)):
        kind = "tuple_value" if isinstance(structure, tuple) else "list_value"
        return {kind: {"values": [_structured(v, leaf) for v in structure]}}
    return leaf(structure)


def _argument_spec(arguments, keywords):
    """Which arguments a function takes, as TensorFlow notes it."""
    nothing = {"none_value": {}}

    def texts(items):
        return {"list_value": {"values": [{"string_value": t} for t in items]}}

    values = {
        "args": texts(arguments), "varargs": nothing, "varkw": nothing, "defaults": nothing, "kwonlyargs": texts(keywords),
        "kwonlydefaults": nothing, "annotations": {"dict_value": {}},
    }  # fmt: skip
    spec = {"name": "FullArgSpec", "values": [{"key": k, "value": v} for k, v in values.items()]}
    return {"fullargspec": {"named_tuple_value": spec}, "is_method": False, "input_signature": nothing}


def _object_graph(objects, variables, serve, by_id):
    nodes, places = [], {}
    for i, node in enumerate(objects["nodes"]):
        if node["attributes"]:
            variable = variables[node["attributes"][0]["checkpoint_key"]]
            places[id(variable)] = i
            nodes.append({"variable": {
                "dtype": NUMBERS[_file_dtype(variable)], "shape": shape_proto(variable.shape), "trainable": bool(variable.trainable),
                "name": variable.path,
            }})  # fmt: skip
        else:
            nodes.append({
                "children": node["children"], "user_object": {"identifier": "_generic_user_object", "version": _VERSION},
            })  # fmt: skip
    count = len(nodes)
    nodes[0] = {
        **nodes[0],
        "children": [
            *nodes[0]["children"], {"node_id": count, "local_name": "serve"}, {"node_id": count + 1, "local_name": "signatures"},
        ],
    }  # fmt: skip
    nodes.append(
        {"function": {"concrete_functions": [serve.name], "function_spec": _argument_spec(["inputs"], [])}}
    )
    nodes.append({
        "children": [{"node_id": count + 2, "local_name": _SIGNATURE}],
        "user_object": {"identifier": "signature_map", "version": _VERSION},
    })  # fmt: skip
    keywords = [name for name, _, _ in serve.sorted_inputs]
    nodes.append({"bare_concrete_function": {
        "concrete_function_name": serve.signature_name, "argument_keywords": keywords,
        "allowed_positional_arguments": len(keywords), "function_spec": _argument_spec([], keywords),
    }})  # fmt: skip
    bound = [places[id(v)] for v in serve.variables]
    by_position = {i: _spec(*spec) for i, spec in enumerate(serve.inputs)}
    given = _structured(serve.input_structure, by_position.__getitem__)
    results = [_spec(f"output_{i}", *spec) for i, spec in enumerate(serve.outputs)]
    empty_tuple, empty_dict = {"tuple_value": {}}, {"dict_value": {}}
    named = {"dict_value": {"fields": {spec[0]: _spec(*spec) for spec in serve.sorted_inputs}}}
    concrete = {
        serve.name: {
            "bound_inputs": bound,
            "canonicalized_input_signature": {"tuple_value": {"values": [{"tuple_value": {"values": [given]}}, empty_dict]}},
            "output_signature": _structured(serve.structure, results.__getitem__),
        },
        serve.signature_name: {
            "bound_inputs": bound,
            "canonicalized_input_signature": {"tuple_value": {"values": [empty_tuple, named]}},
            "output_signature": {"dict_value": {"fields": {n: _spec(n, *s) for n, s, _ in serve.sorted_outputs}}},
        },
    }  # fmt: skip
    return {"nodes": nodes, "concrete_functions": concrete}


def _node(name, op, inputs=(), **attrs):
    return {
        "name": name,
        "op": op,
        "input": list(inputs),
        "attr": {k: attribute(v) for k, v in attrs.items()},
    }


def _main_graph(library, serve, variables, by_id, graph):
    """The graph that servers and TensorFlow 1's loader run: placeholders, variables, a call, saving and restoring."""
    keys = sorted(variables)
    names = {key: f"variable_{i}" for i, key in enumerate(keys)}
    nodes = []
    for key in keys:
        v = variables[key]
        nodes.append(_node(
            names[key], "VarHandleOp", shared_name=key, dtype=dtype_attribute(_file_dtype(v)), shape={"shape": shape_proto(v.shape)},
        ))  # fmt: skip
    for name, shape, dtype in serve.sorted_inputs:
        nodes.append(_node(
            f"{_SIGNATURE}_{name}", "Placeholder", dtype=dtype_attribute(dtype), shape={"shape": shape_proto(shape)},
        ))  # fmt: skip
    handles = [names[by_id[id(v)]] for v in serve.variables]
    nodes.append(_node(
        "StatefulPartitionedCall", "StatefulPartitionedCall", [*(f"{_SIGNATURE}_{n}" for n, _, _ in serve.sorted_inputs), *handles],
        Tin=types([*(d for _, _, d in serve.sorted_inputs), *[RESOURCE] * len(handles)]),
        Tout=types([s[1] for _, s, _ in serve.sorted_outputs]), f={"func": {"name": serve.signature_name}},
    ))  # fmt: skip
    nodes.append(_node("NoOp", "NoOp"))
    text = dtype_attribute(STRING)
    nodes.append(_node("saver_filename", "Placeholder", dtype=text, shape={"shape": {}}))
    # The graph of objects is saved with the variables: a model without any has something to save all the same.
    nodes.append(
        _node("object_graph", "Const", dtype=text, value={"tensor": tensor_proto(np.array(graph, object))})
    )
    saved = [*keys, tf_bundle.OBJECT_GRAPH]
    dtypes = types([*(_file_dtype(variables[k]) for k in keys), STRING])
    for name, items in (("save_names", [k.encode() for k in saved]), ("save_slices", [b""] * len(saved))):
        nodes.append(
            _node(name, "Const", dtype=text, value={"tensor": tensor_proto(np.array(items, object))})
        )
    for key in keys:
        nodes.append(
            _node(
                f"read_{names[key]}",
                "ReadVariableOp",
                [names[key]],
                dtype=dtype_attribute(_file_dtype(variables[key])),
            )
        )
    reads = [*(f"read_{names[k]}" for k in keys), "object_graph"]
    nodes.append(
        _node("save", "SaveV2", ["saver_filename", "save_names", "save_slices", *reads], dtypes=dtypes)
    )
    nodes.append(_node("save_path", "Identity", ["saver_filename", "^save"], T=text))
    nodes.append(
        _node("restore", "RestoreV2", ["saver_filename", "save_names", "save_slices"], dtypes=dtypes)
    )
    for i, key in enumerate(keys):
        source = f"restore:{i}" if i else "restore"
        nodes.append(_node(
            f"assign_{names[key]}", "AssignVariableOp", [names[key], source], dtype=dtype_attribute(_file_dtype(variables[key])),
        ))  # fmt: skip
    nodes.append(_node("restore_all", "NoOp", [f"^assign_{names[k]}" for k in keys]))
    return {
        "node": nodes, "library": {"function": library.functions}, "versions": {"producer": _PRODUCER, "min_consumer": 12},
    }  # fmt: skip


def _file_dtype(variable):
    """The dtype of a variable in the checkpoint."""
    return "int64" if tf_checkpoint.is_counter(variable) else variable.dtype


def _signatures(serve):
    def info(name, shape, dtype):
        return {"name": name, "dtype": NUMBERS[dtype], "tensor_shape": shape_proto(shape)}

    return {
        _SIGNATURE: {
            "inputs": {n: info(f"{_SIGNATURE}_{n}:0", s, d) for n, s, d in serve.sorted_inputs},
            "outputs": {n: info(f"StatefulPartitionedCall:{i}", *s) for i, (n, s, _) in enumerate(serve.sorted_outputs)},
            "method_name": "tensorflow/serving/predict",
        },
        "__saved_model_init_op": {
            "outputs": {"__saved_model_init_op": {"name": "NoOp", "dtype": 0, "tensor_shape": {"unknown_rank": True}}},
        },
    }  # fmt: skip


def _keras_metadata(model, config):
    metadata = {"name": model.name, "class_name": type(model).__name__, "keras_3_config": json.loads(config)}
    node = {
        "node_id": 0, "node_path": "root", "identifier": "_tf_keras_model", "metadata": json.dumps(metadata),
        "version": {"producer": 2, "min_consumer": 1},
    }  # fmt: skip
    return encode(KERAS_METADATA, {"nodes": [node]})
