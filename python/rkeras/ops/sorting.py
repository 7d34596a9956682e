"""Order: sorts, searches, largest elements, distinct elements."""

from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import cast, convert_to_numpy, convert_to_tensor
from rkeras.ops import views

op = operation("numpy")
math = operation("math")
_top_k = primitive("top_k")
_reshape = primitive("reshape")
_sum = primitive("sum")


def _along(x, axis):
    x = convert_to_tensor(x)
    return (_reshape(x, newshape=(-1,)), -1) if axis is None else (x, axis)


@op
def sort(x, axis=-1):
    """The elements in ascending order along an axis (flattened if None).

    Example:
        >>> keras.ops.sort([3, 1, 2]).numpy().tolist()
        [1, 2, 3]
    """
    x, axis = _along(x, axis)
    return views.sort(x, axis)


@op
def argsort(x, axis=-1):
    """The positions that would sort x along an axis, equal elements in their order, as int32.

    Example:
        >>> keras.ops.argsort([3, 1, 2]).numpy().tolist()
        [1, 2, 0]
    """
    x, axis = _along(x, axis)
    return views.argsort(x, axis)


@op
def argpartition(x, kth, axis=-1):
    """Positions of which the first kth are those of the smallest elements (here: all sorted)."""
    x, axis = _along(x, axis)
    return views.argsort(x, axis)


@math
def top_k(x, k, sorted=True):
    """The k largest elements along the last axis, and their positions.

    Args:
        x: a tensor.
        k: how many.
        sorted: they are always sorted.

    Returns:
        (values, indices).

    Example:
        >>> values, at = keras.ops.top_k([1, 9, 5], 2)
        >>> values.numpy().tolist(), at.numpy().tolist()
        ([9, 5], [1, 2])
    """
    values, indices = _top_k(x, k=k)
    return values, indices


@math
def in_top_k(targets, predictions, k):
    """Whether the target class is among the k highest predictions.

    Args:
        targets: class numbers of shape (n,).
        predictions: scores of shape (n, classes).
        k: how many.

    Example:
        >>> keras.ops.in_top_k([1], [[0.1, 0.7, 0.2]], 1).numpy().tolist()
        [True]
    """
    targets, predictions = convert_to_tensor(targets), convert_to_tensor(predictions)
    at = views.expand_dims(cast(targets, "int32"), -1)
    own = primitive("take_along_axis")(predictions, at, axis=-1)
    higher = _sum(cast(predictions > own, "int32"), axis=-1)
    return higher < k


@op
def searchsorted(sorted_sequence, values, side="left"):
    """Where values would have to be put in to keep the order.

    Args:
        sorted_sequence: a vector in ascending order.
        values: what to look for.
        side: "left" of equal elements or "right".

    Example:
        >>> keras.ops.searchsorted([1, 3, 5], [3, 4]).numpy().tolist()
        [1, 2]
    """
    if side not in ("left", "right"):
        raise ValueError(f'searchsorted: expected side "left" or "right". Received: {side!r}')
    row, values = convert_to_tensor(sorted_sequence), convert_to_tensor(values)
    v = views.expand_dims(values, -1)
    return _sum(cast(row < v if side == "left" else row <= v, "int32"), axis=-1)


@op
def digitize(x, bins):
    """The bin that each element lies in: how many edges are not above it.

    Example:
        >>> keras.ops.digitize([0.5, 2.5], [1.0, 2.0]).numpy().tolist()
        [0, 2]
    """
    return searchsorted(bins, x, side="right")


@op
def unique(
    x,
    sorted=True,
    return_index=False,
    return_inverse=False,
    return_counts=False,
    axis=None,
    size=None,
    fill_value=None,
):
    """The distinct elements, in order (eager only).

    Example:
        >>> keras.ops.unique([3, 1, 3]).numpy().tolist()
        [1, 3]
    """
    import numpy as np

    got = np.unique(convert_to_numpy(x), return_index, return_inverse, return_counts, axis=axis)
    many = isinstance(got, tuple)
    out = list(got) if many else [got]
    if size is not None:
        along = axis or 0
        values = out[0]
        missing = size - values.shape[along]
        if missing > 0:
            width = [(0, missing) if i == along else (0, 0) for i in range(values.ndim)]
            fill = values.min() if fill_value is None and values.size else fill_value or 0
            out[0] = np.pad(values, width, constant_values=fill)
        else:
            out[0] = np.take(values, range(size), axis=along)
    tensors = [convert_to_tensor(o if i == 0 else o.astype("int32")) for i, o in enumerate(out)]
    return tuple(tensors) if many else tensors[0]
