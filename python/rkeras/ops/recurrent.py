"""The loop of recurrent layers: a step function over the second axis, with masks."""

from rkeras import _rkeras
from rkeras._core import tree
from rkeras._core.primitive import primitive
from rkeras._core.tensor import cast, convert_to_tensor
from rkeras.ops.activation import sigmoid
from rkeras.ops.control import scan
from rkeras.ops.creation import zeros, zeros_like
from rkeras.ops.logic import where
from rkeras.ops.reduction import any as any_of
from rkeras.ops.shaping import expand_dims, flip, split, stack, transpose
from rkeras.ops.trigonometry import tanh

# The dtypes of the fused ops, and those that are cast to float32 around them.
FUSED = ("float32", "float64")
HALVES = ("float16", "bfloat16")
_lstm = primitive("lstm")
_gru = primitive("gru")
_conv_lstm = primitive("conv_lstm")
_lstm_cell = primitive("lstm_cell")


def like(x, shape):
    """A value that is known by shape alone, with the dtype of x: what stands for sizes that are unknown."""
    return _rkeras.spec(shape, x.dtype)


def swap_time(x):
    """x with its first two axes (batch and time) exchanged."""
    return transpose(x, (1, 0, *range(2, len(x.shape))))


def step_mask(mask):
    """A mask (batch, time, ...) as truth values (batch, time); a step counts where any of its features does."""
    mask = cast(convert_to_tensor(mask), "bool")
    return any_of(mask, axis=tuple(range(2, len(mask.shape)))) if len(mask.shape) > 2 else mask


def _keep(mask, new, old):
    """new where the mask (batch,) is true, else old."""
    for _ in range(len(new.shape) - 1):
        mask = expand_dims(mask, -1)
    return where(mask, new, cast(old, new.dtype))


def _output_before(step, x, states):
    """What a masked first step gives out: the first state (of the last cell) where it is like an output, or zeros."""
    with _rkeras.SpecScope():  # tried on shapes alone
        x, known = tree.map_structure(lambda t: like(t, t.shape), (x, states))
        y, _ = step(x, known)
    state = states[-1][0] if tree.is_nested(states[0]) else states[0]
    if not tree.is_nested(state) and tuple(state.shape) == tuple(y.shape):
        return cast(state, y.dtype)
    return zeros(y.shape, y.dtype)


def rnn(
    step, inputs, states, mask=None, go_backwards=False, unroll=False, zero_output=False, keep_states=False
):  # fmt: skip
    """Calls `step(x, states) -> (y, states)` on every slice of the inputs along axis 0.

    Where the mask is false, the states stay and y is that of the step before (or zero).

    Args:
        step: a function of a slice of the inputs and a list of states.
        inputs: a tensor (time, batch, ...).
        states: a list of tensors (batch, ...), nested.
        mask: truth values (batch, time), or None.
        go_backwards: whether to go from the last slice to the first; the outputs then are in that order.
        unroll: whether to repeat the step in the trace, instead of looping.
        zero_output: whether outputs of masked steps are zero.
        keep_states: whether the loop shall store all states, which spares the way back a second pass.

    Returns:
        (y of the last step, the ys (batch, time, ...), the last states).
    """
    steps, xs = inputs.shape[0], inputs
    if _rkeras.mode() == "spec" or steps is None:
        y, states = step(like(inputs, inputs.shape[1:]), states)
        return y, like(y, (y.shape[0], steps, *y.shape[1:])), states
    if steps == 0:
        raise ValueError(f"RNN: expected at least one step. Received: inputs of shape {tuple(inputs.shape)}")
    mask = None if mask is None else swap_time(step_mask(mask))
    before = None if mask is None or zero_output else _output_before(step, xs[0], states)

    def run(x, keep, old, before):
        y, new = step(x, old)
        if keep is None:
            return y, new
        y = _keep(keep, y, zeros_like(y) if zero_output else before)
        return y, tree.map_structure(lambda n, o: _keep(keep, n, o), new, old)

    if unroll:
        return _unrolled(run, xs, mask, states, before, go_backwards)

    # The carry is a flat list, as None has no place in it: the states, then the output before, if it is needed.
    count = len(tree.flatten(states))

    def body(carry, slices):
        old = tree.pack_sequence_as(states, list(carry[:count]))
        keep = None if mask is None else slices[1]
        y, new = run(slices[0], keep, old, carry[-1] if before is not None else None)
        new = tree.flatten(new)
        return [*new, *([] if before is None else [y])], [y, *(new if keep_states else [])]

    start = [*tree.flatten(states), *([] if before is None else [before])]
    last, ys = scan(body, start, [xs] if mask is None else [xs, mask], reverse=go_backwards)
    outputs = ys[0]
    y = outputs[0] if go_backwards else outputs[-1]
    outputs = swap_time(flip(outputs, 0) if go_backwards else outputs)
    return y, outputs, tree.pack_sequence_as(states, list(last[:count]))


