"""Shapes, indexing and joining under TensorFlow's names and arguments."""

from builtins import range as builtin_range
from builtins import slice as builtin_slice

from rkeras import ops
from rkeras.tf.dtypes import as_dtype
from rkeras.tf.tensors import _number, _plain, _sizes


def reshape(tensor, shape, name=None):
    """The same elements under another shape; one size may be -1.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.reshape([1, 2, 3, 4], [2, -1]).shape
        (2, 2)
    """
    if isinstance(shape, (list, tuple)) and None in shape:
        # Sizes of a KerasTensor by tf.shape: None stays what it is, and -1 is what is left of the others.
        sizes = tuple(getattr(tensor, "shape", ()))
        if -1 in shape and shape.count(None) == sizes.count(None) == 1:
            rest = _product([d for d in sizes if d is not None])
            rest //= _product([int(d) for d in shape if d is not None and d != -1])
            shape = [rest if d == -1 else d for d in shape]
        shape = [-1 if d is None else d for d in shape]
    return ops.reshape(tensor, _sizes(shape))


def transpose(a, perm=None, conjugate=False, name="transpose"):
    """The axes in another order, reversed if `perm` is None."""
    return ops.transpose(a, None if perm is None else _sizes(perm))


def expand_dims(input, axis, name=None):
    """A new axis of size 1."""
    return ops.expand_dims(input, int(axis))


def squeeze(input, axis=None, name=None):
    """Without axes of size 1."""
    return ops.squeeze(input, axis if axis is None or isinstance(axis, int) else tuple(axis))


def concat(values, axis, name="concat"):
    """Tensors one after the other along an axis.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.concat([[1, 2], [3]], 0).numpy().tolist()
        [1, 2, 3]
    """
    from rkeras.tf.text import StringTensor, holds_text

    if isinstance(values, (list, tuple)) and values and all(isinstance(v, StringTensor) for v in values):
        import numpy as np

        return StringTensor(np.concatenate([v.values for v in values], axis=axis))
    if holds_text(values):
        raise ValueError("tf.concat: expected tensors. Received: text. Hint: tf.constant makes text a tensor")
    return ops.concatenate([ops.convert_to_tensor(v) if _is_plain(v) else v for v in values], axis=int(axis))


def _is_plain(v):
    return isinstance(v, (list, tuple, int, float, bool))


def stack(values, axis=0, name="stack"):
    """Tensors of one shape along a new axis."""
    return ops.stack([ops.convert_to_tensor(v) if _is_plain(v) else v for v in values], axis=axis)


def unstack(value, num=None, axis=0, name="unstack"):
    """The slices along an axis, as a list."""
    return list(ops.unstack(value, num=num, axis=axis))


def split(value, num_or_size_splits, axis=0, num=None, name="split"):
    """A tensor in equal parts, or in parts of given sizes (one may be -1).

    Example:
        >>> import rkeras.tf as tf
        >>> [t.shape for t in tf.split(tf.zeros((5, 2)), [1, -1])]
        [(1, 2), (4, 2)]
    """
    if isinstance(num_or_size_splits, int):
        return list(ops.split(value, num_or_size_splits, axis=axis))
    sizes = list(_sizes(num_or_size_splits))
    if -1 in sizes:
        rest = ops.shape(value)[axis] - sum(s for s in sizes if s != -1)
        sizes[sizes.index(-1)] = rest
    cuts, at = [], 0
    for s in sizes[:-1]:
        at += s
        cuts.append(at)
    return list(ops.split(value, cuts, axis=axis)) if cuts else [ops.convert_to_tensor(value)]


def tile(input, multiples, name=None):
    """A tensor repeated along its axes."""
    return ops.tile(input, _sizes(multiples))


def repeat(input, repeats, axis=None, name=None):
    """Each element (or slice) repeated."""
    return ops.repeat(input, repeats, axis=axis)


def broadcast_to(input, shape, name=None):
    """The tensor in a larger shape, without copying by rules of arithmetic."""
    return ops.broadcast_to(input, _sizes(shape))


