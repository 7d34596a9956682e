"""A model as boxes, frames and arrows: what `plot_model` and `model_to_dot` both show."""

from itertools import pairwise

from rkeras._core import tree
from rkeras._core.symbolic import KerasTensor
from rkeras.layers.input_layer import InputLayer
from rkeras.models.functional import Functional
from rkeras.models.sequential import Sequential


class Cell:
    """A field of a box: a caption, a value, and a background for fields that say yes or no."""

    def __init__(self, caption, value, background=None):
        self.caption, self.value, self.background = caption, value, background


class Box:
    """A layer: its heading, its activation if asked for, its fields."""

    def __init__(self, layer, name, class_name, activation, cells):
        self.layer, self.name, self.class_name = layer, name, class_name
        self.activation, self.cells = activation, cells

    @property
    def key(self):
        return id(self.layer)


class Part:
    """A model: boxes and, where it is expanded, parts in it; edges of it as pairs of layer ids."""

    def __init__(self, model):
        self.model, self.children, self.edges = model, [], []

    @property
    def key(self):
        # The model itself may be an end of an edge only where it is a box.
        return ("part", id(self.model))

    def all_edges(self):
        """The edges of this part and of all in it, each once."""
        found = dict.fromkeys(self.edges)
        for child in self.children:
            if isinstance(child, Part):
                found.update(dict.fromkeys(child.all_edges()))
        return list(found)


def is_graph(layer):
    """Is it a model that has layers to show?"""
    return isinstance(layer, (Functional, Sequential))


def describe(model, options, expand_nested):
    """The Part of a model.

    Args:
        options: dict of show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable.
        expand_nested: whether models in it are shown as frames with their layers.
    """
    part = Part(model)
    if not is_graph(model):  # the calls of a subclassed model are unknown
        part.children.append(_box(model, options))
        return part
    layers = model.layers if isinstance(model, Sequential) else model._operations
    for layer in layers:
        if expand_nested and is_graph(layer):
            part.children.append(describe(layer, options, expand_nested))
        else:
            part.children.append(_box(layer, options))
    edges = {}
    if isinstance(model, Sequential):
        for a, b in pairwise(layers):
            for source in _ends(a, 0, expand_nested):
                edges[id(source), id(_start(b, 0, expand_nested))] = None
    else:
        for layer in layers:
            for node in layer._inbound_nodes:
                if id(node) not in model._nodes or node.is_input:
                    continue
                for i, tensor in enumerate(node.input_tensors):
                    history = tensor._keras_history
                    if history is None or history.operation is None:
                        continue
                    for source in _ends(history.operation, history.tensor_index, expand_nested):
                        edges[id(source), id(_start(layer, i, expand_nested))] = None
    part.edges = list(edges)
    return part


def _ends(layer, index, expand):
    """The layer that makes output `index` of a layer, looked up inside of models."""
    while expand and is_graph(layer):
        outputs = layer.outputs
        layer, _, index = outputs[min(index, len(outputs) - 1)]._keras_history
    return [layer]


def _start(layer, index, expand):
    """The layer that takes input `index` of a layer, looked up inside of models."""
    while expand and is_graph(layer):
        if isinstance(layer, Functional):
            inputs = layer.inputs
            layer = inputs[min(index, len(inputs) - 1)]._keras_history.operation
        else:
            layer = layer.layers[0]
    return layer


def class_name(layer):
    """The name of its class, or of the op that it is a call of."""
    return getattr(layer, "class_name", None) or type(layer).__name__


def _box(layer, options):
    activation = None
    if options["show_layer_activations"] and getattr(layer, "activation", None) is not None:
        a = layer.activation
        activation = getattr(a, "name", None) or getattr(a, "__name__", None) or str(a)
    cells = []
    node = layer._inbound_nodes[0] if getattr(layer, "_inbound_nodes", None) else None
    if options["show_shapes"]:
        if not isinstance(layer, InputLayer):
            cells.append(Cell("Input shape:", _shapes(_struct(layer, node, "input"))))
        cells.append(Cell("Output shape:", _shapes(_struct(layer, node, "output"))))
    if options["show_dtype"]:
        cells.append(Cell("Output dtype:", _nested(_struct(layer, node, "output"), lambda t: t.dtype)))
    if options["show_trainable"] and hasattr(layer, "trainable") and getattr(layer, "weights", None):
        if layer.trainable:
            cells.append(Cell("", "Trainable", "#228b22"))
        else:
            cells.append(Cell("", "Non-trainable", "#b22222"))
    name = layer.name if options["show_layer_names"] else None
    return Box(layer, name, class_name(layer), activation, cells)


def _struct(layer, node, kind):
    """The KerasTensors of a layer's first call, nested as they were given; None if there was no call."""
    if node is None:
        return getattr(layer, f"_{kind}s_struct", None)
    if kind == "output":
        tensors = node.outputs
        struct = getattr(layer, "_outputs_struct", None) if isinstance(layer, Functional) else None
        return struct if struct is not None else tensors[0] if len(tensors) == 1 else tensors
    tensors = node.input_tensors
    first = node.arguments.args[0] if len(node.arguments.args) == 1 and not node.arguments.kwargs else None
    if isinstance(first, dict):
        return first
    return tensors[0] if len(tensors) == 1 else tensors


def _shapes(struct):
    return _nested(struct, lambda t: tuple(t.shape))


def _nested(struct, what):
    if struct is None:
        return "?"
    if isinstance(struct, dict):
        return ", ".join(f"{k}: {_nested(v, what)}" for k, v in struct.items())
    if isinstance(struct, KerasTensor):
        return str(what(struct))
    found = tree._map(lambda t: what(t) if isinstance(t, KerasTensor) else t, (struct,))
    return str(found).replace("{", "").replace("}", "")
