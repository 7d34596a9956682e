"""The object graph of a TensorFlow checkpoint: which object holds which by what name, down to the variables.

Objects are matched by these names, as TensorFlow does it. A child has several names here: those of tf.keras 2
(`layer_with_weights-0`, `kernel`) and those of Keras 3 (`_operations`, `_kernel`); files that are written carry all of
them, so that either reads them.
"""

from rkeras._core.variable import Variable
from rkeras.saving.protobuf import REPEATED

_REFERENCE = {"node_id": (1, "int"), "local_name": (2, "string")}
_ATTRIBUTE = {"name": (1, "string"), "full_name": (2, "string"), "checkpoint_key": (3, "string")}
_SLOT = {
    "original_variable_node_id": (1, "int"),
    "slot_name": (2, "string"),
    "slot_variable_node_id": (3, "int"),
}
TRACKABLE = {
    "children": (1, _REFERENCE, REPEATED), "attributes": (2, _ATTRIBUTE, REPEATED), "slot_variables": (3, _SLOT, REPEATED),
}  # fmt: skip
GRAPH = {"nodes": (1, TRACKABLE, REPEATED)}
VALUE = "VARIABLE_VALUE"

# Attribute -> its names in files, the first being that under which it is written as a key.
_NAMES = {
    "kernel": ("kernel", "_kernel"), "embeddings": ("embeddings", "_embeddings"), "_iterations": ("_iterations", "iter"),
    "_learning_rate": ("_learning_rate", "learning_rate"),
}  # fmt: skip
# Bookkeeping, not children.
_HIDDEN = {
    "_tracker", "_trainable_variables", "_non_trainable_variables", "_layers", "_metrics", "_seed_generators", "_losses",
    "_variables", "_inbound_nodes", "_outbound_nodes", "_functional", "_loss_tracker", "_compile_metrics", "_compile_loss",
    "_nodes", "_constructor_args", "_index", "optimizer", "_optimizer",
}  # fmt: skip
# Slots of the optimizers of TensorFlow before 2.11 -> attributes of ours, the first that there is.
_SLOTS = {
    "m": ("_momentums", "_m"), "v": ("_velocities", "_u"), "vhat": ("_velocity_hats",), "momentum": ("momentums", "_momentums"),
    "rms": ("_velocities",), "mg": ("_average_gradients",), "accumulator": ("_accumulators",), "linear": ("_linears",),
    "accum_grad": ("_accumulated_grads",), "accum_var": ("_accumulated_delta_vars",),
}  # fmt: skip


class Group:
    """Children by name, of an object that stands in files but not here.

    Args:
        items: dict of name to object.
    """

    def __init__(self, items):
        self.items = items


def is_layer(obj):
    """Does it hold layers and variables?"""
    return hasattr(obj, "_tracker") and hasattr(obj, "weights")


def is_optimizer(obj):
    """Is it an optimizer?"""
    return hasattr(obj, "apply_gradients") and hasattr(obj, "_trainable_variables")


def _is_metric(obj):
    kind = type(obj)
    return hasattr(kind, "update_state") and hasattr(kind, "reset_state") and not is_layer(obj)


def children(obj):
    """Pairs (names, child) of what an object holds."""
    if isinstance(obj, Group):
        yield from (((name,), child) for name, child in obj.items.items())
    elif isinstance(obj, Variable):
        return
    elif isinstance(obj, dict):
        yield from (((str(k),), v) for k, v in obj.items() if _may_hold(v))
    elif isinstance(obj, (list, tuple)):
        yield from (((str(i),), v) for i, v in enumerate(obj) if _may_hold(v))
    elif hasattr(obj, "_checkpoint_children"):
        yield from (((name,), v) for name, v in obj._checkpoint_children().items() if _may_hold(v))
    else:
        if is_layer(obj) and _lists_layers(obj):
            yield from _listed_layers(obj)
        yield from _attributes(obj)


def _lists_layers(obj):
    from rkeras.models.functional import Functional
    from rkeras.models.sequential import Sequential

    return isinstance(obj, (Functional, Sequential))


def _listed_layers(model):
    from rkeras.models.sequential import Sequential

    count = 0
    for i, layer in enumerate(model.layers):
        names = (f"layer-{i}",)
        if layer.weights:
            names = (f"layer_with_weights-{count}", *names)
            count += 1
        yield names, layer
    operations = list(model.layers)
    if isinstance(model, Sequential):
        yield (
            ("_functional",),
            Group({"_operations": Group({str(i + 1): v for i, v in enumerate(operations)})}),
        )
    else:
        yield ("_operations",), Group({str(i): v for i, v in enumerate(operations)})


def _attributes(obj):
    depthwise = type(obj).__name__.startswith("Depthwise")
    model = hasattr(obj, "compile")
    if model and is_optimizer(getattr(obj, "optimizer", None)):
        yield ("optimizer",), obj.optimizer
    for name, value in sorted(getattr(obj, "__dict__", {}).items()):
        if name in _HIDDEN or not _may_hold(value) or (model and _is_metric(value)):
            continue
        if hasattr(value, "next") and hasattr(value, "state"):
            # TensorFlow's random states are of another kind: under a name that it does not know.
            yield (f"{name}.rkeras",), value.state
            continue
        names = _NAMES.get(name, (name,))
        yield ((*names, "depthwise_kernel") if depthwise and name == "kernel" else names), value
    if is_optimizer(obj) and obj._trainable_variables:
        # Keras 3 reaches weights of layers in lists and dicts only by this way.
        yield ("_trainable_variables",), obj._trainable_variables


