"""Cross-entropies."""

from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import cast, convert_to_tensor

op = operation("nn")
_categorical = primitive("categorical_crossentropy")
_sparse = primitive("sparse_categorical_crossentropy")
_binary = primitive("binary_crossentropy")
_squeeze = primitive("squeeze")


def _agree(who, a, b):
    if len(a) != len(b) or any(p is not None and q is not None and p != q for p, q in zip(a, b, strict=True)):
        raise ValueError(f"{who}: expected target and output of the same shape. Received: {a} and {b}")


@op
def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """-Σ target ln(output) along an axis.

    Args:
        target: probabilities, e.g. one-hot.
        output: probabilities (brought to sum 1), or logits.
        from_logits: whether `output` holds logits.
        axis: the axis of classes.

    Example:
        >>> keras.ops.categorical_crossentropy([[0.0, 1.0]], [[0.0, 0.0]], from_logits=True).numpy().round(4).tolist()
        [0.6931]
    """
    output = convert_to_tensor(output)
    target = convert_to_tensor(target, output.dtype)
    if target.ndim < 1:
        raise ValueError(f"categorical_crossentropy: expected at least one axis. Received: shape {target.shape}")
    _agree("categorical_crossentropy", target.shape, output.shape)
    return _categorical(target, output, from_logits=from_logits, axis=axis)


@op
def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """-ln(output[target]) along an axis.

    Args:
        target: class numbers, of the shape of `output` without the axis of classes.
        output: probabilities (brought to sum 1), or logits.
        from_logits: whether `output` holds logits.
        axis: the axis of classes.

    Example:
        >>> keras.ops.sparse_categorical_crossentropy([1], [[0.0, 0.0]], from_logits=True).numpy().round(4).tolist()
        [0.6931]
    """
    output, target = convert_to_tensor(output), convert_to_tensor(target)
    if target.dtype not in ("int32", "int64"):
        target = cast(target, "int32")
    if output.ndim < 1:
        raise ValueError(f"sparse_categorical_crossentropy: expected at least one axis. Received: shape {output.shape}")
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = _squeeze(target, axis=-1)
    axis_at = axis % output.ndim
    _agree("sparse_categorical_crossentropy", target.shape, output.shape[:axis_at] + output.shape[axis_at + 1 :])
    return _sparse(target, output, from_logits=from_logits, axis=axis)


@op
def binary_crossentropy(target, output, from_logits=False):
    """-(target ln(output) + (1 - target) ln(1 - output)), element by element.

    Args:
        target: probabilities, e.g. 0 and 1.
        output: probabilities, or logits.
        from_logits: whether `output` holds logits.

    Example:
        >>> keras.ops.binary_crossentropy([1.0], [0.0], from_logits=True).numpy().round(4).tolist()
        [0.6931]
    """
    output = convert_to_tensor(output)
    target = convert_to_tensor(target, output.dtype)
    _agree("binary_crossentropy", target.shape, output.shape)
    return _binary(target, output, from_logits=from_logits)
