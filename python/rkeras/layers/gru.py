"""The gated recurrent unit."""

from rkeras import ops
from rkeras.layers.rnn import UnitRNN
from rkeras.layers.simple_rnn import OF_CELL, UnitCell
from rkeras.ops import recurrent


class GRUCell(UnitCell):
    """The gated recurrent unit: z = s(x Wz + h' Uz + bz), r alike, g = a(x Wg + bg + r (h' Ug + ug));
    h = z h' + (1 - z) g.

    Args:
        units: the size of the state, which is the output.
        activation: a, a function or its name; none if None.
        recurrent_activation: s, a function or its name; none if None.
        use_bias: whether biases are added.
        kernel_initializer, recurrent_initializer, bias_initializer: the first values of W, U, b.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on them.
        kernel_constraint, recurrent_constraint, bias_constraint: what they are brought back to after updates.
        dropout: the part of the inputs that is dropped in training, the same in all steps.
        recurrent_dropout: the part of the state that is dropped in training, the same in all steps.
        reset_after: whether r acts on h' Ug + ug (with a second row of biases) or on h', before the product.
        seed: an integer for dropout, or None.

    Example:
        >>> cell = keras.layers.GRUCell(4)
        >>> y, states = cell(keras.ops.ones((2, 3)), cell.get_initial_state(2))
        >>> y.shape
        (2, 4)
    """

    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None, kernel_constraint=None,
        recurrent_constraint=None, bias_constraint=None, dropout=0.0, recurrent_dropout=0.0,
        reset_after=True, seed=None, **kwargs,
    ):  # fmt: skip
        implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        weights = (
            activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint,
        )  # fmt: skip
        self._configure(units, weights, dropout, recurrent_dropout, seed)
        self._configure_gates(recurrent_activation, implementation, 3)
        self.reset_after = reset_after
        self.state_size = units

    def build(self, input_shape):
        """Makes kernel (inputs, 3 units), recurrent_kernel (units, 3 units), bias (3 units,), two rows of it if
        `reset_after`.
        """
        u = self.units
        bias = (2, 3 * u) if self.reset_after else (3 * u,)
        self._make_weights((input_shape[-1], 3 * u), (u, 3 * u), bias)

    def project(self, inputs, training=False, time=None):
        """x W + b."""
        bias = self.bias[0] if self.bias is not None and self.reset_after else self.bias
        return self._project(inputs, bias, 3, training, time)

    def advance(self, projected, states, training=False):
        """The new state, as output and as state."""
        h = states[0] if isinstance(states, (list, tuple)) else states
        gate, u = self.recurrent_activation, self.units
        xz, xr, xg = self._columns(projected, 3)
        dropped = self._drop_state(h, training)
        if self.reset_after:
            inner = self._product(dropped, self.recurrent_kernel, 3)
            if self.bias is not None:
                inner = ops.add(inner, self.bias[1])
            hz, hr, hg = self._columns(inner, 3)
            z, r = gate(xz + hz), gate(xr + hr)
            g = self.activation(xg + r * hg)
        else:
            kernel = self.recurrent_kernel
            inner = self._product(dropped[:2], kernel[:, : 2 * u], 2)
            hz, hr = self._columns(inner, 2)
            z, r = gate(xz + hz), gate(xr + hr)
            g = self.activation(xg + ops.matmul(r * dropped[-1], kernel[:, 2 * u :]))
        h = z * h + (1 - z) * g
        return h, [h] if isinstance(states, (list, tuple)) else h


class GRU(UnitRNN):
    """The gated recurrent unit over the steps of a sequence: z = s(x Wz + h' Uz + bz), r alike,
    g = a(x Wg + bg + r (h' Ug + ug)); h = z h' + (1 - z) g.

    Args:
        units: the size of the state, which is the output.
        activation: a, a function or its name; none if None.
        recurrent_activation: s, a function or its name; none if None.
        use_bias: whether biases are added.
        kernel_initializer, recurrent_initializer, bias_initializer: the first values of W, U, b.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on them.
        activity_regularizer: a penalty on the output.
        kernel_constraint, recurrent_constraint, bias_constraint: what they are brought back to after updates.
        dropout: the part of the inputs that is dropped in training, the same in all steps.
        recurrent_dropout: the part of the state that is dropped in training, the same in all steps.
        seed: an integer for dropout, or None.
        return_sequences, return_state, go_backwards, stateful, unroll: see `RNN`.
        reset_after: whether r acts on h' Ug + ug (with a second row of biases) or on h', before the product.
        use_cudnn: "auto" or False; there is no GPU.

    Example:
        >>> keras.layers.GRU(4, return_sequences=True)(keras.ops.ones((2, 5, 3))).shape
        (2, 5, 4)

    Source: Cho et al., 2014.
    """

    _of_cell = (*OF_CELL, "recurrent_activation", "reset_after")
    _config_omit = ("activity_regularizer", "use_cudnn")

    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
        go_backwards=False, stateful=False, unroll=False, reset_after=True, use_cudnn="auto", **kwargs,
    ):  # fmt: skip
        cell = GRUCell(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, reset_after, seed,
            dtype=kwargs.get("dtype"), trainable=kwargs.get("trainable", True), name="gru_cell",
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
        if not (cell.reset_after and self._can_fuse(GRUCell, sequences, training)):
            return super().inner_loop(sequences, initial_state, mask, training)
        bias = None if cell.bias is None else cell.bias[1]
        return recurrent.gru(
            cell.project(sequences, training, 1), initial_state[0], cell.recurrent_kernel, bias, mask,
            self.go_backwards, self.zero_output_for_mask, training,
        )  # fmt: skip