def _may_hold(value, depth=0):
    """Could there be a variable in it?"""
    if isinstance(value, (Variable, Group)) or is_layer(value) or is_optimizer(value) or _is_metric(value):
        return True
    if hasattr(value, "_checkpoint_children") or (hasattr(value, "next") and hasattr(value, "state")):
        return not isinstance(value, type)
    if isinstance(value, (list, tuple, dict)) and depth < 10 and len(value) < 100_000:
        return any(_may_hold(v, depth + 1) for v in (value.values() if isinstance(value, dict) else value))
    return False


def _escape(name):
    return name.replace(".", "..").replace("/", ".S")


def build_graph(root, optimizer=True):
    """The object graph below `root`, with or without its optimizer: (message for `GRAPH`, dict of key to Variable)."""
    ids, queue, nodes, variables = {id(root): 0}, [(root, "")], [], {}
    keep = []  # groups are made on the way; their ids must not be used again
    for obj, path in queue:
        keep.append(obj)
        node = {"children": [], "attributes": []}
        nodes.append(node)
        if isinstance(obj, Variable):
            key = f"{path}/.ATTRIBUTES/{VALUE}"
            node["attributes"].append({"name": VALUE, "full_name": obj.path, "checkpoint_key": key})
            variables[key] = obj
            continue
        for names, child in children(obj):
            if names == ("optimizer",) and not optimizer:
                continue
            if id(child) not in ids:
                ids[id(child)] = len(queue)
                queue.append((child, f"{path}/{_escape(names[0])}" if path else _escape(names[0])))
            node["children"] += [{"node_id": ids[id(child)], "local_name": n} for n in names]
    return {"nodes": nodes}, variables


class Match:
    """What of the objects below a root a checkpoint's graph knows.

    Attributes:
        keys: list of (Variable, key).
        unbuilt: list of (layer or optimizer, its node) that have no variables yet.
        nodes: dict of node to object.
    """

    def __init__(self, graph):
        self.graph = graph.get("nodes", [])
        self.keys, self.unbuilt, self.nodes = [], [], {}
        self.seen = set()
        self.keep = []

    def descend(self, obj, node_id):
        """Matches an object, and what it holds, with a node of the graph."""
        stack = [(obj, node_id)]
        optimizers = []
        while stack:
            obj, node_id = stack.pop()
            if id(obj) in self.seen or not 0 <= node_id < len(self.graph):
                continue
            self.seen.add(id(obj))
            self.keep.append(obj)
            node = self.graph[node_id]
            self.nodes.setdefault(node_id, obj)
            if isinstance(obj, Variable):
                key = next(
                    (a.get("checkpoint_key") for a in node.get("attributes", ()) if a.get("name") == VALUE),
                    None,
                )
                if key is not None:
                    self.keys.append((obj, key))
                continue
            if is_optimizer(obj):
                optimizers.append((obj, node))
                if not obj.built:
                    self.unbuilt.append((obj, node_id))
            elif is_layer(obj) and not obj.built:
                self.unbuilt.append((obj, node_id))
            there = {c.get("local_name", ""): c.get("node_id", 0) for c in node.get("children", ())}
            for names, child in reversed(list(children(obj))):
                name = next((n for n in names if n in there), None)
                if name is not None:
                    stack.append((child, there[name]))
        for optimizer, node in optimizers:
            self._slots(optimizer, node)

    def _slots(self, optimizer, node):
        """The slots of an optimizer where no attribute of it named them."""
        if not optimizer.built:
            return
        for slot in node.get("slot_variables", ()):
            variable = self.nodes.get(slot.get("original_variable_node_id", 0))
            home = next(
                (
                    h
                    for h in _SLOTS.get(slot.get("slot_name", ""), ())
                    if isinstance(getattr(optimizer, h, None), list)
                ),
                None,
            )
            index = next((i for i, v in enumerate(optimizer._trainable_variables) if v is variable), None)
            if home is not None and index is not None and getattr(optimizer, home)[index] is not None:
                self.descend(getattr(optimizer, home)[index], slot.get("slot_variable_node_id", 0))
        missing = [v for v in optimizer.variables if id(v) not in self.seen]
        there = {c.get("local_name", ""): c.get("node_id", 0) for c in node.get("children", ())}
        listed = self.graph[there["_variables"]].get("children", ()) if "_variables" in there else ()
        if not missing or not listed:
            return
        # By position: Keras 3 lists all of them, tf.keras all but the learning rate.
        own = [
            v
            for v in optimizer.variables
            if v is not optimizer._learning_rate or len(listed) == len(optimizer.variables)
        ]
        if len(own) == len(listed):
            for child in listed:
                place = child.get("local_name", "")
                if place.isdigit() and int(place) < len(own):
                    self.descend(own[int(place)], child.get("node_id", 0))
