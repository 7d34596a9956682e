"""Products of matrices and tensors, norms, factorisations."""

from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import FLOATS, cast, convert_to_tensor
from rkeras.ops import views

op = operation("numpy")
lin = operation("linalg")
_matmul = primitive("matmul")
_multiply = primitive("multiply")
_reshape = primitive("reshape")
_transpose = primitive("transpose")
_sum = primitive("sum")
_max = primitive("max")
_min = primitive("min")
_absolute = primitive("absolute")
_sqrt = primitive("sqrt")
_square = primitive("square")


@op
def matmul(x1, x2):
    """The matrix product of the last two axes, the others broadcast; int8 operands give int32.

    Args:
        x1: tensor of shape (..., m, k), or a vector.
        x2: tensor of shape (..., k, n), or a vector.

    Example:
        >>> keras.ops.matmul([[1.0, 2.0]], [[3.0], [4.0]]).numpy().tolist()
        [[11.0]]
    """
    return _product(x1, x2)


def _product(x1, x2):
    """The core's product, with vectors as NumPy has them: a row on the left, a column on the right."""
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    if x1.dtype == x2.dtype == "bool":  # is there a pair that is true in both?
        return cast(_product(cast(x1, "int32"), cast(x2, "int32")), "bool")
    if x1.ndim >= 2 and x2.ndim >= 2:
        return _matmul(x1, x2)
    if x1.ndim == 0 or x2.ndim == 0:
        raise ValueError(
            f"matmul: expected at least one axis each. Received: shapes {x1.shape} and {x2.shape}"
        )
    row, column = x1.ndim == 1, x2.ndim == 1
    y = _matmul(views.expand_dims(x1, 0) if row else x1, views.expand_dims(x2, 1) if column else x2)
    if column:
        y = views.squeeze(y, y.ndim - 1)
    return views.squeeze(y, y.ndim - (1 if column else 2)) if row else y


@op
def dot(x1, x2):
    """The sum product of the last axis of x1 and the last but one of x2 (the only one of a vector).

    Example:
        >>> keras.ops.dot([1.0, 2.0], [3.0, 4.0]).item()
        11.0
    """
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return _multiply(x1, x2)
    if x1.ndim <= 2 and x2.ndim <= 2:
        return _product(x1, x2)
    return tensordot(x1, x2, ([x1.ndim - 1], [x2.ndim - 2 if x2.ndim > 1 else 0]))


@op
def vdot(x1, x2):
    """The sum of the products of all elements."""
    return _sum(_multiply(_reshape(x1, newshape=(-1,)), _reshape(x2, newshape=(-1,))))


@op
def inner(x1, x2):
    """The sum product over the last axes of both."""
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    if x1.ndim == 0 or x2.ndim == 0:
        return _multiply(x1, x2)
    return tensordot(x1, x2, ([x1.ndim - 1], [x2.ndim - 1]))


@op
def outer(x1, x2):
    """All products of an element of x1 and one of x2.

    Example:
        >>> keras.ops.outer([1, 2], [3, 4]).numpy().tolist()
        [[3, 4], [6, 8]]
    """
    return _multiply(_reshape(x1, newshape=(-1, 1)), _reshape(x2, newshape=(1, -1)))


def _sizes(x, axes):
    n = 1
    for a in axes:
        d = x.shape[a]
        if d is None or n is None:
            return None
        n *= d
    return n


