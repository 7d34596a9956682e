"""Models that are graphs of layers: from inputs to outputs."""

from rkeras._core import naming, registry, tree
from rkeras._core.symbolic import KerasTensor, Operation
from rkeras._core.tensor import FLOATS, Tensor, convert_to_tensor, get_keras_mask, set_keras_mask
from rkeras._training.quick_call import quick_call
from rkeras._training.trainer import Trainer
from rkeras.layers.input_layer import InputLayer
from rkeras.layers.input_spec import InputSpec, who
from rkeras.layers.layer import Layer
from rkeras.models.model import Model

_MAX_NODES = 1_000_000


def topology(inputs, outputs):
    """The nodes between inputs and outputs: (node ids, nodes by depth, operations, operations by depth).

    Depth counts from the outputs; a node is as deep as its longest way to one. Operations are ordered by
    depth, then
    by the order in which a walk from the outputs meets them, as in Keras's files.
    """
    order, indices = _walk_back(outputs)
    node_depth, operation_depth = {}, {}
    nodes = {id(n): n for n in order}
    for node in reversed(order):
        depth = max(node_depth.get(id(node), 0), operation_depth.get(node.operation, 0))
        operation_depth[node.operation] = depth
        node_depth[id(node)] = depth
        for parent in node.parent_nodes:
            node_depth[id(parent)] = max(depth + 1, node_depth.get(id(parent), 0))
            nodes.setdefault(id(parent), parent)
    for tensor in inputs:
        operation, index, _ = tensor._keras_history
        if operation not in operation_depth:
            # An input that no output depends on.
            operation_depth[operation] = 0
            indices[operation] = -1
            node = operation._inbound_nodes[index]
            node_depth[id(node)] = 0
            nodes[id(node)] = node
    nodes_by_depth, operations_by_depth = {}, {}
    for key, depth in node_depth.items():
        nodes_by_depth.setdefault(depth, []).append(nodes[key])
    for operation, depth in operation_depth.items():
        operations_by_depth.setdefault(depth, []).append(operation)
    operations = []
    for depth in sorted(operations_by_depth, reverse=True):
        operations_by_depth[depth].sort(key=lambda o: indices[o])
        operations.extend(operations_by_depth[depth])
    _check_connected(inputs, nodes_by_depth)
    return set(node_depth), nodes_by_depth, operations, operations_by_depth


def _walk_back(outputs):
    """The nodes that outputs depend on, parents first, and the order in which operations were met."""
    finished, active, order, indices = set(), set(), [], {}
    for tensor in outputs:
        stack = [(tensor._keras_history.operation._inbound_nodes[tensor._keras_history.node_index], None)]
        while stack:
            node, parents = stack.pop()
            key = id(node)
            if parents is None:
                if key in finished:
                    continue
                if key in active:
                    raise ValueError(
                        "Model: expected a graph without cycles. Received: a cycle at "
                        f"{node.operation.name!r}"
                    )
                active.add(key)
                indices.setdefault(node.operation, len(indices))
                parents = iter(_parents(node))
            for parent in parents:
                stack.append((node, parents))
                stack.append((parent, None))
                break
            else:
                finished.add(key)
                active.discard(key)
                order.append(node)
        if len(order) > _MAX_NODES:
            raise ValueError(f"Model: expected at most {_MAX_NODES} calls. Received: more")
    return order, indices


def _parents(node):
    return [] if node.is_input else node.parent_nodes


def _check_connected(inputs, nodes_by_depth):
    """Every tensor that a node needs has to be an input or come from a node before."""
    known = {id(t) for t in inputs}
    made_by = []
    for depth in sorted(nodes_by_depth, reverse=True):
        for node in nodes_by_depth[depth]:
            for tensor in node.input_tensors:
                if id(tensor) not in known:
                    raise ValueError(
                        "Model: expected all ways back from the outputs to end at the inputs. Received: "
                        f"{tensor!r}, which "
                        f'"{node.operation.name}" needs and no input leads to. Hint: list it among the '
                        "inputs. Calls met so "
                        f"far: {made_by[-5:]}"
                    )
            if not node.is_input or any(id(t) in known for t in node.outputs):
                known.update(id(t) for t in node.outputs)
                made_by.append(node.operation.name)
    for depth in nodes_by_depth:
        for node in nodes_by_depth[depth]:
            if node.is_input and not any(id(t) in known for t in node.outputs):
                tensor = node.outputs[0]
                raise ValueError(
                    "Model: expected all ways back from the outputs to end at the inputs. Received: "
                    f"{tensor!r}, an input "
                    "that is not listed. Hint: list it among the inputs."
                )


