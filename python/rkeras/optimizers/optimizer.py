"""The base of optimizers: learning rate, slots, clipping, decay, averages."""

from rkeras import initializers, ops
from rkeras._core import naming, registry
from rkeras._core.gradient import GradientTape
from rkeras._core.tensor import cast, convert_to_tensor
from rkeras._core.variable import Variable


class Optimizer:
    """What brings variables nearer to a minimum, given gradients.

    Subclasses make slots in `build(variables)` and define `update_step(gradient, variable, learning_rate)` in ops.

    Args:
        learning_rate: a number, a `LearningRateSchedule`, or a callable.
        weight_decay: fraction of each weight that is taken off per step and learning rate.
        clipnorm: bound of the norm of each gradient.
        clipvalue: bound of the elements of gradients.
        global_clipnorm: bound of the norm of all gradients together.
        use_ema: keep running averages of the variables.
        ema_momentum: weight of the old average.
        ema_overwrite_frequency: replace variables by their averages every so many steps.
        loss_scale_factor: the loss is multiplied by it before, gradients divided after differentiation.
        gradient_accumulation_steps: apply the mean gradient of so many steps at once.
        name: a name.

    Raises:
        ValueError: for more than one kind of clipping, or values out of range.
    """

    def __init__(
        self, learning_rate, weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False,
        ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None,
        name=None, **kwargs,
    ):  # fmt: skip
        kwargs.pop("jit_compile", None)
        if kwargs.pop("decay", None) is not None:
            raise ValueError(
                f"{type(self).__name__}: expected no `decay`. Hint: use a learning rate schedule"
            )
        if kwargs:
            raise ValueError(
                f"{type(self).__name__}: expected arguments that it knows. Received: {', '.join(kwargs)}"
            )
        self.name = name or naming.auto_name(type(self).__name__)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.global_clipnorm = global_clipnorm
        self.clipvalue = clipvalue
        self.use_ema = use_ema
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        if gradient_accumulation_steps is not None and not gradient_accumulation_steps >= 2:
            raise ValueError(
                f"{type(self).__name__}: expected gradient_accumulation_steps of at least 2. Received: {gradient_accumulation_steps}"
            )
        given = [c for c in (clipnorm, clipvalue, global_clipnorm) if c is not None]
        if len(given) > 1:
            raise ValueError(
                f"{type(self).__name__}: expected one of clipnorm, clipvalue and global_clipnorm. Received: clipnorm={clipnorm}, "
                f"clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )
        if given and given[0] <= 0:
            raise ValueError(
                f"{type(self).__name__}: expected a positive bound for clipping. Received: {given[0]}"
            )
        if use_ema and not 0 <= ema_momentum <= 1:
            raise ValueError(
                f"{type(self).__name__}: expected ema_momentum in [0, 1]. Received: {ema_momentum}"
            )
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.built = False
        self._variables = []
        self._trainable_variables = []
        self._index = {}
        with naming.name_scope(self.name, caller=self):
            self._iterations = Variable(
                initializers.get("zeros"), shape=(), dtype="int", trainable=False, name="iteration"
            )
            self._track(self._iterations)
            self._schedule = None
            if callable(learning_rate):
                self._schedule = learning_rate
                self._learning_rate = learning_rate
            else:
                if not isinstance(learning_rate, (int, float)) and not hasattr(learning_rate, "dtype"):
                    raise ValueError(
                        f"{type(self).__name__}: expected learning_rate to be a number, a schedule or a callable. Received: "
                        f"{learning_rate!r}"
                    )
                self._learning_rate = Variable(
                    float(learning_rate), dtype="float32", trainable=False, name="learning_rate"
                )
                self._track(self._learning_rate)

    def _track(self, variable):
        self._variables.append(variable)

    # State.

    @property
    def iterations(self):
        """The number of steps made: a variable, or with `gradient_accumulation_steps` a tensor."""
        if self.gradient_accumulation_steps:
            return ops.floor_divide(self._iterations.tensor_in_mode(), self.gradient_accumulation_steps)
        return self._iterations

    def _step_number(self):
        """The same as a tensor."""
        steps = self.iterations
        return steps.value if isinstance(steps, Variable) else steps

    @property
    def variables(self):
        """All variables: iterations, learning rate, slots."""
        return list(self._variables)

    @property
    def learning_rate(self):
        """The learning rate now; may be set to a number or a schedule."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value):
        if callable(value) and not hasattr(value, "dtype"):
            if self._schedule is None:
                self._variables = [v for v in self._variables if v is not self._learning_rate]
            self._schedule = self._learning_rate = value
        elif self._schedule is not None:
            raise TypeError(
                f"{type(self).__name__}: expected no assignment to a learning rate that follows a schedule. Received: "
                f"{value!r}. Hint: make the optimizer with a number, or assign another schedule"
            )
        else:
            self._learning_rate.assign(
                float(value) if isinstance(value, (int, float)) else convert_to_tensor(value)
            )

    lr = learning_rate

    def _get_current_learning_rate(self):
        from rkeras.optimizers.schedules.schedule import LearningRateSchedule

        if isinstance(self._learning_rate, LearningRateSchedule):
            return self._learning_rate(self._step_number())
        if self._schedule is not None:
            return self._learning_rate()
        return self._learning_rate

    def build(self, variables):
        """Makes the slots for these variables."""
        if self.use_ema:
            self._model_variables_moving_average = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = [
                self.add_variable_from_reference(v, name="gradient_accumulator") for v in variables
            ]
        self._trainable_variables = list(variables)
        self._index = {id(v): i for i, v in enumerate(variables)}
        self.built = True

    def add_variable(
        self, shape, initializer="zeros", dtype=None, aggregation="none", layout=None, name=None
    ):
        """Makes a variable of its state."""
        with naming.name_scope(self.name, caller=self):
            v = Variable(initializers.get(initializer), shape=shape, dtype=dtype, trainable=False, name=name)
        self._track(v)
        return v

    def add_variable_from_reference(self, reference_variable, name=None, initializer="zeros"):
        """Makes a slot shaped like a variable, named after it."""
        path = reference_variable.path.replace("/", "_")
        return self.add_variable(
            reference_variable.shape,
            initializer,
            dtype=reference_variable.dtype,
            name=f"{path}_{name or 'slot'}",
        )

    def add_optimizer_variables(self, trainable_variables, name, initializer="zeros"):
        """Makes slots for all variables: one list, or one per name."""
        names = [name] if isinstance(name, str) else name
        many = isinstance(initializer, (list, tuple))
        starts = list(initializer) if many else [initializer] * len(names)
        slots = [[] for _ in names]
        for v in trainable_variables:
            for out, n, start in zip(slots, names, starts, strict=True):
                out.append(
                    None
                    if v.overwrite_with_gradient
                    else self.add_variable_from_reference(v, name=n, initializer=start)
                )
        return slots[0] if isinstance(name, str) else tuple(slots)

    def _get_variable_index(self, variable):
        return self._index[id(variable)]

    # One step.

    def apply_gradients(self, grads_and_vars):
        """Applies pairs of gradients and variables; returns `iterations`."""
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(grads, variables)
        return self.iterations

    def minimize(self, loss, var_list, tape=None):
        """One step against the gradient of a loss (tf.keras 2's method); returns `iterations`.

        Args:
            loss: a function of no arguments that computes it, or its value beside the `tape` that remembers it.
            var_list: the variables, or a function that gives them.
            tape: a GradientTape, if `loss` is a value.

        Example:
            >>> w = keras.Variable(2.0)
            >>> _ = keras.optimizers.SGD(0.1).minimize(lambda: w * w, [w])
            >>> round(float(w), 4)
            1.6
        """
        if not callable(loss) and tape is None:
            raise ValueError(
                "Optimizer.minimize: expected a tape beside the value of the loss. Received: None. Hint: pass a function"
            )
        if tape is None:
            with GradientTape() as tape:
                loss = loss()
        variables = list(var_list() if callable(var_list) else var_list)
        return self.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    def apply(self, grads, trainable_variables=None):
        """Updates the variables with gradients in the same order.

        Raises:
            ValueError: if numbers or variables do not match those it was built with.
        """
        grads = list(grads)
        if not grads:
            return
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    f"{type(self).__name__}: expected trainable_variables at the first apply(). Received: None"
                )
            if len(grads) != len(self._trainable_variables):
                raise ValueError(
                    f"{type(self).__name__}: expected {len(self._trainable_variables)} gradients. Received: {len(grads)}"
                )
            trainable_variables = self._trainable_variables
        else:
            trainable_variables = list(trainable_variables)
            if not self.built:
                self.build(trainable_variables)
                self.built = True
                # A checkpoint that was read before there were slots.
                restore = self.__dict__.pop("_when_built", None)
                if restore is not None:
                    restore()
            unknown = [v for v in trainable_variables if id(v) not in self._index]
            if unknown:
                raise ValueError(
                    f"{type(self).__name__}: expected the variables it was built with. Received: {unknown[0].path!r}. Hint: "
                    "use a new optimizer for new variables, or build it with all of them"
                )
        pairs = [(g, v) for g, v in zip(grads, trainable_variables, strict=True)]
        missing = [v.path for g, v in pairs if g is None]
        pairs = [(g, v) for g, v in pairs if g is not None]
        if not pairs:
            raise ValueError(
                f"{type(self).__name__}: expected a gradient for some variable. Received: none for {missing}"
            )
        if missing:
            import warnings

            warnings.warn(
                f"No gradient for {missing}: the loss does not depend on them. They stay as they are.",
                stacklevel=2,
            )
        grads, variables = [g for g, _ in pairs], [v for _, v in pairs]
        if self.loss_scale_factor is not None:
            grads = [g / self.loss_scale_factor for g in grads]
        if self.gradient_accumulation_steps:
            self._accumulate(grads, variables)
        else:
            self._update(grads, variables)
            self._after_update(variables)
        self._iterations.assign_add(1)

    def _update(self, grads, variables):
        overwritten = [(g, v) for g, v in zip(grads, variables, strict=True) if v.overwrite_with_gradient]
        for g, v in overwritten:
            v.assign(g)
        pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if not v.overwrite_with_gradient]
        grads = self._clip_gradients([g for g, _ in pairs])
        variables = [v for _, v in pairs]
        self._apply_weight_decay(variables)
        rate = self._get_current_learning_rate()
        rate = rate.tensor_in_mode() if isinstance(rate, Variable) else convert_to_tensor(rate)
        for g, v in zip(grads, variables, strict=True):
            self.update_step(g, v, rate)

    def _after_update(self, variables):
        for v in variables:
            if v.constraint is not None:
                v.assign(v.constraint(v.tensor_in_mode()))
        if self.use_ema:
            self._update_averages(variables)

    def _accumulate(self, grads, variables):
        """Adds up; at every n-th step applies the mean. Written with `where`, so that a step can be traced."""
        steps = self.gradient_accumulation_steps
        slots = [self._accumulated_gradients[self._get_variable_index(v)] for v in variables]
        due = ops.equal(ops.mod(self._iterations.value + 1, steps), 0)
        sums = [s.tensor_in_mode() + g for s, g in zip(slots, grads, strict=True)]
        known = {
            id(v): v
            for v in [*self._variables, *variables]
            if v is not self._iterations and all(v is not s for s in slots)
        }
        before = {k: v.tensor_in_mode() for k, v in known.items()}
        self._update([s / steps for s in sums], variables)
        self._after_update(variables)
        for k, v in known.items():
            v.assign(ops.where(due, v.tensor_in_mode(), before[k]))
        for slot, total in zip(slots, sums, strict=True):
            slot.assign(ops.where(due, ops.zeros_like(total), total))

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method update_step(). Received: none")

    def _clip_gradients(self, grads):
        if self.clipnorm and self.clipnorm > 0:
            return [self._clip_norm(g, ops.sqrt(ops.sum(ops.square(g))), self.clipnorm) for g in grads]
        if self.global_clipnorm and self.global_clipnorm > 0:
            total = sum(ops.sum(ops.square(g)) for g in grads)
            return [self._clip_norm(g, ops.sqrt(total), self.global_clipnorm) for g in grads]
        if self.clipvalue and self.clipvalue > 0:
            return [ops.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return grads

    @staticmethod
    def _clip_norm(g, norm, bound):
        return g * (bound / ops.maximum(norm, bound))

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Leaves variables out of weight decay: these, and those whose path contains one of the names."""
        self._exclude_ids = {id(v) for v in var_list or []}
        self._exclude_names = list(var_names or [])

    def _use_weight_decay(self, variable):
        if id(variable) in getattr(self, "_exclude_ids", ()):
            return False
        return not any(n in variable.path for n in getattr(self, "_exclude_names", ()))

    def _apply_weight_decay(self, variables):
        if self.weight_decay is None:
            return
        rate = self._get_current_learning_rate()
        rate = rate.tensor_in_mode() if isinstance(rate, Variable) else convert_to_tensor(rate)
        for v in variables:
            if self._use_weight_decay(v):
                value = v.tensor_in_mode()
                v.assign(value - value * cast(rate, v.dtype) * self.weight_decay)

    def _update_averages(self, variables):
        due = None
        if self.ema_overwrite_frequency:
            due = ops.equal(ops.mod(self._step_number() + 1, self.ema_overwrite_frequency), 0)
        first = cast(ops.not_equal(self._step_number(), 0), "float32")
        for v in variables:
            average = self._model_variables_moving_average[self._get_variable_index(v)]
            momentum = cast(first * self.ema_momentum, v.dtype)
            average.assign(momentum * average.tensor_in_mode() + (1 - momentum) * v.tensor_in_mode())
            if due is not None:
                v.assign(ops.where(due, average.tensor_in_mode(), v.tensor_in_mode()))

    def finalize_variable_values(self, var_list):
        """Replaces variables by their averages at the end of training, if averages are kept."""
        if self.use_ema:
            for v in var_list:
                v.assign(self._model_variables_moving_average[self._get_variable_index(v)].tensor_in_mode())

    def scale_loss(self, loss):
        """The loss times `loss_scale_factor`."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def assign(self, variable, value):
        """Gives a variable a value."""
        variable.assign(value)

    def assign_add(self, variable, value):
        """Adds to a variable."""
        variable.assign_add(value)

    def assign_sub(self, variable, value):
        """Subtracts from a variable."""
        variable.assign_sub(value)

    # Configuration and files.

    def get_config(self):
        """What `from_config` needs."""
        if isinstance(self._learning_rate, Variable):
            rate = float(self._learning_rate.numpy())
        else:
            rate = registry.serialize_keras_object(self._learning_rate)
        config = {
            "name": self.name, "learning_rate": rate, "weight_decay": self.weight_decay, "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm, "clipvalue": self.clipvalue, "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum, "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }  # fmt: skip
        for name in self._own_arguments:
            config[name] = getattr(self, name)
        return config

    _own_arguments: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer of that config."""
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = registry.deserialize_keras_object(
                config["learning_rate"], custom_objects=custom_objects
            )
        if "lr" in config:
            config["learning_rate"] = config.pop("lr")
        return cls(**config)

    def save_own_variables(self, store):
        """Writes its variables under "0", "1" ..."""
        for i, v in enumerate(self.variables):
            store[str(i)] = v

    def _variables_before_build(self):
        return [v for v in self._variables if v is self.iterations or v is self._learning_rate]

    def load_own_variables(self, store):
        """Reads what `save_own_variables` wrote."""
        if self.built and len(store.keys()) == len(own := self._variables_before_build()):
            # It was saved before its first step: there are no slots yet.
            for i, v in enumerate(own):
                v.assign(store[str(i)])
            return
        if self._schedule is None and len(store.keys()) == len(self.variables) - 1:
            # Keras 2 kept the learning rate in the config alone.
            kept = [v for v in self.variables if v is not self._learning_rate]
            for i, v in enumerate(kept):
                v.assign(store[str(i)])
            return
        if len(store.keys()) != len(self.variables):
            import warnings

            warnings.warn(
                f"{type(self).__name__}: expected {len(self.variables)} stored variables. Received: {len(store.keys())}. The "
                "optimizer starts anew.", stacklevel=2,
            )  # fmt: skip
            return
        for i, v in enumerate(self.variables):
            v.assign(store[str(i)])

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """Not offered.

        Raises:
            NotImplementedError: always; use `apply`.
        """
        raise NotImplementedError(
            "Optimizer.stateless_apply: expected use with the JAX backend. Hint: use apply(grads, variables)"
        )

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def slot(optimizer, slots, variable):
    """The slot of a variable, and its value."""
    s = slots[optimizer._get_variable_index(variable)]
    return s, s.tensor_in_mode()


__all__ = ["Optimizer", "slot"]
