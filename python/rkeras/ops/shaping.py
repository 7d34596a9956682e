"""Shapes: views, joins, repeats, padding, rolls."""

from itertools import pairwise

from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import cast, convert_to_numpy, convert_to_tensor, result_type
from rkeras.ops import views
from rkeras.ops.views import resolve_axis as _axis

op = operation("numpy")
_reshape = primitive("reshape")
_transpose = primitive("transpose")
_broadcast_to = primitive("broadcast_to")
_concatenate = primitive("concatenate")
_tile = primitive("tile")
_pad = primitive("pad")
_gather = primitive("gather")


@op
def reshape(x, newshape):
    """The same elements under another shape.

    Args:
        x: a tensor.
        newshape: sizes; -1 (or None) once for what is left.

    Example:
        >>> keras.ops.reshape([[1, 2], [3, 4]], (-1,)).numpy().tolist()
        [1, 2, 3, 4]
    """
    if isinstance(newshape, int):
        newshape = (newshape,)
    return _reshape(x, newshape=tuple(-1 if d is None else int(d) for d in newshape))


@op
def ravel(x):
    """All elements along one axis."""
    return _reshape(x, newshape=(-1,))


@op
def transpose(x, axes=None):
    """The axes in another order.

    Args:
        x: a tensor.
        axes: the old axes in their new order; reversed if None.

    Example:
        >>> keras.ops.transpose([[1, 2], [3, 4]]).numpy().tolist()
        [[1, 3], [2, 4]]
    """
    x = convert_to_tensor(x)
    axes = (
        tuple(range(x.ndim))[::-1]
        if axes is None
        else tuple(_axis(int(a), x.ndim, "transpose") for a in axes)
    )
    return _transpose(x, axes=axes)


@op
def swapaxes(x, axis1, axis2):
    """Two axes swapped.

    Example:
        >>> keras.ops.swapaxes([[1, 2]], 0, 1).shape
        (2, 1)
    """
    x = convert_to_tensor(x)
    order = list(range(x.ndim))
    a, b = _axis(axis1, x.ndim, "swapaxes"), _axis(axis2, x.ndim, "swapaxes")
    order[a], order[b] = b, a
    return _transpose(x, axes=order)


@op
def moveaxis(x, source, destination):
    """Axes moved to other places, the others in order.

    Args:
        x: a tensor.
        source, destination: axes, as many of one as of the other.

    Example:
        >>> keras.ops.moveaxis(keras.ops.zeros((2, 3, 4)), 0, -1).shape
        (3, 4, 2)
    """
    x = convert_to_tensor(x)
    source = [_axis(a, x.ndim, "moveaxis") for a in ([source] if isinstance(source, int) else source)]
    destination = [
        _axis(a, x.ndim, "moveaxis") for a in ([destination] if isinstance(destination, int) else destination)
    ]
    order = [a for a in range(x.ndim) if a not in source]
    for to, a in sorted(zip(destination, source, strict=True)):
        order.insert(to, a)
    return _transpose(x, axes=order)


@op
def expand_dims(x, axis):
    """A new axis of size 1 (or several).

    Example:
        >>> keras.ops.expand_dims([1, 2], -1).shape
        (2, 1)
    """
    if isinstance(axis, (list, tuple)):
        x = convert_to_tensor(x)
        rank = x.ndim + len(axis)
        for a in sorted(a % rank for a in axis):
            x = views.expand_dims(x, a)
        return x
    return views.expand_dims(x, axis)


@op
def squeeze(x, axis=None):
    """Without axes of size 1.

    Args:
        x: a tensor.
        axis: which; all of size 1 if None.

    Example:
        >>> keras.ops.squeeze([[1, 2]], 0).shape
        (2,)
    """
    x = convert_to_tensor(x)
    return views.squeeze(x, [i for i, d in enumerate(x.shape) if d == 1] if axis is None else axis)


@op
def broadcast_to(x, shape):
    """x repeated along axes of size 1 until it has the shape.

    Example:
        >>> keras.ops.broadcast_to([1, 2], (2, 2)).numpy().tolist()
        [[1, 2], [1, 2]]
    """
    return _broadcast_to(x, shape=tuple(shape))


@op
def concatenate(xs, axis=0):
    """Tensors one after the other along an axis.

    Args:
        xs: tensors whose shapes agree but for that axis.
        axis: the axis.

    Example:
        >>> keras.ops.concatenate([[1, 2], [3]]).numpy().tolist()
        [1, 2, 3]
    """
    return _concatenate(*_same_dtype(xs), axis=axis)