@op
def tensordot(x1, x2, axes=2):
    """The sum product over given axes.

    Args:
        x1, x2: tensors.
        axes: how many last axes of x1 and first axes of x2, or (axes of x1, axes of x2).

    Example:
        >>> keras.ops.tensordot([1.0, 2.0], [3.0, 4.0], axes=1).item()
        11.0
    """
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    if isinstance(axes, int):
        a1, a2 = list(range(x1.ndim - axes, x1.ndim)), list(range(axes))
    else:
        a1, a2 = ([a] if isinstance(a, int) else list(a) for a in axes)
    a1, a2 = [a % x1.ndim for a in a1], [a % x2.ndim for a in a2]
    free1 = [a for a in range(x1.ndim) if a not in a1]
    free2 = [a for a in range(x2.ndim) if a not in a2]
    k = _sizes(x1, a1)
    k = _sizes(x2, a2) if k is None else k
    rows, columns = _sizes(x1, free1), _sizes(x2, free2)
    left = _reshape(_transpose(x1, axes=[*free1, *a1]), newshape=(-1 if rows is None else rows, k))
    right = _reshape(_transpose(x2, axes=[*a2, *free2]), newshape=(k, -1 if columns is None else columns))
    shape = [x1.shape[a] for a in free1] + [x2.shape[a] for a in free2]
    y = _product(left, right)
    if x1.dtype == x2.dtype == "int8":  # only matmul and einsum keep the int32 sums
        y = cast(y, "int8")
    return _reshape(y, newshape=[-1 if d is None else d for d in shape])


def _labels(part, rank, who):
    """The letters of one operand; "..." becomes as many capital-free marks as axes are left."""
    if "..." in part:
        before, after = part.split("...")
        hidden = rank - len(before) - len(after)
        if hidden < 0:
            raise ValueError(
                f"einsum: expected at least {len(before) + len(after)} axes for {part!r}. Received: {rank}"
            )
        return [*before, *(("dot", hidden - i) for i in range(hidden)), *after]
    if len(part) != rank:
        raise ValueError(f"einsum: expected {len(part)} axes for {part!r} in {who!r}. Received: {rank}")
    return list(part)


@op
def einsum(subscripts, *operands, **kwargs):
    """Sums of products by labels, e.g. "ij,jk->ik".

    Args:
        subscripts: the labels of each operand, "->", those of the result; "..." for any leading axes.
        *operands: tensors.

    Example:
        >>> keras.ops.einsum("ij,j->i", [[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0]).numpy().tolist()
        [3.0, 7.0]
    """
    subscripts = subscripts.replace(" ", "")
    left, arrow, right = subscripts.partition("->")
    parts = left.split(",")
    xs = [convert_to_tensor(x) for x in operands]
    if len(parts) != len(xs):
        raise ValueError(f"einsum: expected {len(parts)} operands for {subscripts!r}. Received: {len(xs)}")
    labels = [_labels(p, x.ndim, subscripts) for p, x in zip(parts, xs, strict=True)]
    everything = [m for row in labels for m in row]
    dots = sorted({m for m in everything if isinstance(m, tuple)}, reverse=True)
    if arrow:
        if "..." in right:
            before, after = right.split("...")
            output = [*before, *dots, *after]
        else:
            output = list(right)
    else:
        output = dots + sorted(m for m in set(everything) - set(dots) if everything.count(m) == 1)
    for row in output:
        if row not in everything:
            raise ValueError(
                f"einsum: expected labels of the operands in the result. Received: {row!r} in {subscripts!r}"
            )
    xs, labels = list(xs), list(labels)
    if all(x.dtype == "int8" for x in xs):
        # The product of two sums in int32; what is summed or multiplied otherwise has to be wide before.
        alone = set(labels[0]) ^ set(labels[-1])
        if len(xs) != 2 or not alone <= set(output):
            xs = [cast(x, "int32") for x in xs]
    for i, (x, row) in enumerate(zip(xs, labels, strict=True)):
        xs[i], labels[i] = _diagonals(x, row)
    x, row = xs[0], labels[0]
    for i in range(1, len(xs)):
        later = {m for rest in labels[i + 1 :] for m in rest} | set(output)
        x, row = _contract(x, row, xs[i], labels[i], later)
    return _arrange(x, row, output)


def _diagonals(x, row):
    """Axes with the same label become one."""
    from rkeras.ops.indexing import diagonal

    for m in list(row):
        while row.count(m) > 1:
            a = row.index(m)
            b = row.index(m, a + 1)
            x = diagonal(x, 0, a, b)
            row = [q for i, q in enumerate(row) if i not in (a, b)] + [m]
    return x, row


def _arrange(x, row, output):
    """Sums away what the result does not have, and orders the rest."""
    gone = [i for i, m in enumerate(row) if m not in output]
    if gone:
        x = _sum(x, axis=gone)
        row = [m for m in row if m in output]
    order = [row.index(m) for m in output]
    return x if order == list(range(len(order))) else _transpose(x, axes=order)


