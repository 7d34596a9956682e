"""`.h5` files in the layout of Keras 1 and 2, which Keras 3 keeps: weights by layer, the config in attributes."""

from rkeras._core import registry
from rkeras.saving import hdf5, legacy_config
from rkeras.saving.budget import WeightBudget
from rkeras.saving.files import FORMAT_VERSION, OversizeError

KERAS_2_VERSION = "2.15.0"
_SLACK_BYTES = 1 << 20
_TOP = "top_level_model_weights"


def is_legacy(file):
    """Is an open HDF5 file in this layout?"""
    return (
        any(n in file.attrs for n in ("layer_names", "layer_names0", "model_config"))
        or "model_weights" in file
    )


def weights_group(file):
    """The group of the weights: that of a whole model, or the file itself."""
    if "layer_names" not in file.attrs and "layer_names0" not in file.attrs and "model_weights" in file:
        return hdf5.open_group(file, "model_weights")
    return file


# Writing.


def _weights(layer):
    """The weights of a layer in the order of these files: trained ones first."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _own_weights(model):
    return [*model._trainable_variables, *model._non_trainable_variables]


def write_weights(model, group, keras_2=False):
    """Writes the weights of a model into an open group."""
    layers = model.layers
    names = [layer.name for layer in layers]
    if len(set(names)) != len(names) or _TOP in names:
        raise ValueError(f"save: expected layers of different names. Received: {sorted(names)}")
    hdf5.write_texts(group, "layer_names", names)
    group.attrs["backend"] = "tensorflow"
    group.attrs["keras_version"] = KERAS_2_VERSION if keras_2 else FORMAT_VERSION
    for layer in sorted(layers, key=lambda layer: layer.name):
        _write_variables(group.create_group(layer.name), _weights(layer), keras_2)
    _write_variables(group.create_group(_TOP), _own_weights(model), keras_2)


def _write_variables(group, variables, keras_2):
    _write_named(group, [v.path for v in variables], variables, ":0" if keras_2 else "")


def _write_named(group, paths, variables, suffix=""):
    """Writes variables under their paths; where one occurs twice, the second gets a number."""
    names, used = [], set()
    for path in paths:
        name, n = path, 0
        while name in used:
            n += 1
            name = f"{path}_{n}"
        used.add(name)
        names.append(name + suffix)
    hdf5.write_texts(group, "weight_names", names)
    for name, v in zip(names, variables, strict=True):
        hdf5.write_dataset(group, name, v)


def weights_bytes(model):
    """The weights of a model as the bytes of an HDF5 file."""
    return _bytes(lambda file: write_weights(model, file))


def _bytes(write):
    import io

    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getbuffer()


def model_bytes(model, include_optimizer=True, keras_2=False):
    """A whole model as the bytes of an HDF5 file.

    Args:
        model: a built model.
        include_optimizer: whether the optimizer and its state are written.
        keras_2: whether it is written so that Keras 2 reads it, rather than as Keras 3 writes it.
    """
    import json

    if not model.built:
        raise ValueError(f"save_model: expected a built model for .h5. Received: {model.name!r}")
    config = registry.serialize_keras_object(model)
    config = (legacy_config.keras_2_object if keras_2 else legacy_config.keras_3_h5_object)(config)
    training = None
    if include_optimizer and model.compiled and model.optimizer is not None:
        training = _training_config(model, keras_2)

    def write(file):
        file.attrs["keras_version"] = KERAS_2_VERSION if keras_2 else FORMAT_VERSION
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        if training is not None:
            file.attrs["training_config"] = json.dumps(training)
        write_weights(model, file.create_group("model_weights"), keras_2)
        if training is not None and model.optimizer.built:
            _write_optimizer(file, model.optimizer, keras_2)

    return _bytes(write)


def _training_config(model, keras_2):
    config = dict(model.get_compile_config() or {})
    optimizer = config.pop("optimizer", None) or registry.serialize_keras_object(model.optimizer)

    def old(value):
        """Without modules, which these files lack."""
        if isinstance(value, dict):
            if value.get("class_name") == "function":
                return value["config"]
            if "class_name" in value:
                inner = value["config"]
                return {"class_name": value.get("registered_name") or value["class_name"], "config": inner}
            return {k: old(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [old(v) for v in value]
        return value

    config = {k: old(v) for k, v in config.items()}
    config["loss"] = _full_names(config.get("loss"))
    inner = optimizer["config"]
    name = optimizer.get("registered_name") or optimizer["class_name"]
    if keras_2:
        config = {k: config.get(k) for k in ("loss", "metrics", "weighted_metrics", "loss_weights")}
        for key in ("metrics", "weighted_metrics"):
            config[key] = _keras_2_metrics(model, config[key], config["loss"])
        gone = ("loss_scale_factor", "gradient_accumulation_steps")
        inner = {k: v for k, v in inner.items() if k not in gone}
        rate = inner["learning_rate"]
        inner["learning_rate"] = old(rate) if isinstance(rate, dict) else rate
        if optimizer.get("module") == "keras.optimizers":
            name = f"Custom>{name}"
    config["optimizer_config"] = {"class_name": name, "config": inner}
    return config


def _full_names(loss):
    """Losses by their full names: Keras 3 takes "mse" in its own files for a metric, and fails."""
    from rkeras import losses

    if isinstance(loss, str):
        return getattr(losses.get(loss), "__name__", loss)
    if isinstance(loss, dict) and "class_name" not in loss:
        return {k: _full_names(v) for k, v in loss.items()}
    return [_full_names(v) for v in loss] if isinstance(loss, list) else loss


def _keras_2_metrics(model, metrics, loss):
    """Metrics as Keras 2 reads them: a list per output, "accuracy" as the function that it means."""
    if metrics is None:
        return None
    outputs = list(getattr(model, "output_names", None) or ["output"])
    shapes = [t.shape for t in model.outputs] if hasattr(model, "outputs") else [None]

    def per_output(value):
        if isinstance(value, dict) and "class_name" not in value:
            return [value.get(n) for n in outputs]
        if isinstance(value, list) and len(outputs) > 1 and len(value) == len(outputs):
            return value
        return [value] * len(outputs) if not isinstance(value, list) or len(outputs) == 1 else [value]

    result = []
    for name, found, kind, shape in zip(outputs, per_output(metrics), per_output(loss), shapes, strict=False):
        found = found if isinstance(found, list) else [] if found is None else [found]
        prefix = f"{name}_" if len(outputs) > 1 else ""
        result.append([_keras_2_metric(m, prefix, kind, shape) for m in found])
    return result


def _keras_2_metric(metric, prefix, loss, shape):
    if isinstance(metric, str):
        family = {"acc": "accuracy", "ce": "crossentropy"}.get(metric, metric)
        function = metric
        if family in ("accuracy", "crossentropy"):
            loss = loss if isinstance(loss, str) else str((loss or {}).get("class_name"))
            kind = "binary" if shape is not None and shape[-1] == 1 else "categorical"
            kind = "sparse_categorical" if loss.lower().startswith("sparse") else kind
            function = f"{kind}_{family}"
        config = {"name": prefix + metric, "dtype": "float32", "fn": function}
        return {"class_name": "MeanMetricWrapper", "config": config}
    config = {**metric["config"], "name": prefix + metric["config"].get("name", metric["class_name"])}
    return {**metric, "config": config}


def _write_optimizer(file, optimizer, keras_2):
    group = file.create_group("optimizer_weights")
    variables = optimizer.variables
    if not keras_2:
        _write_named(group, [v.path for v in variables], variables)
        return
    # Keras 2 keeps the learning rate in the config.
    variables = [v for v in variables if v is not getattr(optimizer, "_learning_rate", None)]
    _write_named(group, _keras_2_slot_names(optimizer, variables), variables, ":0")


# Slots: their names here, and in files of Keras 1 and 2.
_SLOTS = {
    "momentum": ("m", "momentum"), "velocity": ("v", "rms", "velocity"), "velocity_hat": ("vhat", "velocity_hat"),
    "norm": ("u", "v", "norm"), "average_gradient": ("mg", "average_gradient"),
    "accumulator": ("accumulator",), "accumulated_grad": ("accum_grad", "accumulated_grad"),
    "accumulated_delta_var": ("accum_var", "accumulated_delta_var"), "linear": ("linear",),
}  # fmt: skip


def _slots(optimizer):
    """Dict of slot name to the slots of all trained variables, in their order; and the others."""
    slots, others = {}, []
    known = sorted(_SLOTS, key=len, reverse=True)
    for v in optimizer.variables:
        kind = next((k for k in known if v.name.endswith(f"_{k}")), None)
        if kind is None:
            others.append(v)
        else:
            slots.setdefault(kind, []).append(v)
    return slots, others


def _keras_2_slot_names(optimizer, variables):
    slots, _ = _slots(optimizer)
    class_name, names = type(optimizer).__name__, {}
    for kind, found in slots.items():
        short = kind if class_name in ("RMSprop", "Adadelta") else _SLOTS[kind][0]
        for v, of in zip(found, optimizer._trainable_variables, strict=False):
            names[id(v)] = f"{class_name}/{short}/{of.path}"
    return [
        names.get(id(v)) or ("iteration" if v is optimizer.iterations else v.path.replace("/", "_"))
        for v in variables
    ]


# Reading.


def load_model(path, custom_objects=None, compile=True):
    """The model of an `.h5` file."""
    import os

    with hdf5.reading(path), hdf5.open_file(path) as file:
        config = _json(file, "model_config")
        if config is None:
            raise ValueError(
                f"load_model: expected a whole model. Received: {path!r}, which holds weights alone. Hint: make the model, and "
                "read them with model.load_weights()."
            )
        version = hdf5.read_text(file, "keras_version") or "1"
        keras_2 = version.split(".")[0] in ("1", "2")
        with registry.CustomObjectScope(custom_objects), WeightBudget(os.path.getsize(path)):
            model = registry.deserialize_keras_object(
                legacy_config.modern_object(config, custom_objects, keras_2), custom_objects
            )
            if not hasattr(model, "load_weights"):
                raise ValueError(
                    f"load_model: expected a model in {path!r}. Received: {type(model).__name__}"
                )
            training = _json(file, "training_config") if compile else None
            read_weights(model, weights_group(file))
            if training is not None:
                names = getattr(model, "output_names", None) or ["output"]
                arguments = legacy_config.compile_arguments(training, names, custom_objects)
                model.compile(**{k: v for k, v in arguments.items() if v is not None})
                if "optimizer_weights" in file and model.optimizer is not None:
                    read_optimizer(model, hdf5.open_group(file, "optimizer_weights"))
        return model


def _json(file, name):
    import json

    text = hdf5.read_text(file, name)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (RecursionError, json.JSONDecodeError) as error:
        raise ValueError(
            f"load_model: expected JSON in {name!r}. Received: something else ({error})"
        ) from error


def _arrays(group, variables):
    """The arrays of a layer; none larger than its largest weight."""
    limit = 8 * max([v.size for v in variables], default=0) + _SLACK_BYTES
    return [hdf5.read_dataset(group, name, limit) for name in hdf5.read_texts(group, "weight_names")]


def read_weights(model, group, skip_mismatch=False, by_name=False):
    """Reads the weights of a model from an open group.

    Args:
        model: a built model.
        group: the group with `layer_names`.
        skip_mismatch: whether layers that do not fit are left as they are, with a warning.
        by_name: whether layers are matched by name rather than by order.

    Raises:
        ValueError: if they do not fit.
    """
    names = hdf5.read_texts(group, "layer_names")
    if by_name:
        index = {}
        for layer in model.layers:
            index.setdefault(layer.name, []).append(layer)
        pairs = [(name, layer) for name in names for layer in index.get(name, [])]
    else:
        layers = [layer for layer in model.layers if _weights(layer)]
        stored = [n for n in names if hdf5.read_texts(hdf5.open_group(group, n), "weight_names")]
        if len(layers) != len(stored):
            raise ValueError(
                f"load_weights: expected {len(layers)} layers with weights: {[x.name for x in layers][:20]}. Received: a file with "
                f"{len(stored)}: {stored[:20]}. Hint: by_name=True matches those of equal names."
            )
        pairs = list(zip(stored, layers, strict=True))
    version = hdf5.read_text(group, "keras_version") or "1"
    for name, layer in pairs:
        _read_layer(layer, hdf5.open_group(group, name), name, _weights(layer), skip_mismatch, version)
    own = _own_weights(model)
    if _TOP in group:
        top = hdf5.open_group(group, _TOP)
        if own or hdf5.read_texts(top, "weight_names"):
            _read_layer(model, top, _TOP, own, skip_mismatch, version)


def _read_layer(layer, group, stored_name, variables, skip_mismatch, version):
    who = f"{type(layer).__name__} {layer.name!r} (stored as {stored_name!r})"

    def mismatch(text, error=None):
        message = f"load_weights: expected {text}"
        if not skip_mismatch:
            raise error or ValueError(message)
        import warnings

        warnings.warn(f"{message}. It keeps the weights it had.", stacklevel=6)

    try:
        arrays = _arrays(group, variables)
    except OversizeError as error:
        mismatch(f"the weights of {who}. Received: {error}", error)
        return
    arrays = _converted(layer, arrays, version)
    if len(arrays) != len(variables):
        mismatch(f"{len(variables)} weights for {who}. Received: {len(arrays)}")
        return
    for v, array in zip(variables, arrays, strict=True):
        if tuple(array.shape) != tuple(v.shape):
            mismatch(f"shape {tuple(v.shape)} for {v.path!r} of {who}. Received: {tuple(array.shape)}")
            continue
        v.assign(array)


def _converted(layer, arrays, version):
    """Weights of old files in today's form."""
    kind = type(layer).__name__
    if kind == "Bidirectional":
        half = len(arrays) // 2
        return [
            *_converted(layer.forward_layer, arrays[:half], version),
            *_converted(layer.backward_layer, arrays[half:], version),
        ]
    if kind == "TimeDistributed":
        return _converted(layer.layer, arrays, version)
    if kind in ("LSTM", "GRU") and len(arrays) == 3:
        return _from_cudnn(kind, *arrays)
    if version.split(".")[0] == "1" and kind in ("Conv1D", "Conv2D") and arrays:
        return _from_keras_1(layer, arrays)
    return arrays


