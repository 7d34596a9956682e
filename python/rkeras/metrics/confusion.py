"""Metrics from counts of right and wrong decisions at thresholds: precision, recall, areas under curves."""

from rkeras import ops
from rkeras._core import settings
from rkeras._core.tensor import cast, convert_to_tensor
from rkeras.losses.base import same_rank
from rkeras.metrics.base import Metric

# Scores that are never above a threshold.
_LOWEST = -1e10


def _parse_thresholds(who, thresholds, default):
    """Thresholds as a list of numbers in [0, 1]."""
    if thresholds is None:
        return [default]
    values = list(thresholds) if isinstance(thresholds, (list, tuple)) else [thresholds]
    for t in values:
        if t is None or not 0 <= t <= 1:
            raise ValueError(f"{who}: expected thresholds in [0, 1]. Received: {thresholds}")
    return [float(t) for t in values]


def _keep_top_k(scores, k):
    """The k largest scores of each row; the others as low as can be."""
    _, places = ops.top_k(scores, k)
    kept = ops.any(ops.one_hot(places, scores.shape[-1], dtype="bool"), axis=-2)
    return ops.where(kept, scores, _LOWEST)


def confusion_counts(
    y_true, y_pred, thresholds, sample_weight=None, top_k=None, class_id=None, dtype="float32", per_label=False,
    label_weights=None,
):  # fmt: skip
    """Weighted counts of (true positives, false positives, true negatives, false negatives) at each threshold.

    Args:
        y_true: targets, 0 or 1.
        y_pred: scores.
        thresholds: a score above one counts as positive.
        sample_weight: weights of examples or elements.
        top_k: only the k largest scores of an example may be positive.
        class_id: the class that counts; all if None.
        dtype: of the counts.
        per_label: whether labels (the last axis) are counted apart.
        label_weights: weights of labels, where they are not counted apart.

    Returns:
        Four tensors of shape (thresholds,), or (thresholds, labels).
    """
    y_pred = convert_to_tensor(y_pred, dtype)
    y_true = convert_to_tensor(y_true, dtype)
    y_true, y_pred = same_rank(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"metrics: expected targets and scores of one shape. Received: shapes {y_true.shape} and {y_pred.shape}"
        )
    if top_k is not None:
        y_pred = _keep_top_k(y_pred, top_k)
    if class_id is not None:
        y_true, y_pred = y_true[..., class_id], y_pred[..., class_id]
    weights = None
    if sample_weight is not None:
        weights = convert_to_tensor(sample_weight, dtype)
        _, weights = same_rank(y_pred, weights)
        while weights.ndim < y_pred.ndim:
            weights = ops.expand_dims(weights, -1)
        weights = ops.broadcast_to(weights, y_pred.shape)
    if label_weights is not None and not per_label:
        by_label = ops.broadcast_to(convert_to_tensor(label_weights, dtype), y_pred.shape)
        weights = by_label if weights is None else weights * by_label
    labels = y_pred.shape[-1] if per_label else 1

    def rows(x):
        return ops.reshape(x, (1, -1, labels))

    limits = ops.reshape(convert_to_tensor(thresholds, dtype), (-1, 1, 1))
    said = cast(rows(y_pred) > limits, dtype)
    true = cast(rows(y_true) > 0, dtype)
    weights = ops.ones_like(true) if weights is None else rows(weights)
    counts = []
    for a, b in ((true, said), (1 - true, said), (1 - true, 1 - said), (true, 1 - said)):
        count = ops.sum(a * weights * b, axis=1)
        counts.append(count if per_label else ops.squeeze(count, -1))
    return counts


def _one_or_all(values, thresholds):
    return values[0] if len(thresholds) == 1 else values


