"""The base of all layers: configuration, weights, calls, masks, losses."""

from rkeras import constraints, dtype_policies, initializers, regularizers
from rkeras._core import naming, registry, scopes, tree
from rkeras._core.symbolic import KerasTensor, Node, Operation, infer
from rkeras._core.tensor import FLOATS, Tensor, get_keras_mask, is_float_dtype, set_keras_mask
from rkeras._core.variable import Variable, standardize_shape
from rkeras.layers.input_spec import check_inputs, who
from rkeras.layers.tracking import Tracker
from rkeras.random import SeedGenerator


class CallSpec:
    """The arguments of one call by name, and which of them are tensors."""

    __slots__ = ("arguments", "first", "names", "tensors", "user")

    def __init__(self, signature, args, kwargs, layer):
        names, defaults, variadic, keywords = signature
        if len(args) > len(names) and not variadic:
            raise TypeError(
                f"{who(layer)}: expected at most {len(names)} positional arguments. Received: {len(args)}"
            )
        user = dict(zip(names, args, strict=False))
        for k, v in kwargs.items():
            if k in user:
                raise TypeError(f"{who(layer)}: expected argument {k!r} once. Received: twice")
            if k not in names and not keywords:
                raise TypeError(f"{who(layer)}: expected arguments of call(): {list(names)}. Received: {k}=")
            user[k] = v
        self.user = user
        self.names = names
        self.arguments = {
            n: user[n] if n in user else defaults[n] for n in names if n in user or n in defaults
        }
        self.arguments.update({k: v for k, v in user.items() if k not in names})
        self.first = next(iter(self.arguments.values())) if self.arguments else None
        self.tensors = {}
        for name, value in self.arguments.items():
            if isinstance(value, (Tensor, KerasTensor)) or (tree.is_nested(value) and _has_tensor(value)):
                self.tensors[name] = value


def _has_tensor(value):
    return any(isinstance(v, (Tensor, KerasTensor)) for v in tree.flatten(value))