def pad(tensor, paddings, mode="CONSTANT", constant_values=0, name=None):
    """A tensor with a margin: `paddings` holds a pair (before, after) for every axis."""
    pairs = [tuple(int(n) for n in pair) for pair in paddings]
    mode = mode.lower()
    if mode == "constant":
        return ops.pad(tensor, pairs, constant_values=constant_values)
    return ops.pad(tensor, pairs, mode=mode)


def reverse(tensor, axis, name=None):
    """The elements along these axes in reverse order."""
    axes = [axis] if isinstance(axis, int) else list(_sizes(axis))
    for a in axes:
        tensor = ops.flip(tensor, axis=a)
    return ops.convert_to_tensor(tensor)


def roll(input, shift, axis, name=None):
    """The elements along an axis moved on, those at the end to the front."""
    return ops.roll(input, shift, axis=axis)


def gather(params, indices, validate_indices=None, axis=None, batch_dims=0, name=None):
    """The slices at these positions along an axis.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.gather([10, 20, 30], [2, 0]).numpy().tolist()
        [30, 10]
    """
    if batch_dims == 0:
        return ops.take(params, indices, axis=0 if axis is None else axis)
    params, indices = ops.convert_to_tensor(params), ops.convert_to_tensor(indices)
    if batch_dims < 0:
        batch_dims += indices.ndim
    axis = batch_dims if axis is None else axis % params.ndim
    if axis != batch_dims:
        order = [d for d in builtin_range(params.ndim) if d != axis]
        order.insert(batch_dims, axis)
        params = ops.transpose(params, order)
    # Batches as one axis: the positions move on by a whole batch each.
    batch, rest = params.shape[:batch_dims], params.shape[batch_dims + 1 :]
    count, size = _product(batch), params.shape[batch_dims]
    flat = ops.reshape(params, (count * size, *rest))
    start = ops.reshape(
        ops.arange(count, dtype=indices.dtype) * size, (*batch, *[1] * (indices.ndim - batch_dims))
    )
    y = ops.take(flat, indices + start, axis=0)
    # The axes of the positions stand where the axis was.
    positions, before = indices.ndim - batch_dims, axis - batch_dims
    moved = builtin_range(batch_dims, batch_dims + positions)
    passed = builtin_range(batch_dims + positions, batch_dims + positions + before)
    after = builtin_range(batch_dims + positions + before, y.ndim)
    return ops.transpose(y, [*builtin_range(batch_dims), *passed, *moved, *after]) if before else y


def gather_nd(params, indices, batch_dims=0, name=None):
    """The elements or slices at the positions in the last axis of `indices`."""
    if batch_dims:
        raise NotImplementedError(
            "tf.gather_nd: expected batch_dims=0. Received: another. Hint: use tf.gather"
        )
    params, indices = ops.convert_to_tensor(params), ops.convert_to_tensor(indices)
    depth = indices.shape[-1]
    sizes, rest = params.shape[:depth], params.shape[depth:]
    at, step = None, 1
    for k in reversed(builtin_range(depth)):
        part = indices[..., k] * step
        at = part if at is None else at + part
        step *= sizes[k]
    return ops.take(ops.reshape(params, (_product(sizes), *rest)), at, axis=0)


def _product(sizes):
    n = 1
    for d in sizes:
        n *= d
    return n


def where(condition, x=None, y=None, name=None):
    """Elements of x where the condition holds, else of y; without x and y, the positions where it holds.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.where([True, False, True]).numpy().tolist()
        [[0], [2]]
    """
    if x is None and y is None:
        return ops.cast(ops.stack(ops.nonzero(condition), axis=-1), "int64")
    return ops.where(condition, x, y)


def boolean_mask(tensor, mask, axis=None, name="boolean_mask"):
    """The slices for which the mask holds."""
    import numpy as np

    tensor, mask = ops.convert_to_tensor(tensor), np.asarray(ops.convert_to_tensor(mask))
    axis = axis or 0
    sizes = tensor.shape
    flat = ops.reshape(tensor, (*sizes[:axis], -1, *sizes[axis + mask.ndim :]))
    return ops.take(flat, np.nonzero(mask.reshape(-1))[0], axis=axis)


