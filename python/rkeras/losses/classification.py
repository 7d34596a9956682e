"""Losses for classes: cross-entropies, hinges, overlaps."""

from rkeras import ops
from rkeras._core import settings
from rkeras._core.tensor import set_keras_mask
from rkeras.losses.base import LossFunctionWrapper, pair


def _check_axis(who, axis):
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ValueError(f"{who}: expected axis as an integer. Received: axis={axis!r}")


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """mean(-(y ln p + (1 - y) ln(1 - p))) over an axis.

    Args:
        y_true: 0 or 1.
        y_pred: probabilities, or logits.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: how far labels are drawn towards 1/2, in [0, 1].
        axis: the axis of the mean.

    Example:
        >>> keras.losses.binary_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).numpy().astype("float64").round(4).tolist()
        [0.6931]
    """
    y_true, y_pred = pair(y_true, y_pred, match=False)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits=from_logits), axis=axis)


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """-Σ y ln p over the axis of classes.

    Args:
        y_true: one-hot labels, or probabilities.
        y_pred: probabilities (brought to sum 1), or logits.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: the share of every label that is spread over all classes.
        axis: the axis of classes.
    """
    _check_axis("categorical_crossentropy", axis)
    y_true, y_pred = pair(y_true, y_pred, match=False)
    if y_pred.shape[-1] == 1:
        import warnings

        warnings.warn(
            "categorical_crossentropy: expected at least two classes. Received: "
            f"y_pred of shape {y_pred.shape}. Hint: use binary_crossentropy.",
            SyntaxWarning,
            stacklevel=2,
        )
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[-1]
    return ops.categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """-ln p[y] over the axis of classes.

    Args:
        y_true: class numbers.
        y_pred: probabilities (brought to sum 1), or logits.
        from_logits: whether `y_pred` holds logits.
        ignore_class: a class number whose examples do not count.
        axis: the axis of classes.

    Example:
        >>> keras.losses.sparse_categorical_crossentropy([1], [[0.5, 0.5]]).numpy().astype("float64").round(4).tolist()
        [0.6931]
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)
    valid = ops.not_equal(y_true, ops.cast(ignore_class, y_true.dtype))
    y_true = ops.where(valid, y_true, ops.zeros_like(y_true))
    y_pred = y_pred * ops.expand_dims(ops.cast(valid, y_pred.dtype), -1)
    values = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)
    values = ops.where(valid, values, ops.zeros_like(values))
    set_keras_mask(values, valid)
    return values


def binary_focal_crossentropy(
    y_true, y_pred, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):  # fmt: skip
    """Binary cross-entropy times (1 - p_t)^gamma, where p_t is the probability given to the truth.

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: see `binary_crossentropy`.
        apply_class_balancing: whether class 1 is weighed with alpha and class 0 with 1 - alpha.
        alpha: that weight.
        gamma: how little easy examples count.

    Source: Lin et al., Focal Loss for Dense Object Detection (2018), arXiv:1708.02002.
    """
    y_true, y_pred = pair(y_true, y_pred, match=False)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        y_pred = ops.sigmoid(y_pred)
    entropy = ops.binary_crossentropy(y_true, y_pred, from_logits=False)
    p = y_true * y_pred + (1 - y_true) * (1 - y_pred)
    values = ops.power(1.0 - p, gamma) * entropy
    if apply_class_balancing:
        values = (y_true * alpha + (1 - y_true) * (1 - alpha)) * values
    return ops.mean(values, axis=axis)


def categorical_focal_crossentropy(
    y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):  # fmt: skip
    """-Σ alpha (1 - p)^gamma y ln p over the axis of classes.

    Source: Lin et al., Focal Loss for Dense Object Detection (2018), arXiv:1708.02002.
    """
    _check_axis("categorical_focal_crossentropy", axis)
    y_true, y_pred = pair(y_true, y_pred, match=False)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[-1]
    if from_logits:
        y_pred = ops.softmax(y_pred, axis=axis)
    p = y_pred / ops.sum(y_pred, axis=axis, keepdims=True)
    p = ops.clip(p, settings.epsilon(), 1.0 - settings.epsilon())
    return ops.sum(ops.power(1.0 - p, gamma) * alpha * (-y_true * ops.log(p)), axis=axis)


def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """(1 - p[y]^q) / q: between cross-entropy (q near 0) and absolute error (q near 1).

    Source: Zhang and Sabuncu, Generalized Cross Entropy Loss (2018), arXiv:1805.07836.
    """
    if not 0 < q < 1:
        raise ValueError(f"categorical_generalized_cross_entropy: expected q in (0, 1). Received: q={q!r}")
    y_pred = ops.convert_to_tensor(y_pred)
    labels = ops.cast(ops.convert_to_tensor(y_true), "int32")
    if labels.ndim == y_pred.ndim and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, -1)
    p = ops.sum(y_pred * ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype), axis=-1)
    return (1.0 - ops.power(p, q)) / q


def kl_divergence(y_true, y_pred):
    """Σ y ln(y / p) over the last axis."""
    y_true, y_pred = pair(y_true, y_pred)
    y_true = ops.clip(y_true, settings.epsilon(), 1.0)
    y_pred = ops.clip(y_pred, settings.epsilon(), 1.0)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def _signs(y_true):
    """Labels 0 and 1 as -1 and 1; labels that are other numbers as they are."""
    binary = ops.all(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)))
    return ops.where(binary, 2.0 * y_true - 1.0, y_true)


def hinge(y_true, y_pred):
    """mean(max(1 - y_true y_pred, 0)) over the last axis; labels are -1 and 1, or 0 and 1."""
    y_true, y_pred = pair(y_true, y_pred)
    return ops.mean(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0), axis=-1)


def squared_hinge(y_true, y_pred):
    """mean(max(1 - y_true y_pred, 0)²) over the last axis; labels are -1 and 1, or 0 and 1."""
    y_true, y_pred = pair(y_true, y_pred)
    return ops.mean(ops.square(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true, y_pred):
    """max(neg - pos + 1, 0) with pos the output of the true class, neg the largest of the others."""
    y_true, y_pred = pair(y_true, y_pred)
    pos = ops.sum(y_true * y_pred, axis=-1)
    neg = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.maximum(neg - pos + 1.0, 0.0)


def dice(y_true, y_pred, axis=None):
    """1 - 2 Σ y p / (Σ y + Σ p) over axes (all if None)."""
    y_true, y_pred = pair(y_true, y_pred, match=False)
    both = ops.sum(y_true * y_pred, axis=axis)
    each = ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis)
    return 1.0 - 2.0 * both / (each + settings.epsilon())


def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """1 - TP / (TP + alpha FN + beta FP) over axes (all if None).

    In Keras, too, alpha weighs missed elements (FN) and beta wrong ones (FP).

    Source: Salehi et al., Tversky loss function for image segmentation (2017), arXiv:1706.05721.
    """
    y_true, y_pred = pair(y_true, y_pred, match=False)
    both = ops.sum(y_true * y_pred, axis=axis)
    wrong = ops.sum((1.0 - y_true) * y_pred, axis=axis)
    missed = ops.sum(y_true * (1.0 - y_pred), axis=axis)
    return 1.0 - both / (both + missed * alpha + wrong * beta + settings.epsilon())


class BinaryCrossentropy(LossFunctionWrapper):
    """The mean of -(y ln p + (1 - y) ln(1 - p)).

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: how far labels are drawn towards 1/2, in [0, 1].
        axis: the axis of the mean per example.
        reduction, name, dtype: see `Loss`.

    Example:
        >>> round(float(keras.losses.BinaryCrossentropy()([[1.0]], [[0.5]])), 4)
        0.6931
    """

    _arguments = ("from_logits", "label_smoothing", "axis")

    def __init__(
        self, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
        name="binary_crossentropy", dtype=None,
    ):  # fmt: skip
        super().__init__(
            binary_crossentropy, name=name, reduction=reduction, dtype=dtype, from_logits=from_logits,
            label_smoothing=label_smoothing, axis=axis,
        )  # fmt: skip
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """Binary cross-entropy in which easy examples count little; arguments as in `binary_focal_crossentropy`.

    Source: Lin et al., Focal Loss for Dense Object Detection (2018), arXiv:1708.02002.
    """

    _arguments = ("from_logits", "label_smoothing", "axis", "apply_class_balancing", "alpha", "gamma")

    def __init__(
        self, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1,
        reduction="sum_over_batch_size", name="binary_focal_crossentropy", dtype=None,
    ):  # fmt: skip
        super().__init__(
            binary_focal_crossentropy, name=name, reduction=reduction, dtype=dtype,
            apply_class_balancing=apply_class_balancing, alpha=alpha, gamma=gamma, from_logits=from_logits,
            label_smoothing=label_smoothing, axis=axis,
        )  # fmt: skip
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis
        self.apply_class_balancing, self.alpha, self.gamma = apply_class_balancing, alpha, gamma


class CategoricalCrossentropy(LossFunctionWrapper):
    """The mean of -Σ y ln p, for one-hot labels.

    Args:
        from_logits: whether predictions are logits.
        label_smoothing: the share of every label that is spread over all classes.
        axis: the axis of classes.
        reduction, name, dtype: see `Loss`.
    """

    _arguments = ("from_logits", "label_smoothing", "axis")

    def __init__(
        self, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
        name="categorical_crossentropy", dtype=None,
    ):  # fmt: skip
        super().__init__(
            categorical_crossentropy, name=name, reduction=reduction, dtype=dtype, from_logits=from_logits,
            label_smoothing=label_smoothing, axis=axis,
        )  # fmt: skip
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """Cross-entropy in which easy examples count little; arguments as in `categorical_focal_crossentropy`.

    Source: Lin et al., Focal Loss for Dense Object Detection (2018), arXiv:1708.02002.
    """

    _arguments = ("from_logits", "label_smoothing", "axis", "alpha", "gamma")

    def __init__(
        self, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
        name="categorical_focal_crossentropy", dtype=None,
    ):  # fmt: skip
        super().__init__(
            categorical_focal_crossentropy, name=name, reduction=reduction, dtype=dtype, alpha=alpha, gamma=gamma,
            from_logits=from_logits, label_smoothing=label_smoothing, axis=axis,
        )  # fmt: skip
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis
        self.alpha, self.gamma = alpha, gamma


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """The mean of (1 - p[y]^q) / q, robust against wrong labels.

    Args:
        q: between cross-entropy (near 0) and absolute error (near 1).
        reduction, name, dtype: see `Loss`.

    Source: Zhang and Sabuncu, Generalized Cross Entropy Loss (2018), arXiv:1805.07836.
    """

    _arguments = ("q",)

    def __init__(
        self, q=0.5, reduction="sum_over_batch_size", name="categorical_generalized_cross_entropy", dtype=None
    ):  # fmt: skip
        if not 0 < q < 1:
            raise ValueError(f"CategoricalGeneralizedCrossEntropy: expected q in (0, 1). Received: q={q!r}")
        super().__init__(
            categorical_generalized_cross_entropy, name=name, reduction=reduction, dtype=dtype, q=q
        )
        self.q = q


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """The mean of -ln p[y], for class numbers.

    Args:
        from_logits: whether predictions are logits.
        ignore_class: a class number whose examples do not count.
        reduction: see `Loss`.
        axis: the axis of classes.
        name, dtype: see `Loss`.

    Example:
        >>> round(float(keras.losses.SparseCategoricalCrossentropy()([1], [[0.5, 0.5]])), 4)
        0.6931
    """

    _arguments = ("from_logits", "ignore_class")
    _rare_arguments = {"axis": -1}

    def __init__(
        self, from_logits=False, ignore_class=None, reduction="sum_over_batch_size", axis=-1,
        name="sparse_categorical_crossentropy", dtype=None,
    ):  # fmt: skip
        super().__init__(
            sparse_categorical_crossentropy, name=name, reduction=reduction, dtype=dtype, from_logits=from_logits,
            ignore_class=ignore_class, axis=axis,
        )  # fmt: skip
        self.from_logits, self.ignore_class = from_logits, ignore_class

    def call(self, y_true, y_pred):
        """One value per example."""
        # Labels have one axis less by nature, so nothing is expanded.
        return self.fn(y_true, y_pred, **self._fn_kwargs)


class KLDivergence(LossFunctionWrapper):
    """The mean of Σ y ln(y / p); arguments as in `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="kl_divergence", dtype=None):
        super().__init__(kl_divergence, name=name, reduction=reduction, dtype=dtype)


class Hinge(LossFunctionWrapper):
    """The mean of max(1 - y_true y_pred, 0); arguments as in `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="hinge", dtype=None):
        super().__init__(hinge, name=name, reduction=reduction, dtype=dtype)


