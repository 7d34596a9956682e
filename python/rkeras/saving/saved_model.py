"""Keras models from SavedModel folders: architecture from the metadata, values from the variables.

The graph in `saved_model.pb` is not looked at, let alone run.
"""

import json
import os

from rkeras._core import registry
from rkeras.saving import legacy_config, tf_checkpoint
from rkeras.saving.budget import WeightBudget
from rkeras.saving.files import UnsafeFileError
from rkeras.saving.protobuf import decode
from rkeras.saving.saved_model_proto import KERAS_METADATA

GRAPH_FILE, METADATA_FILE = "saved_model.pb", "keras_metadata.pb"
_MAX_METADATA_BYTES = 64 << 20


def is_saved_model(path):
    """Is it a SavedModel folder (or what is left of one: metadata and variables)?"""
    return os.path.isdir(path) and any(
        os.path.isfile(os.path.join(path, n)) for n in (GRAPH_FILE, METADATA_FILE)
    )


def load_saved_model(path, custom_objects=None, compile=True):
    """Reads a model from a SavedModel folder that tf.keras 2 or rkeras wrote.

    Args:
        path: the folder.
        custom_objects: dict of name to class or function.
        compile: whether the model is compiled as it was when saved, with the state of its optimizer.

    Raises:
        ValueError: if it holds no Keras model, or one whose architecture is known only as a graph.
    """
    path = os.fspath(path)
    root = _root(path)
    prefix = os.path.join(path, "variables", "variables")
    size = sum(
        os.path.getsize(os.path.join(path, "variables", n)) for n in _names(os.path.join(path, "variables"))
    )
    with registry.CustomObjectScope(custom_objects), registry.ObjectSharingScope(), WeightBudget(size):
        modern = root.get("keras_3_config")
        if isinstance(modern, dict):
            if not compile:
                modern.pop("compile_config", None)
            model = registry.deserialize_keras_object(modern, custom_objects=custom_objects)
        else:
            model = _of_keras_2(root, path, custom_objects, compile)
        if not hasattr(model, "load_weights"):
            raise ValueError(f"load_model: expected a model in {path!r}. Received: {type(model).__name__}")
        if not tf_checkpoint.is_checkpoint(prefix):
            raise ValueError(f"load_model: expected variables in {path!r}. Received: a folder without them")
        tf_checkpoint.load_weights(model, prefix)
    return model


def _names(folder):
    return (
        [n for n in os.listdir(folder) if os.path.isfile(os.path.join(folder, n))]
        if os.path.isdir(folder)
        else []
    )


def _root(path):
    """The metadata of the model itself."""
    file = os.path.join(path, METADATA_FILE)
    if not os.path.isfile(file):
        raise ValueError(
            f"load_model: expected a SavedModel of a Keras model. Received: {path!r}, which has a graph but no {METADATA_FILE!r}. "
            "Hint: such a graph runs in TensorFlow only; files of Keras are .keras, .h5, or folders that tf.keras 2's "
            "model.save(folder) wrote."
        )
    if os.path.getsize(file) > _MAX_METADATA_BYTES:
        raise UnsafeFileError(
            f"load_model: expected at most {_MAX_METADATA_BYTES} bytes in {file!r}. Received: more"
        )
    with open(file, "rb") as f:
        nodes = decode(KERAS_METADATA, f.read()).get("nodes", [])
    for node in nodes:
        if node.get("node_path") == "root":
            try:
                root = json.loads(node.get("metadata", ""))
            except (RecursionError, json.JSONDecodeError) as error:
                raise ValueError(
                    f"load_model: expected JSON in {file!r}. Received: something else ({error})"
                ) from error
            if isinstance(root, dict):
                return root
    raise ValueError(
        f"load_model: expected metadata of a model in {file!r}. Received: {len(nodes)} other objects"
    )


def _of_keras_2(root, path, custom_objects, compile):
    config = _plain(
        root.get("model_config") or {"class_name": root.get("class_name"), "config": root.get("config")}
    )
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ValueError(
            f"load_model: expected a model with a config in {path!r}. Received: class {root.get('class_name')!r} without one. "
            "Hint: make the model and read its weights with load_weights(folder + '/variables/variables')."
        )
    model = registry.deserialize_keras_object(
        legacy_config.modern_object(config, custom_objects), custom_objects
    )
    training = _plain(root.get("training_config")) if compile else None
    if training is not None and hasattr(model, "compile"):
        names = getattr(model, "output_names", None) or ["output"]
        arguments = legacy_config.compile_arguments(training, names, custom_objects)
        model.compile(**{k: v for k, v in arguments.items() if v is not None})
    return model


def _plain(value):
    """JSON without TensorFlow's marks for tuples and shapes."""
    if isinstance(value, dict):
        if value.get("class_name") in ("__tuple__", "TensorShape") and isinstance(value.get("items"), list):
            return [_plain(v) for v in value["items"]]
        return {k: _plain(v) for k, v in value.items() if k != "shared_object_id"}
    return [_plain(v) for v in value] if isinstance(value, list) else value