def one_hot(indices, depth, on_value=None, off_value=None, axis=None, dtype=None, name=None):
    """Class numbers as rows of zeros with a one.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.one_hot([1, 0], 3).numpy().tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    dtype = _plain(dtype) or "float32"
    hot = ops.one_hot(
        ops.convert_to_tensor(indices), int(depth), axis=-1 if axis is None else axis, dtype="bool"
    )
    on = ops.convert_to_tensor(1 if on_value is None else on_value, dtype)
    off = ops.convert_to_tensor(0 if off_value is None else off_value, dtype)
    return ops.where(hot, on, off)


def slice(input_, begin, size, name=None):
    """A block: where it begins and its sizes (-1: to the end)."""
    input_ = ops.convert_to_tensor(input_)
    begin, size = _sizes(begin), _sizes(size)
    cuts = tuple(builtin_slice(b, None if s == -1 else b + s) for b, s in zip(begin, size, strict=True))
    return input_[cuts]


def strided_slice(input_, begin, end, strides=None, **kwargs):
    """A block with steps; see `x[begin:end:step]`."""
    if any(kwargs.values()):
        raise NotImplementedError("tf.strided_slice: expected no masks. Hint: write x[a:b:c, ...]")
    steps = [1] * len(begin) if strides is None else _sizes(strides)
    cuts = tuple(builtin_slice(b, e, s) for b, e, s in zip(_sizes(begin), _sizes(end), steps, strict=True))
    return ops.convert_to_tensor(input_)[cuts]


def tensor_scatter_nd_update(tensor, indices, updates, name=None):
    """The tensor with elements or slices at these positions replaced."""
    return ops.scatter_update(tensor, indices, updates)


def tensor_scatter_nd_add(tensor, indices, updates, name=None):
    """The tensor with something added at these positions."""
    return ops.scatter_update(tensor, indices, updates, reduction="add")


def scatter_nd(indices, updates, shape, name=None):
    """Zeros with values added at these positions."""
    return ops.scatter(indices, updates, _sizes(shape))


def meshgrid(*args, indexing="xy", name=None):
    """The coordinates of a grid."""
    return list(ops.meshgrid(*args, indexing=indexing))


def searchsorted(sorted_sequence, values, side="left", out_type="int32", name=None):
    """Where values belong in a sorted sequence."""
    return ops.cast(ops.searchsorted(sorted_sequence, values, side=side), str(as_dtype(out_type)))


def sort(values, axis=-1, direction="ASCENDING", name=None):
    """The elements along an axis in order."""
    y = ops.sort(values, axis=axis)
    return ops.flip(y, axis=axis) if direction == "DESCENDING" else y


def argsort(values, axis=-1, direction="ASCENDING", stable=False, name=None):
    """The positions that would sort the elements along an axis."""
    values = ops.convert_to_tensor(values)
    return ops.argsort(-values if direction == "DESCENDING" else values, axis=axis)


def unique(x, out_idx="int32", name=None):
    """The different elements in order of appearance, and for each element which it is: (y, idx)."""
    import numpy as np

    array = np.asarray(ops.convert_to_tensor(x))
    _, first, inverse = np.unique(array, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    from rkeras.tf.results import Unique

    return Unique(
        ops.convert_to_tensor(array[np.sort(first)]),
        ops.convert_to_tensor(place[inverse.reshape(-1)], str(as_dtype(out_idx))),
    )


def sequence_mask(lengths, maxlen=None, dtype="bool", name=None):
    """True for the first elements of each row, as many as `lengths` says."""
    lengths = ops.convert_to_tensor(lengths)
    if maxlen is None:
        maxlen = int(_number(ops.max(lengths)))
    mask = ops.arange(int(_number(maxlen)), dtype=lengths.dtype) < ops.expand_dims(lengths, -1)
    return ops.cast(mask, _plain(dtype))


def space_to_depth(input, block_size, data_format="NHWC", name=None):
    """Blocks of pixels as channels."""
    return ops.space_to_depth(input, block_size, _layout(data_format))


def depth_to_space(input, block_size, data_format="NHWC", name=None):
    """Channels as blocks of pixels."""
    return ops.depth_to_space(input, block_size, _layout(data_format))


def _layout(data_format):
    return "channels_first" if str(data_format).startswith("NC") else "channels_last"
