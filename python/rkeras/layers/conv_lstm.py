"""Long short-term memory with convolutions in place of products."""

from rkeras import activations, ops
from rkeras._core.settings import standardize_data_format
from rkeras.layers.convolution import padding_name, sizes
from rkeras.layers.input_spec import InputSpec, who
from rkeras.layers.recurrent_cell import RecurrentCell
from rkeras.layers.rnn import UnitRNN
from rkeras.ops import recurrent

_OF_CELL = (
    "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation",
    "recurrent_activation", "use_bias", "kernel_initializer", "recurrent_initializer", "bias_initializer",
    "unit_forget_bias", "kernel_regularizer", "recurrent_regularizer", "bias_regularizer",
    "kernel_constraint", "recurrent_constraint", "bias_constraint", "dropout", "recurrent_dropout", "seed",
)  # fmt: skip


class ConvLSTMCell(RecurrentCell):
    """One step of `ConvLSTM1D`, `ConvLSTM2D` or `ConvLSTM3D`; see there.

    Args:
        rank: the number of spatial axes.
        others: see `ConvLSTM2D`.
    """

    dropout_mask_count = 4
    _config_omit = ("activity_regularizer", "rank")

    def __init__(
        self, rank, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal", bias_initializer="zeros", unit_forget_bias=True,
        kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None, kernel_constraint=None,
        recurrent_constraint=None, bias_constraint=None, dropout=0.0, recurrent_dropout=0.0, seed=None,
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        name = f"ConvLSTM{rank}D"
        if isinstance(filters, bool) or not isinstance(filters, int) or filters <= 0:
            raise ValueError(f"{name}: expected filters as a positive integer. Received: filters={filters!r}")
        self.rank = rank
        self.filters = filters
        self.kernel_size = sizes(kernel_size, rank, "kernel_size", name)
        self.strides = sizes(strides, rank, "strides", name)
        self.padding = padding_name(padding, name)
        self.data_format = standardize_data_format(data_format)
        self.dilation_rate = sizes(dilation_rate, rank, "dilation_rate", name)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{name}: expected strides or dilation_rate of 1. Received: strides={self.strides}, "
                f"dilation_rate={self.dilation_rate}"
            )
        self._configure_weights(
            activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint,
        )  # fmt: skip
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self._configure_dropout(dropout, recurrent_dropout, seed)
        self.input_spec = InputSpec(ndim=rank + 2)
        self.state_size = -1  # the states are images; `get_initial_state` knows their shape

    @property
    def _channel_axis(self):
        return 1 if self.data_format == "channels_first" else -1

    def build(self, inputs_shape, states_shape=None):
        """Makes kernel (*kernel_size, channels, 4 filters), recurrent_kernel (*kernel_size, filters, 4 filters),
        bias (4 filters,).
        """
        spatial = inputs_shape[2:] if self._channel_axis == 1 else inputs_shape[1:-1]
        channels = inputs_shape[self._channel_axis]
        if None in spatial or channels is None:
            raise ValueError(
                f"{who(self)}: expected known spatial sizes and channels. Received: input shape "
                f"{tuple(inputs_shape)}"
            )
        self.spatial_dims = tuple(spatial)
        self.input_dim = channels
        f = self.filters
        self._make_weights(
            (*self.kernel_size, channels, 4 * f), (*self.kernel_size, f, 4 * f), (4 * f,)
        )  # fmt: skip
        self.input_spec = InputSpec(shape=(None, *inputs_shape[1:]))

    def compute_output_shape(self, inputs_shape, states_shape=None):
        """The shape of the output, and those of the states."""
        first = self._channel_axis == 1
        spatial = inputs_shape[2:] if first else inputs_shape[1:-1]
        out = []
        for n, k, s, d in zip(spatial, self.kernel_size, self.strides, self.dilation_rate, strict=True):
            if n is not None:
                n = -(-n // s) if self.padding == "same" else (n - (k - 1) * d - 1) // s + 1
            out.append(n)
        batch = inputs_shape[0]
        shape = (batch, self.filters, *out) if first else (batch, *out, self.filters)
        return shape, [shape, shape]

    def get_initial_state(self, batch_size=None):
        """Zeros for h and c."""
        size = (self.input_dim,)
        shape = (*size, *self.spatial_dims) if self._channel_axis == 1 else (*self.spatial_dims, *size)
        shape = self.compute_output_shape((batch_size, *shape))[0]
        return [ops.zeros(shape, dtype=self.compute_dtype) for _ in range(2)]

    def _split(self, x, axis=-1):
        return ops.split(x, 4, axis=axis)

    def _conv(self, inputs, kernel, **options):
        """The convolution; several inputs are one per gate."""
        if len(inputs) == 1:
            return ops.conv(inputs[0], kernel, data_format=self.data_format, **options)
        parts = zip(inputs, self._split(kernel), strict=True)
        return ops.concatenate(
            [ops.conv(x, k, data_format=self.data_format, **options) for x, k in parts],
            axis=self._channel_axis,
        )

    def project(self, inputs, training=False, time=None):
        """x * W + b."""
        active = training and 0.0 < self.dropout < 1.0
        xs = self._drop_inputs(inputs, time) if active else [inputs]
        if time is not None:  # all steps are one batch
            xs = [ops.reshape(x, (-1, *x.shape[2:])) for x in xs]
        z = self._conv(
            xs, self.kernel, strides=self.strides, padding=self.padding, dilation_rate=self.dilation_rate
        )
        if self.bias is not None:
            bias = self.bias
            if self._channel_axis == 1:
                bias = ops.reshape(bias, (-1,) + (1,) * self.rank)
            z = ops.add(z, bias)
        if time is None:
            return z
        lead = inputs.shape[:2]
        if None in lead:  # only shapes are asked for
            return recurrent.like(z, (*lead, *z.shape[1:]))
        return ops.reshape(z, (*lead, *z.shape[1:]))

    def advance(self, projected, states, training=False):
        """h, and the new states h and c."""
        h, c = states
        hs = [h]
        if training and 0.0 < self.recurrent_dropout < 1.0:
            hs = [h * p for p in self.get_recurrent_dropout_mask(h)]
        z = ops.add(projected, self._conv(hs, self.recurrent_kernel, strides=1, padding="same"))
        h, c = recurrent.lstm_gates(z, c, *self._unusual_functions(), axis=self._channel_axis)
        return h, [h, c]


class ConvLSTM(UnitRNN):
    """What ConvLSTM1D, ConvLSTM2D and ConvLSTM3D share; see there."""

    _of_cell = _OF_CELL
    _rank = 2

    def __init__(self, *args, activity_regularizer, layer, **kwargs):
        cell = ConvLSTMCell(self._rank, *args, name="conv_lstm_cell", dtype=kwargs.get("dtype"))
        super().__init__(
            cell, ndim=self._rank + 3, activity_regularizer=activity_regularizer, **layer, **kwargs
        )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """(last output, all outputs, last states); by the fused op where the functions are the usual ones."""
        cell = self.cell
        if cell.data_format != "channels_last" or not self._can_fuse(ConvLSTMCell, sequences, training):
            return super().inner_loop(sequences, initial_state, mask, training)
        return recurrent.conv_lstm(
            cell.project(sequences, training, 1), initial_state, cell.recurrent_kernel, mask, self.go_backwards,
            self.zero_output_for_mask, training,
        )  # fmt: skip

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        """The shape of the output, followed by those of the states if they are returned."""
        batch, steps = sequences_shape[:2]
        state = self.cell.compute_output_shape((batch, *sequences_shape[2:]))[0]
        output = (batch, steps, *state[1:]) if self.return_sequences else state
        return (output, state, state) if self.return_state else output

    def compute_mask(self, inputs, mask=None):
        """That of the inputs if sequences are returned; none for states."""
        output = super().compute_mask(inputs, mask)
        return [output[0], None, None] if self.return_state else output


class ConvLSTM1D(ConvLSTM):
    """Long short-term memory over sequences with one spatial axis: (i, f, g, o) = x * W + h' * U + b;
    c = s(f) c' + s(i) a(g); h = s(o) a(c).

    Args:
        as `ConvLSTM2D`'s: filters, kernel_size and all that follows.

    Example:
        >>> keras.layers.ConvLSTM1D(4, 2)(keras.ops.ones((2, 3, 6, 1))).shape
        (2, 5, 4)

    Source: Shi et al., 2015.
    """

    _rank = 1

    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal", bias_initializer="zeros", unit_forget_bias=True,
        kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
        go_backwards=False, stateful=False, **kwargs,
    ):  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed,
            activity_regularizer=activity_regularizer,
            layer=dict(
                return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
                stateful=stateful,
            ),
            **kwargs,
        )  # fmt: skip