def _contract(x, row_x, y, row_y, later):
    """One product of two operands: shared labels that stay are batch axes, those that go are summed."""
    # What only one of them has and nobody needs later is summed first.
    for_x = [m for m in row_x if m in row_y or m in later]
    for_y = [m for m in row_y if m in row_x or m in later]
    x, y = _arrange(x, row_x, for_x), _arrange(y, row_y, for_y)
    batch = [m for m in for_x if m in for_y and m in later]
    inner_labels = [m for m in for_x if m in for_y and m not in later]
    own_x = [m for m in for_x if m not in for_y]
    own_y = [m for m in for_y if m not in for_x]
    x = _arrange(x, for_x, batch + own_x + inner_labels)
    y = _arrange(y, for_y, batch + inner_labels + own_y)
    nb, nx, ni, ny = len(batch), len(own_x), len(inner_labels), len(own_y)
    shape_x, shape_y = x.shape, y.shape
    # A batch axis may be 1 in one of them ("..." broadcasts).
    batch_shape = [q if p == 1 else p for p, q in zip(shape_x[:nb], shape_y[:nb], strict=True)]

    def size(dims):
        n = 1
        for d in dims:
            n = None if d is None or n is None else n * d
        return -1 if n is None else n

    k = size(shape_x[nb + nx :])
    k = size(shape_y[nb : nb + ni]) if k == -1 else k
    rows, columns = size(shape_x[nb : nb + nx]), size(shape_y[nb + ni :])
    unknown = (-1 in (rows, columns, k)) or None in batch_shape
    if unknown and (nx != 1 or ny != 1 or ni != 1):
        known_x = [-1 if d is None else d for d in shape_x[:nb]] + [rows, k]
        known_y = [-1 if d is None else d for d in shape_y[:nb]] + [k, columns]
        if known_x.count(-1) > 1 or known_y.count(-1) > 1:
            # More than one size is unknown: products of broadcast axes need no reshape.
            for _ in range(ny):
                x = views.expand_dims(x, nb + nx)
            for _ in range(nx):
                y = views.expand_dims(y, nb)
            # x: batch, own_x, own_y..., inner; y: batch, own_x..., inner, own_y -> inner last
            y = _transpose(
                y,
                axes=[
                    *range(nb + nx),
                    *range(nb + nx + ni, nb + nx + ni + ny),
                    *range(nb + nx, nb + nx + ni),
                ],
            )
            product = _multiply(*(cast(t, "int32") if t.dtype == "int8" else t for t in (x, y)))
            if ni:
                product = _sum(product, axis=list(range(nb + nx + ny, nb + nx + ny + ni)))
            return product, batch + own_x + own_y
    if nx != 1 or ni != 1:
        x = _reshape(x, newshape=[-1 if d is None else d for d in shape_x[:nb]] + [rows, k])
    if ny != 1 or ni != 1:
        y = _reshape(y, newshape=[-1 if d is None else d for d in shape_y[:nb]] + [k, columns])
    z = _product(x, y)
    if nx != 1 or ny != 1:
        tail = [*shape_x[nb : nb + nx], *shape_y[nb + ni :]]
        z = _reshape(z, newshape=[-1 if d is None else d for d in (*batch_shape, *tail)])
    return z, batch + own_x + own_y


def _float(x):
    from rkeras._core.settings import floatx

    x = convert_to_tensor(x)
    return x if x.dtype in FLOATS else cast(x, floatx())


