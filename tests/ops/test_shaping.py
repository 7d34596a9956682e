"""Shapes, slices, joins and matrix products against NumPy; gradients against finite differences."""

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import check_gradient, check_value
from checks.strategies import axis_of, floats, nonscalar_shapes, seeds
from hypothesis import given
from hypothesis import strategies as st

ops = keras.ops


def both(fn, reference, *arrays, rtol=1e-9):
    check_value(fn, list(arrays), reference, rtol=rtol)
    check_gradient(fn, list(arrays))


@given(shape=nonscalar_shapes, seed=seeds, data=st.data())
def test_moves(shape, seed, data):
    x = floats(shape, seed)
    order = data.draw(st.permutations(range(len(shape))))
    both(lambda a: ops.transpose(a, order), lambda a: np.transpose(a, order), x)
    both(lambda a: ops.reshape(a, (-1,)), lambda a: a.reshape(-1), x)
    both(lambda a: ops.reshape(ops.transpose(a, order), (-1,)), lambda a: a.transpose(order).reshape(-1), x)
    axis = data.draw(axis_of(shape, none=False))
    both(lambda a: ops.flip(a, axis), lambda a: np.flip(a, axis), x)
    both(lambda a: ops.expand_dims(a, axis), lambda a: np.expand_dims(a, axis), x)
    both(lambda a: ops.squeeze(ops.expand_dims(a, axis), axis), lambda a: a, x)
    both(lambda a: ops.broadcast_to(a, (3, *shape)), lambda a: np.broadcast_to(a, (3, *shape)), x)
    both(lambda a: ops.roll(a, 2, axis=axis), lambda a: np.roll(a, 2, axis=axis), x)


@given(shape=nonscalar_shapes, seed=seeds, data=st.data())
def test_joins(shape, seed, data):
    axis = data.draw(axis_of(shape, none=False))
    x, y = floats(shape, seed), floats(shape, seed + 1)
    both(lambda a, b: ops.concatenate([a, b], axis=axis), lambda a, b: np.concatenate([a, b], axis), x, y)
    both(lambda a, b: ops.stack([a, b], axis=axis), lambda a, b: np.stack([a, b], axis), x, y)
    reps = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=len(shape)))
    both(lambda a: ops.tile(a, reps), lambda a: np.tile(a, reps), x)
    both(lambda a: ops.repeat(a, 2, axis=axis), lambda a: np.repeat(a, 2, axis=axis), x)
    whole = np.concatenate([x, x, y], axis)
    split = lambda a: ops.split(a, 3, axis=axis)[1]
    both(split, lambda a: np.split(a, 3, axis)[1], whole)


@pytest.mark.parametrize("mode", ["constant", "reflect", "symmetric"])
@given(seed=seeds, data=st.data(), rank=st.integers(1, 3))
def test_pad(mode, seed, data, rank):
    x = floats(tuple(data.draw(st.integers(3, 5)) for _ in range(rank)), seed)
    width = [(data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))) for _ in range(rank)]
    both(lambda a: ops.pad(a, width, mode=mode), lambda a: np.pad(a, width, mode=mode), x)


def slices(draw, n):
    start, stop = draw(st.none() | st.integers(-n, n)), draw(st.none() | st.integers(-n, n))
    return slice(start, stop, draw(st.sampled_from([None, 1, 2, -1, -2])))


@given(shape=nonscalar_shapes, seed=seeds, data=st.data())
def test_indexing(shape, seed, data):
    x = floats(shape, seed)
    index = []
    for n in shape[: data.draw(st.integers(0, len(shape)))]:
        kind = data.draw(st.sampled_from(["int", "slice", "new"]))
        if kind == "new":
            index.append(None)
        index.append(data.draw(st.integers(-n, n - 1)) if kind == "int" else slices(data.draw, n))
    if data.draw(st.booleans()):
        index.append(Ellipsis)
    index = tuple(index)
    check_value(lambda a: a[index], [x], lambda a: a[index])
    if x[index].size:
        check_gradient(lambda a: a[index], [x])


@given(seed=seeds, n=st.integers(2, 5))
def test_fancy_indexing(seed, n):
    x = floats((n, 4, 3), seed)
    rows = np.random.default_rng(seed).integers(-n, n, (5,))
    both(lambda a: a[rows], lambda a: a[rows], x)
    both(lambda a: ops.take(a, np.abs(rows) % 4, axis=1), lambda a: np.take(a, np.abs(rows) % 4, axis=1), x)
    np.testing.assert_array_equal(np.asarray(ops.convert_to_tensor(x)[x > 0]), x[x > 0])


@given(seed=seeds, shape=nonscalar_shapes, data=st.data())
def test_take_along_axis(seed, shape, data):
    axis = data.draw(axis_of(shape, none=False))
    x = floats(shape, seed)
    index = np.random.default_rng(seed).integers(0, shape[axis], shape).astype("int32")
    both(lambda a: ops.take_along_axis(a, index, axis=axis), lambda a: np.take_along_axis(a, index, axis), x)


@given(seed=seeds, classes=st.integers(2, 6), shape=nonscalar_shapes)
def test_one_hot(seed, classes, shape):
    labels = np.random.default_rng(seed).integers(0, classes, shape).astype("int32")
    check_value(lambda a: ops.one_hot(a, classes), [labels], lambda a: np.eye(classes, dtype="float32")[a])


@given(seed=seeds, data=st.data())
def test_slice_update(seed, data):
    x, y = floats((4, 5), seed), floats((2, 3), seed + 1)
    start = (data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2)))

    def reference(a, b):
        a = a.copy()
        a[start[0] : start[0] + 2, start[1] : start[1] + 3] = b
        return a

    both(lambda a, b: ops.slice_update(a, start, b), reference, x, y)
    both(
        lambda a: ops.slice(a, start, (2, 3)),
        lambda a: a[start[0] : start[0] + 2, start[1] : start[1] + 3],
        x,
    )


@given(seed=seeds, data=st.data(), m=st.integers(1, 7), k=st.integers(1, 7), n=st.integers(1, 20))
def test_matmul(seed, data, m, k, n):
    batch = tuple(data.draw(st.lists(st.integers(1, 3), max_size=2)))
    x, y = floats((*batch, m, k), seed), floats((k, n), seed + 1)
    both(ops.matmul, np.matmul, x, y)
    both(
        lambda a, b: ops.matmul(ops.swapaxes(a, -1, -2), b),
        lambda a, b: np.matmul(a.swapaxes(-1, -2), b),
        x.swapaxes(-1, -2).copy(),
        y,
    )
    both(ops.matmul, np.matmul, x, floats((*batch, k, n), seed + 2))
    both(ops.matmul, np.matmul, floats((k,), seed), y)
    both(lambda a, b: ops.einsum("...ij,jk->...ik", a, b), np.matmul, x, y)
    both(lambda a, b: ops.tensordot(a, b, axes=1), lambda a, b: np.tensordot(a, b, axes=1), x, y)