class ConvLSTM2D(ConvLSTM):
    """Long short-term memory over sequences with two spatial axes: (i, f, g, o) = x * W + h' * U + b;
    c = s(f) c' + s(i) a(g); h = s(o) a(c).

    Args:
        filters: the number of channels of either state; h is the output.
        kernel_size, strides, dilation_rate: an integer or one per axis; strides and dilation are those of W.
        padding: "valid" or "same", of W; U keeps the size.
        data_format: "channels_last" or "channels_first"; the session's if None.
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
        return_sequences, return_state, go_backwards, stateful: see `RNN`.

    Example:
        >>> keras.layers.ConvLSTM2D(4, 2)(keras.ops.ones((2, 3, 6, 6, 1))).shape
        (2, 5, 5, 4)

    Source: Shi et al., 2015.
    """

    _rank = 2

    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal", bias_initializer="zeros", unit_forget_bias=True,
        kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
        go_backwards=False, stateful=False, **kwargs,
    ):  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed,
            activity_regularizer=activity_regularizer,
            layer=dict(
                return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
                stateful=stateful,
            ),
            **kwargs,
        )  # fmt: skip


class ConvLSTM3D(ConvLSTM):
    """Long short-term memory over sequences with three spatial axes: (i, f, g, o) = x * W + h' * U + b;
    c = s(f) c' + s(i) a(g); h = s(o) a(c).

    Args:
        as `ConvLSTM2D`'s: filters, kernel_size and all that follows.

    Example:
        >>> keras.layers.ConvLSTM3D(4, 2)(keras.ops.ones((1, 3, 4, 4, 4, 1))).shape
        (1, 3, 3, 3, 4)

    Source: Shi et al., 2015.
    """

    _rank = 3

    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        activation="tanh", recurrent_activation="sigmoid", use_bias=True, kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal", bias_initializer="zeros", unit_forget_bias=True,
        kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
        go_backwards=False, stateful=False, **kwargs,
    ):  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed,
            activity_regularizer=activity_regularizer,
            layer=dict(
                return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
                stateful=stateful,
            ),
            **kwargs,
        )  # fmt: skip
