"""Cross-entropies."""

from rkeras._core import settings
from rkeras._core.primitive import primitive
from rkeras._core.symbolic import operation
from rkeras._core.tensor import cast, convert_to_tensor
from rkeras.ops import views

op = operation("nn")
_entropy = primitive("softmax_cross_entropy")
_sparse_entropy = primitive("sparse_softmax_cross_entropy")
_sum = primitive("sum")
_log = primitive("log")
_log1p = primitive("log1p")
_softplus = primitive("softplus")
_take_along_axis = primitive("take_along_axis")


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
        >>> y = keras.ops.categorical_crossentropy([[0.0, 1.0]], [[0.0, 0.0]], from_logits=True)
        >>> y.numpy().astype(float).round(4).tolist()
        [0.6931]
    """
    output = convert_to_tensor(output)
    target = convert_to_tensor(target, output.dtype)
    if target.ndim < 1:
        raise ValueError(
            f"categorical_crossentropy: expected at least one axis. Received: shape {target.shape}"
        )
    _agree("categorical_crossentropy", target.shape, output.shape)
    if from_logits:
        return _of_logits(_entropy, output, views.move_last(target, axis), axis)
    return -_sum(target * _log(_probabilities(output, axis)), axis=axis)


def _of_logits(function, output, target, axis):
    """The fused op on the last axis, in float32 at least."""
    dtype = output.dtype
    logits = views.move_last(output, axis)
    if dtype not in ("float32", "float64"):
        logits = cast(logits, "float32")
    if target.dtype == dtype:
        target = cast(target, logits.dtype)
    # The core works on rows.
    classes = logits.shape[-1]
    rows = views.reshape(logits, (None, classes)) if logits.ndim != 2 else logits
    flat = views.reshape(target, (None, classes) if target.ndim == logits.ndim else (None,))
    loss = function(rows, flat if logits.ndim != 2 else target)
    loss = loss[0] if isinstance(loss, (list, tuple)) else loss
    if logits.ndim != 2:
        loss = views.reshape(loss, logits.shape[:-1])
    return cast(loss, dtype)


def _probabilities(output, axis):
    """Brought to sum 1 and kept away from 0 and 1, so that logarithms are finite."""
    epsilon = settings.epsilon()
    output = output / _sum(output, axis=axis, keepdims=True)
    return _clip(output, epsilon, 1.0 - epsilon)


def _clip(x, low, high):
    return primitive("minimum")(primitive("maximum")(x, low), high)


@op
def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """-ln(output[target]) along an axis.

    Args:
        target: class numbers, of the shape of `output` without the axis of classes.
        output: probabilities (brought to sum 1), or logits.
        from_logits: whether `output` holds logits.
        axis: the axis of classes.

    Example:
        >>> y = keras.ops.sparse_categorical_crossentropy([1], [[0.0, 0.0]], from_logits=True)
        >>> y.numpy().astype(float).round(4).tolist()
        [0.6931]
    """
    output, target = convert_to_tensor(output), convert_to_tensor(target)
    if target.dtype not in ("int32", "int64"):
        target = cast(target, "int32")
    if output.ndim < 1:
        raise ValueError(
            f"sparse_categorical_crossentropy: expected at least one axis. Received: shape {output.shape}"
        )
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = views.squeeze(target, -1)
    axis_at = axis % output.ndim
    _agree(
        "sparse_categorical_crossentropy", target.shape, output.shape[:axis_at] + output.shape[axis_at + 1 :]
    )
    if from_logits:
        return _of_logits(_sparse_entropy, output, target, axis)
    chosen = _take_along_axis(_probabilities(output, axis), views.expand_dims(target, axis_at), axis=axis_at)
    return -_log(views.squeeze(chosen, axis_at))


@op
def binary_crossentropy(target, output, from_logits=False):
    """-(target ln(output) + (1 - target) ln(1 - output)), element by element.

    Args:
        target: probabilities, e.g. 0 and 1.
        output: probabilities, or logits.
        from_logits: whether `output` holds logits.

    Example:
        >>> keras.ops.binary_crossentropy([1.0], [0.0], from_logits=True).numpy().astype(float).round(4).tolist()
        [0.6931]
    """
    output = convert_to_tensor(output)
    target = convert_to_tensor(target, output.dtype)
    _agree("binary_crossentropy", target.shape, output.shape)
    if from_logits:
        # softplus(-x) = -ln sigmoid(x): no overflow, and no cancellation on either side.
        return target * _softplus(-output) + (1 - target) * _softplus(output)
    epsilon = settings.epsilon()
    output = _clip(output, epsilon, 1.0 - epsilon)
    return -(target * _log(output) + (1 - target) * _log1p(-output))