class Function(Operation):
    """The computation between KerasTensors, without training or weights of its own.

    Args:
        inputs, outputs: KerasTensors, nested.
        name: a name.

    Example:
        >>> x = keras.Input((2,))
        >>> double = keras.Function(x, x * 2.0)
        >>> double(keras.ops.ones((1, 2))).numpy().tolist()
        [[2.0, 2.0]]
    """

    def __init__(self, inputs, outputs, name=None):
        super().__init__(name=name)
        self._set_graph(inputs, outputs)

    def _set_graph(self, inputs, outputs):
        d = self.__dict__
        d["_inputs_struct"] = tree._map(lambda v: v, (inputs,))
        d["_outputs_struct"] = tree._map(lambda v: v, (outputs,))
        d["_inputs"], d["_outputs"] = tree.flatten(inputs), tree.flatten(outputs)
        for tensor in (*self._inputs, *self._outputs):
            if not isinstance(tensor, KerasTensor) or tensor._keras_history is None:
                raise ValueError(
                    f"{type(self).__name__}: expected KerasTensors from keras.Input and layers as inputs "
                    "and outputs. "
                    f"Received: {tensor!r}. Hint: arrays and eager tensors cannot be part of a model's graph."
                )
        if not self._outputs:
            raise ValueError(f"{type(self).__name__}: expected at least one output. Received: {outputs!r}")
        nodes, by_depth, operations, operations_by_depth = topology(self._inputs, self._outputs)
        d["_nodes"], d["_nodes_by_depth"] = nodes, by_depth
        d["_operations"], d["_operations_by_depth"] = operations, operations_by_depth
        d["_plan"] = [
            n for depth in sorted(by_depth, reverse=True) for n in by_depth[depth] if not n.is_input
        ]

    @property
    def operations(self):
        """The layers and ops in it, by depth."""
        return self._operations[:]

    @property
    def inputs(self):
        """The KerasTensors that go in, flat."""
        return self._inputs

    @property
    def outputs(self):
        """The KerasTensors that come out, flat."""
        return self._outputs

    def call(self, inputs):
        """Runs the graph on values for the inputs."""
        return self._run(self._flat_inputs(inputs))

    def _flat_inputs(self, inputs):
        flat = tree.flatten(inputs)
        if len(flat) != len(self._inputs):
            raise ValueError(
                f"{type(self).__name__}: expected {len(self._inputs)} inputs. Received: {len(flat)}"
            )
        return flat

    def _run(self, flat, training=None):
        values = {id(t): v for t, v in zip(self._inputs, flat, strict=True)}
        for node in self._plan:
            arguments = node.arguments
            if not all(id(t) in values for t in arguments.keras_tensors):
                continue  # an optional input that was left out
            args, kwargs = arguments.fill_in(values)
            operation = node.operation
            if training is not None and getattr(operation, "_call_has_training_arg", False):
                kwargs["training"] = training
            outputs = tree.flatten(operation(*args, **kwargs))
            for tensor, value in zip(node.outputs, outputs, strict=True):
                values[id(tensor)] = value
        return tree.pack_sequence_as(self._outputs_struct, [values[id(t)] for t in self._outputs])


