"""The dialects of configs before Keras 3: turned into today's, data to data, and back.

Keras 2 names classes without modules, calls by lists of [layer, call, tensor, arguments], and counts the calls of models
within models from 1. Nothing here makes an object: the result goes through the registry like any config.
"""

from rkeras._core import naming, registry
from rkeras.saving import tf_functions

# Class names of Keras 1 and 2 that Keras 3 has under another name.
_RENAMED = {
    "BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization", "LayerNormalizationV2": "LayerNormalization",
    "Convolution1D": "Conv1D", "Convolution2D": "Conv2D", "Convolution3D": "Conv3D", "CuDNNLSTM": "LSTM",
    "CuDNNGRU": "GRU", "LSTMV1": "LSTM", "LSTMV2": "LSTM", "GRUV1": "GRU", "GRUV2": "GRU", "Deconvolution2D":
    "Conv2DTranspose", "Convolution2DTranspose": "Conv2DTranspose", "SeparableConvolution2D": "SeparableConv2D",
}  # fmt: skip
_MODELS = ("Sequential", "Functional", "Model")
# Arguments that Keras 3 no longer has, and whose values change nothing that is computed.
_DROPPED = {
    "implementation", "input_length", "input_dtype", "batch_size", "ragged", "sparse", "fused", "virtual_batch_size",
    "experimental_autocast", "autocast", "time_major", "unroll", "adjustment", "__passive_serialization__",
    "output_shape_type", "output_shape_module", "synchronized", "cell", "query_shape", "key_shape", "value_shape",
    "softmax_robust_masking",
}  # fmt: skip
_KEPT_WHERE_KNOWN = {"unroll", "synchronized", "cell", "batch_size", "sparse", "ragged", "autocast"}


def is_legacy(config):
    """Is it the config of an object without modules: that of Keras 1 or 2, or of Keras 3's `.h5` files?"""
    return isinstance(config, dict) and "class_name" in config and "module" not in config


# Modules that configs of Keras 2 name in `.keras` files, and in wrappers.
_MODULES = ("keras", "keras.layers", "keras.models", "keras.engine.functional", "keras.src.engine.functional",
            "keras.src.engine.sequential", "tf_keras.src.engine.functional")  # fmt: skip


def modern_object(config, custom_objects=None, keras_2=False):
    """A layer's or model's config in today's dialect.

    Args:
        config: `{"class_name": ..., "config": ...}` of any dialect.
        custom_objects: dict of names that mean the program's own classes.
        keras_2: whether configs with modules are of Keras 2 as well.
    """
    if keras_2 and isinstance(config, dict) and config.get("module") in _MODULES:
        config = {k: v for k, v in config.items() if k not in ("module", "registered_name")}
    if not is_legacy(config):
        return config
    name, inner = config["class_name"], config.get("config")
    if not isinstance(name, str):
        raise ValueError(f"load_model: expected the name of a class. Received: {name!r}")
    if name == "Sequential" and isinstance(inner, list):  # Keras before 2.2.3
        inner = {"name": config.get("name") or naming.auto_name("sequential"), "layers": inner}
    if not isinstance(inner, dict):
        raise ValueError(f"{name}: expected a dict as config. Received: {type(inner).__name__}")
    if name in (custom_objects or {}):
        return {**config, "module": None, "registered_name": name}
    if {"layers", "input_layers", "output_layers"} <= set(inner):
        own = name in _MODELS
        inner = _functional(inner, custom_objects, keras_2)
        where = {"module": "keras.src.models.functional", "class_name": "Functional"}
        return {**config, **(where if own else {"registered_name": name}), "config": inner}
    if name == "Sequential":
        layers = inner.get("layers")
        if not isinstance(layers, list):
            raise ValueError(f"Sequential: expected a list of layers. Received: {type(layers).__name__}")
        inner = {k: v for k, v in inner.items() if k in ("name", "trainable", "layers", "build_input_shape")}
        inner["layers"] = [modern_object(layer, custom_objects, keras_2) for layer in layers]
        return {**config, "module": "keras", "config": inner}
    cls = _layer_class(name)
    if cls is None:
        # A class of the program's: registered as "package>Name", or passed by its name alone.
        return {**config, "module": None, "class_name": name.split(">")[-1], "registered_name": name}
    return {
        **config, "module": "keras.layers", "class_name": cls.__name__, "config": _layer(name, cls, inner, custom_objects, keras_2)
    }  # fmt: skip


