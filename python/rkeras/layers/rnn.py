"""Recurrent layers in general: a cell over the steps of a sequence."""

from rkeras import ops
from rkeras._core import naming, registry, tree
from rkeras._core.symbolic import infer
from rkeras._core.tensor import cast, convert_to_tensor
from rkeras._core.variable import Variable
from rkeras.layers.input_spec import InputSpec, who
from rkeras.layers.layer import Layer
from rkeras.layers.recurrent_cell import RecurrentCell
from rkeras.layers.stacked_rnn_cells import StackedRNNCells
from rkeras.ops import recurrent


class RNN(Layer):
    """A cell over the steps of a sequence, states handed from step to step.

    Args:
        cell: a layer with `call(inputs, states) -> (output, states)` and `state_size`, or a list of such.
        return_sequences: whether the outputs of all steps are given, not only the last.
        return_state: whether the last states follow the output.
        go_backwards: whether to begin at the end; outputs then come in that order.
        stateful: whether a batch begins with the states in which the one before ended.
        unroll: whether the loop is written out in the compiled step.
        zero_output_for_mask: whether outputs of masked steps are zero, not those of the step before.

    Example:
        >>> layer = keras.layers.RNN(keras.layers.SimpleRNNCell(4), return_sequences=True)
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        (2, 5, 4)
    """

    def __init__(
        self, cell, return_sequences=False, return_state=False, go_backwards=False, stateful=False,
        unroll=False, zero_output_for_mask=False, **kwargs,
    ):  # fmt: skip
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        if "call" not in dir(cell):
            raise ValueError(f"RNN: expected a cell with a method call(). Received: {cell!r}")
        super().__init__(**kwargs)
        self.zero_output_for_mask = zero_output_for_mask
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.supports_masking = True
        self.__dict__["states"] = None  # not a weight: files and optimizers do not see it
        self._expected_batch_size = None
        size = getattr(cell, "state_size", None)
        if not isinstance(size, (list, tuple, int)):
            raise ValueError(
                "RNN: expected a cell whose state_size is an integer or a list of integers, one per state. "
                f"Received: {size!r}"
            )
        self.single_state = isinstance(size, int)
        self.state_size = [size] if self.single_state else list(size)

    def compute_output_spec(self, *args, **kwargs):
        """The KerasTensors that `call` would give."""
        return infer(self.call, args, kwargs)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        """The shape of the output, followed by those of the states if they are returned."""
        batch, length = sequences_shape[:2]
        states = [
            [(batch, n) for n in s] if isinstance(s, (list, tuple)) else (batch, s) for s in self.state_size
        ]
        size = getattr(self.cell, "output_size", None)
        size = self.state_size[0] if size is None else size
        output = (batch, length, size) if self.return_sequences else (batch, size)
        return (output, *states) if self.return_state else output

    def compute_mask(self, inputs, mask=None):
        """That of the inputs if sequences are returned; none for states."""
        mask = tree.flatten(mask)[0]
        output = mask if self.return_sequences else None
        return [output, *(None for _ in self.state_size)] if self.return_state else output

    def build(self, sequences_shape, initial_state_shape=None):
        """Builds the cell; makes the states if they are kept."""
        step_shape = (sequences_shape[0], *sequences_shape[2:])
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build(step_shape)
            self.cell.built = True
        if not self.stateful:
            return
        if self.states is not None:
            self.reset_state()
            return
        batch = sequences_shape[0]
        if batch is None:
            raise ValueError(
                f"{who(self)}: expected a known batch size, because stateful=True. Received: input shape "
                f"{tuple(sequences_shape)}. Hint: keras.Input(batch_shape=...)."
            )
        self._create_state_variables(batch)

    def _create_state_variables(self, batch):
        with naming.name_scope(self.name, caller=self):
            self.__dict__["states"] = tree.map_structure(
                lambda v: Variable(v, trainable=False, dtype=self.variable_dtype, name="rnn_state"),
                self.get_initial_state(batch),
            )
        self._expected_batch_size = batch

    def get_initial_state(self, batch_size):
        """The states before the first step: what the cell says, or zeros."""
        make = getattr(self.cell, "get_initial_state", None)
        if make is None:
            dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
            return [ops.zeros((batch_size, n), dtype=dtype) for n in self.state_size]
        states = make(batch_size=batch_size)
        return list(states) if tree.is_nested(states) else [states]

    def _first_states(self, sequences):
        batch = sequences.shape[0]
        if batch is not None:
            return self.get_initial_state(batch)
        states = self.get_initial_state(1)
        return tree.map_structure(lambda s: recurrent.like(s, (None, *s.shape[1:])), states)

    def reset_states(self):
        """See `reset_state`."""
        self.reset_state()

    def reset_state(self):
        """Kept states become zero."""
        for v in tree.flatten(self.states) if self.states is not None else []:
            v.assign(ops.zeros(v.shape, v.dtype))

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """The outputs of the cell over the steps."""
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                f"{who(self)}: expected a known number of steps, because unroll=True. Received: input shape "
                f"{tuple(sequences.shape)}"
            )
        batch, expected = sequences.shape[0], self._expected_batch_size
        if self.stateful and None not in (batch, expected) and batch != expected:
            raise ValueError(
                f"{who(self)}: expected batches of {expected}, because stateful=True. Received: a batch of "
                f"{batch}"
            )
        if initial_state is None:
            initial_state = self.states if self.stateful else self._first_states(sequences)
        if not tree.is_nested(initial_state):
            initial_state = [initial_state]
        dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
        states = tree.map_structure(lambda s: convert_to_tensor(s, dtype), list(initial_state))
        if tree.is_nested(mask):
            mask = tree.flatten(mask)[0]
        try:
            if training:
                self._hold_patterns(self.cell, sequences, states)
            last, outputs, states = self.inner_loop(sequences, states, mask, training=training)
        finally:
            self._release_patterns(self.cell)
        dtype = self.compute_dtype
        states = tree.map_structure(lambda s: cast(s, dtype), states)
        if self.stateful:
            for kept, new in zip(tree.flatten(self.states), tree.flatten(states), strict=True):
                kept.assign(new)
        output = cast(outputs if self.return_sequences else last, dtype)
        return (output, *states) if self.return_state else output

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """(last output, all outputs, last states)."""
        cell = self.cell
        if isinstance(cell, RecurrentCell) and type(cell).call is RecurrentCell.call:
            # The part without states for all steps at once, time first as the loop wants it.
            inputs = cell.project(recurrent.swap_time(sequences), training, 0)

            def step(x, states):
                return cell.advance(x, states, training)
        else:
            inputs = recurrent.swap_time(sequences)
            known = {"training": training} if getattr(cell, "_call_has_training_arg", False) else {}
            run = cell if callable(cell) else cell.call

            def step(x, states):
                y, new = run(x, states, **known)
                return y, new if tree.is_nested(new) else [new]

        return recurrent.rnn(
            step, inputs, initial_state, mask=mask, go_backwards=self.go_backwards, unroll=self.unroll,
            zero_output=self.zero_output_for_mask, keep_states=bool(training),
        )  # fmt: skip

    def _hold_patterns(self, cell, sequences, states):
        self._hold(cell, sequences[:, 0], states)

    def _hold(self, cell, step_input, states):
        states = states if isinstance(states, (list, tuple)) else [states]
        if isinstance(cell, RecurrentCell):
            cell._hold_patterns(step_input, states[0])
        elif isinstance(cell, StackedRNNCells):
            for inner, s in zip(cell.cells, states, strict=True):
                self._hold(inner, step_input, s)
                step_input, _ = inner(step_input, list(s) if tree.is_nested(s) else [s])

    def _release_patterns(self, cell):
        if isinstance(cell, RecurrentCell):
            cell._release_patterns()
        elif isinstance(cell, StackedRNNCells):
            for inner in cell.cells:
                self._release_patterns(inner)

    def get_config(self):
        """What `from_config` needs."""
        config = super().get_config()
        for name in (
            "return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask",
        ):  # fmt: skip
            config[name] = getattr(self, name)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The layer of that config."""
        config = dict(config)
        cell = registry.deserialize_keras_object(config.pop("cell"), custom_objects=custom_objects)
        return cls(cell, **config)


class UnitRNN(RNN):
    """A layer that makes its cell itself; the cell's arguments are its own."""

    def __init__(self, cell, ndim=3, **kwargs):
        super().__init__(cell, **kwargs)
        self.input_spec = InputSpec(ndim=ndim)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in cls.__dict__.get("_of_cell", ()):
            setattr(cls, name, property(lambda self, name=name: getattr(self.cell, name)))

    def _can_fuse(self, kind, sequences, training):
        """Whether the fused op computes what the cell (of class `kind`) would."""
        cell = self.cell
        return (
            type(cell) is kind
            and cell._unusual_functions() == (None, None)
            and not self.unroll
            and not (training and 0.0 < cell.recurrent_dropout < 1.0)
            and recurrent.can_fuse(sequences)
        )

    def _check_cudnn(self, use_cudnn):
        if use_cudnn not in ("auto", False):
            raise ValueError(
                f'{type(self).__name__}: expected use_cudnn as "auto" or False, as there is no GPU. '
                f"Received: use_cudnn={use_cudnn!r}"
            )
        self.use_cudnn = use_cudnn

    def get_config(self):
        """What `from_config` needs."""
        return {"activity_regularizer": None, **super().get_config()}

    @classmethod
    def from_config(cls, config):
        """The layer of that config."""
        return cls(**config)