class _Count(Metric):
    """One of the four counts; `_place` says which."""

    _place = 0

    def __init__(self, thresholds=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = _parse_thresholds(type(self).__name__, thresholds, 0.5)
        self.accumulator = self.add_variable((len(self.thresholds),), "zeros", name="accumulator")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        counts = confusion_counts(y_true, y_pred, self.thresholds, sample_weight, dtype=self.dtype)
        self.accumulator.assign_add(counts[self._place])

    def result(self):
        """The count: a number, or one per threshold."""
        return _one_or_all(self.accumulator.value, self.thresholds)

    def get_config(self):
        """The constructor arguments."""
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_Count):
    """The (weighted) number of examples of class 1 with a score above the threshold.

    Args:
        thresholds: a number in [0, 1], or several; 0.5 if None.
        name, dtype: see `Metric`.

    Example:
        >>> m = keras.metrics.TruePositives()
        >>> m.update_state([0, 1, 1], [0.9, 0.9, 0.1])
        >>> float(m.result())
        1.0
    """

    _place = 0


class FalsePositives(_Count):
    """The (weighted) number of examples of class 0 with a score above the threshold; arguments as in `TruePositives`."""

    _place = 1


class TrueNegatives(_Count):
    """The (weighted) number of examples of class 0 with a score up to the threshold; arguments as in `TruePositives`."""

    _place = 2


class FalseNegatives(_Count):
    """The (weighted) number of examples of class 1 with a score up to the threshold; arguments as in `TruePositives`."""

    _place = 3


class _Share(Metric):
    """Precision and recall: true positives over true positives and one kind of mistake."""

    _mistake = ("false_positives", 1)
    _direction = "up"

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self.thresholds = _parse_thresholds(
            type(self).__name__, thresholds, 0.5 if top_k is None else _LOWEST
        )
        shape = (len(self.thresholds),)
        self.true_positives = self.add_variable(shape, "zeros", name="true_positives")
        mistakes = self.add_variable(shape, "zeros", name=self._mistake[0])
        object.__setattr__(self, self._mistake[0], mistakes)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        counts = confusion_counts(
            y_true, y_pred, self.thresholds, sample_weight, self.top_k, self.class_id, dtype=self.dtype
        )
        self.true_positives.assign_add(counts[0])
        getattr(self, self._mistake[0]).assign_add(counts[self._mistake[1]])

    def result(self):
        """The share: a number, or one per threshold; 0 where nothing was counted."""
        right = self.true_positives.value
        share = ops.divide_no_nan(right, right + getattr(self, self._mistake[0]).value)
        return _one_or_all(share, self.thresholds)

    def get_config(self):
        """The constructor arguments."""
        more = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **more}


class Precision(_Share):
    """How many of those said to be positive are: TP / (TP + FP).

    Args:
        thresholds: a number in [0, 1], or several; 0.5 if None (with `top_k`: any score).
        top_k: only the k largest scores of an example may be positive.
        class_id: the class that counts; all if None.
        name, dtype: see `Metric`.

    Example:
        >>> m = keras.metrics.Precision()
        >>> m.update_state([0, 1, 1, 1], [1, 0, 1, 1])
        >>> round(float(m.result()), 4)
        0.6667
    """

    _mistake = ("false_positives", 1)


class Recall(_Share):
    """How many of the positive ones are said to be: TP / (TP + FN); arguments as in `Precision`."""

    _mistake = ("false_negatives", 3)


class _Curve(Metric):
    """The four counts at many thresholds."""

    _direction = "up"

    def _add_counts(self, shape):
        names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
        self.counts = []
        for name in names:
            variable = self.add_variable(shape, "zeros", name=name)
            object.__setattr__(self, name, variable)
            self.counts.append(variable)

    def _values(self):
        return [v.value for v in self.counts]


