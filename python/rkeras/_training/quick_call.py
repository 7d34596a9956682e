"""`model(x)` on values, outside of training: compiled once per shape.

Called layer by layer, a small model costs a hundred times its arithmetic. A functional model of rkeras's own layers is
a fixed graph of ops, so the call is traced like a prediction and answered by the compiled program, as long as nobody
looks at what happens inside: no gradient tape, no surrounding call or trace, no losses added, no mask on the result.
Setting an attribute of any layer makes all these programs anew.
"""

import numpy as np

from rkeras import _rkeras
from rkeras._core import gradient, scopes, settings, tree
from rkeras._core.tensor import get_keras_mask

Tensor = _rkeras.Tensor
PROGRAMS = 8  # per model
OWN = ("rkeras.layers", "rkeras.models")
NO = object()  # in place of a program: this call has to go the long way


def quick_call(model, x):
    """The outputs for one array or tensor, None if the layers have to be called one by one."""
    kind = type(x)
    if (
        (kind is not np.ndarray and kind is not Tensor)
        or scopes.call_context is not None
        or gradient._recording
        or settings.run_eagerly_everywhere
        or _rkeras.mode() != "eager"
        or (kind is Tensor and (x.is_symbolic or get_keras_mask(x) is not None))
    ):
        return None
    cache = model.__dict__.get("_quick_calls")
    if cache is None or cache["changes"] != scopes.changes:
        cache = model.__dict__["_quick_calls"] = {"changes": scopes.changes}
    key = (x.shape, x.dtype)
    entry = cache.get(key)
    if entry is None:
        if len(cache) > PROGRAMS:
            cache.clear()
            cache["changes"] = scopes.changes
        # The first call of a shape goes the long way: it may be the only one.
        cache[key] = 1
        return None
    if entry == 1:
        entry = cache[key] = _compile(model, x)
        # Tracing may have set attributes of layers that cache something.
        cache["changes"] = scopes.changes
    if entry is NO:
        return None
    program, structure = entry
    results = program(x)
    return results[0] if structure is None else tree.pack_sequence_as(structure, results)


def _compile(model, x):
    """(program, structure of the outputs), or NO."""
    for layer in model._flatten_layers():
        if not type(layer).__module__.startswith(OWN) or layer.activity_regularizer is not None:
            return NO
    graph = _rkeras.Graph()
    try:
        with graph:
            outputs = model(graph.input(tuple(x.shape), str(x.dtype)))
    except (TypeError, ValueError, IndexError):
        # Whatever is wrong, the long way says it better.
        return NO
    flat = tree.flatten(outputs)
    if graph.assigns() or any(get_keras_mask(y) is not None for y in flat):
        return NO
    program = graph.compile(flat, name=f"{model.name}.call")
    return program, outputs if tree.is_nested(outputs) else None
