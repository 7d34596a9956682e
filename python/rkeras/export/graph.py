"""A model's prediction as a listing of ops: what the formats translate."""

from rkeras._core import tree
from rkeras._core.listing import list_function
from rkeras._core.tensor import standardize_dtype


class Traced:
    """A traced prediction: the listing, and the names, shapes and dtypes of inputs, the names of outputs."""

    def __init__(self, listing, inputs, output_names, structure=0):
        self.listing, self.inputs, self.output_names = listing, inputs, output_names
        self.structure = structure  # of the inputs, with positions in place of tensors


def trace_model(model, input_signature=None):
    """Traces a model's prediction.

    Args:
        model: a built model.
        input_signature: shapes and dtypes of the inputs, nested like them (KerasTensors, InputSpecs, anything with
            `shape` and `dtype`).

    Returns:
        A Traced.
    """
    struct = input_signature if input_signature is not None else _own_signature(model)
    if isinstance(struct, (list, tuple)) and len(struct) == 1 and input_signature is not None:
        struct = struct[0]
    leaves = tree.flatten(struct)
    named = getattr(model, "_functional", None) or model
    names = getattr(named, "input_names", None)
    if names is None or len(names) != len(leaves):
        names = [getattr(s, "name", None) or f"input_{i}" for i, s in enumerate(leaves)]
    inputs = []
    for name, leaf in zip(names, leaves, strict=True):
        shape = getattr(leaf, "shape", None)
        if shape is None:
            raise ValueError(
                f"{model.name}.export: expected an input_signature of shapes and dtypes. Received: {leaf!r}"
            )
        inputs.append((str(name), tuple(shape), standardize_dtype(getattr(leaf, "dtype", None) or "float32")))
    extra = {"training": False} if getattr(model, "_call_has_training_arg", False) else {}

    def predict(*tensors):
        return model(
            tree.pack_sequence_as(struct, list(tensors)) if tree.is_nested(struct) else tensors[0], **extra
        )

    listing = list_function(predict, [(shape, dtype) for _, shape, dtype in inputs], model.variables)
    count = len(listing.outputs)
    outputs = getattr(named, "output_names", None)
    if outputs is None or len(outputs) != count:
        outputs = [f"output_{i}" for i in range(count)]
    structure = tree.pack_sequence_as(struct, list(range(len(leaves)))) if tree.is_nested(struct) else 0
    return Traced(listing, inputs, list(outputs), structure)


def _own_signature(model):
    functional = getattr(model, "_functional", None)
    struct = getattr(model if functional is None else functional, "_inputs_struct", None)
    if struct is not None:
        return struct
    shapes = getattr(model, "_build_shapes_dict", None)
    if not model.built or not shapes:
        raise ValueError(
            f"{model.name}.export: expected a model that was built or called, or an input_signature. Received: neither"
        )

    class Spec:
        def __init__(self, shape):
            self.shape, self.dtype = (None, *tuple(shape)[1:]), model.input_dtype

    found = next(iter(shapes.values())) if len(shapes) == 1 else shapes
    return tree.map_shape_structure(Spec, found)