def _layer_class(name):
    from rkeras import layers

    name = _RENAMED.get(name, name)
    cls = None if name.startswith("_") else getattr(layers, name, None)
    return cls if isinstance(cls, type) and hasattr(cls, "from_config") and registry.is_builtin(cls) else None


def _layer(name, cls, config, custom_objects, keras_2):
    """The arguments of a layer of ours."""
    out = {}
    for key, value in config.items():
        if key in ("layer", "cell", "forward_layer", "backward_layer") and isinstance(value, dict):
            value = modern_object(value, custom_objects, keras_2)
        elif key == "cells" and isinstance(value, list):
            value = [modern_object(v, custom_objects, keras_2) for v in value]
        elif key == "dtype":
            value = _dtype(value)
        elif keras_2 and value == "hard_sigmoid" and key in ("activation", "recurrent_activation"):
            value = HARD_SIGMOID
        elif key == "axis" and isinstance(value, list) and len(value) == 1:
            value = int(value[0])
        elif isinstance(value, dict) and "class_name" in value and isinstance(value.get("config"), dict):
            value = _part(value)
        out[key] = value
    if cls.__name__ == "InputLayer":
        shape = out.pop("batch_input_shape", None)
        if shape is not None:
            out["batch_shape"] = shape
    known = _parameters(cls)
    for key in list(out):
        droppable = key in _DROPPED and not (key in _KEPT_WHERE_KNOWN and key in known)
        unknown = known is not None and key not in known and key not in _LAYER_ARGUMENTS
        # One group is what a layer without that argument has.
        same = out[key] is None or out[key] is False or (key == "groups" and out[key] == 1)
        if droppable or (unknown and same):
            del out[key]
    if name == "SyncBatchNormalization":
        out["synchronized"] = True
    elif name == "LeakyReLU" and "alpha" in out:
        out["negative_slope"] = out.pop("alpha")
    elif name in ("CuDNNGRU", "GRU") and "reset_after" not in out:
        out["reset_after"] = name == "CuDNNGRU"  # what GRU did before it could be chosen
    return out


@registry.register_keras_serializable("rkeras")
def hard_sigmoid_of_keras_2(x):
    """Keras 2's hard sigmoid, max(0, min(1, 0.2 x + 0.5)): steeper than that of Keras 3."""
    from rkeras import ops

    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


HARD_SIGMOID = {
    "module": "builtins", "class_name": "function", "config": "hard_sigmoid_of_keras_2",
    "registered_name": "rkeras>hard_sigmoid_of_keras_2",
}  # fmt: skip
_LAYER_ARGUMENTS = {
    "name", "trainable", "dtype", "activity_regularizer", "batch_input_shape", "input_shape", "input_dim"
}  # fmt: skip


def _parameters(cls):
    import inspect

    parameters = inspect.signature(cls.__init__).parameters
    return {n for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def _part(value):
    """The config of an initializer, regularizer, constraint ...: without the dtype that old ones carried."""
    return {**value, "config": {k: v for k, v in value["config"].items() if k != "dtype"}}


def _dtype(value):
    """A dtype policy: Keras 2 wrote its name, or `{"class_name": "Policy", ...}`."""
    if isinstance(value, dict) and value.get("class_name") in ("Policy", "PolicyV1"):
        return value.get("config", {}).get("name")
    return value


# Functional models.


def _functional(config, custom_objects, keras_2):
    layers = config["layers"]
    if not isinstance(layers, list) or not all(isinstance(d, dict) for d in layers):
        raise ValueError(f"Functional: expected a list of layers. Received: {type(layers).__name__}")
    # Keras 2 writes calls as lists, and counts those of models from 1.
    old = any(isinstance(n, list) for d in layers for n in d.get("inbound_nodes") or [])
    counted_from_one = {
        d.get("name") for d in layers
        if old and (d.get("class_name") in _MODELS or {"layers", "input_layers"} <= set(d.get("config") or {}))
    }  # fmt: skip

    def place(entry):
        return [entry[0], int(entry[1]) - (entry[0] in counted_from_one), int(entry[2])]

    out = {k: config[k] for k in ("name", "trainable") if k in config}
    out["layers"] = []
    for data in layers:
        if tf_functions.is_function(data):
            out["layers"].append(tf_functions.modern_function(data, place, _tensor, _is_place))
            continue
        modern = dict(modern_object(data, custom_objects, keras_2))
        nodes = data.get("inbound_nodes") or []
        modern["inbound_nodes"] = [
            _call(n, place) if isinstance(n, (list, dict)) and old else n for n in nodes
        ]
        out["layers"].append(modern)
    for key in ("input_layers", "output_layers"):
        out[key] = _places(config[key], place)
        if old and isinstance(out[key], list) and len(out[key]) == 1 and _is_place(out[key][0]):
            out[key] = out[key][0]  # Keras 2 lists even a single one
    return out


def _is_place(value):
    return (
        isinstance(value, (list, tuple))
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and type(value[1]) is int
        and type(value[2]) is int
    )


def _places(value, place):
    if _is_place(value):
        return place(value)
    if isinstance(value, dict):
        return {k: _places(v, place) for k, v in value.items()}
    if isinstance(value, list):
        return [_places(v, place) for v in value]
    raise ValueError(f"Functional: expected places of tensors. Received: {value!r:.200}")


def _tensor(entry, place):
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [], "dtype": "float32", "keras_history": place(entry)},
    }