class SquaredHinge(LossFunctionWrapper):
    """The mean of max(1 - y_true y_pred, 0)²; arguments as in `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="squared_hinge", dtype=None):
        super().__init__(squared_hinge, name=name, reduction=reduction, dtype=dtype)


class CategoricalHinge(LossFunctionWrapper):
    """The mean of max(neg - pos + 1, 0), for one-hot labels; arguments as in `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="categorical_hinge", dtype=None):
        super().__init__(categorical_hinge, name=name, reduction=reduction, dtype=dtype)


class Dice(LossFunctionWrapper):
    """1 - 2 |A ∩ B| / (|A| + |B|).

    Args:
        reduction, name, dtype: see `Loss`.
        axis: the axes summed over; all if None.
    """

    _arguments = ("axis",)

    def __init__(self, reduction="sum_over_batch_size", name="dice", axis=None, dtype=None):
        super().__init__(dice, name=name, reduction=reduction, dtype=dtype, axis=axis)
        self.axis = axis


class Tversky(LossFunctionWrapper):
    """1 - TP / (TP + alpha FN + beta FP).

    Args:
        alpha, beta: the weights of missed and of wrong elements.
        reduction, name, dtype: see `Loss`.
        axis: the axes summed over; all if None.

    Source: Salehi et al., Tversky loss function for image segmentation (2017), arXiv:1706.05721.
    """

    _arguments = ("alpha", "beta", "axis")

    def __init__(
        self, alpha=0.5, beta=0.5, reduction="sum_over_batch_size", name="tversky", axis=None, dtype=None
    ):  # fmt: skip
        super().__init__(
            tversky, name=name, reduction=reduction, dtype=dtype, alpha=alpha, beta=beta, axis=axis
        )
        self.alpha, self.beta, self.axis = alpha, beta, axis