@lin
def norm(x, ord=None, axis=None, keepdims=False):
    """A norm of vectors or matrices.

    Args:
        x: a tensor.
        ord: None for sqrt(Σ x²); 1, 2, inf, -inf, 0 or another number for vectors; "fro", 1, inf, -inf for
            matrices.
        axis: one axis (vectors), two (matrices), or None for all elements.
        keepdims: whether the axes stay, with size 1.

    Example:
        >>> keras.ops.norm([3.0, 4.0]).item()
        5.0
    """
    x = _float(x)
    if axis is None and (ord is None or x.ndim == 1):
        axes = list(range(x.ndim))
        if ord is None:
            return _sqrt(_sum(_square(x), axis=axes, keepdims=keepdims))
    elif axis is None:
        axes = list(range(x.ndim))
    else:
        axes = [axis] if isinstance(axis, int) else list(axis)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) != 2:
        raise ValueError(f"norm: expected one or two axes for ord={ord!r}. Received: {axes}")
    if ord in (None, "fro"):
        return _sqrt(_sum(_square(x), axis=axes, keepdims=keepdims))
    rows, columns = (a % x.ndim for a in axes)
    if ord in (1, -1, float("inf"), float("-inf")):
        first, second = (rows, columns) if ord in (1, -1) else (columns, rows)
        totals = _sum(_absolute(x), axis=first, keepdims=True)
        y = (_max if ord > 0 else _min)(totals, axis=second, keepdims=True)
        return y if keepdims else views.squeeze(y, [rows, columns])
    raise ValueError(f'norm: expected ord None, "fro", 1, -1, inf or -inf for matrices. Received: {ord!r}')


def _vector_norm(x, ord, axes, keepdims):
    if ord is None or ord == 2:
        return _sqrt(_sum(_square(x), axis=axes, keepdims=keepdims))
    if ord == float("inf"):
        return _max(_absolute(x), axis=axes, keepdims=keepdims)
    if ord == float("-inf"):
        return _min(_absolute(x), axis=axes, keepdims=keepdims)
    if ord == 0:
        return _sum(cast(x != 0, x.dtype), axis=axes, keepdims=keepdims)
    if ord == 1:
        return _sum(_absolute(x), axis=axes, keepdims=keepdims)
    if not isinstance(ord, (int, float)):
        raise ValueError(f"norm: expected a number as ord for vectors. Received: {ord!r}")
    return primitive("power")(
        _sum(primitive("power")(_absolute(x), ord), axis=axes, keepdims=keepdims), 1.0 / ord
    )


@op
def cross(x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """The cross product of vectors of three (or two) components.

    Example:
        >>> keras.ops.cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]).numpy().tolist()
        [0.0, 0.0, 1.0]
    """
    from rkeras.ops.shaping import moveaxis, stack

    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(convert_to_tensor(x1), axisa, -1), moveaxis(convert_to_tensor(x2), axisb, -1)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError(f"cross: expected 2 or 3 components. Received: {a.shape[-1]} and {b.shape[-1]}")
    p = [a[..., i] for i in range(a.shape[-1])]
    q = [b[..., i] for i in range(b.shape[-1])]
    z = p[0] * q[1] - p[1] * q[0]
    if len(p) == 2 and len(q) == 2:
        return z
    p3 = p[2] if len(p) == 3 else p[0] * 0
    q3 = q[2] if len(q) == 3 else q[0] * 0
    return moveaxis(stack([p[1] * q3 - p3 * q[1], p3 * q[0] - p[0] * q3, z], axis=-1), -1, axisc)


@op
def kron(x1, x2):
    """The Kronecker product.

    Example:
        >>> keras.ops.kron([1, 2], [1, 1]).numpy().tolist()
        [1, 1, 2, 2]
    """
    x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
    rank = x1.ndim if x1.ndim > x2.ndim else x2.ndim
    a = (1,) * (rank - x1.ndim) + x1.shape
    b = (1,) * (rank - x2.ndim) + x2.shape
    left = _reshape(x1, newshape=[d for n in a for d in (n, 1)])
    right = _reshape(x2, newshape=[d for n in b for d in (1, n)])
    return _reshape(_multiply(left, right), newshape=[p * q for p, q in zip(a, b, strict=True)])


@op
def diff(a, n=1, axis=-1):
    """The differences of neighbours along an axis, n times.

    Example:
        >>> keras.ops.diff([1, 4, 9]).numpy().tolist()
        [3, 5]
    """
    a = convert_to_tensor(a)
    before = (slice(None),) * (axis % a.ndim)
    for _ in range(n):
        a = a[(*before, slice(1, None))] - a[(*before, slice(None, -1))]
    return a