class _Constrained(_Curve):
    """One rate where another is at least `value`, at the best of many thresholds."""

    def __init__(self, value, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        who = type(self).__name__
        if not 0 <= value <= 1:
            raise ValueError(f"{who}: expected a rate in [0, 1]. Received: {value}")
        if num_thresholds <= 0:
            raise ValueError(f"{who}: expected num_thresholds above 0. Received: {num_thresholds}")
        self.value = value
        self.class_id = class_id
        self.num_thresholds = num_thresholds
        n = num_thresholds
        self.thresholds = [0.5] if n == 1 else [0.0, *((i + 1) / (n - 1) for i in range(n - 2)), 1.0]
        self._add_counts((len(self.thresholds),))

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        counts = confusion_counts(
            y_true, y_pred, self.thresholds, sample_weight, class_id=self.class_id, dtype=self.dtype
        )
        for variable, count in zip(self.counts, counts, strict=True):
            variable.assign_add(count)

    def _best(self, rate, constraint):
        return ops.max(ops.where(constraint >= self.value, rate, ops.zeros_like(rate)))

    def get_config(self):
        """The constructor arguments."""
        more = {"class_id": self.class_id, "num_thresholds": self.num_thresholds, self._argument: self.value}
        return {**super().get_config(), **more}


class SensitivityAtSpecificity(_Constrained):
    """The largest TP / (TP + FN) among thresholds where TN / (TN + FP) is at least `specificity`.

    Args:
        specificity: in [0, 1].
        num_thresholds: how many thresholds are tried.
        class_id: the class that counts; all if None.
        name, dtype: see `Metric`.
    """

    _argument = "specificity"

    def __init__(self, specificity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def result(self):
        """The sensitivity so far."""
        tp, fp, tn, fn = self._values()
        return self._best(ops.divide_no_nan(tp, tp + fn), ops.divide_no_nan(tn, tn + fp))


class SpecificityAtSensitivity(_Constrained):
    """The largest TN / (TN + FP) among thresholds where TP / (TP + FN) is at least `sensitivity`.

    Args:
        sensitivity: in [0, 1].
        num_thresholds, class_id, name, dtype: see `SensitivityAtSpecificity`.
    """

    _argument = "sensitivity"

    def __init__(self, sensitivity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def result(self):
        """The specificity so far."""
        tp, fp, tn, fn = self._values()
        return self._best(ops.divide_no_nan(tn, tn + fp), ops.divide_no_nan(tp, tp + fn))


class PrecisionAtRecall(_Constrained):
    """The largest precision among thresholds where recall is at least `recall`.

    Args:
        recall: in [0, 1].
        num_thresholds, class_id, name, dtype: see `SensitivityAtSpecificity`.
    """

    _argument = "recall"

    def __init__(self, recall, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall

    def result(self):
        """The precision so far."""
        tp, fp, _, fn = self._values()
        return self._best(ops.divide_no_nan(tp, tp + fp), ops.divide_no_nan(tp, tp + fn))


class RecallAtPrecision(_Constrained):
    """The largest recall among thresholds where precision is at least `precision`.

    Args:
        precision: in [0, 1].
        num_thresholds, class_id, name, dtype: see `SensitivityAtSpecificity`.
    """

    _argument = "precision"

    def __init__(self, precision, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision

    def result(self):
        """The recall so far."""
        tp, fp, _, fn = self._values()
        return self._best(ops.divide_no_nan(tp, tp + fn), ops.divide_no_nan(tp, tp + fp))


class AUC(_Curve):
    """The area under the curve of true against false positive rates (ROC), or of precision against recall (PR).

    Args:
        num_thresholds: how many thresholds stand for the curve.
        curve: "ROC" or "PR".
        summation_method: "interpolation" (trapezoids; for PR, Davis and Goadrich's formula), "minoring" or "majoring".
        name, dtype: see `Metric`.
        thresholds: the thresholds between 0 and 1, instead of evenly spaced ones.
        multi_label: whether labels (the last axis) have areas of their own, which are averaged.
        num_labels: their number, so that the state can be made at once.
        label_weights: their weights.
        from_logits: whether predictions are logits.

    Example:
        >>> m = keras.metrics.AUC(num_thresholds=3)
        >>> m.update_state([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
        >>> float(m.result())
        0.75

    Source: Davis and Goadrich, The relationship between Precision-Recall and ROC curves (2006).
    """

    def __init__(
        self, num_thresholds=200, curve="ROC", summation_method="interpolation", name=None, dtype=None,
        thresholds=None, multi_label=False, num_labels=None, label_weights=None, from_logits=False,
    ):  # fmt: skip
        super().__init__(name=name, dtype=dtype)
        if curve not in ("ROC", "PR"):
            raise ValueError(f'AUC: expected curve "ROC" or "PR". Received: {curve!r}')
        if summation_method not in ("interpolation", "minoring", "majoring"):
            raise ValueError(
                f'AUC: expected summation_method "interpolation", "minoring" or "majoring". Received: {summation_method!r}'
            )
        self._init_from_thresholds = thresholds is not None
        if thresholds is not None:
            inner = sorted(_parse_thresholds("AUC", list(thresholds), 0.5))
        else:
            if num_thresholds <= 1:
                raise ValueError(f"AUC: expected num_thresholds of at least 2. Received: {num_thresholds}")
            inner = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
        self.num_thresholds = len(inner) + 2
        # The ends lie beyond all scores.
        self._thresholds = [-settings.epsilon(), *inner, 1.0 + settings.epsilon()]
        self.curve = curve
        self.summation_method = summation_method
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else list(label_weights)
        self._from_logits = from_logits
        self._built = False
        if not multi_label:
            if num_labels:
                raise ValueError(
                    "AUC: expected num_labels only with multi_label=True. Received: multi_label=False"
                )
            self._build(None)
        elif num_labels:
            self._build(num_labels)

    @property
    def thresholds(self):
        """The thresholds, ends included."""
        return list(self._thresholds)

    def _build(self, labels):
        n = self.num_thresholds
        self._add_counts((n, labels) if self.multi_label else (n,))
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        y_pred = convert_to_tensor(y_pred, self.dtype)
        if self._from_logits:
            y_pred = ops.sigmoid(y_pred)
        if not self._built:
            if y_pred.ndim != 2:
                raise ValueError(
                    f"AUC: expected scores of shape (examples, labels). Received: shape {y_pred.shape}"
                )
            self._build(y_pred.shape[-1])
        counts = confusion_counts(
            y_true, y_pred, self._thresholds, sample_weight, dtype=self.dtype, per_label=self.multi_label,
            label_weights=None if self.multi_label else self.label_weights,
        )  # fmt: skip
        for variable, count in zip(self.counts, counts, strict=True):
            variable.assign_add(count)

    def result(self):
        """The area so far."""
        if not self._built:
            return convert_to_tensor(0.0, self.dtype)
        tp, fp, tn, fn = self._values()
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._average(ops.sum(self._pr_steps(tp, fp, fn), axis=0))
        recall = ops.divide_no_nan(tp, tp + fn)
        if self.curve == "ROC":
            x, y = ops.divide_no_nan(fp, fp + tn), recall
        else:
            x, y = recall, ops.divide_no_nan(tp, tp + fp)
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2.0
        else:
            heights = (ops.minimum if self.summation_method == "minoring" else ops.maximum)(y[:-1], y[1:])
        return self._average(ops.sum((x[:-1] - x[1:]) * heights, axis=0))

    @staticmethod
    def _pr_steps(tp, fp, fn):
        """The areas between neighbouring thresholds; precision is tp / p, where tp is linear in p = tp + fp."""
        dtp = tp[:-1] - tp[1:]
        p = tp + fp
        slope = ops.divide_no_nan(dtp, ops.maximum(p[:-1] - p[1:], 0))
        intercept = tp[1:] - slope * p[1:]
        both = ops.logical_and(p[:-1] > 0, p[1:] > 0)
        ratio = ops.where(both, ops.divide_no_nan(p[:-1], ops.maximum(p[1:], 0)), ops.ones_like(p[1:]))
        return ops.divide_no_nan(slope * (dtp + intercept * ops.log(ratio)), ops.maximum(tp[1:] + fn[1:], 0))

    def _average(self, areas):
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return ops.mean(areas)
        weights = convert_to_tensor(self.label_weights, self.dtype)
        return ops.divide_no_nan(ops.sum(areas * weights), ops.sum(weights))

    def get_config(self):
        """The constructor arguments."""
        config = {
            **super().get_config(), "num_thresholds": self.num_thresholds, "curve": self.curve,
            "summation_method": self.summation_method, "multi_label": self.multi_label,
            "num_labels": self.num_labels, "label_weights": self.label_weights, "from_logits": self._from_logits,
        }  # fmt: skip
        if self._init_from_thresholds:
            config["thresholds"] = self._thresholds[1:-1]
        return config
