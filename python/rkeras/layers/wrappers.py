"""Layers around a layer: on every step, in both directions."""

from rkeras import ops
from rkeras._core import registry, tree
from rkeras._core.tensor import cast
from rkeras.layers.input_spec import who
from rkeras.layers.layer import Layer
from rkeras.ops.recurrent import like


class Wrapper(Layer):
    """The base of layers around one layer.

    Args:
        layer: the layer inside.
    """

    def __init__(self, layer, **kwargs):
        if not isinstance(layer, Layer):
            raise ValueError(f"{type(self).__name__}: expected a layer. Received: {layer!r}")
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape=None):
        """Builds the layer inside."""
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer of that config."""
        config = dict(config)
        layer = registry.deserialize_keras_object(config.pop("layer"), custom_objects=custom_objects)
        return cls(layer, **config)


# Layers that treat every sample alike whatever the others are: all steps can be one batch.
_SAMPLEWISE = frozenset(
    [
        "Dense",
        "Conv1D",
        "Conv2D",
        "Conv3D",
        "Conv1DTranspose",
        "Conv2DTranspose",
        "Conv3DTranspose",
        "DepthwiseConv1D",
        "DepthwiseConv2D",
        "SeparableConv1D",
        "SeparableConv2D",
        "MaxPooling1D",
        "MaxPooling2D",
        "MaxPooling3D",
        "AveragePooling1D",
        "AveragePooling2D",
        "AveragePooling3D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "GlobalMaxPooling3D",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalAveragePooling3D",
        "Flatten",
        "Reshape",
        "Permute",
        "Activation",
        "ReLU",
        "LeakyReLU",
        "PReLU",
        "ELU",
        "Softmax",
        "LayerNormalization",
        "UnitNormalization",
        "RMSNormalization",
        "Embedding",
        "Rescaling",
        "Dropout",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "GaussianNoise",
        "InputLayer",
        "ZeroPadding1D",
        "ZeroPadding2D",
        "ZeroPadding3D",
        "UpSampling1D",
        "UpSampling2D",
        "UpSampling3D",
        "Cropping1D",
        "Cropping2D",
        "Cropping3D",
        "Add",
        "Multiply",
        "Concatenate",
    ]
)


class TimeDistributed(Wrapper):
    """One layer on every step of a sequence.

    Args:
        layer: the layer inside.

    Example:
        >>> keras.layers.TimeDistributed(keras.layers.Dense(4))(keras.ops.ones((2, 5, 3))).shape
        (2, 5, 4)
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def _step_shape(self, input_shape):
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) < 3:
            raise ValueError(
                f"{who(self)}: expected inputs (batch, time, ...). Received: input shape {input_shape}"
            )
        return (input_shape[0], *input_shape[2:])

    def compute_output_shape(self, input_shape):
        """The shape of the layer's output, with the time axis."""
        shape = self.layer.compute_output_shape(self._step_shape(input_shape))
        return (shape[0], input_shape[1], *shape[1:])

    def build(self, input_shape):
        """Builds the layer inside for one step."""
        super().build(self._step_shape(input_shape))

    def call(self, inputs, training=None, mask=None):
        """The layer on every step."""
        if mask is not None:
            self._check_mask(inputs.shape, mask.shape)
        layer, steps = self.layer, inputs.shape[1]
        known = {"training": training} if layer._call_has_training_arg else {}
        masked = layer._call_has_mask_arg and mask is not None
        if not masked and all(
            type(m).__name__ in _SAMPLEWISE and registry.is_builtin(type(m))
            for m in layer._flatten_layers()
            if not m._layers
        ):
            y = layer.call(ops.reshape(inputs, (-1, *inputs.shape[2:])), **known)
            return ops.reshape(y, (-1, steps, *y.shape[1:])) if steps is not None else self._timed(y, inputs)
        if steps is None:
            if masked:
                known["mask"] = like(mask, (mask.shape[0], *mask.shape[2:]))
            return self._timed(layer.call(like(inputs, self._step_shape(inputs.shape)), **known), inputs)
        ys = []
        for i in range(steps):
            if masked:
                known["mask"] = mask[:, i]
            ys.append(layer.call(inputs[:, i], **known))
        return ops.stack(ys, axis=1)

    def _timed(self, y, inputs):
        return like(y, (inputs.shape[0], inputs.shape[1], *y.shape[1:]))

    def _check_mask(self, shape, mask_shape):
        if len(mask_shape) < 2 or any(
            a is not None and b is not None and a != b for a, b in zip(shape[:2], mask_shape[:2], strict=True)
        ):
            raise ValueError(
                f"{who(self)}: expected a mask (batch, time) like the inputs of shape {tuple(shape)}. "
                f"Received: a mask of shape {tuple(mask_shape)}"
            )