def _from_cudnn(kind, kernel, recurrent, bias):
    """The weights of CuDNNLSTM and CuDNNGRU (two biases in a row, each gate transposed) as those of LSTM and GRU."""
    import numpy as np

    gates = {"LSTM": 4, "GRU": 3}[kind]
    if kernel.ndim != 2 or recurrent.ndim != 2 or bias.shape != (2 * gates * recurrent.shape[0],):
        return [kernel, recurrent, bias]
    kernel = np.hstack([k.T.reshape(k.shape, order="F") for k in np.hsplit(kernel, gates)])
    recurrent = np.hstack([k.T for k in np.hsplit(recurrent, gates)])
    return [kernel, recurrent, bias.reshape(2, -1).sum(0) if kind == "LSTM" else bias.reshape(2, -1)]


def _from_keras_1(layer, arrays):
    """Kernels of convolutions had the output channels first."""
    import numpy as np

    kernel, *rest = arrays
    want = tuple(layer.kernel.shape)
    if type(layer).__name__ == "Conv1D":
        if kernel.ndim == 4 and kernel.shape[:2] != (want[0], 1):
            kernel = np.transpose(kernel, (2, 3, 1, 0))
        kernel = kernel[:, 0, :, :] if kernel.ndim == 4 else kernel
    elif kernel.ndim == 4 and kernel.shape != want:
        kernel = np.transpose(kernel, (2, 3, 1, 0))
    return [kernel, *rest]


