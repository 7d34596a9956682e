"""Models that are a chain of layers."""

from rkeras._core import naming, registry, tree
from rkeras._core.symbolic import KerasTensor
from rkeras._training.quick_call import quick_call
from rkeras._training.trainer import Trainer
from rkeras.layers.input_layer import InputLayer
from rkeras.layers.input_spec import who
from rkeras.layers.layer import Layer
from rkeras.models.functional import Functional
from rkeras.models.model import Model


class Sequential(Model):
    """Layers one after the other.

    Args:
        layers: the layers; an `Input` first lets the weights be made at once.
        trainable: whether the weights are trained.
        name: a name.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
        >>> model.output_shape
        (None, 2)
    """

    _keras_module = "keras"

    def __init__(self, layers=None, trainable=True, name=None):
        Trainer.__init__(self)
        Layer.__init__(self, trainable=trainable, name=name or naming.auto_name("sequential"))
        self.__dict__["_functional"] = None
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True
        if layers:
            for layer in layers:
                self.add(layer, rebuild=False)
            self._maybe_rebuild()

    def add(self, layer, rebuild=True):
        """Adds a layer at the end.

        Args:
            layer: a layer, or the KerasTensor of an `Input`.
            rebuild: whether to make its weights at once, if the input shape is known.
        """
        chain = self._tracker.layers
        if not chain:
            shape = getattr(layer, "_input_shape_arg", None)
            if shape is not None and not isinstance(layer, InputLayer):
                self.add(InputLayer(shape=shape), rebuild=False)
        if isinstance(layer, KerasTensor) or (
            not isinstance(layer, Layer) and hasattr(layer, "_keras_history")
        ):
            layer = layer._keras_history.operation
            if not isinstance(layer, InputLayer):
                raise ValueError(
                    f"{who(self)}.add: expected a layer or keras.Input(...). Received: another KerasTensor"
                )
        if not isinstance(layer, Layer):
            if callable(layer) and hasattr(layer, "__name__"):
                raise ValueError(
                    f"{who(self)}.add: expected a layer. Received: the function {layer.__name__}. Hint: "
                    "Activation(f)"
                )
            raise ValueError(
                f"{who(self)}.add: expected a layer. Received: {layer!r} of type {type(layer).__name__}"
            )
        if any(layer.name == other.name for other in chain):
            raise ValueError(
                f"{who(self)}.add: expected layers of different names. Received: {layer.name!r} twice"
            )
        if isinstance(layer, InputLayer) and chain and isinstance(chain[0], InputLayer):
            raise ValueError(f"{who(self)}.add: expected one Input. Received: a second one")
        chain.append(layer)
        self.built = False
        self.__dict__["_functional"] = None
        if rebuild:
            self._maybe_rebuild()

    def pop(self, rebuild=True):
        """Takes the last layer away; returns it."""
        if not self._layers:
            raise ValueError(f"{who(self)}.pop: expected a layer. Received: an empty model")
        layer = self._tracker.layers.pop()
        self.built = False
        self.__dict__["_functional"] = None
        if rebuild:
            self._maybe_rebuild()
        return layer

    def _maybe_rebuild(self):
        chain = self._tracker.layers
        if len(chain) > 1 and isinstance(chain[0], InputLayer):
            self.build(chain[0].batch_shape)
        elif chain and isinstance(chain[0], Functional) and hasattr(chain[0], "_inputs_struct"):
            if isinstance(chain[0]._inputs_struct, KerasTensor):
                self.build(chain[0].input_shape)

    def build(self, input_shape=None):
        """Makes the weights of all layers, for inputs of this shape (with the batch)."""
        chain = self._tracker.layers
        if not chain:
            raise ValueError(
                f"{who(self)}.build: expected at least one layer. Received: none. Hint: add() one first."
            )
        if chain and isinstance(chain[0], InputLayer):
            if (
                input_shape is not None
                and tuple(input_shape) != tuple(chain[0].batch_shape)
                and len(input_shape) != len(chain[0].batch_shape)
            ):
                raise ValueError(
                    f"{who(self)}.build: expected shape {chain[0].batch_shape}. Received: "
                    f"{tuple(input_shape)}"
                )
        else:
            if input_shape is None:
                raise ValueError(f"{who(self)}.build: expected input_shape. Received: None")
            if not tree.is_shape(input_shape):
                raise ValueError(f"{who(self)}.build: expected one shape. Received: {input_shape}")
            dtype = chain[0].compute_dtype
            self._tracker.layers[:0] = [InputLayer(batch_shape=tuple(input_shape), dtype=dtype)]
        inputs = chain[0].output
        x = inputs
        for layer in chain[1:]:
            try:
                x = layer(x)
            except NotImplementedError:
                # It cannot run on shapes alone: the chain runs layer by layer instead.
                return
        self.__dict__["_functional"] = Functional(inputs=inputs, outputs=x)
        self.built = True

    def call(self, inputs, training=None, mask=None, **kwargs):
        """Runs the layers one after the other."""
        if self._functional is not None:
            return self._functional.call(inputs, training=training, mask=mask)
        from rkeras._core.tensor import get_keras_mask, set_keras_mask

        if mask is not None and get_keras_mask(inputs) is None:
            set_keras_mask(inputs, mask)
        for layer in self.layers:
            extra = {"training": training} if layer._call_has_training_arg and training is not None else {}
            inputs = layer(inputs, **extra)
        return inputs

    def __call__(self, inputs=None, *args, **kwargs):
        if self._functional is not None:
            if not args and not kwargs:
                outputs = quick_call(self, inputs)
                if outputs is not None:
                    return outputs
            return Layer.__call__(self, self._functional._pick(inputs), *args, **kwargs)
        if (
            not isinstance(inputs, KerasTensor)
            and not tree.is_nested(inputs)
            and not hasattr(inputs, "_keras_history")
        ):
            from rkeras._core.tensor import convert_to_tensor

            inputs = convert_to_tensor(inputs)
            if not self.built and self._layers:
                # The first call on data tells the shape of an input; the batch may differ later.
                self.build((None, *inputs.shape[1:]))
                return self(inputs, *args, **kwargs)
        elif isinstance(inputs, KerasTensor) and not self.built and self._layers:
            self.build((None, *inputs.shape[1:]))
            return self(inputs, *args, **kwargs)
        return Layer.__call__(self, inputs, *args, **kwargs)

    def _maybe_build(self, spec):
        """The chain is built by `build`, or layer by layer as it is called."""

    @property
    def layers(self):
        """The layers, without the one that stands for the input."""
        chain = self._tracker.layers
        return list(chain[1:] if chain and isinstance(chain[0], InputLayer) else chain)

    @layers.setter
    def layers(self, _):
        raise AttributeError(f"{who(self)}: expected `layers` to be left alone. Received: an assignment")

    def _graph(self, what):
        if self._functional is None:
            raise AttributeError(
                f"{who(self)}: expected a built model. Received: one that does not know its {what} yet. "
                "Hint: put a "
                "keras.Input first, or call build(input_shape)."
            )
        return self._functional

    @property
    def inputs(self):
        """The KerasTensors that go in."""
        return self._graph("inputs").inputs

    @property
    def outputs(self):
        """The KerasTensors that come out."""
        return self._graph("outputs").outputs

    @property
    def input(self):
        """The KerasTensor that goes in."""
        return self._graph("input").input

    @property
    def output(self):
        """The KerasTensor that comes out."""
        return self._graph("output").output

    @property
    def input_shape(self):
        """The shape of the input."""
        return self._graph("input_shape").input_shape

    @property
    def output_shape(self):
        """The shape of the output."""
        return self._graph("output_shape").output_shape

    def compute_output_spec(self, inputs, training=None, mask=None, **kwargs):
        """The KerasTensor that the chain would give."""
        return Layer.compute_output_spec(self, inputs, training=training, mask=mask)

    def compute_output_shape(self, input_shape):
        """The output shape for an input shape."""
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self):
        """The layers, in Keras's format."""
        from rkeras import dtype_policies

        config = {
            "name": self.name, "trainable": self.trainable, "dtype":
            dtype_policies.serialize(self._dtype_policy),
            "layers": [registry.serialize_keras_object(layer) for layer in self._tracker.layers],
        }  # fmt: skip
        if self._functional is not None:
            config["build_input_shape"] = self._tracker.layers[0].batch_shape
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model of that config."""
        if "layers" not in config:
            raise ValueError(
                f"{cls.__name__}.from_config: expected a config with layers. Received: {sorted(config)}"
            )
        model = cls(name=config.get("name"))
        for data in config["layers"]:
            if "module" not in data:
                layer = _legacy_layer(data, custom_objects)
            else:
                layer = registry.deserialize_keras_object(data, custom_objects=custom_objects)
            if not isinstance(layer, Layer):
                raise ValueError(
                    f"{cls.__name__}.from_config: expected layers. Received: {type(layer).__name__}"
                )
            model.add(layer, rebuild=False)
        shape = config.get("build_input_shape")
        if model._functional is None:
            model._maybe_rebuild()
            if (
                model._functional is None
                and shape
                and isinstance(shape, (tuple, list))
                and model._tracker.layers
            ):
                model.build(tuple(shape))
        if config.get("trainable") is not None:
            model.trainable = config["trainable"]
        return model

    def get_build_config(self):
        """The shape of the input."""
        if self._functional is None:
            return None
        return {"input_shape": self._tracker.layers[0].batch_shape}

    def build_from_config(self, config):
        """Builds it with the shape from `get_build_config`."""
        if config and config.get("input_shape") and self._functional is None:
            self.build(tuple(config["input_shape"]))


def _legacy_layer(data, custom_objects):
    """A layer of a Keras 2 config: class name and arguments."""
    return registry.deserialize_keras_object(
        {"module": "keras.layers", **data}, custom_objects=custom_objects
    )
