"""The simple recurrent layer, and what cells with units share."""

from rkeras import activations, ops
from rkeras.layers.recurrent_cell import RecurrentCell
from rkeras.layers.rnn import UnitRNN

OF_CELL = (
    "units", "activation", "use_bias", "kernel_initializer", "recurrent_initializer", "bias_initializer",
    "kernel_regularizer", "recurrent_regularizer", "bias_regularizer", "kernel_constraint",
    "recurrent_constraint", "bias_constraint", "dropout", "recurrent_dropout", "seed",
)  # fmt: skip


class UnitCell(RecurrentCell):
    """A cell with units and one matrix of `gates * units` columns for the inputs, one for the state."""

    _config_omit = ("activity_regularizer",)

    def _configure(self, units, weights, dropout, recurrent_dropout, seed):
        if isinstance(units, bool) or not isinstance(units, int) or units <= 0:
            raise ValueError(
                f"{type(self).__name__}: expected units as a positive integer. Received: units={units!r}"
            )
        self.units = units
        self._configure_weights(*weights)
        self._configure_dropout(dropout, recurrent_dropout, seed)
        self.output_size = units

    def _configure_gates(self, recurrent_activation, implementation, gates):
        """The function of the gates; with dropout of the state every gate has a pattern of its own."""
        self.recurrent_activation = activations.get(recurrent_activation)
        self.implementation = 1 if self.recurrent_dropout != 0.0 else implementation
        if self.implementation == 1:
            self.dropout_mask_count = gates

    def _columns(self, weight, gates):
        """The columns of a weight, gate by gate."""
        u = self.units
        return [weight[..., i * u : (i + 1) * u] for i in range(gates)]

    def _product(self, inputs, weight, gates):
        """inputs times weight; several inputs are one per gate."""
        if len(inputs) == 1:
            return ops.matmul(inputs[0], weight)
        parts = zip(inputs, self._columns(weight, gates), strict=True)
        return ops.concatenate([ops.matmul(x, w) for x, w in parts], axis=-1)

    def _project(self, inputs, bias, gates, training, time):
        """inputs kernel + bias, under dropout in training."""
        active = training and 0.0 < self.dropout < 1.0
        z = self._product(self._drop_inputs(inputs, time) if active else [inputs], self.kernel, gates)
        return z if bias is None else ops.add(z, bias)

    def _drop_state(self, h, training):
        """The state, or one per gate under dropout in training."""
        if not (training and 0.0 < self.recurrent_dropout < 1.0):
            return [h]
        pattern = self.get_recurrent_dropout_mask(h)
        return [h * p for p in (pattern if isinstance(pattern, list) else [pattern])]


class SimpleRNNCell(UnitCell):
    """h = activation(x W + h' U + b).

    Args:
        units: the size of the state, which is the output.
        activation: a function or its name; none if None.
        use_bias: whether b is added.
        kernel_initializer, recurrent_initializer, bias_initializer: the first values of W, U, b.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on them.
        kernel_constraint, recurrent_constraint, bias_constraint: what they are brought back to after updates.
        dropout: the part of the inputs that is dropped in training, the same in all steps.
        recurrent_dropout: the part of the state that is dropped in training, the same in all steps.
        seed: an integer for dropout, or None.

    Example:
        >>> cell = keras.layers.SimpleRNNCell(4)
        >>> y, states = cell(keras.ops.ones((2, 3)), [keras.ops.zeros((2, 4))])
        >>> y.shape
        (2, 4)
    """

    def __init__(
        self, units, activation="tanh", use_bias=True, kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal", bias_initializer="zeros", kernel_regularizer=None,
        recurrent_regularizer=None, bias_regularizer=None, kernel_constraint=None, recurrent_constraint=None,
        bias_constraint=None, dropout=0.0, recurrent_dropout=0.0, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        weights = (
            activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint,
        )  # fmt: skip
        self._configure(units, weights, dropout, recurrent_dropout, seed)
        self.state_size = units

    def build(self, input_shape):
        """Makes kernel (inputs, units), recurrent_kernel (units, units), bias (units,)."""
        u = self.units
        self._make_weights((input_shape[-1], u), (u, u), (u,))

    def project(self, inputs, training=False, time=None):
        """x W + b."""
        return self._project(inputs, self.bias, 1, training, time)

    def advance(self, projected, states, training=False):
        """The new state, as output and as state."""
        h = states[0] if isinstance(states, (list, tuple)) else states
        (h,) = self._drop_state(h, training)
        h = self.activation(ops.add(projected, ops.matmul(h, self.recurrent_kernel)))
        return h, [h] if isinstance(states, (list, tuple)) else h


class SimpleRNN(UnitRNN):
    """h = activation(x W + h' U + b) over the steps of a sequence.

    Args:
        units: the size of the state, which is the output.
        activation: a function or its name; none if None.
        use_bias: whether b is added.
        kernel_initializer, recurrent_initializer, bias_initializer: the first values of W, U, b.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on them.
        activity_regularizer: a penalty on the output.
        kernel_constraint, recurrent_constraint, bias_constraint: what they are brought back to after updates.
        dropout: the part of the inputs that is dropped in training, the same in all steps.
        recurrent_dropout: the part of the state that is dropped in training, the same in all steps.
        return_sequences, return_state, go_backwards, stateful, unroll: see `RNN`.
        seed: an integer for dropout, or None.

    Example:
        >>> keras.layers.SimpleRNN(4)(keras.ops.ones((2, 5, 3))).shape
        (2, 4)
    """

    _of_cell = OF_CELL
    _config_omit = ("activity_regularizer", "seed")

    def __init__(
        self, units, activation="tanh", use_bias=True, kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal", bias_initializer="zeros", kernel_regularizer=None,
        recurrent_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        recurrent_constraint=None, bias_constraint=None, dropout=0.0, recurrent_dropout=0.0,
        return_sequences=False, return_state=False, go_backwards=False, stateful=False, unroll=False,
        seed=None, **kwargs,
    ):  # fmt: skip
        cell = SimpleRNNCell(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed,
            dtype=kwargs.get("dtype"), trainable=kwargs.get("trainable", True), name="simple_rnn_cell",
        )  # fmt: skip
        super().__init__(
            cell, return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
            stateful=stateful, unroll=unroll, activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip
