"""Long short-term memory."""

from rkeras import ops
from rkeras.layers.rnn import UnitRNN
from rkeras.layers.simple_rnn import OF_CELL, UnitCell
from rkeras.ops import recurrent


class LSTMCell(UnitCell):
    """Long short-term memory: (i, f, g, o) = x W + h' U + b; c = s(f) c' + s(i) a(g); h = s(o) a(c).

    Args:
        units: the size of either state; h is the output.
        activation: a, a function or its name; none if None.
        recurrent_activation: s, a function or its name; none if None.
        use_bias: whether b is added.
        kernel_initializer, recurrent_initializer, bias_initializer: the first values of W, U, b.
        unit_forget_bias: whether the first b of f is one.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on them.
        kernel_constraint, recurrent_constraint, bias_constraint: what they are brought back to after updates.
        dropout: the part of the inputs that is dropped in training, the same in all steps.
        recurrent_dropout: the part of h that is dropped in training, the same in all steps.
        seed: an integer for dropout, or None.

    Example:
        >>> cell = keras.layers.LSTMCell(4)
        >>> y, states = cell(keras.ops.ones((2, 3)), cell.get_initial_state(2))
        >>> y.shape, len(states)
        ((2, 4), 2)
    """

    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, dropout=0.0,
        recurrent_dropout=0.0, seed=None, **kwargs,
    ):  # fmt: skip
        implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        weights = (
            activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint,
        )  # fmt: skip
        self._configure(units, weights, dropout, recurrent_dropout, seed)
        self._configure_gates(recurrent_activation, implementation, 4)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [units, units]

    def build(self, input_shape):
        """Makes kernel (inputs, 4 units), recurrent_kernel (units, 4 units), bias (4 units,)."""
        u = self.units
        self._make_weights((input_shape[-1], 4 * u), (u, 4 * u), (4 * u,))

    def project(self, inputs, training=False, time=None):
        """x W + b."""
        return self._project(inputs, self.bias, 4, training, time)

    def advance(self, projected, states, training=False):
        """h, and the new states h and c."""
        h, c = states
        z = ops.add(projected, self._product(self._drop_state(h, training), self.recurrent_kernel, 4))
        h, c = recurrent.lstm_gates(z, c, *self._unusual_functions())
        return h, [h, c]


class LSTM(UnitRNN):
    """Long short-term memory over the steps of a sequence: (i, f, g, o) = x W + h' U + b; c = s(f) c' + s(i) a(g);
    h = s(o) a(c).

    Args:
        units: the size of either state; h is the output.
        activation: a, a function or its name; none if None.
        recurrent_activation: s, a function or its name; none if None.
        use_bias: whether b is added.
        kernel_initializer, recurrent_initializer, bias_initializer: the first values of W, U, b.
        unit_forget_bias: whether the first b of f is one.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on them.
        activity_regularizer: a penalty on the output.
        kernel_constraint, recurrent_constraint, bias_constraint: what they are brought back to after updates.
        dropout: the part of the inputs that is dropped in training, the same in all steps.
        recurrent_dropout: the part of h that is dropped in training, the same in all steps.
        seed: an integer for dropout, or None.
        return_sequences, return_state, go_backwards, stateful, unroll: see `RNN`.
        use_cudnn: "auto" or False; there is no GPU.

    Example:
        >>> layer = keras.layers.LSTM(4, return_sequences=True, return_state=True)
        >>> y, h, c = layer(keras.ops.ones((2, 5, 3)))
        >>> y.shape, h.shape, c.shape
        ((2, 5, 4), (2, 4), (2, 4))

    Source: Hochreiter and Schmidhuber, 1997.
    """

    _of_cell = (*OF_CELL, "recurrent_activation", "unit_forget_bias")
    _config_omit = ("activity_regularizer", "use_cudnn")

    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
        go_backwards=False, stateful=False, unroll=False, use_cudnn="auto", **kwargs,
    ):  # fmt: skip
        cell = LSTMCell(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer, unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer,
            kernel_constraint, recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed,
            dtype=kwargs.get("dtype"), trainable=kwargs.get("trainable", True), name="lstm_cell",
            implementation=kwargs.pop("implementation", 2),
        )  # fmt: skip
        super().__init__(
            cell, return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
            stateful=stateful, unroll=unroll, activity_regularizer=activity_regularizer, **kwargs,
        )  # fmt: skip
        self._check_cudnn(use_cudnn)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """(last output, all outputs, last states); by the fused op where the functions are the usual ones."""
        cell = self.cell
        if not self._can_fuse(LSTMCell, sequences, training):
            return super().inner_loop(sequences, initial_state, mask, training)
        return recurrent.lstm(
            cell.project(sequences, training, 1), initial_state, cell.recurrent_kernel, mask, self.go_backwards,
            self.zero_output_for_mask, training,
        )  # fmt: skip
