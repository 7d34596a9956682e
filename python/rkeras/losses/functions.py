"""Losses as functions: one number per sample (the last axis is averaged)."""

from rkeras import ops
from rkeras._core.tensor import cast, convert_to_tensor, get_keras_mask, set_keras_mask
from rkeras.losses.base import squeeze_or_expand_to_same_rank


def _pair(y_true, y_pred):
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    return squeeze_or_expand_to_same_rank(y_true, y_pred)


def _keep_mask(y_pred, loss):
    mask = get_keras_mask(y_pred)
    if mask is not None:
        set_keras_mask(loss, mask)
    return loss


def mean_squared_error(y_true, y_pred):
    """The mean over the last axis of (y_true - y_pred)².

    Example:
        >>> keras.losses.mean_squared_error([[0.0, 2.0]], [[0.0, 0.0]]).numpy().tolist()
        [2.0]
    """
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true, y_pred):
    """The mean over the last axis of |y_true - y_pred|."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true, y_pred):
    """100 times the mean of |y_true - y_pred| / |y_true|."""
    y_true, y_pred = _pair(y_true, y_pred)
    return 100.0 * ops.mean(ops.abs((y_true - y_pred) / ops.maximum(ops.abs(y_true), 1e-7)), axis=-1)


def mean_squared_logarithmic_error(y_true, y_pred):
    """The mean of (ln(1 + y_true) - ln(1 + y_pred))²."""
    y_true, y_pred = _pair(y_true, y_pred)
    difference = ops.log(ops.maximum(y_true, 1e-7) + 1.0) - ops.log(ops.maximum(y_pred, 1e-7) + 1.0)
    return ops.mean(ops.square(difference), axis=-1)


def huber(y_true, y_pred, delta=1.0):
    """The mean of e²/2 where the error e is at most delta, else delta (e - delta/2)."""
    y_true, y_pred = _pair(y_true, y_pred)
    error = ops.abs(y_pred - y_true)
    return ops.mean(ops.where(error <= delta, 0.5 * ops.square(error), delta * error - 0.5 * delta * delta), axis=-1)


def log_cosh(y_true, y_pred):
    """The mean of ln cosh(y_pred - y_true)."""
    y_true, y_pred = _pair(y_true, y_pred)
    error = y_pred - y_true
    return ops.mean(error + ops.softplus(-2.0 * error) - 0.6931471805599453, axis=-1)


def kl_divergence(y_true, y_pred):
    """Σ y_true ln(y_true / y_pred) over the last axis."""
    y_true, y_pred = _pair(y_true, y_pred)
    y_true, y_pred = ops.clip(y_true, 1e-7, 1.0), ops.clip(y_pred, 1e-7, 1.0)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def poisson(y_true, y_pred):
    """The mean of y_pred - y_true ln(y_pred)."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + 1e-7), axis=-1)


def cosine_similarity(y_true, y_pred, axis=-1):
    """The cosine of the angle between both along an axis."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.sum(ops.normalize(y_true, axis=axis) * ops.normalize(y_pred, axis=axis), axis=axis)


def _signs(y_true):
    """Labels 0 and 1 as -1 and 1; -1 and 1 as they are."""
    binary = ops.all(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)))
    return ops.where(binary, 2.0 * y_true - 1.0, y_true)


def hinge(y_true, y_pred):
    """The mean of max(1 - y_true y_pred, 0)."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0), axis=-1)