def _call(node, place):
    """One call in today's form: positional and named arguments."""
    if isinstance(node, dict) and {"args", "kwargs"} <= set(node):
        return node
    kwargs = {}

    def argument(value):
        if _is_place(value):
            if len(value) == 4 and isinstance(value[3], dict):
                kwargs.update({k: named(v) for k, v in value[3].items()})
            return _tensor(value, place)
        if isinstance(value, dict):
            return {k: argument(v) for k, v in value.items()}
        if isinstance(value, list):
            return [argument(v) for v in value]
        raise ValueError(f"Functional: expected calls on tensors. Received: {value!r:.200}")

    def named(value):
        if _is_place(value):
            return _tensor(value, place)
        if isinstance(value, list):
            return [named(v) for v in value]
        if isinstance(value, dict):
            return {k: named(v) for k, v in value.items()}
        return value

    args = argument(node)
    if isinstance(args, list) and len(args) == 1:
        args = args[0]
    return {"args": [args], "kwargs": {k: v for k, v in kwargs.items() if v is not None}}


# What `compile` was given.


def compile_arguments(training, output_names, custom_objects=None):
    """The arguments of `compile` that the `training_config` of an `.h5` file means, as objects and names.

    Args:
        training: the dict.
        output_names: the names of the model's outputs.
        custom_objects: dict of names that mean the program's own classes.
    """
    from rkeras import losses

    with registry.CustomObjectScope(custom_objects):
        return {
            "optimizer": optimizer(training.get("optimizer_config"), custom_objects),
            "loss": _nested(training.get("loss"), lambda c: losses.deserialize(_loss(c))),
            "metrics": _metrics(training.get("metrics"), output_names),
            "weighted_metrics": _metrics(training.get("weighted_metrics"), output_names),
            "loss_weights": training.get("loss_weights"),
        }


def optimizer(config, custom_objects=None):
    """The optimizer of an old config: `lr` and `decay` included."""
    from rkeras import optimizers
    from rkeras.optimizers import schedules

    if config is None:
        return None
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        return optimizers.deserialize(config, custom_objects)
    name, inner = config["class_name"], dict(config["config"])
    if isinstance(name, str) and name not in (custom_objects or {}):
        name = name.removeprefix("Custom>").removeprefix("Experimental")
    if "lr" in inner:
        inner["learning_rate"] = inner.pop("lr")
    rate, decay = inner.get("learning_rate"), inner.pop("decay", None)
    if isinstance(rate, dict):
        rate = schedules.deserialize({"module": "keras.optimizers.schedules", **rate}, custom_objects)
        inner["learning_rate"] = rate
    elif decay:
        # Keras 2 divided the rate by 1 + decay * step: this schedule.
        inner["learning_rate"] = schedules.InverseTimeDecay(rate, 1, decay)
    for key in ("is_legacy_optimizer", "jit_compile", "schedule_decay"):
        inner.pop(key, None)
    if inner.get("epsilon", 0) is None:
        inner["epsilon"] = 1e-7
    if config.get("module"):
        return optimizers.deserialize({**config, "config": inner}, custom_objects)
    known = optimizers._catalogue.by_name.get(name) or registry.get_registered_object(name, custom_objects)
    if not isinstance(known, type):
        raise optimizers._catalogue.unknown(name)
    return known(**inner) if registry.is_builtin(known) else known.from_config(inner)