class Functional(Function, Model):
    """A model made from its inputs and outputs; `Model(inputs, outputs)` gives one."""

    _keras_module = "keras.src.models.functional"

    def __new__(cls, *args, **kwargs):
        return Layer.__new__(cls, *args, **kwargs)

    def __init__(self, inputs, outputs, name=None, **kwargs):
        Trainer.__init__(self)
        trainable = kwargs.pop("trainable", None)
        if not tree.flatten(inputs):
            raise ValueError("Model: expected at least one input. Received: none")
        if name is None:
            name = naming.auto_name("functional")
        Layer.__init__(self, name=name, **kwargs)
        inputs = tree._map(_as_input, (inputs,))
        inputs, outputs = _with_plain_inputs(inputs, outputs)
        self._set_graph(inputs, outputs)
        self._tracker.layers[:] = [o for o in self._operations if isinstance(o, Layer)]
        self.built = True
        self._tracker.locked = False
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        self.output_names = self._names_of(self._outputs_struct, self._outputs)
        self.input_names = self._names_of(self._inputs_struct, self._inputs)
        if trainable is not None:
            self.trainable = trainable
        self.__dict__["_build_shapes_dict"] = None

    def _names_of(self, struct, tensors):
        return [t._keras_history.operation.name for t in tensors]

    @property
    def layers(self):
        """The layers in it, by depth."""
        return [o for o in self._operations if isinstance(o, Layer)]

    @layers.setter
    def layers(self, _):
        raise AttributeError(f"{who(self)}: expected `layers` to be left alone. Received: an assignment")

    @property
    def input(self):
        """The KerasTensors that go in, nested as given."""
        return self._inputs_struct

    @property
    def output(self):
        """The KerasTensors that come out, nested as given."""
        return self._outputs_struct

    @property
    def input_shape(self):
        """The shapes of the inputs, nested."""
        return tree.map_structure(lambda t: t.shape, self._inputs_struct)

    @property
    def output_shape(self):
        """The shapes of the outputs, nested."""
        return tree.map_structure(lambda t: t.shape, self._outputs_struct)

    @property
    def input_spec(self):
        """What the inputs have to be like."""
        if not isinstance(self._inputs_struct, dict):
            return [_spec_of(t, t._keras_history.operation) for t in self._inputs]
        return [
            _spec_of(t, t._keras_history.operation, k) for k, t in tree.flatten_with_path(self._inputs_struct)
        ]

    @input_spec.setter
    def input_spec(self, value):
        pass

    def build(self, input_shape=None):
        """A functional model is built when it is made."""
        self.built = True

    def call(self, inputs, training=None, mask=None, **kwargs):
        """Runs the graph on values for the inputs."""
        flat = self._standardize(inputs)
        if mask is not None:
            for x, m in zip(flat, tree.flatten(mask), strict=False):
                if m is not None and x is not None:
                    set_keras_mask(x, m)
        return self._run(flat, training)

    def compute_output_spec(self, inputs, training=None, mask=None):
        """The KerasTensors that the model would give."""
        return Layer.compute_output_spec(self, inputs, training=training, mask=mask)

    def __call__(self, *args, **kwargs):
        if len(args) == 1 and not kwargs:
            outputs = quick_call(self, args[0])
            if outputs is not None:
                return outputs
        if args:
            args = (self._pick(args[0]), *args[1:])
        elif "inputs" in kwargs:
            kwargs["inputs"] = self._pick(kwargs["inputs"])
        return Layer.__call__(self, *args, **kwargs)

    def _pick(self, inputs):
        """The inputs in the model's nesting: dicts by name, others by position, of the right rank."""
        struct = self._inputs_struct
        if isinstance(inputs, dict) and not isinstance(struct, dict):
            names = [t._keras_history.operation.name for t in self._inputs]
            if all(n in inputs for n in names):
                inputs = [inputs[n] for n in names]
                inputs = tree.pack_sequence_as(struct, inputs) if tree.is_nested(struct) else inputs[0]
        elif isinstance(inputs, dict):
            missing = [k for k in struct if k not in inputs]
            if missing:
                raise ValueError(
                    f"{who(self)}: expected inputs named {sorted(struct)}. Received: {sorted(inputs)}"
                )
            inputs = {k: inputs[k] for k in struct}
        flat = tree.flatten(inputs)
        if len(flat) != len(self._inputs):
            # A plain list of numbers for one input.
            if len(self._inputs) == 1 and not any(hasattr(v, "shape") for v in flat):
                flat = [convert_to_tensor(inputs)]
            else:
                raise ValueError(f"{who(self)}: expected {len(self._inputs)} input(s). Received: {len(flat)}")
        flat = [_fit(x, t, self) for x, t in zip(flat, self._inputs, strict=True)]
        return tree.pack_sequence_as(struct, flat) if tree.is_nested(struct) else flat[0]

    def _standardize(self, inputs):
        flat = tree.flatten(inputs)
        if len(flat) != len(self._inputs):
            raise ValueError(f"{who(self)}: expected {len(self._inputs)} input(s). Received: {len(flat)}")
        return [_fit(x, t, self) for x, t in zip(flat, self._inputs, strict=True)]

    def get_config(self):
        """The layers, their calls, and which tensors go in and out, in Keras's format."""
        if type(self) is not Functional and not _is_plain(type(self)):
            # A subclass with a constructor of its own is made again by that.
            return Model.get_config(self)
        kept = {}  # (operation, node index) -> index among the nodes of this model
        for operation in self._operations:
            n = 0
            for i, node in enumerate(operation._inbound_nodes):
                if id(node) in self._nodes:
                    kept[(id(operation), i)] = n
                    n += 1
        layers = []
        for operation in self._operations:
            data = registry.serialize_keras_object(operation)
            data["name"] = operation.name
            data["inbound_nodes"] = [
                {
                    "args": _call_data(node.arguments.args, kept),
                    "kwargs": _call_data(node.arguments.kwargs, kept),
                }
                for node in operation._inbound_nodes
                if id(node) in self._nodes and not node.is_input
            ]
            layers.append(data)

        def place(tensor):
            operation, index, at = tensor._keras_history
            return [operation.name, kept[(id(operation), index)], at]

        return {
            "name": self.name, "trainable": self.trainable, "layers": layers,
            "input_layers": _places(self._inputs_struct, place), "output_layers":
            _places(self._outputs_struct, place),
        }  # fmt: skip

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model of that config."""
        if {"layers", "input_layers", "output_layers"} <= set(config):
            return functional_from_config(cls, config, custom_objects)
        return Model.from_config.__func__(cls, config, custom_objects)

    def get_build_config(self):
        """Nothing: the graph tells the shapes."""
        return {"input_shape": None}


def _is_plain(cls):
    """Has the subclass the constructor arguments of Functional?"""
    return cls.__init__ in (Functional.__init__, Model.__init__)


def _places(struct, place):
    return tree._map(place, (struct,))


def _call_data(values, kept):
    """Arguments of a call as data; KerasTensors by the place they come from."""

    def data(v):
        if isinstance(v, KerasTensor):
            operation, index, at = v._keras_history
            history = [operation.name, kept[(id(operation), index)], at]
            config = {"shape": list(v.shape), "dtype": v.dtype, "keras_history": history}
            return {"class_name": "__keras_tensor__", "config": config}
        return registry.serialize_keras_object(v)

    if isinstance(values, dict):
        return {
            k: _call_data(v, kept) if isinstance(v, (list, tuple, dict)) else data(v)
            for k, v in values.items()
        }
    return [_call_data(v, kept) if isinstance(v, (list, tuple, dict)) else data(v) for v in values]


def _as_input(value):
    if isinstance(value, Layer):
        return value.output
    return value


def _with_plain_inputs(inputs, outputs):
    """Inputs that are results of layers get InputLayers of their own, and the graph behind them is copied."""
    flat = tree.flatten(inputs)
    for t in flat:
        if not isinstance(t, KerasTensor) or t._keras_history is None:
            raise ValueError(
                f"Model: expected KerasTensors from keras.Input or layers as inputs. Received: {t!r}"
            )
    if all(isinstance(t._keras_history.operation, InputLayer) for t in flat):
        return inputs, outputs
    flat_outputs = tree.flatten(outputs)
    new_inputs, values = [], {}
    for t in flat:
        if isinstance(t._keras_history.operation, InputLayer):
            new = t
        else:
            new = InputLayer(
                batch_shape=t.shape, dtype=t.dtype, name=f"{t._keras_history.operation.name}_{t.name}"
            ).output
        new_inputs.append(new)
        values[id(t)] = new

    def value_of(tensor):
        stack = [tensor]
        while stack:
            t = stack[-1]
            if id(t) in values:
                stack.pop()
                continue
            operation, index, _ = t._keras_history
            node = operation._inbound_nodes[index]
            if node.is_input:
                raise ValueError(
                    f"Model: expected all ways back from the outputs to end at the inputs. Received: {t!r}"
                )
            missing = [p for p in node.input_tensors if id(p) not in values]
            if missing:
                stack.extend(missing)
                continue
            args, kwargs = node.arguments.fill_in(values)
            for old, new in zip(node.outputs, tree.flatten(operation(*args, **kwargs)), strict=True):
                values[id(old)] = new
        return values[id(tensor)]

    new_outputs = [value_of(t) for t in flat_outputs]
    struct = tree.pack_sequence_as(inputs, new_inputs) if tree.is_nested(inputs) else new_inputs[0]
    return struct, tree.pack_sequence_as(outputs, new_outputs) if tree.is_nested(outputs) else new_outputs[0]


def _spec_of(tensor, layer, path=None):
    shape = (None, *tensor.shape[1:])
    name = path[0] if path and len(path) == 1 and isinstance(path[0], str) else None
    return InputSpec(
        shape=shape, allow_last_axis_squeeze=True, name=name, optional=bool(getattr(layer, "optional", False))
    )


def _fit(x, tensor, model):
    """A value for an input: a tensor, its last axis of size 1 added or removed where that makes it fit."""
    if x is None:
        return x
    if not isinstance(x, (Tensor, KerasTensor)):
        x = convert_to_tensor(x)
    if (tensor.dtype != x.dtype and (tensor.dtype in FLOATS) == (x.dtype in FLOATS)) or (
        tensor.dtype in FLOATS and x.dtype not in FLOATS
    ):
        x = _cast(x, tensor.dtype)
    have, want = len(x.shape), len(tensor.shape)
    if have == want:
        return x
    mask = get_keras_mask(x)
    from rkeras import ops

    if have == want + 1 and x.shape[-1] == 1:
        x = ops.squeeze(x, -1)
    elif have == want - 1 and tensor.shape[-1] == 1:
        x = ops.expand_dims(x, -1)
    else:
        raise ValueError(
            f"{who(model)}: expected shape {tensor.shape} for input "
            f'"{tensor._keras_history.operation.name}". Received: '
            f"shape {tuple(x.shape)}. Hint: the first axis is the batch."
        )
    if mask is not None:
        set_keras_mask(x, mask)
    return x


def _cast(x, dtype):
    from rkeras import ops

    return ops.cast(x, dtype)


def functional_from_config(cls, config, custom_objects=None):
    """The functional model of a config: layers first, then their calls in an order that works."""
    created, waiting = {}, {}
    if not isinstance(config.get("layers"), (list, tuple)):
        raise ValueError(
            f"{cls.__name__}: expected a list of layers in the config. Received: "
            f"{type(config.get('layers')).__name__}"
        )
    for data in config["layers"]:
        if not isinstance(data, dict):
            raise ValueError(f"{cls.__name__}: expected configs of layers. Received: {data!r:.200}")
        name = data.get("name") or data.get("config", {}).get("name")
        if name in created:
            raise ValueError(f"{cls.__name__}: expected layers of different names. Received: {name!r} twice")
        layer = registry.deserialize_keras_object(
            {k: v for k, v in data.items() if k not in ("name", "inbound_nodes")},
            custom_objects=custom_objects,
        )
        if not isinstance(layer, Operation):
            raise ValueError(
                f"{cls.__name__}: expected a layer or an op. Received: {type(layer).__name__} for {name!r}"
            )
        created[name] = layer
        waiting[name] = list(data.get("inbound_nodes") or [])
    if sum(map(len, waiting.values())) > _MAX_NODES:
        raise ValueError(f"{cls.__name__}: expected at most {_MAX_NODES} calls. Received: more")
    _replay(cls, created, waiting)
    inputs = _tensors(config["input_layers"], created, cls)
    outputs = _tensors(config["output_layers"], created, cls)
    extra = {} if config.get("trainable") is None else {"trainable": config["trainable"]}
    return cls(inputs, outputs, name=config.get("name"), **extra)


def _replay(cls, created, waiting):
    """Makes the calls again. Those whose inputs are not there yet wait until somebody makes them."""
    names = [n for n in waiting if waiting[n]]
    done = dict.fromkeys(waiting, 0)
    # Which calls wait for which place: a call is looked at again only when what it lacked exists.
    blocked = {}
    queue = list(reversed(names))
    while queue:
        name = queue.pop()
        while done[name] < len(waiting[name]):
            data = waiting[name][done[name]]
            lack = _missing(data, created, cls)
            if lack is not None:
                blocked.setdefault(lack, []).append(name)
                break
            _call_again(cls, created, name, data)
            done[name] += 1
            released = [
                key for key in blocked if key[0] == name and len(created[name]._inbound_nodes) > key[1]
            ]
            for key in released:
                queue.extend(blocked.pop(key))
    left = [n for n in waiting if done[n] < len(waiting[n])]
    if left:
        raise ValueError(
            f"{cls.__name__}: expected calls whose inputs exist. Received: a config in which {left[:5]} "
            "wait for each other"
        )


def _tensor_places(data):
    """The places named in call data, new format or that of Keras 2."""
    places = []

    def walk(v):
        if isinstance(v, dict):
            if v.get("class_name") == "__keras_tensor__":
                history = v["config"].get("keras_history")
                if history is not None:
                    places.append((history[0], int(history[1]), int(history[2])))
                return
            for item in v.values():
                walk(item)
        elif isinstance(v, (list, tuple)):
            for item in v:
                walk(item)

    if isinstance(data, dict):
        walk(data.get("args"))
        walk(data.get("kwargs"))
    else:
        for entry in data:
            places.append((entry[0], int(entry[1]), int(entry[2])))
    return places


def _missing(data, created, cls):
    for name, index, _ in _tensor_places(data):
        if name not in created:
            raise ValueError(
                f"{cls.__name__}: expected calls on tensors of the config's layers. Received: {name!r}"
            )
        if len(created[name]._inbound_nodes) <= index:
            return (name, index)
    return None


def _tensor_at(created, history, cls):
    name, index, at = history[0], int(history[1]), int(history[2])
    nodes = created[name]._inbound_nodes if name in created else []
    if index >= len(nodes) or at >= len(nodes[index].outputs):
        raise ValueError(f"{cls.__name__}: expected the place of a tensor. Received: {list(history)}")
    return nodes[index].outputs[at]


def _call_again(cls, created, name, data):
    layer = created[name]
    if not _tensor_places(data):
        # On values alone it would not be recorded but computed, here and now.
        raise ValueError(
            f"{cls.__name__}: expected calls on tensors of the config's layers. Received: one of {name!r} on none"
        )
    if not isinstance(data, dict):  # Keras 2: a list of [name, node index, tensor index, kwargs]
        tensors = [_tensor_at(created, entry, cls) for entry in data]
        kwargs = data[0][3] if len(data[0]) > 3 else {}
        layer(tensors[0] if len(tensors) == 1 else tensors, **kwargs)
        return

    def value(v):
        if isinstance(v, dict):
            if v.get("class_name") == "__keras_tensor__":
                history = v["config"].get("keras_history")
                return (
                    registry.deserialize_keras_object(v)
                    if history is None
                    else _tensor_at(created, history, cls)
                )
            if "class_name" in v and "config" in v:
                return registry.deserialize_keras_object(v)
            return {k: value(item) for k, item in v.items()}
        if isinstance(v, (list, tuple)):
            return [value(item) for item in v]
        return v

    args, kwargs = value(data.get("args") or []), value(data.get("kwargs") or {})
    layer(*args, **kwargs)


def _is_place(value):
    return (
        isinstance(value, (list, tuple))
        and len(value) >= 3
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def _tensors(places, created, cls):
    """The tensors at nested places."""
    if _is_place(places):
        return _tensor_at(created, places, cls)
    if isinstance(places, dict):
        return {k: _tensors(v, created, cls) for k, v in places.items()}
    found = [_tensors(v, created, cls) for v in places]
    return found