def squared_hinge(y_true, y_pred):
    """The mean of max(1 - y_true y_pred, 0)²."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(ops.square(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true, y_pred):
    """max(negative - positive + 1, 0): the score of the right class against the best of the others."""
    y_true, y_pred = _pair(y_true, y_pred)
    positive = ops.sum(y_true * y_pred, axis=-1)
    negative = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.maximum(negative - positive + 1.0, 0.0)


def _smooth(y_true, label_smoothing, classes):
    return y_true * (1.0 - label_smoothing) + label_smoothing / classes if label_smoothing else y_true


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """-Σ y_true ln(y_pred) along the axis of classes.

    Args:
        y_true: probabilities, e.g. one-hot rows.
        y_pred: probabilities, or logits.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: in [0, 1]: how much of each target is spread over all classes.
        axis: the axis of classes.

    Example:
        >>> keras.losses.categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).numpy().astype(float).round(4).tolist()
        [0.6931]
    """
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    classes = y_true.shape[axis]
    y_true = _smooth(y_true, label_smoothing, classes)
    return ops.categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """-ln y_pred[y_true] along the axis of classes.

    Args:
        y_true: class numbers.
        y_pred: probabilities, or logits.
        from_logits: whether `y_pred` holds logits.
        ignore_class: a class whose samples give no loss.
        axis: the axis of classes.
    """
    y_pred, y_true = convert_to_tensor(y_pred), convert_to_tensor(y_true)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, axis=-1)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)
    valid = ops.not_equal(y_true, cast(convert_to_tensor(ignore_class), y_true.dtype))
    y_true = y_true * cast(valid, y_true.dtype)
    loss = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)
    loss = ops.where(valid, loss, 0.0)
    set_keras_mask(loss, valid)
    return loss


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """The mean over an axis of -(y_true ln(y_pred) + (1 - y_true) ln(1 - y_pred)).

    Args:
        y_true: 0, 1, or in between.
        y_pred: probabilities, or logits.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: in [0, 1]: how far targets are moved towards 0.5.
        axis: what is averaged over.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    y_true = _smooth(y_true, label_smoothing, 2)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits=from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true, y_pred, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):  # fmt: skip
    """Binary cross-entropy times (1 - p of the right class)^gamma (Lin et al., 2017)."""
    y_true, y_pred = _pair(y_true, y_pred)
    y_true = _smooth(y_true, label_smoothing, 2)
    if from_logits:
        y_pred = ops.sigmoid(y_pred)
    entropy = ops.binary_crossentropy(y_true, y_pred)
    right = y_true * y_pred + (1 - y_true) * (1 - y_pred)
    loss = ops.power(1.0 - right, gamma) * entropy
    if apply_class_balancing:
        loss = (y_true * alpha + (1 - y_true) * (1 - alpha)) * loss
    return ops.mean(loss, axis=axis)


def categorical_focal_crossentropy(y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1):
    """Categorical cross-entropy with each term times alpha (1 - p)^gamma (Lin et al., 2017)."""
    y_pred = convert_to_tensor(y_pred)
    y_true = _smooth(convert_to_tensor(y_true, y_pred.dtype), label_smoothing, y_pred.shape[axis])
    if from_logits:
        y_pred = ops.softmax(y_pred, axis=axis)
    y_pred = y_pred / ops.sum(y_pred, axis=axis, keepdims=True)
    y_pred = ops.clip(y_pred, 1e-7, 1.0 - 1e-7)
    entropy = -y_true * ops.log(y_pred)
    return ops.sum(alpha * ops.power(1.0 - y_pred, gamma) * entropy, axis=axis)


def dice(y_true, y_pred, axis=None):
    """1 - 2 |A ∩ B| / (|A| + |B|), smoothed."""
    y_true, y_pred = _pair(y_true, y_pred)
    both = ops.sum(y_true * y_pred, axis=axis)
    total = ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis)
    return 1 - ops.divide(2.0 * both, total + 1e-7)


def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """1 - |A ∩ B| / (|A ∩ B| + alpha |B - A| + beta |A - B|), smoothed."""
    y_true, y_pred = _pair(y_true, y_pred)
    both = ops.sum(y_true * y_pred, axis=axis)
    false_positive = ops.sum((1 - y_true) * y_pred, axis=axis)
    false_negative = ops.sum(y_true * (1 - y_pred), axis=axis)
    return 1 - both / (both + false_positive * alpha + false_negative * beta + 1e-7)