def _same_dtype(xs):
    """The tensors in their common dtype."""
    xs = [convert_to_tensor(x) for x in xs]
    if not xs:
        raise ValueError("concatenate: expected at least one tensor. Received: none")
    if all(x.dtype == xs[0].dtype for x in xs):
        return xs
    dtype = result_type(*(x.dtype for x in xs))
    return [cast(x, dtype) for x in xs]


@op
def stack(x, axis=0):
    """Tensors of one shape side by side along a new axis.

    Example:
        >>> keras.ops.stack([[1, 2], [3, 4]], axis=1).numpy().tolist()
        [[1, 3], [2, 4]]
    """
    return views.stack(_same_dtype(x), axis)


@op
def append(x1, x2, axis=None):
    """x2 after x1 along an axis (both flattened if None)."""
    if axis is None:
        return _concatenate(
            *_same_dtype([_reshape(x1, newshape=(-1,)), _reshape(x2, newshape=(-1,))]), axis=0
        )
    return _concatenate(*_same_dtype([x1, x2]), axis=axis)


def _at_least(x, rank):
    x = convert_to_tensor(x)
    return _reshape(x, newshape=(1,) * (rank - x.ndim) + x.shape) if x.ndim < rank else x


@op
def vstack(xs):
    """Tensors one below the other (vectors as rows)."""
    return _concatenate(*_same_dtype([_at_least(x, 2) for x in xs]), axis=0)


@op
def hstack(xs):
    """Tensors beside each other: along axis 1, vectors along axis 0."""
    xs = [_at_least(x, 1) for x in xs]
    return _concatenate(*_same_dtype(xs), axis=0 if xs[0].ndim == 1 else 1)


@op
def dstack(xs):
    """Tensors behind each other, along axis 2."""

    def deep(x):
        x = convert_to_tensor(x)
        shape = x.shape
        return (
            x
            if x.ndim > 2
            else _reshape(x, newshape=(1, *shape, 1) if x.ndim == 1 else (*shape, 1) if x.ndim else (1, 1, 1))
        )

    return _concatenate(*_same_dtype([deep(x) for x in xs]), axis=2)


@op
def split(x, indices_or_sections, axis=0):
    """Parts along an axis.

    Args:
        x: a tensor.
        indices_or_sections: how many equal parts, or where the cuts are.
        axis: the axis.

    Returns:
        A list of tensors.

    Example:
        >>> [p.numpy().tolist() for p in keras.ops.split([1, 2, 3, 4], 2)]
        [[1, 2], [3, 4]]
    """
    x = convert_to_tensor(x)
    axis = _axis(axis, x.ndim, "split")
    n = x.shape[axis]
    if isinstance(indices_or_sections, int):
        if n is None:
            # The size is not known: neither are those of the parts.
            part = x[(slice(None),) * axis + (slice(0, None, indices_or_sections),)]
            return [part] * indices_or_sections
        if n % indices_or_sections:
            raise ValueError(
                f"split: expected an axis that {indices_or_sections} equal parts divide. Received: size "
                f"{n} along axis {axis}"
            )
        step = n // indices_or_sections
        cuts = [step * i for i in range(1, indices_or_sections)]
    else:
        cuts = [int(i) for i in convert_to_numpy(indices_or_sections)]
    return _cut(x, cuts, axis)


def _cut(x, cuts, axis):
    bounds = [0, *cuts, None]
    return [x[(slice(None),) * axis + (slice(a, b),)] for a, b in pairwise(bounds)]


@op
def array_split(x, indices_or_sections, axis=0):
    """Parts along an axis, the first ones longer by one if it does not come out even."""
    x = convert_to_tensor(x)
    axis = _axis(axis, x.ndim, "array_split")
    if not isinstance(indices_or_sections, int):
        return split(x, indices_or_sections, axis)
    size, extra = divmod(x.shape[axis], indices_or_sections)
    cuts, at = [], 0
    for i in range(indices_or_sections - 1):
        at += size + (i < extra)
        cuts.append(at)
    return _cut(x, cuts, axis)


@op
def hsplit(x, indices_or_sections):
    """Parts along axis 1 (axis 0 of a vector)."""
    x = convert_to_tensor(x)
    return split(x, indices_or_sections, axis=0 if x.ndim == 1 else 1)