def read_optimizer(model, group):
    """Reads the state of the optimizer; with a warning, it starts anew if the file's does not fit."""
    import warnings

    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    names = hdf5.read_texts(group, "weight_names")
    limit = 8 * max((v.size for v in optimizer.variables), default=0) + _SLACK_BYTES
    pairs = _match(optimizer, names)
    if pairs is not None:
        arrays = [(v, hdf5.read_dataset(group, name, limit)) for v, name in pairs]
        if all(tuple(a.shape) == tuple(v.shape) for v, a in arrays):
            for v, array in arrays:
                v.assign(array)
            return
    warnings.warn(
        f"load_model: expected the state of {type(optimizer).__name__}: {[v.path for v in optimizer.variables][:6]} .... "
        f"Received: {names[:6]} ..., {len(names)} arrays. The optimizer starts anew.", stacklevel=4,
    )  # fmt: skip


def _match(optimizer, names):
    """Pairs (variable, name in the file), or None if they cannot be told."""
    variables = optimizer.variables
    if names and not names[0].endswith(":0"):  # Keras 3: in order
        return list(zip(variables, names, strict=True)) if len(names) == len(variables) else None
    slots, _ = _slots(optimizer)
    pairs, found, unnamed = [], {k: [] for k in slots}, []
    for name in names:
        parts = name.split(":")[0].split("/")
        if parts[-1] in ("iter", "iteration", "iterations"):
            pairs.append((optimizer.iterations, name))
        elif parts[-1] in ("learning_rate", "current_learning_rate", "decay", "beta_1", "beta_2", "rho"):
            continue  # the config has it
        else:
            kind = _kind(parts, slots)
            (unnamed if kind is None else found[kind]).append(name)
    if unnamed:
        # Keras 2.0 names them Variable, Variable_1 ...: all of one kind, then all of the next.
        if any(found.values()) or len(unnamed) != sum(map(len, slots.values())):
            return _in_order(optimizer, names)
        flat = [v for kind in slots for v in slots[kind]]
        return [*pairs, *zip(flat, unnamed, strict=True)]
    for kind, variables_of in slots.items():
        if len(found[kind]) != len(variables_of):
            return _in_order(optimizer, names)
        pairs.extend(zip(variables_of, found[kind], strict=True))
    return pairs


def _in_order(optimizer, names):
    """Pairs of all variables but the learning rate, as the last resort; None if their numbers differ."""
    kept = [v for v in optimizer.variables if v is not getattr(optimizer, "_learning_rate", None)]
    return list(zip(kept, names, strict=True)) if len(kept) == len(names) else None


def _kind(parts, slots):
    """The slot that a name of Keras 2 means: `Adam/dense/kernel/m` or `Adam/m/dense/kernel`."""
    for part in (parts[-1], *parts[1:2], *parts[:1]):
        for kind in slots:
            if part in _SLOTS[kind]:
                return kind
    return None
