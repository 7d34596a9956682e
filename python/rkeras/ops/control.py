"""Control flow: branches, loops, scans, maps. Traced once inside a compiled step."""

from rkeras import _rkeras
from rkeras._core import tree
from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import cast, convert_to_tensor

core = operation("core")
_cond = primitive("cond")
_scan = primitive("scan")
_while_loop = primitive("while_loop")


def _like(structure):
    """Specs of the tensors of a structure."""
    return [_rkeras.spec(t.shape, t.dtype) for t in structure]


def _tensors(structure):
    return [convert_to_tensor(v) for v in tree.flatten(structure)]


@core
def cond(pred, true_fn, false_fn):
    """true_fn() if pred, else false_fn(); inside a trace both are traced.

    Args:
        pred: a truth value.
        true_fn, false_fn: functions without arguments that give alike structures.

    Example:
        >>> keras.ops.cond(True, lambda: 1, lambda: 2)
        1
    """
    if not isinstance(pred, (_rkeras.Tensor, _rkeras.Variable)):
        return true_fn() if pred else false_fn()
    pred = convert_to_tensor(pred)
    if _rkeras.mode() == "eager" and not pred.is_symbolic:
        return true_fn() if bool(pred) else false_fn()
    kept = []

    def traced(fn):
        def body(*_):
            out = fn()
            kept.append(out)
            return _tensors(out)

        return body

    then, then_captured = _rkeras.trace_function(traced(true_fn), [])
    other, other_captured = _rkeras.trace_function(traced(false_fn), [])
    pred = cast(pred, "bool")
    out = _cond(
        pred, *then_captured, *other_captured, true_fn=then, false_fn=other, true_count=len(then_captured)
    )  # fmt: skip
    return _pack(kept[0], out)


def _pack(structure, out):
    flat = list(out) if isinstance(out, (list, tuple)) else [out]
    return tree.pack_sequence_as(structure, flat) if tree.is_nested(structure) else flat[0]


@core
def while_loop(cond, body, loop_vars, maximum_iterations=None):
    """Repeats `loop_vars = body(*loop_vars)` while cond(*loop_vars).

    Args:
        cond: a function that gives a truth value.
        body: a function that gives new loop variables of the same shapes and dtypes.
        loop_vars: tensors, nested.
        maximum_iterations: an upper bound, or None.

    Example:
        >>> keras.ops.while_loop(lambda i: i < 5, lambda i: (i + 2,), (0,))[0].item()
        6
    """
    is_sequence = isinstance(loop_vars, (list, tuple))
    values = tuple(loop_vars) if is_sequence else (loop_vars,)
    flat = _tensors(values)
    if _rkeras.mode() == "eager" and not any(t.is_symbolic for t in flat):
        values, n = tree.pack_sequence_as(values, flat), 0
        while (maximum_iterations is None or n < maximum_iterations) and bool(
            convert_to_tensor(cond(*values))
        ):
            out = body(*values)
            values = tuple(out) if is_sequence else (out,)
            n += 1
        return (
            type(loop_vars)(values)
            if is_sequence and not hasattr(loop_vars, "_fields")
            else values[0]
            if not is_sequence
            else values
        )

    def test(*leaves):
        return [cast(convert_to_tensor(cond(*tree.pack_sequence_as(values, leaves))), "bool")]

    def step(*leaves):
        out = body(*tree.pack_sequence_as(values, leaves))
        new = _tensors(tuple(out) if is_sequence else (out,))
        return [cast(v, old.dtype) for v, old in zip(new, flat, strict=True)]

    test_fn, test_captured = _rkeras.trace_function(test, _like(flat))
    step_fn, step_captured = _rkeras.trace_function(step, _like(flat))
    out = _while_loop(
        *flat, *test_captured, *step_captured, cond=test_fn, body=step_fn, cond_count=len(test_captured),
        maximum_iterations=maximum_iterations,
    )  # fmt: skip
    out = list(out) if isinstance(out, (list, tuple)) else [out]
    result = tree.pack_sequence_as(values, out)
    return list(result) if isinstance(loop_vars, list) else result if is_sequence else result[0]