class Bidirectional(Layer):
    """A recurrent layer in both directions, the outputs put together.

    Args:
        layer: a recurrent layer; it is made anew, with weights of its own.
        merge_mode: "concat", "sum", "ave", "mul", or None for both outputs.
        weights: the first weights: those forward, then those backward.
        backward_layer: the layer backward, with another `go_backwards`; one like `layer` if None.

    Example:
        >>> layer = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        (2, 5, 8)
    """

    def __init__(self, layer, merge_mode="concat", weights=None, backward_layer=None, **kwargs):
        for what in (layer, *([] if backward_layer is None else [backward_layer])):
            if not isinstance(what, Layer):
                raise ValueError(f"Bidirectional: expected a layer. Received: {what!r}")
        if merge_mode not in ("sum", "mul", "ave", "concat", None):
            raise ValueError(
                'Bidirectional: expected merge_mode as one of "sum", "mul", "ave", "concat", None. '
                f"Received: {merge_mode!r}"
            )
        super().__init__(**kwargs)
        self.forward_layer = self._again(layer, "forward")
        self.backward_layer = (
            self._again(layer, "backward", go_backwards=True) if backward_layer is None else backward_layer
        )
        for inner in (self.forward_layer, self.backward_layer):
            if hasattr(layer, "use_cudnn"):
                inner.use_cudnn = layer.use_cudnn
        self._check_pair()
        for inner in (self.forward_layer, self.backward_layer):
            if getattr(inner, "zero_output_for_mask", None) is not None:
                inner.zero_output_for_mask = inner.return_sequences
        self.merge_mode = merge_mode
        self._first_weights = weights
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec

    @staticmethod
    def _again(layer, direction, **changes):
        config = registry.serialize_keras_object(layer)
        prefix = f"{direction}_"
        config["config"].update(changes, name=prefix + layer.name.removeprefix(prefix))
        config.pop("shared_object_id", None)  # another object, also where files share objects
        config.pop("build_config", None)
        return registry.deserialize_keras_object(config)

    def _check_pair(self):
        one, other = self.forward_layer, self.backward_layer
        if one.go_backwards == other.go_backwards:
            raise ValueError(
                "Bidirectional: expected layers with different go_backwards. Received: "
                f"go_backwards={one.go_backwards} of both"
            )
        for name in ("stateful", "return_sequences", "return_state"):
            if getattr(one, name) != getattr(other, name):
                raise ValueError(
                    f"Bidirectional: expected layers with the same {name}. Received: {getattr(one, name)} "
                    f"forward, {getattr(other, name)} backward"
                )

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        """The shape of the output (or both), followed by those of the states if they are returned."""
        shape, states = self.forward_layer.compute_output_shape(sequences_shape), ()
        if self.return_state:
            shape, states = shape[0], tuple(shape[1:])
        if self.merge_mode is None:
            return (shape, shape, *states, *states) if self.return_state else [shape, shape]
        if self.merge_mode == "concat":
            shape = (*shape[:-1], 2 * shape[-1])
        return (shape, *states, *states) if self.return_state else tuple(shape)

    def compute_output_spec(self, *args, **kwargs):
        """The KerasTensors that `call` would give."""
        from rkeras._core.symbolic import infer

        return infer(self.call, args, kwargs)

    def build(self, sequences_shape, initial_state_shape=None):
        """Builds both layers."""
        for inner in (self.forward_layer, self.backward_layer):
            if not inner.built:
                inner.build(sequences_shape)
        if self._first_weights:
            half = len(self._first_weights) // 2
            self.forward_layer.set_weights(self._first_weights[:half])
            self.backward_layer.set_weights(self._first_weights[half:])

    def call(self, sequences, initial_state=None, mask=None, training=None):
        """Both outputs, put together; then the states, if they are returned."""
        known = {}
        if self.forward_layer._call_has_training_arg:
            known["training"] = training
        if self.forward_layer._call_has_mask_arg:
            known["mask"] = mask
        forward, backward = None, None
        if initial_state is not None:
            half = len(initial_state) // 2
            forward, backward = initial_state[:half], initial_state[half:]
        y = self.forward_layer(sequences, initial_state=forward, **known)
        z = self.backward_layer(sequences, initial_state=backward, **known)
        states = ()
        if self.return_state:
            states = (*y[1:], *z[1:])
            y, z = y[0], z[0]
        y, z = cast(y, self.compute_dtype), cast(z, self.compute_dtype)
        if self.return_sequences:
            z = ops.flip(z, axis=1)
        if self.merge_mode is None:
            return (y, z, *states)
        if self.merge_mode == "concat":
            output = ops.concatenate([y, z], axis=-1)
        elif self.merge_mode == "mul":
            output = y * z
        else:
            output = y + z
            if self.merge_mode == "ave":
                output = output / 2
        return (output, *states) if self.return_state else output

    def compute_mask(self, inputs, mask=None):
        """That of the inputs, if sequences are returned; none for states."""
        mask = tree.flatten(mask)[0] if self.return_sequences else None
        masks = [mask] if self.merge_mode else [mask, mask]
        return masks if self.return_state or not self.merge_mode else mask

    def reset_states(self):
        """See `reset_state`."""
        self.reset_state()

    def reset_state(self):
        """Kept states become zero."""
        if not self.stateful:
            raise AttributeError(f"{who(self)}: expected stateful=True. Received: stateful=False")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    @property
    def states(self):
        """The kept states, forward, then backward."""
        one, other = self.forward_layer.states, self.backward_layer.states
        return (*one, *other) if one and other else None

    def get_config(self):
        """What `from_config` needs."""
        config = super(Layer, self).get_config()
        config.update(
            trainable=self.trainable, dtype=registry.serialize_keras_object(self.dtype_policy),
            merge_mode=self.merge_mode, layer=registry.serialize_keras_object(self.forward_layer),
            backward_layer=registry.serialize_keras_object(self.backward_layer),
        )  # fmt: skip
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer of that config."""
        config = dict(config)
        for name in ("layer", "backward_layer"):
            if config.get(name) is not None:
                config[name] = registry.deserialize_keras_object(config[name], custom_objects=custom_objects)
        return cls(**config)