def _nested(config, make):
    """Objects for the leaves of a structure of configs and names."""
    if config is None:
        return None
    if isinstance(config, str) or (isinstance(config, dict) and "class_name" in config):
        return make(config)
    if isinstance(config, dict):
        return {k: _nested(v, make) for k, v in config.items()}
    if isinstance(config, list):
        return [_nested(v, make) for v in config]
    raise ValueError(f"load_model: expected names and configs in training_config. Received: {config!r:.200}")


_OLD_NAMES = {
    "cosine_proximity": "cosine_similarity", "kullback_leibler_divergence": "kl_divergence", "cosine": "cosine_similarity",
    "acc": "accuracy",
}  # fmt: skip


def _loss(config):
    if isinstance(config, str):
        return _OLD_NAMES.get(config, config)
    if isinstance(config, dict) and isinstance(config.get("config"), dict):
        inner = {k: v for k, v in config["config"].items() if k != "fn"}
        if inner.get("reduction") == "auto":
            inner["reduction"] = "sum_over_batch_size"
        return {**config, "config": inner}
    return config


_SPECIAL = ("accuracy", "acc", "crossentropy", "ce")


def _metrics(config, output_names):
    """Metrics as `compile` takes them. Keras 2 lists them per output and puts the output's name before theirs."""
    from rkeras import metrics

    def make(one, prefix=""):
        if isinstance(one, str):
            return one if one in _SPECIAL else metrics.deserialize(_OLD_NAMES.get(one, one))
        inner = dict(one["config"]) if isinstance(one.get("config"), dict) else {}
        name = inner.get("name")
        if isinstance(name, str) and prefix and name.startswith(prefix):
            inner["name"] = name = name.removeprefix(prefix)
        if one.get("class_name") == "MeanMetricWrapper" and isinstance(inner.get("fn"), str):
            if name in _SPECIAL:
                return name
            found = metrics.get(inner["fn"])
            if isinstance(found, metrics.Metric):
                found.name = name or found.name
                return found
            return metrics.MeanMetricWrapper(found, name=name or inner["fn"])
        return metrics.deserialize({**one, "config": inner})

    if isinstance(config, list) and any(isinstance(c, list) for c in config):
        if len(output_names) == 1 and len(config) == 1:
            config, prefixes = config[0], [""]
            return [make(c) for c in config]
        prefixes = [f"{n}_" for n in output_names] + [""] * len(config)
        return [
            [make(c, prefix) for c in entry] if isinstance(entry, list) else _nested(entry, make)
            for entry, prefix in zip(config, prefixes, strict=False)
        ]
    return _nested(config, make)


# Back: today's configs in the dialect of Keras 2.


class NotInKeras2(ValueError):
    """A model that Keras 2 has no words for."""


# Arguments that came with Keras 3, and the value that means "as before".
_NEW_ARGUMENTS = {
    "optional": False, "quantization_config": None, "lora_rank": None, "renorm": False, "renorm_clipping": None,
    "renorm_momentum": 0.99, "build_input_shape": ..., "input_axes": None, "output_axes": None, "lora_alpha": None,
    "synchronized": False, "autocast": True, "registered_name": ..., "use_cudnn": ..., "flash_attention": None,
    "rms_scaling": False, "use_gate": False, "sliding_window": None,
}  # fmt: skip
# The same for arguments that only some layers got with Keras 3.
_NEW_ARGUMENTS_OF = {"MultiHeadAttention": {"seed": None}}
# Arguments that Keras 2 wants to see: these shapes are found when the layer is called.
_OLD_ARGUMENTS_OF = {"MultiHeadAttention": dict.fromkeys(("query_shape", "key_shape", "value_shape"))}


