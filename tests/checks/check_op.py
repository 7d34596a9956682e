"""An op gives the same value eagerly, on a tape and compiled; its gradient agrees with finite differences."""

import numpy as np
import rkeras as keras
from rkeras import _rkeras


def numpy(value):
    return np.asarray(value)


def run_compiled(fn, *arrays):
    """The value of `fn` through a traced and compiled program."""
    graph = _rkeras.Graph()
    with graph:
        out = fn(*(graph.input(a.shape, str(a.dtype)) for a in arrays))
    outs = out if isinstance(out, (list, tuple)) else [out]
    results = [np.asarray(r) for r in graph.compile(list(outs))(*arrays)]
    return results if isinstance(out, (list, tuple)) else results[0]


def tape_gradients(fn, arrays, weight):
    """Gradients of sum(fn(...) * weight) from a tape; None where nothing depends on the input."""
    tensors = [keras.ops.convert_to_tensor(a) for a in arrays]
    with keras.GradientTape() as tape:
        for t in tensors:
            tape.watch(t)
        loss = keras.ops.sum(fn(*tensors) * weight)
    return [None if g is None else np.asarray(g) for g in tape.gradient(loss, tensors)]


def compiled_gradients(fn, arrays, weight):
    """The same gradients from a compiled program."""
    graph = _rkeras.Graph()
    with graph:
        symbols = [graph.input(a.shape, str(a.dtype)) for a in arrays]
        tape = keras.GradientTape()
        with tape:
            for s in symbols:
                tape.watch(s)
            loss = keras.ops.sum(fn(*symbols) * weight)
        grads = tape.gradient(loss, symbols)
    present = [g for g in grads if g is not None]
    values = iter(np.asarray(r) for r in graph.compile(present)(*arrays))
    return [None if g is None else next(values) for g in grads]


def check_value(fn, arrays, expected=None, rtol=1e-5, atol=1e-6):
    """Eager equals compiled bit by bit (within fused rounding) and both equal `expected(*arrays)`."""
    eager = fn(*(keras.ops.convert_to_tensor(a) for a in arrays))
    many = isinstance(eager, (list, tuple))
    eager_list = [np.asarray(e) for e in (eager if many else [eager])]
    compiled = run_compiled(fn, *arrays)
    for e, c in zip(eager_list, compiled if many else [compiled], strict=True):
        assert e.shape == c.shape and e.dtype == c.dtype
        np.testing.assert_allclose(c, e, rtol=rtol, atol=atol)
    if expected is not None:
        want = expected(*arrays)
        for e, w in zip(eager_list, want if many else [want], strict=True):
            w = np.asarray(w)
            assert e.shape == w.shape, f"shape {e.shape}, expected {w.shape}"
            np.testing.assert_allclose(e.astype(w.dtype), w, rtol=rtol, atol=atol)
    return eager


def check_gradient(fn, arrays, step=1e-6, rtol=1e-5, atol=1e-6, seed=0):
    """Float64 gradients from the tape and from a program agree with central differences along a random direction."""
    arrays = [np.asarray(a, "float64") for a in arrays]
    rng = np.random.default_rng(seed)
    out = np.asarray(fn(*(keras.ops.convert_to_tensor(a) for a in arrays)))
    weight = rng.standard_normal(out.shape)
    taped = tape_gradients(fn, arrays, weight)
    compiled = compiled_gradients(fn, arrays, weight)
    for i, (t, c) in enumerate(zip(taped, compiled, strict=True)):
        assert t is not None, f"input {i} has no gradient"
        np.testing.assert_allclose(c, t, rtol=1e-9, atol=1e-11)
        direction = rng.standard_normal(arrays[i].shape)

        def loss(shift, i=i, direction=direction):
            moved = [a + shift * direction if j == i else a for j, a in enumerate(arrays)]
            return np.sum(np.asarray(fn(*(keras.ops.convert_to_tensor(a) for a in moved))) * weight)

        measured = (loss(step) - loss(-step)) / (2 * step)
        np.testing.assert_allclose(
            np.sum(t * direction), measured, rtol=rtol, atol=atol * max(1.0, np.abs(weight).sum())
        )