def _unrolled(run, xs, mask, states, y, go_backwards):
    ys = []
    steps = range(xs.shape[0])
    for i in reversed(steps) if go_backwards else steps:
        y, states = run(xs[i], None if mask is None else mask[i], states, y)
        ys.append(y)
    return y, stack(ys, axis=1), states


def _fused(function, dtype, inputs, masks=(), **attributes):
    """What a fused op gives, as a tuple. Half precision is cast around it: what it holds between its steps is float32."""
    if dtype in HALVES:
        inputs = [cast(v, "float32") for v in inputs]
    out = function(*masks, *inputs, **attributes)
    out = out if isinstance(out, (list, tuple)) else (out,)
    return tuple(cast(v, dtype) for v in out) if dtype in HALVES else out


def lstm_gates(z, c, activation, gate, axis=-1):
    """h and the next c of long short-term memory from the sums of its gates i, f, g, o along an axis.

    Args:
        z: the sums (..., 4 units).
        c: the state (..., units).
        activation, gate: the functions of g and c, and of the other gates; None stands for tanh and sigmoid.
        axis: that of the gates.
    """
    if activation is None and gate is None and axis in (-1, len(z.shape) - 1) and z.dtype in FUSED + HALVES:
        return _fused(_lstm_cell, z.dtype, [z, c])
    i, f, g, o = split(z, 4, axis=axis)
    activation, gate = activation or tanh, gate or sigmoid
    c = gate(f) * c + gate(i) * activation(g)
    return gate(o) * activation(c), c


def can_fuse(inputs):
    """Whether the fused ops take these inputs: floats, the number of steps known."""
    known = _rkeras.mode() != "spec" and inputs.shape[1]
    return bool(known) and inputs.dtype in FUSED + HALVES


def lstm(inputs, states, kernel, mask, go_backwards, zero_output, training):
    """Long short-term memory over all steps by the fused op; see `rnn`.

    Args:
        inputs: the part of the gates i, f, g, o that needs no state (batch, time, 4 units).
        states: h and c (batch, units).
        kernel: the recurrent matrix (units, 4 units).
        mask, go_backwards, zero_output: as in `rnn`.
        training: whether to store what the gradient needs.
    """
    return _long_short(_lstm, inputs, states, kernel, mask, go_backwards, zero_output, training)


def conv_lstm(inputs, states, kernel, mask, go_backwards, zero_output, training):
    """Long short-term memory whose states are images, over all steps by the fused op; see `rnn`.

    Args:
        inputs: the part of the gates i, f, g, o that needs no state (batch, time, spatial..., 4 units).
        states: h and c (batch, spatial..., units).
        kernel: that of the convolution of h, which keeps the size (sizes..., units, 4 units).
        mask, go_backwards, zero_output: as in `rnn`.
        training: whether to store what the gradient needs.
    """
    return _long_short(_conv_lstm, inputs, states, kernel, mask, go_backwards, zero_output, training)


def _long_short(op, inputs, states, kernel, mask, go_backwards, zero_output, training):
    masks = [] if mask is None else [step_mask(mask)]
    h, c = _fused(
        op, inputs.dtype, [inputs, *states, kernel], masks,
        reverse=go_backwards, masked=bool(masks), keep=bool(training),
    )[:2]  # fmt: skip
    y, outputs, last = _finish(h, masks, go_backwards, zero_output)
    return y, outputs, [last, c]


def gru(inputs, state, kernel, bias, mask, go_backwards, zero_output, training):
    """The gated recurrent unit (`reset_after`) over all steps by the fused op; see `rnn`.

    Args:
        inputs: the part of z, r, g that needs no state (batch, time, 3 units).
        state: h (batch, units).
        kernel: the recurrent matrix (units, 3 units).
        bias: what is added to its product (3 units,), or None.
        mask, go_backwards, zero_output: as in `rnn`.
        training: whether to store what the gradient needs.
    """
    masks = [] if mask is None else [step_mask(mask)]
    bias = zeros((inputs.shape[-1],), inputs.dtype) if bias is None else bias
    h, *_ = _fused(
        _gru, inputs.dtype, [inputs, state, kernel, bias], masks,
        reverse=go_backwards, masked=bool(masks), keep=bool(training),
    )  # fmt: skip
    y, outputs, last = _finish(h, masks, go_backwards, zero_output)
    return y, outputs, [last]


def _finish(h, masks, go_backwards, zero_output):
    """(last output, all outputs in the order of the steps, last state) from the states in the order of time."""
    at = 0 if go_backwards else -1
    last, outputs = h[:, at], h
    if masks and zero_output:
        outputs = _keep_rows(masks[0], h)
    y = outputs[:, at]
    return y, flip(outputs, 1) if go_backwards else outputs, last


def _keep_rows(mask, h):
    for _ in range(len(h.shape) - 2):
        mask = expand_dims(mask, -1)
    return where(mask, h, zeros_like(h))