def keras_2_object(config):
    """A layer's or model's config (as `serialize_keras_object` gives it) in the dialect of Keras 2.

    Raises:
        NotInKeras2: for ops as layers, and arguments that only Keras 3 has.
    """
    module, name, inner = config.get("module"), config["class_name"], config["config"]
    if isinstance(module, str) and module.startswith("keras.src.ops"):
        raise NotInKeras2(f"save_model: expected layers that Keras 2 has. Received: the op {name}")
    if "input_layers" in inner:
        return {"class_name": "Functional", "config": _keras_2_functional(inner)}
    if name == "Sequential":
        layers = [keras_2_object(layer) for layer in inner["layers"]]
        return {"class_name": name, "config": {"name": inner["name"], "layers": layers}}
    out = dict(_OLD_ARGUMENTS_OF.get(name, {}))
    new = {**_NEW_ARGUMENTS, **_NEW_ARGUMENTS_OF.get(name, {})}
    for key, value in inner.items():
        if key in new:
            if new[key] in (..., value):
                continue
            raise NotInKeras2(
                f"save_model: expected arguments that Keras 2 has. Received: {name}({key}={value!r})"
            )
        out[key] = _keras_2_value(key, value)
    if name == "InputLayer":
        out["batch_input_shape"] = out.pop("batch_shape")
    registered = config.get("registered_name")
    return {"class_name": registered if registered and module != "keras.layers" else name, "config": out}


def _keras_2_value(key, value):
    if isinstance(value, dict) and "class_name" in value:
        if key == "dtype":
            policy = value["config"].get("name")
            return policy if "_" not in policy else {"class_name": "Policy", "config": {"name": policy}}
        if value.get("class_name") == "function":
            return value["config"]
        if value.get("module") in ("keras.layers", "keras", "keras.src.models.functional"):
            return keras_2_object(value)
        inner = value["config"]
        if not isinstance(inner, dict):
            return inner
        kept = {k: v for k, v in inner.items() if k not in _NEW_ARGUMENTS}
        return {"class_name": value["class_name"], "config": kept}
    if isinstance(value, (list, tuple)):
        return [_keras_2_value(key, v) for v in value]
    return value


def _call_names(config):
    """The names of the arguments of a layer's call."""
    cls = _layer_class(config["class_name"])
    return cls._call_signature[0] if cls is not None else ("inputs",)


def _keras_2_functional(config):
    models = {
        d["name"]
        for d in config["layers"]
        if "input_layers" in d["config"] or d["class_name"] == "Sequential"
    }

    def place(history):
        return [history[0], history[1] + (history[0] in models), history[2]]

    def is_tensor(value):
        return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"

    def tensors(value):
        if is_tensor(value):
            return place(value["config"]["keras_history"])
        if isinstance(value, (list, tuple)):
            return [tensors(v) for v in value]
        return value

    layers = []
    for data in config["layers"]:
        nodes = []
        for node in data["inbound_nodes"]:
            # Keras 2 knows one positional argument; further ones go by name.
            names = _call_names(data)
            if not node["args"] or len(node["args"]) > len(names):
                raise NotInKeras2(
                    f"save_model: expected calls on a first argument. Received: {len(node['args'])} for {data['name']!r}"
                )
            named = dict(zip(names[1:], node["args"][1:], strict=False))
            first = node["args"][0]
            flat = list(first) if isinstance(first, (list, tuple)) else [first]
            if not all(is_tensor(t) for t in flat):
                raise NotInKeras2(
                    f"save_model: expected calls on tensors. Received: others for {data['name']!r}"
                )
            kwargs = {k: tensors(v) for k, v in {**named, **node["kwargs"]}.items() if v is not None}
            nodes.append([[*tensors(t), kwargs] for t in flat])
        layers.append({**keras_2_object(data), "name": data["name"], "inbound_nodes": nodes})

    def places(value):
        if _is_place(value):
            return [place(value)]
        if isinstance(value, dict):
            return [place(v) for v in value.values()]
        return [place(v) for v in value]

    return {
        "name": config["name"], "trainable": config["trainable"], "layers": layers,
        "input_layers": places(config["input_layers"]), "output_layers": places(config["output_layers"]),
    }  # fmt: skip


def keras_3_h5_object(config):
    """A config as Keras 3 writes it into `.h5` files: layers without modules, the rest as today."""
    module, name, inner = config.get("module"), config["class_name"], config["config"]
    if isinstance(module, str) and module.startswith("keras.src.ops"):
        return config
    if isinstance(inner, dict) and "layers" in inner:
        inner = {**inner, "layers": [keras_3_h5_object(d) for d in inner["layers"]]}
    out = {"class_name": config.get("registered_name") or name, "config": inner}
    if name == "Functional":
        out["class_name"] = name
    for key in ("name", "inbound_nodes"):
        if key in config:
            out[key] = config[key]
    return out
