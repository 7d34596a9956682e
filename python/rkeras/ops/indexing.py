"""Selecting and writing elements: indices, slices, gathers, scatters, one-hot."""

from builtins import slice as _range

from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import cast, convert_to_numpy, convert_to_tensor, standardize_dtype
from rkeras.ops import views

op = operation("numpy")
core = operation("core")
_gather = primitive("gather")
_take_along_axis = primitive("take_along_axis")
_slice_update = primitive("slice_update")
_scatter_add = primitive("scatter_add")
_one_hot = primitive("one_hot")
_reshape = primitive("reshape")
_where = primitive("where")
_transpose = primitive("transpose")


def _indices(x):
    x = convert_to_tensor(x)
    return x if x.dtype.startswith(("int", "uint")) else cast(x, "int32")


@op
def get_item(x, key):
    """x[key]: integers, slices, None, Ellipsis, tensors.

    Example:
        >>> keras.ops.get_item([[1, 2], [3, 4]], (..., 0)).numpy().tolist()
        [1, 3]
    """
    if isinstance(key, list) and any(isinstance(k, _range) or k is Ellipsis or k is None for k in key):
        key = tuple(key)  # as files hold it
    return convert_to_tensor(x)[key]


@op
def take(x, indices, axis=None):
    """The elements at these positions along an axis.

    Args:
        x: a tensor.
        indices: integers; negative ones count from the end.
        axis: the axis; of the flattened tensor if None.

    Example:
        >>> keras.ops.take([10, 20, 30], [2, 0]).numpy().tolist()
        [30, 10]
    """
    x = convert_to_tensor(x)
    if axis is None:
        x, axis = _reshape(x, newshape=(-1,)), 0
    return _gather(x, _indices(indices), axis=axis)


@op
def take_along_axis(x, indices, axis=None):
    """For every position of `indices` the element of x there, but for the axis, which the index names.

    Example:
        >>> keras.ops.take_along_axis([[10, 20], [30, 40]], [[1], [0]], axis=1).numpy().tolist()
        [[20], [30]]
    """
    x, indices = convert_to_tensor(x), _indices(indices)
    if axis is None:
        return _take_along_axis(_reshape(x, newshape=(-1,)), _reshape(indices, newshape=(-1,)), axis=0)
    return _take_along_axis(x, indices, axis=axis)


def _starts(start_indices):
    return [int(i) for i in convert_to_numpy(start_indices)]


@core
def slice(inputs, start_indices, shape):
    """The block of that shape that begins at these indices.

    Args:
        inputs: a tensor.
        start_indices: one per axis; numbers known when the op is called.
        shape: sizes; -1 for up to the end.

    Example:
        >>> keras.ops.slice([[1, 2], [3, 4]], (0, 1), (2, 1)).numpy().tolist()
        [[2], [4]]
    """
    x = convert_to_tensor(inputs)
    start = _starts(start_indices)
    key = tuple(_range(s, None if n == -1 else s + n) for s, n in zip(start, shape, strict=True))
    return x[key]


@core
def slice_update(inputs, start_indices, updates):
    """A copy with a block replaced.

    Args:
        inputs: a tensor.
        start_indices: where the block begins; numbers known when the op is called.
        updates: the block.

    Example:
        >>> keras.ops.slice_update([1, 2, 3], [1], [9]).numpy().tolist()
        [1, 9, 3]
    """
    x = convert_to_tensor(inputs)
    updates = convert_to_tensor(updates, x.dtype)
    start = _starts(start_indices)
    stop = [s + n for s, n in zip(start, updates.shape, strict=True)]
    return _slice_update(x, updates, start=start, stop=stop)


def _flat_indices(indices, shape):
    """(n, k) indices into the first k axes, as positions along those axes flattened."""
    indices = _indices(indices)
    depth = indices.shape[-1]
    flat = None
    for axis in range(depth):
        part = indices[..., axis]
        # Negative indices count from the end.
        part = _where(part < 0, part + shape[axis], part)
        flat = part if flat is None else flat * shape[axis] + part
    return _reshape(flat, newshape=(-1,)), depth


