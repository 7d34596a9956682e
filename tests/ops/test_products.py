"""Products and linear algebra against NumPy; gradients against finite differences."""

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import check_gradient, check_value
from checks.strategies import floats, seeds
from hypothesis import given
from hypothesis import strategies as st
from rkeras._core.primitive import primitive

ops = keras.ops
sizes = st.integers(1, 7)


@given(
    m=sizes, n=sizes, k=sizes, seed=seeds, left=st.booleans(), right=st.booleans(),
    batch=st.sampled_from([((), ()), ((2,), (2,)), ((3,), ()), ((), (2,)), ((2, 1), (3,))]),
)  # fmt: skip
def test_matmul(m, n, k, seed, left, right, batch):
    """Operands are drawn as they lie or as transposes; batches broadcast."""
    a = floats((*batch[0], *((k, m) if left else (m, k))), seed)
    b = floats((*batch[1], *((n, k) if right else (k, n))), seed + 1)
    turned = lambda x, turn: np.swapaxes(x, -1, -2) if turn else x
    fn = lambda x, y: ops.matmul(
        ops.swapaxes(x, -1, -2) if left else x, ops.swapaxes(y, -1, -2) if right else y
    )
    check_value(fn, [a, b], lambda x, y: turned(x, left) @ turned(y, right), rtol=1e-9, atol=1e-11)
    check_gradient(fn, [a, b])


@given(m=sizes, n=sizes, k=st.integers(1, 300), seed=seeds, right=st.booleans())
def test_int8_products_are_summed_in_int32(m, n, k, seed, right):
    """matmul and einsum give int32; dot and tensordot give int8, which wraps, as in Keras."""
    draw = np.random.default_rng(seed)
    a, b = (draw.integers(-128, 128, shape, "int8") for shape in ((2, m, k), (n, k) if right else (k, n)))
    b = b.T if right else b
    want = a.astype("int32") @ b.astype("int32")
    for y in (ops.matmul(a, b), ops.einsum("bij,jk->bik", a, b)):
        assert y.dtype == "int32"
        np.testing.assert_array_equal(y, want)
    for y in (ops.dot(a, b), ops.tensordot(a, b, 1)):
        assert y.dtype == "int8"
        np.testing.assert_array_equal(y, want.astype("int8"))
    assert ops.matmul(keras.KerasTensor((None, k), "int8"), b).dtype == "int32"
    total = ops.einsum("bij->b", a)
    np.testing.assert_array_equal(total, a.astype("int32").sum((1, 2)))


def test_products_of_truth_values():
    x = np.array([[True, False], [False, False]])
    y = ops.matmul(x, x.T)
    assert y.dtype == "bool"
    np.testing.assert_array_equal(y, [[True, False], [False, False]])


@pytest.mark.parametrize(
    "formula", ["ij,jk->ik", "bij,bjk->bki", "btd,dhk->bthk", "bthd,bshd->bhts", "ij,ij->i"]
)
@given(seed=seeds, data=st.data())
def test_einsum(formula, seed, data):
    size = {letter: data.draw(st.integers(1, 4), letter) for letter in "abcdefhijklmnstb"}
    inputs = formula.split("->")[0].split(",")
    arrays = [floats(tuple(size[c] for c in term), seed + i) for i, term in enumerate(inputs)]
    fn = lambda *x: ops.einsum(formula, *x)
    check_value(fn, arrays, lambda *x: np.einsum(formula, *x), rtol=1e-9, atol=1e-11)
    check_gradient(fn, arrays)


def well_posed(n, seed):
    """A matrix far from singular."""
    return floats((n, n), seed) / n + 2.0 * np.eye(n)


@given(n=st.integers(1, 4), columns=st.integers(1, 3), seed=seeds)
def test_inverse_determinant_and_solution(n, columns, seed):
    a, b = well_posed(n, seed), floats((n, columns), seed + 1)
    check_value(primitive("inv"), [a], np.linalg.inv, rtol=1e-8, atol=1e-9)
    check_value(primitive("det"), [a], np.linalg.det, rtol=1e-8)
    check_value(primitive("solve"), [a, b], np.linalg.solve, rtol=1e-8, atol=1e-9)
    check_gradient(primitive("inv"), [a])
    check_gradient(primitive("det"), [a])
    check_gradient(primitive("solve"), [a, b])


@given(n=st.integers(1, 4), seed=seeds)
def test_cholesky(n, seed):
    a = floats((n, n), seed)
    fn = lambda x: primitive("cholesky")(
        ops.matmul(x, ops.transpose(x)) + ops.cast(4.0 * ops.eye(n), "float64")
    )
    check_value(fn, [a], lambda x: np.linalg.cholesky(x @ x.T + 4.0 * np.eye(n)), rtol=1e-8, atol=1e-9)
    check_gradient(fn, [a])
