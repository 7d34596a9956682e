"""What the recurrent cells of this package share."""

from rkeras import activations, constraints, initializers, ops, random, regularizers
from rkeras._core import tree
from rkeras.layers.input_spec import who
from rkeras.layers.layer import Layer


class RecurrentCell(Layer):
    """What the cells of this package share: a step in two parts, and dropout patterns that hold for all steps.

    `project(inputs)` depends on the inputs alone, so that a layer computes it for all steps at once;
    `advance(projected, states)` is the rest of the step.
    """

    # How many dropout patterns a step uses: one per gate, or None for a single one.
    dropout_mask_count: int | None = None

    def _configure_dropout(self, dropout, recurrent_dropout, seed):
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed)
        self.__dict__["_patterns"] = {}
        self._patterns_held = False

    def _configure_weights(
        self, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
        kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
        bias_constraint,
    ):  # fmt: skip
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def _make_weights(self, kernel_shape, recurrent_shape, bias_shape):
        """kernel, recurrent_kernel and bias, where there is one."""
        self.kernel = self.add_weight(
            kernel_shape, self.kernel_initializer, regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint, name="kernel",
        )  # fmt: skip
        self.recurrent_kernel = self.add_weight(
            recurrent_shape, self.recurrent_initializer, regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint, name="recurrent_kernel",
        )  # fmt: skip
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                bias_shape, self._first_bias, regularizer=self.bias_regularizer,
                constraint=self.bias_constraint, name="bias",
            )  # fmt: skip

    def _first_bias(self, shape, dtype=None):
        """The first bias; with `unit_forget_bias` that of the forget gate, the second of four, is one."""
        if not getattr(self, "unit_forget_bias", False):
            return self.bias_initializer(shape, dtype)
        n = shape[0] // 4
        parts = (self.bias_initializer((n,), dtype), ops.ones((n,), dtype))
        return ops.concatenate([*parts, self.bias_initializer((2 * n,), dtype)])

    def _unusual_functions(self):
        """activation and recurrent_activation, None where they are tanh and sigmoid."""
        activation, gate = self.activation, self.recurrent_activation
        return (
            None if activation is activations.tanh else activation,
            None if gate is activations.sigmoid else gate,
        )

    def project(self, inputs, training=False, time=None):
        """The part of a step that needs no state, for one step or, where `time` names their axis, for all."""
        raise NotImplementedError(f"{who(self)}: expected a method project(). Received: none")

    def advance(self, projected, states, training=False):
        """(output, new states) from `project`'s result and the states."""
        raise NotImplementedError(f"{who(self)}: expected a method advance(). Received: none")

    def call(self, inputs, states, training=False):
        """(output, new states) of one step."""
        return self.advance(self.project(inputs, training), states, training)

    def get_initial_state(self, batch_size=None):
        """Zeros for every state."""
        sizes = self.state_size if isinstance(self.state_size, (list, tuple)) else [self.state_size]
        return [ops.zeros((batch_size, n), dtype=self.compute_dtype) for n in sizes]

    def _pattern(self, kind, like, rate):
        if rate <= 0:
            return None
        kept = self._patterns.get(kind)
        # A symbol of another trace is of no use; only a layer's call keeps symbols, and throws them away.
        if kept is not None and (self._patterns_held or not tree.flatten(kept)[0].is_symbolic):
            return kept
        ones = ops.ones_like(like)

        def draw():
            return ops.zeros_like(ones) if rate >= 1 else random.dropout(ones, rate, seed=self.seed_generator)

        n = self.dropout_mask_count
        self._patterns[kind] = draw() if n is None else [draw() for _ in range(n)]
        return self._patterns[kind]

    def get_dropout_mask(self, step_input):
        """The pattern (or one per gate) for inputs like these, the same until it is reset."""
        return self._pattern("inputs", step_input, self.dropout)

    def get_recurrent_dropout_mask(self, step_input):
        """The pattern (or one per gate) for states like these, the same until it is reset."""
        return self._pattern("states", step_input, self.recurrent_dropout)

    def reset_dropout_mask(self):
        """The next inputs get a new pattern."""
        self._patterns.pop("inputs", None)

    def reset_recurrent_dropout_mask(self):
        """The next states get a new pattern."""
        self._patterns.pop("states", None)

    def _hold_patterns(self, step_input, state):
        """Draws patterns before a loop, in which nothing can be drawn."""
        self._release_patterns()
        self.get_dropout_mask(step_input)
        self.get_recurrent_dropout_mask(state)
        self._patterns_held = True

    def _release_patterns(self):
        self._patterns.clear()
        self._patterns_held = False

    def _drop_inputs(self, inputs, time):
        """The inputs under the pattern (a list of one per gate), which is spread over the axis of time."""
        if time is None:
            one = inputs
        else:
            one = inputs[0] if time == 0 else inputs[:, 0]
        pattern = self.get_dropout_mask(one)
        patterns = pattern if isinstance(pattern, list) else [pattern]
        return [inputs * (ops.expand_dims(p, 1) if time == 1 else p) for p in patterns]