@op
def vsplit(x, indices_or_sections):
    """Parts along axis 0."""
    return split(x, indices_or_sections, axis=0)


@op
def dsplit(x, indices_or_sections):
    """Parts along axis 2."""
    return split(x, indices_or_sections, axis=2)


@operation("core")
def unstack(x, num=None, axis=0):
    """The slices along an axis, as a list.

    Args:
        x: a tensor.
        num: how many, where the shape does not tell.
        axis: the axis.

    Example:
        >>> [r.numpy().tolist() for r in keras.ops.unstack([[1, 2], [3, 4]])]
        [[1, 2], [3, 4]]
    """
    x = convert_to_tensor(x)
    axis = _axis(axis, x.ndim, "unstack")
    num = x.shape[axis] if num is None else num
    if num is None:
        raise ValueError(
            f"unstack: expected num, as axis {axis} has no known size. Received: shape {x.shape}"
        )
    return [x[(slice(None),) * axis + (i,)] for i in range(num)]


@op
def tile(x, repeats):
    """x repeated whole along axes.

    Example:
        >>> keras.ops.tile([1, 2], 2).numpy().tolist()
        [1, 2, 1, 2]
    """
    x = convert_to_tensor(x)
    repeats = [repeats] if isinstance(repeats, int) else [int(r) for r in repeats]
    if len(repeats) < x.ndim:
        repeats = [1] * (x.ndim - len(repeats)) + repeats
    elif len(repeats) > x.ndim:
        x = _reshape(
            x, newshape=(1,) * (len(repeats) - x.ndim) + tuple(-1 if d is None else d for d in x.shape)
        )
    return _tile(x, repeats=repeats)


@op
def repeat(x, repeats, axis=None):
    """Every element repeated along an axis.

    Args:
        x: a tensor.
        repeats: how often; one number, or one per element along the axis.
        axis: the axis; of the flattened tensor if None.

    Example:
        >>> keras.ops.repeat([1, 2], 2).numpy().tolist()
        [1, 1, 2, 2]
    """
    x = convert_to_tensor(x)
    if axis is None:
        x, axis = _reshape(x, newshape=(-1,)), 0
    if isinstance(repeats, int):
        return views.repeat(x, repeats, axis)
    import numpy as np

    counts = np.asarray(convert_to_numpy(repeats)).reshape(-1)
    if counts.size == 1:
        return views.repeat(x, int(counts[0]), axis)
    return _gather(x, np.repeat(np.arange(counts.size, dtype="int32"), counts), axis=axis)


@op
def flip(x, axis=None):
    """The elements in reverse along axes (all if None).

    Example:
        >>> keras.ops.flip([1, 2, 3]).numpy().tolist()
        [3, 2, 1]
    """
    x = convert_to_tensor(x)
    axes = list(range(x.ndim)) if axis is None else axis
    return views.flip(x, axes)


@op
def fliplr(x):
    """The elements in reverse along axis 1."""
    return views.flip(x, 1)


@op
def flipud(x):
    """The elements in reverse along axis 0."""
    return views.flip(x, 0)


@op
def rot90(array, k=1, axes=(0, 1)):
    """Turned by k quarter turns in the plane of two axes.

    Example:
        >>> keras.ops.rot90([[1, 2], [3, 4]]).numpy().tolist()
        [[2, 4], [1, 3]]
    """
    x = convert_to_tensor(array)
    a, b = (_axis(i, x.ndim, "rot90") for i in axes)
    k %= 4
    if k == 2:
        return views.flip(x, [a, b])
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    if k == 1:
        return _transpose(views.flip(x, b), axes=order)
    return views.flip(_transpose(x, axes=order), b) if k == 3 else x


@op
def roll(x, shift, axis=None):
    """The elements moved along axes; what leaves at one end enters at the other.

    Args:
        x: a tensor.
        shift: by how many, one number or one per axis.
        axis: axes; the flattened tensor if None.

    Example:
        >>> keras.ops.roll([1, 2, 3], 1).numpy().tolist()
        [3, 1, 2]
    """
    x = convert_to_tensor(x)
    if axis is None:
        return _reshape(roll(_reshape(x, newshape=(-1,)), shift, 0), newshape=x.shape)
    axes = [axis] if isinstance(axis, int) else list(axis)
    shifts = [shift] * len(axes) if isinstance(shift, int) else list(shift)
    for a, s in zip(axes, shifts, strict=True):
        a = _axis(a, x.ndim, "roll")
        n = x.shape[a]
        s = s % n if n else 0
        if s:
            front, back = _cut(x, [n - s], a)
            x = _concatenate(back, front, axis=a)
    return x


