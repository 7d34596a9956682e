"""A function as a layer."""

from rkeras._core import registry, tree
from rkeras._core.symbolic import KerasTensor, infer
from rkeras.layers.input_spec import who
from rkeras.layers.layer import Layer

_HINT = (
    "Hint: write a named function, register it with @keras.saving.register_keras_serializable(), or pass "
    'custom_objects={"name": function} when loading; or write a subclass of Layer.'
)


class Lambda(Layer):
    """function(inputs).

    Code is never stored in files nor run from them: a model with a named function can be saved, and loads where
    the name is registered or in `custom_objects`.

    Args:
        function: takes tensors, and `mask` or `training` if it has arguments of these names.
        output_shape: the shape of the output without the batch, or a function of the input's shape; found by
            calling the function if None.
        mask: the mask of the output, or a function of inputs and their mask.
        arguments: further arguments of the function, a dict.

    Raises:
        ValueError: when a lambda is to be stored or loaded.

    Example:
        >>> keras.layers.Lambda(lambda x: x * 2)(keras.ops.ones((1, 2))).numpy().tolist()
        [[2.0, 2.0]]
    """

    def __init__(self, function, output_shape=None, mask=None, arguments=None, **kwargs):
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"Lambda: expected a function. Received: {function!r}")
        self.function = function
        self.arguments = arguments or {}
        self.mask = mask
        self.supports_masking = mask is not None
        self._output_shape = output_shape
        self._names = _argument_names(function)

    def call(self, inputs, mask=None, training=None):
        """function(inputs)."""
        more = dict(self.arguments)
        if "mask" in self._names:
            more["mask"] = mask
        if "training" in self._names:
            more["training"] = training
        return self.function(inputs, **more)

    def compute_mask(self, inputs, mask=None):
        """The mask that was given, or what the function of it says."""
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape):
        """The shape of the output."""
        if self._output_shape is None:

            def symbol(shape):
                return KerasTensor(shape, dtype=self.compute_dtype)

            out = infer(self.call, (tree.map_shape_structure(symbol, input_shape),), {})
            return tree.map_structure(lambda t: t.shape, out)
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        batch = tree.flatten(input_shape)[0]
        return tree.map_shape_structure(lambda shape: (batch, *shape), self._output_shape)

    def compute_output_spec(self, inputs, mask=None, training=None):
        """The KerasTensors of the output."""
        if self._output_shape is None:
            return infer(self.call, (inputs,), {"mask": mask, "training": training})
        shapes = self.compute_output_shape(tree.map_structure(lambda t: tuple(t.shape), inputs))
        return tree.map_shape_structure(lambda s: KerasTensor(s, dtype=self.compute_dtype), shapes)

    def get_config(self):
        """What `from_config` needs; functions by name."""
        base = super().get_config()
        config = {k: base[k] for k in ("name", "trainable", "dtype")}
        config["function"] = self._named(self.function)
        if self._output_shape is not None:
            shape = self._output_shape
            config["output_shape"] = self._named(shape) if callable(shape) else shape
        if self.mask is not None:
            config["mask"] = self._named(self.mask) if callable(self.mask) else self.mask
        config["arguments"] = registry.serialize_keras_object(self.arguments)
        return config

    _config_omit = ("activity_regularizer", "function", "output_shape", "mask", "arguments")

    def _named(self, function):
        if getattr(function, "__name__", "<lambda>") == "<lambda>":
            raise ValueError(
                f"{who(self)}: expected a function that files can name. Received: a lambda, whose code is not stored. "
                f"{_HINT}"
            )
        return registry.serialize_keras_object(function)

    @classmethod
    def from_config(cls, config, custom_objects=None, safe_mode=None):
        """The layer of that config, with functions that are found by name; whatever `safe_mode`, no code is run."""
        config = dict(config)
        for key in ("function", "output_shape", "mask"):
            value = config.get(key)
            if key != "function" and not isinstance(value, (dict, str)):
                continue
            config[key] = _found(value, config.get("name"), custom_objects)
        config.pop("module", None)
        for key in ("function_type", "output_shape_type", "output_shape_module", "mask_type", "mask_module"):
            config.pop(key, None)
        if config.get("output_shape") is not None and not callable(config["output_shape"]):
            shape = config["output_shape"]
            config["output_shape"] = tuple(shape) if tree.is_shape(shape) else shape
        if config.get("arguments"):
            config["arguments"] = registry.deserialize_keras_object(config["arguments"], custom_objects)
        return cls(**config)


def _found(value, name, custom_objects):
    """The function that a config names: one that was registered, in custom_objects, or an activation."""
    if callable(value):
        return value
    if isinstance(value, dict) and value.get("class_name") == "function":
        return registry._deserialize(value, custom_objects, 0)
    if isinstance(value, str):
        found = registry.get_registered_object(value, custom_objects)
        if callable(found):
            return found
    raise ValueError(
        f'Lambda "{name}": expected a function that is known by name. Received: code or an unknown name; code in '
        f"files is never run. {_HINT}"
    )


def _argument_names(function):
    import inspect

    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()
