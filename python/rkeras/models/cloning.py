"""Models again, with new weights."""

from rkeras._core import tree
from rkeras._core.symbolic import KerasTensor
from rkeras.layers.input_layer import Input, InputLayer
from rkeras.layers.layer import Layer
from rkeras.models.functional import Functional
from rkeras.models.sequential import Sequential


def clone_model(
    model, input_tensors=None, clone_function=None, call_function=None, recursive=False, **kwargs
):  # fmt: skip
    """A model of the same layers, each made again from its config with new weights.

    Args:
        model: a functional or sequential model, or one that `from_config` can make again.
        input_tensors: KerasTensors to build it on; new inputs if None.
        clone_function: `layer -> layer` instead of `from_config`.
        call_function: `(layer, *args, **kwargs) -> outputs` instead of calling the layer.
        recursive: whether models in it are cloned layer by layer too.

    Returns:
        The new model.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
        >>> keras.models.clone_model(model).get_layer("head").units
        2
    """
    if kwargs:
        raise ValueError(f"clone_model: expected arguments that it knows. Received: {', '.join(kwargs)}")
    clone = clone_function or _clone

    def make(layer):
        if recursive and isinstance(layer, (Functional, Sequential)):
            return clone_model(
                layer, clone_function=clone_function, call_function=call_function, recursive=True
            )
        return clone(layer)

    if isinstance(model, Sequential):
        return _clone_sequential(model, make, input_tensors)
    if isinstance(model, Functional):
        return _clone_functional(model, make, input_tensors, call_function)
    if input_tensors is not None or clone_function is not None or call_function is not None:
        raise ValueError(
            "clone_model: expected a functional or sequential model for these arguments. Received: a subclass"
        )
    return type(model).from_config(model.get_config())


def _clone(layer):
    return type(layer).from_config(layer.get_config())


def _clone_sequential(model, make, input_tensors):
    chain = list(model._tracker.layers)
    new = Sequential(name=model.name)
    if input_tensors is not None:
        tensor = tree.flatten(input_tensors)[0]
        if not isinstance(tensor, KerasTensor):
            raise ValueError(f"clone_model: expected a KerasTensor as input_tensors. Received: {tensor!r}")
        new.add(tensor, rebuild=False)
        chain = [layer for layer in chain if not isinstance(layer, InputLayer)]
    for layer in chain:
        new.add(
            InputLayer.from_config(layer.get_config()) if isinstance(layer, InputLayer) else make(layer),
            rebuild=False,
        )
    new._maybe_rebuild()
    return new


def _clone_functional(model, make, input_tensors, call_function):
    values = {}
    if input_tensors is not None:
        given = tree.flatten(input_tensors)
        if len(given) != len(model.inputs) or not all(isinstance(t, KerasTensor) for t in given):
            raise ValueError(
                f"clone_model: expected {len(model.inputs)} KerasTensors. Received: {input_tensors!r}"
            )
    else:
        given = [
            Input(batch_shape=t.shape, dtype=t.dtype, name=t._keras_history.operation.name)
            for t in model.inputs
        ]
    for old, new in zip(model.inputs, given, strict=True):
        values[id(old)] = new
    copies = {}
    for node in model._plan:
        operation = node.operation
        if isinstance(operation, Layer):
            if id(operation) not in copies:
                copies[id(operation)] = make(operation)
            operation = copies[id(operation)]
        args, kwargs = node.arguments.fill_in(values)
        outputs = call_function(operation, *args, **kwargs) if call_function else operation(*args, **kwargs)
        for old, new in zip(node.outputs, tree.flatten(outputs), strict=True):
            values[id(old)] = new
    outputs = [values[id(t)] for t in model.outputs]
    inputs = (
        tree.pack_sequence_as(model._inputs_struct, given)
        if tree.is_nested(model._inputs_struct)
        else given[0]
    )
    struct = model._outputs_struct
    return type(model)(
        inputs,
        tree.pack_sequence_as(struct, outputs) if tree.is_nested(struct) else outputs[0],
        name=model.name,
    )
