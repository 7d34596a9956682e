"""TensorFlow functions used as layers in functional models of tf.keras 2 (`x / 255.0`, `tf.concat(...)`), as ops of today.

Such a layer is `TFOpLambda` with the name of the function; a closed table says which op it is.
"""

_NUMPY, _NN, _CORE = "keras.src.ops.numpy", "keras.src.ops.nn", "keras.src.ops.core"
# TensorFlow's function -> (module, op, the argument that is a second tensor, arguments by our name).
_TABLE = {}


def _enrol(module, op, names, second=None, **arguments):
    for name in names.split():
        _TABLE[name] = (module, op, second, arguments)


for _op, _names in {
    "Add": "math.add __operators__.add", "Subtract": "math.subtract", "Multiply": "math.multiply",
    "Divide": "math.truediv math.divide", "Power": "math.pow", "Maximum": "math.maximum", "Minimum": "math.minimum",
    "Mod": "math.floormod", "FloorDivide": "math.floordiv", "Equal": "math.equal", "NotEqual": "math.not_equal", "Greater":
    "math.greater", "GreaterEqual": "math.greater_equal", "Less": "math.less", "LessEqual": "math.less_equal",
}.items():  # fmt: skip
    _enrol(_NUMPY, _op, _names, "y")
for _op, _names in {
    "Absolute": "math.abs", "Exp": "math.exp", "Log": "math.log", "Log1p": "math.log1p", "Expm1": "math.expm1", "Sqrt":
    "math.sqrt", "Square": "math.square", "Negative": "math.negative", "Tanh": "math.tanh", "Sin": "math.sin", "Cos":
    "math.cos", "Sign": "math.sign", "Floor": "math.floor", "Ceil": "math.ceil", "Round": "math.round",
}.items():  # fmt: skip
    _enrol(_NUMPY, _op, _names)
for _op, _names in {
    "Relu": "nn.relu", "Relu6": "nn.relu6", "Sigmoid": "math.sigmoid nn.sigmoid", "Elu": "nn.elu", "Selu": "nn.selu",
    "Softplus": "math.softplus nn.softplus", "Softsign": "nn.softsign", "Silu": "nn.silu nn.swish",
}.items():  # fmt: skip
    _enrol(_NN, _op, _names)
_enrol(_NN, "Softmax", "nn.softmax", axis="axis")
_enrol(_NN, "LogSoftmax", "nn.log_softmax", axis="axis")
_enrol(_NN, "Gelu", "nn.gelu", approximate="approximate")
_enrol(_NN, "LeakyRelu", "nn.leaky_relu", negative_slope="alpha")
for _op, _name in {"Mean": "mean", "Sum": "sum", "Max": "max", "Min": "min", "Prod": "prod"}.items():
    _enrol(_NUMPY, _op, f"math.reduce_{_name}", axis="axis", keepdims="keepdims")
_enrol(_NUMPY, "Matmul", "linalg.matmul", "b")
_enrol(_NUMPY, "Concatenate", "concat", axis="axis")
_enrol(_NUMPY, "Stack", "stack", axis="axis")
_enrol(_NUMPY, "Reshape", "reshape", newshape="shape")
_enrol(_NUMPY, "ExpandDims", "expand_dims", axis="axis")
_enrol(_NUMPY, "Squeeze", "squeeze compat.v1.squeeze", axis="axis")
_enrol(_NUMPY, "Transpose", "transpose compat.v1.transpose", axes="perm")
_enrol(_NUMPY, "Clip", "clip_by_value", x_min="clip_value_min", x_max="clip_value_max")
_enrol(_NUMPY, "GetItem", "__operators__.getitem", slices="slice_spec")
_enrol(_NUMPY, "ZerosLike", "zeros_like")
_enrol(_NUMPY, "OnesLike", "ones_like")
_enrol(_CORE, "Cast", "cast", dtype="dtype")

_DEFAULTS = {"Softmax": {"axis": -1}, "LogSoftmax": {"axis": -1}, "Gelu": {"approximate": False}, "LeakyRelu": {"negative_slope": 0.2},
             "Stack": {"axis": 0}}  # fmt: skip
# Arguments of TensorFlow's that say how, not what; others that are not in the table are refused.
_IGNORED = {"name", "conjugate", "training"}


def is_function(config):
    """Is it the config of a TensorFlow function used as a layer?"""
    return config.get("class_name") in ("TFOpLambda", "SlicingOpLambda")


def modern_function(config, place, tensor, is_place):
    """The config of the op, its calls included.

    Args:
        config: that of the layer, with `inbound_nodes`.
        place: a function that makes today's place of a tensor.
        tensor: a function that makes the data of a tensor at a place.
        is_place: a function that tells places of tensors from other lists.

    Raises:
        TypeError: for functions without an op.
    """
    name = config.get("config", {}).get("function")
    if not isinstance(name, str) or name not in _TABLE:
        raise TypeError(
            f"load_model: expected layers, or TensorFlow functions that are ops of Keras. Received: {name!r} at "
            f"{config.get('name')!r}. Hint: load the weights into a model made of layers and keras.ops."
        )
    module, op, second, arguments = _TABLE[name]

    def value(v):
        """An argument: a tensor, or what stands for itself."""
        if is_place(v) and v[0] != "_CONSTANT_VALUE":
            return tensor(v, place)
        if isinstance(v, dict) and set(v) == {"start", "stop", "step"}:
            return {"class_name": "__slice__", "config": v}
        if isinstance(v, dict) and v.get("class_name") == "TypeSpec":
            raise TypeError(f"load_model: expected plain arguments of {name}. Received: {v!r:.100}")
        return [value(i) for i in v] if isinstance(v, list) else v

    def entry(e):
        """(the tensor or constant of one entry, the arguments beside it)."""
        if isinstance(e, list) and len(e) == 4 and e[0] == "_CONSTANT_VALUE":
            return e[2], e[3]
        if is_place(e):
            return tensor(e, place), e[3] if len(e) == 4 else {}
        raise ValueError(f"Functional: expected calls of {name} on tensors. Received: {e!r:.200}")

    calls, static = [], None
    for node in config.get("inbound_nodes") or []:
        if node and isinstance(node[0], list):  # functions of a list of tensors
            parts = [entry(e) for e in node]
            first, given = [p[0] for p in parts], parts[0][1]
        else:
            first, given = entry(node)
        given = {k: v for k, v in given.items() if k not in _IGNORED and v is not None and v is not False}
        args = [first]
        if second is not None:
            if second not in given:
                raise ValueError(f"Functional: expected {second!r} for {name}. Received: {sorted(given)}")
            args.append(value(given.pop(second)))
        own = dict(_DEFAULTS.get(op, {}))
        for ours, theirs in arguments.items():
            if theirs in given:
                own[ours] = value(given.pop(theirs))
        if given or (static is not None and own != static):
            raise TypeError(
                f"load_model: expected arguments of {name} that the op {op} has, the same in all calls. Received: {given or own}"
            )
        if op == "GetItem":
            args.append(own["slices"])
        static = own
        calls.append({"args": args, "kwargs": {}})
    static = {k: v for k, v in (static or {}).items() if k != "slices"}
    return {
        "module": module, "class_name": op, "config": {"name": config["name"], **static}, "registered_name": op,
        "name": config["name"], "inbound_nodes": calls,
    }  # fmt: skip