def _signature(function):
    """(names, defaults, takes *args, takes **kwargs) of a method, without self."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__"):
        import inspect

        names, defaults, variadic, keywords = [], {}, False, False
        for p in list(inspect.signature(function).parameters.values())[1:]:
            if p.kind is p.VAR_POSITIONAL:
                variadic = True
            elif p.kind is p.VAR_KEYWORD:
                keywords = True
            else:
                names.append(p.name)
                if p.default is not p.empty:
                    defaults[p.name] = p.default
        return tuple(names), defaults, variadic, keywords
    count = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[1:count]
    positional = code.co_varnames[: code.co_argcount]
    defaults = dict(zip(reversed(positional), reversed(function.__defaults__ or ()), strict=False))
    defaults.update(function.__kwdefaults__ or {})
    return names, defaults, bool(code.co_flags & 0x04), bool(code.co_flags & 0x08)


class _Tracked(Operation):
    """Has places for weights and layers before any constructor ran."""

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls, *args, **kwargs)
        d = self.__dict__
        d["_tracker"] = Tracker()
        d["_trainable_variables"] = d["_tracker"].trainable
        d["_non_trainable_variables"] = d["_tracker"].non_trainable
        d["_layers"] = d["_tracker"].layers
        d["_metrics"] = d["_tracker"].metrics
        d["_seed_generators"] = d["_tracker"].seed_generators
        d["_losses"] = []
        d["_build_shapes_dict"] = None
        d["_building"] = 0
        return self


class Layer(_Tracked):
    """A step of a model: weights and a function of tensors.

    A subclass stores its configuration in `__init__`, makes weights in `build(input_shape)` with
    `add_weight`, and
    computes in `call(inputs)` with `rkeras.ops`. Output shapes follow from `call`.

    Args:
        activity_regularizer: a penalty on the outputs.
        trainable: whether its weights are trained.
        dtype: a dtype policy or its name.
        autocast: whether float inputs are cast to the computation dtype.
        name: a name; by default the class name in snake_case, numbered.

    Example:
        >>> class Scale(keras.layers.Layer):
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight((input_shape[-1],), initializer="ones", name="factor")
        ...     def call(self, x):
        ...         return x * self.factor
        >>> Scale()(keras.ops.ones((2, 3))).shape
        (2, 3)
    """

    _config_omit: tuple[str, ...] = ("activity_regularizer",)

    def __init__(
        self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True, name=None, **kwargs
    ):  # fmt: skip
        Operation.__init__(self, name=name)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        shape = kwargs.pop("input_shape", None)
        size = kwargs.pop("input_dim", None)
        batch_shape = kwargs.pop("batch_input_shape", None)
        if batch_shape is not None:
            shape = batch_shape[1:]
        if size is not None:
            shape = (size,)
        self._input_shape_arg = (
            None if shape is None else tuple(shape) if isinstance(shape, (list, tuple)) else (shape,)
        )
        if kwargs:
            raise ValueError(
                f"{type(self).__name__}: expected arguments that it knows. Received: {', '.join(kwargs)}"
            )
        self._trainable = bool(trainable)
        self.autocast = autocast
        self._dtype_policy = dtype_policies.get(dtype)
        self._convert_input_args = True
        self._allow_non_tensor_positional_args = False
        self.built = False
        self.supports_masking = False
        self.input_spec = None
        self._super_called = True

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _wrap_build(cls.__dict__["build"])
        if "call" in cls.__dict__:
            signature = _signature(cls.__dict__["call"])
            cls._call_signature = signature
            names = signature[0]
            cls._call_has_training_arg = "training" in names
            cls._call_has_mask_arg = "mask" in names

    # Attributes and what they hold.

    def __setattr__(self, name, value):
        scopes.changes += 1
        tracker = self._tracker
        kind = type(value)
        if kind in (int, float, str, bool, tuple) or value is None:
            if kind is tuple:
                for item in value:
                    tracker.track(item, self)
        else:
            value = tracker.wrap(value, self)
        if name == "trainable":
            object.__setattr__(self, name, value)
            return
        old = self.__dict__.get(name)
        if old is not None and old is not value and name not in ("_trainable_variables", "_layers"):
            tracker.untrack(old)
            if value is not None:
                tracker.track(value, self)
        object.__setattr__(self, name, value)

    def __delattr__(self, name):
        self._tracker.untrack(self.__dict__.get(name))
        object.__delattr__(self, name)

    # Building.

    def build(self, input_shape):
        """Makes the weights, knowing the shapes of the inputs; layers without weights need not define it."""
        self.built = True

    def add_weight(
        self, shape=None, initializer=None, dtype=None, trainable=True, autocast=True, regularizer=None,
        constraint=None,
        aggregation="none", overwrite_with_gradient=False, name=None,
    ):  # fmt: skip
        """Makes a weight.

        Args:
            shape: sizes; () if None.
            initializer: the first value; "glorot_uniform" for floats and "zeros" for others if None.
            dtype: the dtype; that of the policy if None.
            trainable: whether it is trained.
            autocast: whether it is read in the computation dtype.
            regularizer: a penalty on it.
            constraint: what it is brought back to after updates.
            aggregation: accepted for compatibility.
            overwrite_with_gradient: whether its gradient is its next value.
            name: a name.

        Returns:
            The Variable.
        """
        self._check_super_called()
        shape = () if shape is None else standardize_shape(shape)
        if None in shape:
            raise ValueError(
                f"{who(self)}: expected known sizes for weight {name!r}. Received: shape {shape}"
            )
        dtype = self.variable_dtype if dtype is None else dtype
        if scopes.weight_budget is not None:
            scopes.weight_budget.take(shape, dtype, who(self))
        if initializer is None:
            initializer = "glorot_uniform" if is_float_dtype(dtype) else "zeros"
        with naming.name_scope(self.name, caller=self):
            variable = Variable(
                initializers.get(initializer), shape=shape, dtype=dtype, trainable=trainable,
                autocast=autocast,
                aggregation=aggregation, name=name,
            )  # fmt: skip
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._tracker.track(variable, self)
        return variable

    def get_build_config(self):
        """The shapes it was built with, or None."""
        shapes = self._build_shapes_dict
        if shapes is None:
            return None
        if len(shapes) == 1:
            return {"input_shape": next(iter(shapes.values()))}
        return {"shapes_dict": shapes}

    def build_from_config(self, config):
        """Builds it with shapes from `get_build_config`."""
        if not config:
            return
        if "input_shape" in config:
            if config["input_shape"] is not None:
                self.build(_shapes(config["input_shape"]))
        elif "shapes_dict" in config:
            self.build(**{k: _shapes(v) for k, v in config["shapes_dict"].items()})

    def _maybe_build(self, spec):
        if self.built:
            return
        build = type(self).build
        if build is Layer.build:
            self.built = True
            self._lock_when_no_state()
            return
        shapes = {
            f"{k}_shape": tree.map_structure(_shape_of, v)
            for k, v in spec.tensors.items()
            if not k.endswith("mask")
        }
        names = build.parameters
        if len(shapes) == 1 or (len(names) == 1 and names[0] not in shapes):
            first = next(iter(shapes.values()), None)
            if len(shapes) > 1 and spec.user:
                first = shapes.get(f"{next(iter(spec.user))}_shape", first)
            self.build(first)
        else:
            self.build(**{n: shapes[n] for n in names if n in shapes})

    def _lock_when_no_state(self):
        """Layers without a build of their own may still make sublayers in call; nothing is locked."""

    # Calling.

    def __call__(self, *args, **kwargs):
        self._check_super_called()
        outermost = scopes.call_context is None
        if outermost:
            scopes.call_context = scopes.CallContext(self)
            self._clear_losses()
        context = scopes.call_context
        try:
            if self._convert_input_args:
                args, kwargs = self._convert(args, kwargs)
            if not self._allow_non_tensor_positional_args:
                for a in args:
                    self._check_positional(a)
            # Every layer may be told whether it is training; those that do not ask for it hand it on.
            told = None
            if not self._call_has_training_arg and not self._call_signature[3]:
                told = kwargs.pop("training", None)
            spec = CallSpec(self._call_signature, args, kwargs, self)
            if self.input_spec is not None:
                check_inputs(self.input_spec, spec.first, self)
            with naming.name_scope(self.name, caller=self):
                self._maybe_build(spec)
                training = spec.user.get("training", told)
                if training is None:
                    training = context.training
                if training is None:
                    training = spec.arguments.get("training")
                context.training = training
                if self._call_has_training_arg and training is not None:
                    # A positional one is passed once.
                    if "training" in self._call_signature[0][: len(args)]:
                        at = self._call_signature[0].index("training")
                        args = (*args[:at], training, *args[at + 1 :])
                    else:
                        kwargs["training"] = training
                masks = self._gather_masks(spec, kwargs)
                autocast = (
                    self.compute_dtype
                    if self.autocast and self.compute_dtype != self.variable_dtype
                    else None
                )
                previous = scopes.set_autocast(autocast)
                try:
                    outputs = Operation.__call__(self, *args, **kwargs)
                finally:
                    scopes.set_autocast(previous)
                if self.activity_regularizer is not None:
                    for y in tree.flatten(outputs):
                        if isinstance(y, Tensor):
                            self.add_loss(self.activity_regularizer(y))
                self._set_masks(spec, outputs, masks)
            return outputs
        except (ValueError, TypeError, IndexError) as error:
            _note(error, self)
            raise
        finally:
            if outermost:
                scopes.call_context = None

    def _convert(self, args, kwargs):
        policy, autocast, dtype = self._dtype_policy, self.autocast, self.input_dtype

        def convert(x):
            return policy.convert_input(x, autocast, dtype)

        # The usual case first: one tensor of the right dtype.
        if len(args) == 1 and isinstance(args[0], (Tensor, KerasTensor)) and not kwargs:
            x = args[0]
            return ((x,) if not autocast or x.dtype == dtype or x.dtype not in FLOATS else (convert(x),)), {}
        return tree._map(convert, (tuple(args),)), tree._map(convert, (dict(kwargs),))

    def _check_positional(self, value):
        if isinstance(value, (Tensor, KerasTensor)) or value is None:
            return
        for v in tree.flatten(value):
            if v is not None and not isinstance(v, (Tensor, KerasTensor, Variable)):
                raise ValueError(
                    f"{who(self)}: expected only tensors as positional arguments. Received: {v!r} of type "
                    f"{type(v).__name__}. Hint: pass other arguments by name, and values as arrays."
                )

    def _gather_masks(self, spec, kwargs):
        """The masks of the first argument; masks that `call` takes are put into kwargs."""
        masks = None
        tensors = {k: v for k, v in spec.tensors.items() if not k.endswith("mask")}
        if self._call_has_mask_arg and len(tensors) == 1:
            if spec.arguments.get("mask") is None:
                for value in tensors.values():
                    masks = _mask_structure(value)
                    if masks is not None:
                        kwargs["mask"] = masks
        elif len(tensors) > 1:
            for name, value in tensors.items():
                key = f"{name}_mask"
                if key in spec.names and spec.arguments.get(key) is None:
                    mask = _mask_structure(value)
                    if mask is not None:
                        kwargs[key] = mask
        return _mask_structure(spec.first)

    def _set_masks(self, spec, outputs, masks):
        if self.supports_masking:
            flat = tree.flatten(outputs)
            if flat and all(get_keras_mask(y) is not None for y in flat):
                return
            found = self.compute_mask(spec.first, masks)
            if found is None:
                return
            for y, mask in zip(flat, tree.flatten(found), strict=False):
                if mask is not None and isinstance(y, (Tensor, KerasTensor)) and get_keras_mask(y) is None:
                    set_keras_mask(y, mask)
        elif masks is not None and any(m is not None for m in tree.flatten(masks)):
            import warnings

            warnings.warn(
                f"{who(self)} does not pass masks on, but its input has one: it is dropped here.",
                stacklevel=3,
            )

    def call(self, *args, **kwargs):
        """Computes the outputs."""
        raise NotImplementedError(f"{who(self)}: expected a method call(). Received: none")

    _call_signature = ((), {}, True, True)
    _call_has_training_arg = False
    _call_has_mask_arg = False

    def compute_mask(self, inputs, previous_mask):
        """The masks of the outputs; by default those of the inputs."""
        return previous_mask

    def symbolic_call(self, *args, **kwargs):
        """Records a call on KerasTensors; returns KerasTensors."""
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args, **kwargs):
        """The KerasTensors that `call` would give."""
        if type(self).compute_output_shape is Layer.compute_output_shape:
            return infer(self.call, args, kwargs)
        # A subclass that says its output shape need not be able to run on shapes alone.
        spec = CallSpec(self._call_signature, args, kwargs, self)
        shapes = {
            f"{k}_shape": tree.map_structure(_shape_of, v)
            for k, v in spec.tensors.items()
            if not k.endswith("mask")
        }
        if len(shapes) == 1:
            out = self.compute_output_shape(next(iter(shapes.values())))
        else:
            out = self.compute_output_shape(**shapes)
        if isinstance(out, (list, tuple)) and out and not tree.is_shape(out):
            return type(out)([KerasTensor(s, self.compute_dtype) for s in out])
        if isinstance(out, dict):
            return {k: KerasTensor(s, self.compute_dtype) for k, s in out.items()}
        return KerasTensor(out, self.compute_dtype)

    def compute_output_shape(self, *args, **kwargs):
        """The output shapes for given input shapes (None where unknown)."""
        dtype = self.input_dtype if is_float_dtype(self.input_dtype) else "float32"

        def tensors(shape):
            return tree.map_shape_structure(lambda s: KerasTensor(s, dtype), shape)

        args = [tensors(a) for a in args]
        kwargs = {k.removesuffix("_shape"): tensors(v) for k, v in kwargs.items()}
        if "input" in kwargs:
            args, kwargs = [kwargs.pop("input"), *args], kwargs
        if not self.built and type(self).build is not Layer.build:
            spec = CallSpec(self._call_signature, args, kwargs, self)
            with naming.name_scope(self.name, caller=self):
                self._maybe_build(spec)
        out = infer(self.call, args, kwargs)
        return tree.map_structure(lambda t: t.shape, out)

    @property
    def input_shape(self):
        """The shape of the KerasTensor it was called on, or a list of them (tf.keras 2's attribute)."""
        return _one_or_list([t.shape for t in self._called("input_shape").input_tensors])

    @property
    def output_shape(self):
        """The shape of the KerasTensor it returned, or a list of them (tf.keras 2's attribute)."""
        return _one_or_list([t.shape for t in self._called("output_shape").outputs])

    def _called(self, what):
        """The first call on KerasTensors; all calls have to agree in their shapes."""
        nodes = self._inbound_nodes
        if not nodes:
            raise AttributeError(
                f"{who(self)}: expected a layer that was called on a KerasTensor. Received: one that was never called, so "
                f"it has no {what}. Hint: call it on keras.Input(...), or build the model."
            )
        shapes = {str([t.shape for t in (*n.input_tensors, *n.outputs)]) for n in nodes}
        if len(shapes) > 1:
            raise AttributeError(
                f"{who(self)}: expected calls on one shape. Received: {len(nodes)} calls on several, so {what} is ambiguous"
            )
        return nodes[0]

    # Losses and metrics.

    def add_loss(self, loss):
        """Adds numbers (tensors of shape ()) to the loss of the model; called from `call`."""
        for value in tree.flatten(loss):
            if scopes.mode() != "spec":
                self._losses.append(value)

    def _clear_losses(self):
        self._losses.clear()
        for layer in self._layers:
            layer._clear_losses()

    @property
    def losses(self):
        """The losses added by calls, then the penalties on weights."""
        found = []
        for layer in self._flatten_layers():
            found.extend(layer._losses)
        for v in self.trainable_weights:
            if v.regularizer is not None:
                found.append(v.regularizer(v.tensor_in_mode()))
        return found

    @property
    def metrics(self):
        """The metrics of it and of the layers in it."""
        found = list(self._metrics)
        for layer in self._layers:
            found.extend(m for m in layer.metrics if all(m is not other for other in found))
        return found

    @property
    def metrics_variables(self):
        """The variables of its metrics."""
        return [v for m in self.metrics for v in m.variables]

    # Weights.

    def _flatten_layers(self, include_self=True, recursive=True):
        seen, out = set(), []

        def walk(layer):
            if id(layer) in seen:
                return
            seen.add(id(layer))
            out.append(layer)
            if recursive or layer is self:
                for inner in layer._layers:
                    walk(inner)

        walk(self)
        return out if include_self else out[1:]

    def _collect(self, own):
        seen, out = set(), []
        for layer in _depth_first(self):
            for v in own(layer):
                if id(v) not in seen:
                    seen.add(id(v))
                    out.append(v)
        return out

    @property
    def variables(self):
        """All variables: weights and the states of random generators."""
        return self._collect(
            lambda m: [
                *m._trainable_variables,
                *m._non_trainable_variables,
                *(g.state for g in m._seed_generators),
            ]
        )

    @property
    def weights(self):
        """All weights: own trainable ones, own others, then those of the layers in it."""
        return self._collect(lambda m: [*m._trainable_variables, *m._non_trainable_variables])

    @property
    def trainable_variables(self):
        """The variables that are trained."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self):
        """The variables that are not trained."""
        return [v for v in self.variables if not v.trainable] if self.trainable else self.variables

    @property
    def trainable_weights(self):
        """The weights that are trained."""
        return [v for v in self.weights if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self):
        """The weights that are not trained."""
        return [v for v in self.weights if not v.trainable] if self.trainable else self.weights

    @property
    def trainable(self):
        """Whether its weights are trained; setting it sets that of the layers in it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self.__dict__["_trainable"] = value = bool(value)
        for v in self._trainable_variables:
            v.trainable = value
        for layer in self._layers:
            layer.trainable = value

    def get_weights(self):
        """The values of `weights` as NumPy arrays."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights):
        """Gives `weights` new values: arrays of their shapes, in their order."""
        variables = self.weights
        weights = list(weights)
        if len(variables) != len(weights):
            raise ValueError(f"{who(self)}: expected {len(variables)} weights. Received: {len(weights)}")
        for v, value in zip(variables, weights, strict=True):
            if tuple(getattr(value, "shape", ())) != v.shape:
                raise ValueError(
                    f"{who(self)}: expected shape {v.shape} for {v.path!r}. Received: "
                    f"{getattr(value, 'shape', ())}"
                )
        for v, value in zip(variables, weights, strict=True):
            v.assign(value)

    def count_params(self):
        """The number of elements of all weights.

        Raises:
            ValueError: if it is not built yet.
        """
        if not self.built:
            raise ValueError(
                f"{who(self)}: expected a built layer to count weights. Received: one that is not built"
            )
        return sum(v.size for v in self.weights)

    def save_own_variables(self, store):
        """Writes its own weights (not those of layers in it) under "0", "1" ..."""
        for i, v in enumerate([*self._trainable_variables, *self._non_trainable_variables]):
            store[str(i)] = v

    def load_own_variables(self, store):
        """Reads what `save_own_variables` wrote."""
        variables = [*self._trainable_variables, *self._non_trainable_variables]
        if len(store.keys()) != len(variables):
            hint = (
                ""
                if self.built
                else " Hint: it is not built; call the model once, or build it, before loading."
            )
            raise ValueError(
                f"{who(self)}: expected {len(variables)} stored weights. Received: {len(store.keys())}.{hint}"
            )
        for i, v in enumerate(variables):
            v.assign(store[str(i)])

    # Dtypes, places in the layer graph, configuration.

    @property
    def path(self):
        """Where it stands: the names of the scopes around it, and its own."""
        return self.__dict__.get("_path") or self.name

    @property
    def dtype_policy(self):
        """The policy of dtypes."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value):
        self._dtype_policy = dtype_policies.get(value)

    @property
    def dtype(self):
        """The dtype of weights."""
        return self._dtype_policy.variable_dtype

    @property
    def variable_dtype(self):
        """The dtype of weights."""
        return self._dtype_policy.variable_dtype

    @property
    def compute_dtype(self):
        """The dtype of computation."""
        return self._dtype_policy.compute_dtype

    @property
    def input_dtype(self):
        """The dtype that float inputs are cast to."""
        return self._dtype_policy.compute_dtype

    def get_config(self):
        """The constructor arguments: what `from_config` needs to make the layer again."""
        self._check_super_called()
        config = {
            "name": self.name, "trainable": self.trainable,
            "dtype": dtype_policies.serialize(self._dtype_policy),
        }  # fmt: skip
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        cls = next(c for c in type(self).__mro__ if registry.is_builtin(c))
        for name in _constructor_parameters(cls):
            if name not in config and name not in cls._config_omit:
                config[name] = config_value(getattr(self, name))
        if not registry.is_builtin(type(self)) and type(self).get_config is cls.get_config:
            config.update(self._own_arguments(config))
        return config

    def _own_arguments(self, config):
        """The arguments of a class of the user's that writes no get_config, as they were passed."""
        function = type(self).__init__
        if function is Layer.__init__ or not hasattr(function, "__code__"):
            return {}
        args, kwargs = self._constructor_args
        names, defaults, _, _ = _signature(function)
        bound = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
        own = {k: v for k, v in bound.items() if k in names and k not in config}
        try:
            return {k: registry.serialize_keras_object(v) for k, v in own.items()}
        except ValueError as error:
            raise NotImplementedError(
                f"{who(self)}: expected a method get_config(), as its arguments are not plain data. "
                "Received: none. Hint: "
                "return a dict of the constructor arguments."
            ) from error

    @classmethod
    def from_config(cls, config):
        """The layer of that config."""
        if not registry.is_builtin(cls) and cls.from_config.__func__ is Layer.from_config.__func__:
            config = {
                k: registry.deserialize_keras_object(v)
                if isinstance(v, dict) and k != "dtype" and "class_name" in v
                else v
                for k, v in config.items()
            }
        try:
            return cls(**config)
        except TypeError as error:
            raise TypeError(
                f"{cls.__name__}.from_config: expected a config of constructor arguments. Received: "
                f"{config}, which fails "
                f"with: {error}. Hint: get_config and __init__ have to agree."
            ) from error

    def _check_super_called(self):
        if not self.__dict__.get("_super_called"):
            raise RuntimeError(
                f"{type(self).__name__}: expected super().__init__() at the top of __init__. Received: a "
                "layer without it"
            )

    def __repr__(self):
        return f"<{type(self).__name__} name={self.__dict__.get('name')}, built={self.__dict__.get('built')}>"


def _depth_first(layer):
    """The layer, then those in it, each followed by those in it."""
    seen, out = set(), []

    def walk(one):
        if id(one) in seen:
            return
        seen.add(id(one))
        out.append(one)
        for inner in one._layers:
            walk(inner)

    walk(layer)
    return out


def _one_or_list(shapes):
    return shapes[0] if len(shapes) == 1 else shapes


def _shape_of(x):
    return tuple(x.shape) if hasattr(x, "shape") else None


def _shapes(structure):
    """Shapes from a config: lists of sizes become tuples."""
    if tree.is_shape(structure):
        return tuple(structure)
    if isinstance(structure, dict):
        return {k: _shapes(v) for k, v in structure.items()}
    return [_shapes(s) for s in structure]


def _mask_structure(value):
    """The masks of a tensor or structure of tensors; None if none of them has one."""
    if isinstance(value, (Tensor, KerasTensor)):
        return get_keras_mask(value)
    if not tree.is_nested(value):
        return None
    masks = tree._map(get_keras_mask, (value,))
    return masks if any(m is not None for m in tree.flatten(masks)) else None


def _wrap_build(build):
    """Building opens the layer's name scope, remembers the shapes, closes the layer for more weights."""
    if hasattr(build, "parameters"):
        return build
    names = _signature(build)[0]

    def wrapped(self, *args, **kwargs):
        self._check_super_called()
        self.__dict__["_building"] += 1
        try:
            with naming.name_scope(self.name, caller=self):
                self.__dict__.setdefault("_path", naming.current_path())
                if self._building == 1:
                    shapes = {**dict(zip(names, args, strict=False)), **kwargs}
                    self.__dict__["_build_shapes_dict"] = {k: _plain_shapes(v) for k, v in shapes.items()}
                build(self, *args, **kwargs)
        finally:
            self.__dict__["_building"] -= 1
        if not self._building:
            self.built = True
            self._tracker.locked = True
            # A checkpoint that was read before there were weights.
            restore = self.__dict__.pop("_when_built", None)
            if restore is not None:
                restore()

    wrapped.__name__ = "build"
    wrapped.__qualname__ = build.__qualname__
    wrapped.__doc__ = build.__doc__
    wrapped.__module__ = build.__module__
    wrapped.__wrapped__ = build
    wrapped.parameters = names
    return wrapped


def _plain_shapes(value):
    if tree.is_shape(value):
        return tuple(value)
    if isinstance(value, dict):
        return {k: _plain_shapes(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_plain_shapes(v) for v in value])
    return value


Layer.build.parameters = ("input_shape",)  # type: ignore[attr-defined]


def _note(error, layer):
    """Says once, at the innermost layer, where the error happened."""
    if not getattr(error, "_layer_noted", False) and who(layer) not in str(error):
        try:
            error._layer_noted = True
            error.add_note(f"This happened while calling {who(layer)}.")
        except AttributeError:
            pass


def _constructor_parameters(cls):
    """The names of the constructor's arguments, those of the nearest class that lists them."""
    for c in cls.__mro__:
        init = c.__dict__.get("__init__")
        if init is not None and c is not Layer:
            code = init.__code__
            return code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        if c is Layer:
            break
    return ()


def config_value(value):
    """A constructor argument as it stands in a config; activations by name."""
    if registry.is_function(value):
        from rkeras import activations

        return activations.serialize(value)
    if isinstance(value, SeedGenerator):
        return registry.serialize_keras_object(value)
    return registry.config_value(value)
