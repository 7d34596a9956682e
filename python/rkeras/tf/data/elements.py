"""What the elements of data sets are made of, and how they become batches and rows."""

import numpy as np

from rkeras import ops
from rkeras._core import tree
from rkeras._core.tensor import Tensor
from rkeras._core.variable import Variable
from rkeras.tf.dtypes import as_dtype
from rkeras.tf.shapes import TensorSpec
from rkeras.tf.text import StringTensor, holds_text


def to_array(value):
    """A part of an element as a NumPy array (or text): how elements travel through a pipeline."""
    if isinstance(value, (np.ndarray, StringTensor)) and not holds_text(value):
        return value
    if isinstance(value, Variable):
        value = value.read()
    if isinstance(value, Tensor):
        return value.numpy()
    if holds_text(value) or isinstance(value, StringTensor):
        return value if isinstance(value, StringTensor) else StringTensor(value)
    if isinstance(value, np.generic):
        return np.asarray(value)
    return ops.convert_to_tensor(value).numpy()


def to_tensor(value):
    """A part of an element as users see it."""
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return ops.convert_to_tensor(value)
    return value


def is_leaf(value):
    """Lists are tensors, tuples and dicts are structures."""
    return not isinstance(value, (tuple, dict))


def map_parts(function, element):
    """The structure with `function(part)` in place of the parts."""
    if isinstance(element, dict):
        return {k: map_parts(function, v) for k, v in element.items()}
    if isinstance(element, tuple):
        return tree._rebuild(element, [map_parts(function, v) for v in element])
    return function(element)


def parts(element):
    """The parts as a list."""
    if isinstance(element, dict):
        return [p for k in sorted(element) for p in parts(element[k])]
    if isinstance(element, tuple):
        return [p for v in element for p in parts(v)]
    return [element]


def like(element, values):
    """The structure of an element around other parts, given in the order of `parts`."""
    values = iter(values)

    def walk(node):
        if isinstance(node, dict):
            found = {k: walk(node[k]) for k in sorted(node)}
            return {k: found[k] for k in node}
        if isinstance(node, tuple):
            return tree._rebuild(node, [walk(v) for v in node])
        return next(values)

    return walk(element)


def stack(elements):
    """Elements of one structure and shape as one element with a batch axis."""
    columns = zip(*(parts(e) for e in elements), strict=True)
    return like(elements[0], [_stack(list(c)) for c in columns])


def _stack(values):
    first = values[0]
    if isinstance(first, StringTensor):
        out = np.empty((len(values), *first.shape), object)
        for i, v in enumerate(values):
            out[i] = v.values[()]
        return StringTensor(out)
    if not isinstance(first, np.ndarray):
        raise TypeError(
            f"Dataset.batch: expected tensors. Received: {type(first).__name__}. Hint: flat_map them first"
        )
    shapes = {v.shape for v in values}
    if len(shapes) > 1:
        raise ValueError(
            f"Dataset.batch: expected elements of one shape. Received: {sorted(shapes)}. Hint: use padded_batch"
        )
    return np.stack(values)


def pad_and_stack(elements, shapes, fill):
    """Elements of different sizes as one, filled up to the largest (or to given sizes)."""
    flat = [parts(e) for e in elements]
    columns = list(zip(*flat, strict=True))
    shapes = [None] * len(columns) if shapes is None else _shapes(shapes, elements[0])
    if fill is None or is_leaf(fill):
        fill = [fill] * len(columns)
    else:
        fill = parts(fill)
    return like(elements[0], [_pad(c, s, f) for c, s, f in zip(columns, shapes, fill, strict=True)])


def _shapes(shapes, element):
    """One shape per part; a structure of shapes, or one for all."""
    count = len(parts(element))
    if count == 1 and not isinstance(shapes, dict):
        shapes = (
            shapes[0]
            if isinstance(shapes, tuple) and shapes and isinstance(shapes[0], (list, tuple))
            else shapes
        )
        return [tuple(shapes)]

    def collect(node):
        if isinstance(node, dict):
            return [s for k in sorted(node) for s in collect(node[k])]
        if isinstance(node, (list, tuple)) and all(d is None or isinstance(d, int) for d in node):
            return [tuple(node)]
        return [s for v in node for s in collect(v)]

    found = collect(shapes)
    if len(found) != count:
        raise ValueError(f"Dataset.padded_batch: expected {count} padded_shapes. Received: {shapes}")
    return found


def _pad(values, shape, fill):
    first = values[0]
    rank = first.ndim
    largest = [max(v.shape[d] for v in values) for d in range(rank)]
    if shape is not None:
        if len(shape) != rank:
            raise ValueError(
                f"Dataset.padded_batch: expected {rank} sizes for parts of shape {first.shape}. Received: {shape}"
            )
        for want, have in zip(shape, largest, strict=True):
            if want is not None and want != -1 and want < have:
                raise ValueError(
                    f"Dataset.padded_batch: expected elements of at most {shape}. Received: size {have}"
                )
        largest = [have if want in (None, -1) else want for want, have in zip(shape, largest, strict=True)]
    if isinstance(first, StringTensor):
        out = np.full((len(values), *largest), b"" if fill is None else fill, object)
        for i, v in enumerate(values):
            out[(i, *(slice(0, n) for n in v.shape))] = v.values
        return StringTensor(out)
    value = 0 if fill is None else np.asarray(fill)
    out = np.full((len(values), *largest), value, first.dtype)
    for i, v in enumerate(values):
        out[(i, *(slice(0, n) for n in v.shape))] = v
    return out


def rows_of(element):
    """The slices of an element along its first axis."""
    flat = parts(element)
    for i in range(len(flat[0])):
        yield like(element, [_row(p, i) for p in flat])


def _row(part, i):
    return part[i] if isinstance(part, StringTensor) else np.asarray(part[i])


def take(part, positions):
    """The rows at these positions."""
    if isinstance(part, StringTensor):
        return StringTensor(part.values[positions])
    return part[positions]


def spec_of(part):
    """The spec of a part of an element."""
    dtype = part.dtype if isinstance(part, StringTensor) else as_dtype(part.dtype)
    return TensorSpec(part.shape, dtype)