@core
def scatter(indices, values, shape):
    """Zeros with values added at indices.

    Args:
        indices: integers of shape (n, rank).
        values: n values (or n slices, if the indices name leading axes only).
        shape: the shape of the result.

    Example:
        >>> keras.ops.scatter([[0], [2], [2]], [1, 2, 3], (4,)).numpy().tolist()
        [1, 0, 5, 0]
    """
    values = convert_to_tensor(values)
    flat, depth = _flat_indices(indices, shape)
    rows = 1
    for d in shape[:depth]:
        rows *= d
    rest = tuple(shape[depth:])
    out = _scatter_add(_reshape(values, newshape=(-1, *rest)), flat, axis=0, size=rows)
    return _reshape(out, newshape=tuple(shape))


@core
def scatter_update(inputs, indices, updates, reduction=None):
    """A copy with elements replaced (or combined) at indices.

    Args:
        inputs: a tensor.
        indices: integers of shape (n, k): positions in the first k axes.
        updates: n values or slices.
        reduction: None to replace, or "add".

    Example:
        >>> keras.ops.scatter_update([1, 2, 3], [[1]], [9]).numpy().tolist()
        [1, 9, 3]
    """
    x = convert_to_tensor(inputs)
    updates = convert_to_tensor(updates, x.dtype)
    flat, depth = _flat_indices(indices, x.shape)
    rest = tuple(x.shape[depth:])
    rows = _reshape(x, newshape=(-1, *rest))
    new = _reshape(updates, newshape=(-1, *rest))
    if reduction == "add":
        return _reshape(rows + _scatter_add(new, flat, axis=0, size=rows.shape[0]), newshape=x.shape)
    if reduction is not None:
        raise ValueError(f'scatter_update: expected reduction None or "add". Received: {reduction!r}')
    # Replacing: the last update of a position wins; the others must not add up with it.
    n = rows.shape[0]
    order = convert_to_tensor(list(range(1, flat.shape[0] + 1)), "int32")
    same = primitive("equal")(views.expand_dims(flat, 0), views.expand_dims(flat, 1))
    last = primitive("max")(_where(same, views.expand_dims(order, 0), 0), axis=1)
    keep = _reshape(last == order, newshape=(-1, *(1,) * len(rest)))
    ones = primitive("broadcast_to")(convert_to_tensor(1, "int32"), shape=(flat.shape[0],))
    hit = _scatter_add(ones, flat, axis=0, size=n)
    zero = convert_to_tensor(0, x.dtype)
    base = _where(_reshape(hit > 0, newshape=(-1, *(1,) * len(rest))), zero, rows)
    return _reshape(base + _scatter_add(_where(keep, new, zero), flat, axis=0, size=n), newshape=x.shape)