@op
def pad(x, pad_width, mode="constant", constant_values=None):
    """x with a margin.

    Args:
        x: a tensor.
        pad_width: (before, after) per axis, or one pair, or one number for all.
        mode: "constant", "reflect" or "symmetric".
        constant_values: what the margin holds in mode "constant"; 0 if None.

    Example:
        >>> keras.ops.pad([1, 2], (1, 2)).numpy().tolist()
        [0, 1, 2, 0, 0]
    """
    x = convert_to_tensor(x)
    if constant_values is not None and mode != "constant":
        raise ValueError(f'pad: expected constant_values only with mode="constant". Received: mode={mode!r}')
    width = convert_to_numpy(pad_width).tolist()
    if isinstance(width, int):
        width = [[width, width]] * x.ndim
    elif len(width) == 1 and isinstance(width[0], int):
        width = [[width[0], width[0]]] * x.ndim
    elif isinstance(width[0], int):
        width = [width] * x.ndim
    elif len(width) == 1 and x.ndim > 1:
        width = width * x.ndim
    if len(width) != x.ndim:
        raise ValueError(f"pad: expected a pair for each of {x.ndim} axes. Received: pad_width={pad_width}")
    before, after = ([int(pair[i]) for pair in width] for i in (0, 1))
    return _pad(x, before=before, after=after, mode=mode, constant_values=float(constant_values or 0.0))


@op
def meshgrid(*x, indexing="xy"):
    """The coordinates of a grid from those of its axes.

    Args:
        *x: vectors.
        indexing: "xy" (the first two axes swapped) or "ij".

    Example:
        >>> [g.numpy().tolist() for g in keras.ops.meshgrid([1, 2], [3])]
        [[[1, 2]], [[3, 3]]]
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid: expected "xy" or "ij". Received: indexing={indexing!r}')
    vectors = [_reshape(v, newshape=(-1,)) for v in x]
    n = len(vectors)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[:2] = [1, 0]
    sizes = [0] * n
    for v, place in zip(vectors, order, strict=True):
        sizes[place] = v.shape[0]
    grids = []
    for v, place in zip(vectors, order, strict=True):
        shape = [1] * n
        shape[place] = -1
        grids.append(_broadcast_to(_reshape(v, newshape=shape), shape=sizes))
    return grids


@operation("nn")
def space_to_depth(x, block_size, data_format="channels_last"):
    """Blocks of pixels as channels: (n, h, w, c) -> (n, h/b, w/b, c b²)."""
    x = convert_to_tensor(x)
    if data_format == "channels_first":
        n, c, h, w = (-1 if d is None else d for d in x.shape)
        y = _reshape(x, newshape=(n, c, h // block_size, block_size, w // block_size, block_size))
        y = _transpose(y, axes=(0, 3, 5, 1, 2, 4))
        return _reshape(y, newshape=(n, c * block_size**2, h // block_size, w // block_size))
    n, h, w, c = (-1 if d is None else d for d in x.shape)
    y = _reshape(x, newshape=(n, h // block_size, block_size, w // block_size, block_size, c))
    y = _transpose(y, axes=(0, 1, 3, 2, 4, 5))
    return _reshape(y, newshape=(n, h // block_size, w // block_size, c * block_size**2))


@operation("nn")
def depth_to_space(x, block_size, data_format="channels_last"):
    """Channels as blocks of pixels; the inverse of `space_to_depth`."""
    x = convert_to_tensor(x)
    if data_format == "channels_first":
        n, c, h, w = (-1 if d is None else d for d in x.shape)
        y = _reshape(x, newshape=(n, block_size, block_size, c // block_size**2, h, w))
        y = _transpose(y, axes=(0, 3, 4, 1, 5, 2))
        return _reshape(y, newshape=(n, c // block_size**2, h * block_size, w * block_size))
    n, h, w, c = (-1 if d is None else d for d in x.shape)
    y = _reshape(x, newshape=(n, h, w, block_size, block_size, c // block_size**2))
    y = _transpose(y, axes=(0, 1, 3, 2, 4, 5))
    return _reshape(y, newshape=(n, h * block_size, w * block_size, c // block_size**2))
