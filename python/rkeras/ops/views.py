"""Shape changes that the other families need, from the few the core has: helpers, not public ops."""

from rkeras import _rkeras
from rkeras._core.primitive import primitive
from rkeras._core.tensor import cast, convert_to_tensor

_reshape = primitive("reshape")
_transpose = primitive("transpose")
_concatenate = primitive("concatenate")
_tile = primitive("tile")
_argsort = primitive("argsort")
_take_along_axis = primitive("take_along_axis")


def resolve_axis(axis, rank, who):
    """The axis counted from the front."""
    if not -rank <= axis < rank:
        raise ValueError(f"{who}: expected an axis in [{-rank}, {rank}). Received: axis={axis}")
    return axis % rank


def reshape(x, dims):
    """x under another shape, None where a size is not known. Only specs have several such sizes."""
    dims = list(dims)
    if dims.count(None) > 1:
        return _rkeras.spec(dims, x.dtype)
    return _reshape(x, newshape=[-1 if d is None else d for d in dims])


def expand_dims(x, axis):
    """A new axis of size 1."""
    x = convert_to_tensor(x)
    axis = resolve_axis(axis, x.ndim + 1, "expand_dims")
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(x, axis):
    """Without these axes of size 1."""
    axes = [resolve_axis(a, x.ndim, "squeeze") for a in ([axis] if isinstance(axis, int) else axis)]
    for a in axes:
        if x.shape[a] not in (1, None):
            raise ValueError(f"squeeze: expected size 1 along axis {a}. Received: shape {x.shape}")
    return reshape(x, [d for i, d in enumerate(x.shape) if i not in axes])


def stack(xs, axis):
    """Tensors of one shape along a new axis."""
    axis = resolve_axis(axis, xs[0].ndim + 1, "stack")
    for x in xs[1:]:
        if x.ndim != xs[0].ndim:
            raise ValueError(f"stack: expected tensors of one shape. Received: {[x.shape for x in xs]}")
    return _concatenate(*[expand_dims(x, axis) for x in xs], axis=axis)


def flip(x, axes):
    """The elements in reverse along axes."""
    x = convert_to_tensor(x)
    axes = [resolve_axis(a, x.ndim, "flip") for a in ([axes] if isinstance(axes, int) else axes)]
    return x[tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim))] if axes else x


def repeat(x, repeats, axis):
    """Every element `repeats` times along an axis."""
    axis = resolve_axis(axis, x.ndim, "repeat")
    wide = _tile(
        expand_dims(x, axis + 1), repeats=[repeats if i == axis + 1 else 1 for i in range(x.ndim + 1)]
    )
    n = x.shape[axis]
    return reshape(wide, (*x.shape[:axis], None if n is None else n * repeats, *x.shape[axis + 1 :]))


def swap_last(x, axis):
    """The axis and the last one swapped (doing it twice undoes it)."""
    order = list(range(x.ndim))
    axis %= x.ndim
    if axis == x.ndim - 1:
        return x
    order[axis], order[-1] = order[-1], order[axis]
    return _transpose(x, axes=order)


def move_last(x, axis):
    """The axis last, the others in order."""
    axis = resolve_axis(axis, x.ndim, "transpose")
    if axis == x.ndim - 1:
        return x
    return _transpose(x, axes=[*(a for a in range(x.ndim) if a != axis), axis])


def over_rows(function, x, axis, who):
    """`function`, which works on the last axis of float32 and float64, on any axis and any float."""
    x = convert_to_tensor(x)
    axis = resolve_axis(axis, x.ndim, who)
    dtype = x.dtype
    if dtype not in ("float32", "float64"):
        x = cast(x, "float32")
    y = swap_last(function(swap_last(x, axis)), axis)
    return cast(y, dtype) if dtype in ("float16", "bfloat16") else y


def argsort(x, axis):
    """The positions that sort x along an axis."""
    axis = resolve_axis(axis, x.ndim, "argsort")
    return swap_last(_argsort(swap_last(x, axis)), axis)


def sort(x, axis):
    """The elements in ascending order along an axis."""
    axis = resolve_axis(axis, x.ndim, "sort")
    moved = swap_last(x, axis)
    return swap_last(_take_along_axis(moved, _argsort(moved), axis=-1), axis)