@operation("nn")
def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """1 at the position that the integer names, 0 elsewhere.

    Args:
        x: integers; those outside [0, num_classes) give zeros.
        num_classes: the size of the new axis.
        axis: where the new axis goes.
        dtype: the dtype; `floatx` if None.
        sparse: only False.

    Example:
        >>> keras.ops.one_hot([1, 0], 2).numpy().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    if sparse:
        raise NotImplementedError("one_hot: expected sparse=False. Received: True")
    y = _one_hot(_indices(x), num_classes=num_classes, dtype=standardize_dtype(dtype))
    axis = views.resolve_axis(axis, y.ndim, "one_hot")
    if axis == y.ndim - 1:
        return y
    order = list(range(y.ndim - 1))
    order.insert(axis, y.ndim - 1)
    return _transpose(y, axes=order)


@operation("nn")
def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False, **kwargs):
    """1 at every position that one of the integers along the last axis names.

    Example:
        >>> keras.ops.multi_hot([[0, 2]], 3).numpy().tolist()
        [[1.0, 0.0, 1.0]]
    """
    num_classes = kwargs.pop("num_tokens", num_classes)
    if num_classes is None:
        raise ValueError("multi_hot: expected num_classes. Received: None")
    inputs = convert_to_tensor(inputs)
    reduce = 1 if inputs.ndim > 1 else 0
    hot = one_hot(inputs, num_classes, axis=axis, dtype=dtype, sparse=sparse)
    return primitive("max")(hot, axis=reduce)


@op
def nonzero(x):
    """The indices of the elements that are not zero, one tensor per axis (eager only)."""
    import numpy as np

    return tuple(convert_to_tensor(i.astype("int32")) for i in np.nonzero(convert_to_numpy(x)))


@op
def diagonal(x, offset=0, axis1=0, axis2=1):
    """The elements on a diagonal of two axes, as the last axis.

    Example:
        >>> keras.ops.diagonal([[1, 2], [3, 4]]).numpy().tolist()
        [1, 4]
    """
    x = convert_to_tensor(x)
    a, b = axis1 % x.ndim, axis2 % x.ndim
    rest = [i for i in range(x.ndim) if i not in (a, b)]
    x = _transpose(x, axes=[*rest, a, b])
    rows, columns = x.shape[-2:]
    start, length = (
        (offset, _least(rows, columns - offset))
        if offset >= 0
        else (-offset * columns, _least(rows + offset, columns))
    )
    length = length if length > 0 else 0
    flat = _reshape(x, newshape=(*[-1 if d is None else d for d in x.shape[:-2]], rows * columns))
    positions = [start + i * (columns + 1) for i in range(length)]
    return _gather(flat, convert_to_tensor(positions, "int32"), axis=flat.ndim - 1)


def _least(a, b):
    return a if a < b else b


@op
def diag(x, k=0):
    """The diagonal of a matrix, or the matrix of a diagonal.

    Example:
        >>> keras.ops.diag([1, 2]).numpy().tolist()
        [[1, 0], [0, 2]]
    """
    x = convert_to_tensor(x)
    if x.ndim == 2:
        return diagonal(x, k)
    n = x.shape[0] + (k if k > 0 else -k)
    at = [[i + (-k if k < 0 else 0), i + (k if k > 0 else 0)] for i in range(x.shape[0])]
    return scatter(convert_to_tensor(at, "int32"), x, (n, n))


@op
def diagflat(x, k=0):
    """The matrix of a diagonal, from all elements of x."""
    return diag(_reshape(x, newshape=(-1,)), k)


@op
def trace(x, offset=0, axis1=0, axis2=1):
    """The sum of a diagonal.

    Example:
        >>> keras.ops.trace([[1, 2], [3, 4]]).item()
        5
    """
    from rkeras.ops.reduction import sum as total

    return total(diagonal(x, offset, axis1, axis2), axis=-1)


def _triangle(x, k, keep_lower):
    import numpy as np

    x = convert_to_tensor(x)
    mask = np.tri(*x.shape[-2:], k if keep_lower else k - 1, dtype=bool)
    return _where(mask if keep_lower else ~mask, x, convert_to_tensor(0, x.dtype))


@op
def tril(x, k=0):
    """The elements at and below a diagonal, zeros above.

    Example:
        >>> keras.ops.tril([[1, 2], [3, 4]]).numpy().tolist()
        [[1, 0], [3, 4]]
    """
    return _triangle(x, k, True)


@op
def triu(x, k=0):
    """The elements at and above a diagonal, zeros below."""
    return _triangle(x, k, False)


def _segments(data, segment_ids, num_segments):
    data, segment_ids = convert_to_tensor(data), _indices(segment_ids)
    if num_segments is None:
        num_segments = int(primitive("max")(segment_ids).item()) + 1
    return data, segment_ids, num_segments


@operation("math")
def segment_sum(data, segment_ids, num_segments=None, sorted=False):
    """The sums of the rows of each segment.

    Args:
        data: a tensor; its first axis is that of the rows.
        segment_ids: the segment of each row.
        num_segments: how many; the largest id plus 1 if None (then the ids have to be known).
        sorted: a hint that is not needed here.

    Example:
        >>> keras.ops.segment_sum([1, 2, 3], [0, 1, 1]).numpy().tolist()
        [1, 5]
    """
    data, segment_ids, n = _segments(data, segment_ids, num_segments)
    return _scatter_add(data, segment_ids, axis=0, size=n)


@operation("math")
def segment_max(data, segment_ids, num_segments=None, sorted=False):
    """The largest rows, element by element, of each segment; see `segment_sum`."""
    data, segment_ids, n = _segments(data, segment_ids, num_segments)
    rank = data.ndim
    member = primitive("equal")(
        views.expand_dims(segment_ids, 0), views.expand_dims(convert_to_tensor(list(range(n))), 1)
    )
    member = _reshape(member, newshape=(n, -1, *(1,) * (rank - 1)))
    low = float("-inf") if data.dtype.startswith(("float", "bfloat")) else -(2**31)
    return primitive("max")(
        _where(member, views.expand_dims(data, 0), convert_to_tensor(low, data.dtype)), axis=1
    )