@core
def fori_loop(lower, upper, body_fun, init_val):
    """Repeats `value = body_fun(i, value)` for i from lower up to but without upper.

    Example:
        >>> keras.ops.fori_loop(0, 4, lambda i, total: total + i, 0).item()
        6
    """
    value = while_loop(
        lambda i, value: i < upper,
        lambda i, value: (i + 1, body_fun(i, value)),
        (convert_to_tensor(lower, "int32"), init_val),
    )
    return value[1]


@core
def scan(f, init, xs=None, length=None, reverse=False, unroll=1):
    """Folds f over the first axis: (carry, x) -> (carry, y).

    Args:
        f: a function of (carry, slice of xs) that gives (new carry, y).
        init: the first carry, nested.
        xs: tensors with the same first axis, nested; None to repeat `length` times.
        length: the number of steps, if xs does not tell.
        reverse: whether to go from the last slice to the first.
        unroll: a hint that is not needed here.

    Returns:
        (the last carry, the ys stacked).

    Example:
        >>> x = keras.ops.convert_to_tensor([1, 2, 3])
        >>> total, sums = keras.ops.scan(lambda c, x: (c + x, c + x), 0, x)
        >>> total.item(), sums.numpy().tolist()
        (6, [1, 3, 6])
    """
    if not callable(f):
        raise TypeError(f"scan: expected a function f. Received: {type(f).__name__}")
    flat_xs = [] if xs is None else _tensors(xs)
    flat_init = _tensors(init)
    sizes = {t.shape[0] for t in flat_xs}
    if length is not None:
        sizes.add(int(length))
    if len(sizes) != 1:
        raise ValueError(
            "scan: expected xs with the same first axis, or length. Received: "
            f"{sorted(str(s) for s in sizes)}"
        )
    n = sizes.pop()
    if n is None:
        raise ValueError("scan: expected a known number of steps. Received: None")
    kept = []

    def step(*leaves):
        carry = leaves[: len(flat_init)]
        x = leaves[len(flat_init) :]
        carry = tree.pack_sequence_as(init, carry) if tree.is_nested(init) else carry[0]
        x = None if xs is None else tree.pack_sequence_as(xs, x) if tree.is_nested(xs) else x[0]
        new, y = f(carry, x)
        kept.append(y)
        new = [cast(v, old.dtype) for v, old in zip(_tensors(new), flat_init, strict=True)]
        return [*new, *([] if y is None else _tensors(y))]

    specs = [*_like(flat_init), *[_rkeras.spec(t.shape[1:], t.dtype) for t in flat_xs]]
    function, captured = _rkeras.trace_function(step, specs)
    out = _scan(
        *flat_init, *flat_xs, *captured, body=function, carries=len(flat_init), xs=len(flat_xs), length=n,
        reverse=bool(reverse),
    )  # fmt: skip
    out = list(out) if isinstance(out, (list, tuple)) else [out]
    carry, ys = out[: len(flat_init)], out[len(flat_init) :]
    carry = tree.pack_sequence_as(init, carry) if tree.is_nested(init) else carry[0]
    y = kept[0]
    return carry, None if y is None else _pack(y, ys)


@core
def map(f, xs):
    """f applied to every slice along the first axis, the results stacked.

    Example:
        >>> keras.ops.map(lambda x: x * 2, keras.ops.convert_to_tensor([1, 2])).numpy().tolist()
        [2, 4]
    """
    _, ys = scan(lambda _, x: ((), f(x)), (), xs)
    return ys


@core
def vectorized_map(function, elements):
    """function applied to every slice along the first axis; see `map`."""
    return map(function, elements)


@core
def switch(index, branches, *operands):
    """branches[index](*operands); an index outside is moved to the nearest branch.

    Example:
        >>> keras.ops.switch(1, [lambda x: x, lambda x: -x], 3)
        -3
    """
    if not isinstance(index, (_rkeras.Tensor, _rkeras.Variable)):
        return branches[min(max(int(index), 0), len(branches) - 1)](*operands)
    result = branches[-1]
    for i in range(len(branches) - 2, -1, -1):
        result = _branch(index, i, branches[i], result, operands)
    return result(*operands)


def _branch(index, i, chosen, other, operands):
    return lambda *_: cond(index <= i, lambda: chosen(*operands), lambda: other(*operands))
