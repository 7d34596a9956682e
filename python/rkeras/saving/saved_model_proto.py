"""The messages of a SavedModel beside its graph: signatures, objects, structured values, Keras's metadata."""

from rkeras.saving.protobuf import REPEATED, map_of
from rkeras.saving.tf_bundle import SHAPE

_VERSION = {"producer": (1, "int"), "min_consumer": (2, "int")}
_INFO = {"name": (1, "string"), "dtype": (2, "int"), "tensor_shape": (3, SHAPE)}
_SIGNATURE = {
    "inputs": (1, map_of("string", _INFO)), "outputs": (2, map_of("string", _INFO)), "method_name": (3, "string"),
}  # fmt: skip
_SAVER = {
    "filename_tensor_name": (1, "string"), "save_tensor_name": (2, "string"), "restore_op_name": (3, "string"),
    "max_to_keep": (4, "int"), "version": (7, "int"),
}  # fmt: skip

STRUCTURE: dict = {}
_PAIR = {"key": (1, "string"), "value": (2, lambda: STRUCTURE)}
_ITEMS = {"values": (1, lambda: STRUCTURE, REPEATED)}
STRUCTURE.update({
    "none_value": (1, {}), "string_value": (13, "string"), "bool_value": (14, "bool"),
    "tensor_spec_value": (33, {"name": (1, "string"), "shape": (2, SHAPE), "dtype": (3, "int")}),
    "list_value": (51, _ITEMS), "tuple_value": (52, _ITEMS),
    "dict_value": (53, {"fields": (1, map_of("string", lambda: STRUCTURE))}),
    "named_tuple_value": (54, {"name": (1, "string"), "values": (2, _PAIR, REPEATED)}),
})  # fmt: skip

_SPEC = {"fullargspec": (1, STRUCTURE), "is_method": (2, "bool"), "input_signature": (5, STRUCTURE)}
_CHILD = {"node_id": (1, "int"), "local_name": (2, "string")}
OBJECT = {
    "children": (1, _CHILD, REPEATED),
    "user_object": (4, {"identifier": (1, "string"), "version": (2, _VERSION), "metadata": (3, "string")}),
    "function": (6, {"concrete_functions": (1, "string", REPEATED), "function_spec": (2, _SPEC)}),
    "variable": (7, {
        "dtype": (1, "int"), "shape": (2, SHAPE), "trainable": (3, "bool"), "synchronization": (4, "int"),
        "aggregation": (5, "int"), "name": (6, "string"),
    }),
    "bare_concrete_function": (8, {
        "concrete_function_name": (1, "string"), "argument_keywords": (2, "string", REPEATED),
        "allowed_positional_arguments": (3, "int"), "function_spec": (4, _SPEC),
    }),
}  # fmt: skip
_CONCRETE = {
    "bound_inputs": (2, "int", REPEATED), "canonicalized_input_signature": (3, STRUCTURE), "output_signature": (4, STRUCTURE),
}  # fmt: skip
OBJECTS = {"nodes": (1, OBJECT, REPEATED), "concrete_functions": (2, map_of("string", _CONCRETE))}


def saved_model(graph):
    """The schema of `saved_model.pb`; `graph` is that of a GraphDef."""
    info = {
        "tags": (4, "string", REPEATED),
        "tensorflow_version": (5, "string"),
        "stripped_default_attrs": (7, "bool"),
    }
    meta = {
        "meta_info_def": (1, info), "graph_def": (2, graph), "saver_def": (3, _SAVER),
        "signature_def": (5, map_of("string", _SIGNATURE)), "object_graph_def": (7, OBJECTS),
    }  # fmt: skip
    return {"saved_model_schema_version": (1, "int"), "meta_graphs": (2, meta, REPEATED)}


# `keras_metadata.pb` of tf.keras 2.
KERAS_OBJECT = {
    "node_id": (2, "int"), "node_path": (3, "string"), "identifier": (4, "string"), "metadata": (5, "string"),
    "version": (6, _VERSION),
}  # fmt: skip
KERAS_METADATA = {"nodes": (1, KERAS_OBJECT, REPEATED)}
