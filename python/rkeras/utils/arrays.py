"""Small helpers for arrays of labels, rows and sequences."""

from rkeras import ops
from rkeras._core.symbolic import is_keras_tensor
from rkeras._core.tensor import is_tensor


def to_categorical(x, num_classes=None):
    """Class numbers as one-hot rows.

    Args:
        x: integers from 0 to num_classes - 1, of any shape; a last axis of size 1 is dropped.
        num_classes: the length of the rows; the largest number plus one if None.

    Returns:
        A NumPy array (a tensor for a tensor) of shape (..., num_classes).

    Raises:
        ValueError: for numbers below 0 or beyond num_classes.

    Example:
        >>> keras.utils.to_categorical([0, 2]).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if is_tensor(x) or is_keras_tensor(x):
        if num_classes is None:
            num_classes = int(ops.max(x)) + 1
        if len(x.shape) > 1 and x.shape[-1] == 1:
            x = ops.squeeze(x, -1)
        return ops.one_hot(ops.cast(x, "int32"), num_classes)
    import numpy as np

    x = np.array(x, dtype="int64")
    shape = x.shape[:-1] if x.ndim > 1 and x.shape[-1] == 1 else x.shape
    x = x.reshape(-1)
    if num_classes is None:
        num_classes = int(x.max()) + 1 if x.size else 0
    if x.size and (x.min() < 0 or x.max() >= num_classes):
        raise ValueError(
            f"to_categorical: expected class numbers from 0 to {num_classes - 1}. Received: numbers from {x.min()} to {x.max()}"
        )
    rows = np.zeros((x.size, num_classes))
    rows[np.arange(x.size), x] = 1
    return rows.reshape((*shape, num_classes))


def normalize(x, axis=-1, order=2):
    """The array divided by its norm along an axis (where that is not 0).

    Args:
        x: an array, or a tensor.
        axis: the axis of the norm.
        order: 2 for the Euclidean norm, 1 for the sum of sizes ...

    Example:
        >>> keras.utils.normalize([[3.0, 4.0]]).tolist()
        [[0.6, 0.8]]
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"normalize: expected order as a positive integer. Received: {order!r}")
    if is_tensor(x) or is_keras_tensor(x):
        return ops.normalize(x, axis=axis, order=order)
    import numpy as np

    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return x / np.expand_dims(norm, axis)


def pad_sequences(sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0):
    """Sequences of different length as the rows of one array.

    Args:
        sequences: lists (of numbers, or of rows of the same shape).
        maxlen: the length of the rows; that of the longest sequence if None.
        dtype: the dtype of the array.
        padding: "pre" or "post": where short sequences are filled up.
        truncating: "pre" or "post": where long ones are cut.
        value: what is filled in.

    Returns:
        A NumPy array of shape (len(sequences), maxlen, ...).

    Raises:
        ValueError: if an entry is no sequence, or rows differ in shape.

    Example:
        >>> keras.utils.pad_sequences([[1], [2, 3, 4]], maxlen=2).tolist()
        [[0, 1], [3, 4]]
    """
    import numpy as np

    for name, choice in (("padding", padding), ("truncating", truncating)):
        if choice not in ("pre", "post"):
            raise ValueError(f'pad_sequences: expected {name} "pre" or "post". Received: {choice!r}')
    if not hasattr(sequences, "__len__"):
        raise ValueError(f"pad_sequences: expected a list of lists. Received: {type(sequences).__name__}")
    rows, lengths = len(sequences), []
    sample = None
    for s in sequences:
        if not hasattr(s, "__len__"):
            raise ValueError(f"pad_sequences: expected every entry to be a list. Received: {s!r}")
        lengths.append(len(s))
        if sample is None and len(s):
            sample = np.asarray(s).shape[1:]
    if maxlen is None:
        maxlen = max(lengths, default=0)
    text = np.issubdtype(dtype, np.str_) or np.issubdtype(dtype, np.bytes_)
    if isinstance(value, str) and dtype is not object and not text:
        raise ValueError(
            f"pad_sequences: expected dtype object or a text dtype for value={value!r}. Received: dtype={dtype!r}"
        )
    out = np.full((rows, maxlen, *(sample or ())), value, dtype=dtype)
    for i, s in enumerate(sequences):
        if not len(s) or not maxlen:
            continue
        part = np.asarray(s[-maxlen:] if truncating == "pre" else s[:maxlen], dtype=dtype)
        if part.shape[1:] != (sample or ()):
            raise ValueError(
                f"pad_sequences: expected rows of shape {sample}. Received: {part.shape[1:]} at position {i}"
            )
        if padding == "post":
            out[i, : len(part)] = part
        else:
            out[i, -len(part) :] = part
    return out
