"""The base of all models: a layer that can be trained, summarised, saved."""

from rkeras._core import registry, scopes, tree
from rkeras._core.symbolic import KerasTensor, infer
from rkeras._training.trainer import Trainer
from rkeras.layers.input_spec import who
from rkeras.layers.layer import Layer


def is_functional(args, kwargs):
    """Are these the arguments of a functional model: inputs and outputs?"""
    return (len(args) == 2 and not _is_layer_list(args[0])) or (
        "outputs" in kwargs and (len(args) == 1 or "inputs" in kwargs)
    )


def _is_layer_list(value):
    return isinstance(value, (list, tuple)) and any(isinstance(v, Layer) for v in value)


class Model(Trainer, Layer):
    """Layers grouped into one that can be trained.

    Either `Model(inputs, outputs)` from KerasTensors, or a subclass that makes its layers in `__init__` and
    uses
    them in `call`.

    Args:
        inputs: the KerasTensors that go in, nested.
        outputs: the KerasTensors that come out, nested.
        name: a name.

    Example:
        >>> x = keras.Input((3,))
        >>> model = keras.Model(x, keras.layers.Dense(2)(x))
        >>> model.count_params()
        8
    """

    _keras_module = "keras"

    def __new__(cls, *args, **kwargs):
        if cls is Model and is_functional(args, kwargs):
            from rkeras.models.functional import Functional

            return Functional.__new__(Functional, *args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args, **kwargs):
        Trainer.__init__(self)
        from rkeras.models import functional

        if is_functional(args, kwargs) and not isinstance(self, functional.Functional):
            # A subclass that hands inputs and outputs to super().__init__ is a functional model from here on.
            _make_functional(type(self), functional.Functional)
            functional.Functional.__init__(self, *args, **kwargs)
            return
        Layer.__init__(self, *args, **kwargs)

    def call(self, *args, **kwargs):
        """Computes the outputs; subclasses write it."""
        raise NotImplementedError(f"{who(self)}: expected a method call(). Received: none")

    @property
    def layers(self):
        """The layers directly in it."""
        return list(self._flatten_layers(include_self=False, recursive=False))

    @layers.setter
    def layers(self, _):
        raise AttributeError(
            f"{who(self)}: expected `layers` to be left alone. Received: an assignment. Hint: use another "
            "name."
        )

    def get_layer(self, name=None, index=None):
        """The layer of that name, or at that position.

        Raises:
            ValueError: if there is none, or both or neither argument is given.
        """
        if (index is None) == (name is None):
            raise ValueError(
                f"{who(self)}.get_layer: expected name or index. Received: name={name!r}, index={index!r}"
            )
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(
                    f"{who(self)}.get_layer: expected an index below {len(self.layers)}. Received: {index}"
                )
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise ValueError(f"{who(self)}.get_layer: expected one of {names}. Received: {name!r}")

    def summary(
        self, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False,
        layer_range=None
    ):  # fmt: skip
        """Prints a table of its layers, their output shapes and numbers of weights.

        Args:
            line_length: the width of the table in characters; by default as wide as the terminal, up to 88 (108
                with a column of connections).
            positions: where columns end, as parts of the width.
            print_fn: what the text is passed to, as a whole. By default it is printed, with colours on a terminal,
                and shown as HTML in a notebook.
            expand_nested: whether to list the layers of models in it.
            show_trainable: whether to show which layers are trained.
            layer_range: (first, last) name (or pattern) of the layers to list.
        """
        from rkeras.utils.summary import print_summary

        print_summary(
            self, line_length=line_length, positions=positions, print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable, layer_range=layer_range,
        )  # fmt: skip

    def _repr_html_(self):
        # Upward on purpose, like `summary`.
        from rkeras.utils.summary import Summary, html_of

        return html_of(Summary(self, expand_nested=False, show_trainable=False, layer_range=None))

    def count_params(self):
        """The number of elements of all weights."""
        if not self.built:
            raise ValueError(
                f"{who(self)}: expected a built model to count weights. Received: one that is not built"
            )
        return sum(v.size for v in self.weights)

    def build(self, input_shape):
        """Makes the weights of all layers, by calling the model on shapes.

        Args:
            input_shape: the shape of the input with the batch; nested for several inputs.
        """
        if self._building > 1:
            return

        def placeholder(shape):
            return KerasTensor(shape, self.input_dtype)

        args = tree.map_shape_structure(placeholder, input_shape)
        context = scopes.call_context
        if context is None:
            scopes.call_context = scopes.CallContext(self)
        try:
            names = self._call_signature[0]
            if (
                isinstance(args, dict)
                and not isinstance(input_shape, (list, tuple))
                and set(args) <= set(names)
            ):
                infer(self.call, (), args)
            else:
                infer(self.call, (args,), {})
        except NotImplementedError:
            raise
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{who(self)}.build: expected a call() that works on shapes {input_shape}. Received: "
                f"{type(error).__name__}: "
                f"{error}. Hint: call the model on data instead."
            ) from error
        finally:
            scopes.call_context = context

    def _maybe_build(self, spec):
        # A subclass without a build of its own is built by its first call.
        if type(self).build is Model.build:
            if not self.built:
                shapes = {k: _shape_structure(v) for k, v in spec.tensors.items()}
                if len(shapes) == 1:
                    self.__dict__["_build_shapes_dict"] = {"input_shape": next(iter(shapes.values()))}
                self.built = True
            return
        super()._maybe_build(spec)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model of that config."""
        from rkeras.models.functional import Functional, functional_from_config

        if {"name", "layers", "input_layers", "output_layers"} <= set(config):
            if cls is Model:
                cls = Functional
            return functional_from_config(cls, config, custom_objects)
        with registry.CustomObjectScope(custom_objects):
            return super().from_config(config)

    def to_json(self, **kwargs):
        """The config as JSON."""
        import json

        return json.dumps(registry.serialize_keras_object(self), **kwargs)

    def __reduce__(self):
        # Copies and pickles are `.keras` files in memory, as in Keras.
        import io

        from rkeras.saving import save_model

        file = io.BytesIO()
        save_model(self, file)
        return _from_bytes, (file.getvalue(),)

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Writes config, weights and optimizer state to a `.keras` or `.h5` file; see `keras.saving.save_model`."""
        # Upward on purpose: the one place where a model names the file formats.
        from rkeras.saving import save_model

        return save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(self, filepath, overwrite=True, max_shard_size=None, **kwargs):
        """Writes the weights to a file; see `keras.saving.save_weights`."""
        from rkeras.saving import save_weights

        return save_weights(self, filepath, overwrite=overwrite, max_shard_size=max_shard_size, **kwargs)

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """Reads weights from a file; see `keras.saving.load_weights`."""
        from rkeras.saving import load_weights

        return load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs):
        """Writes the model's prediction in the format of another program.

        Args:
            filepath: where to.
            format: "tf_saved_model": a folder that TensorFlow and its servers run, for any batch size; "onnx": a
                file that ONNX Runtime and others run, for any batch size.
            verbose: whether to print what was written.
            input_signature: shapes and dtypes of the inputs, nested like them; by default those of the model.
            **kwargs: settings of the format; `opset_version` (18 to 23) of ONNX.

        Raises:
            ValueError: for formats that cannot be written, with the reason.
            NotImplementedError: for a model with an op that the format lacks.
        """
        # Upward on purpose: like `save`.
        from rkeras.export import export_model

        export_model(self, filepath, format, verbose=verbose, input_signature=input_signature, **kwargs)


def _from_bytes(data):
    import io

    from rkeras.saving import load_model

    return load_model(io.BytesIO(data))


def _shape_structure(value):
    return tree._map(lambda v: tuple(v.shape) if hasattr(v, "shape") else None, (value,))


def _make_functional(cls, functional):
    """Puts Functional where Model stands among the bases."""
    if cls is Model:
        return
    for base in cls.__bases__:
        if base is Model:
            cls.__bases__ = tuple(functional if b is Model else b for b in cls.__bases__)
            return
        if issubclass(base, Model):
            _make_functional(base, functional)


def model_from_json(json_string, custom_objects=None):
    """The model of a config as JSON.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> keras.models.model_from_json(model.to_json()).count_params()
        8
    """
    import json

    return registry.deserialize_keras_object(json.loads(json_string), custom_objects=custom_objects)
