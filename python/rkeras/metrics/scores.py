"""F scores, overlap of regions (IoU), explained variance, correlations."""

from rkeras import ops
from rkeras._core.tensor import cast, convert_to_tensor
from rkeras.losses.base import same_rank
from rkeras.metrics.base import Metric
from rkeras.metrics.reduction import MeanMetricWrapper


class FBetaScore(Metric):
    """(1 + β²) precision recall / (β² precision + recall), per class.

    Args:
        average: None for a score per class, "micro" (of all decisions together), "macro" (their mean) or "weighted"
            (their mean, weighted by how common the classes are).
        beta: how much more recall counts than precision.
        threshold: a score above it is a decision for the class; if None, the largest score of an example is.
        name, dtype: see `Metric`.

    Example:
        >>> m = keras.metrics.FBetaScore(beta=2.0, threshold=0.5, average="micro")
        >>> m.update_state([[1, 0], [0, 1]], [[0.9, 0.2], [0.6, 0.7]])
        >>> round(float(m.result()), 4)
        0.9091
    """

    _direction = "up"

    def __init__(self, average=None, beta=1.0, threshold=None, name="fbeta_score", dtype=None):
        super().__init__(name=name, dtype=dtype)
        who = type(self).__name__
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                f'{who}: expected average None, "micro", "macro" or "weighted". Received: {average!r}'
            )
        if not isinstance(beta, float) or beta <= 0:
            raise ValueError(f"{who}: expected beta as a float above 0. Received: {beta!r}")
        if threshold is not None and not (isinstance(threshold, float) and 0 < threshold <= 1):
            raise ValueError(f"{who}: expected threshold as a float in (0, 1]. Received: {threshold!r}")
        self.average, self.beta, self.threshold = average, beta, threshold
        self.axis = None if average == "micro" else 0
        self._built = False

    def _build(self, classes):
        shape = () if self.average == "micro" else (classes,)
        self.true_positives = self.add_variable(shape, "zeros", name="true_positives")
        self.false_positives = self.add_variable(shape, "zeros", name="false_positives")
        self.false_negatives = self.add_variable(shape, "zeros", name="false_negatives")
        self.intermediate_weights = self.add_variable(shape, "zeros", name="intermediate_weights")
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        y_true, y_pred = convert_to_tensor(y_true, self.dtype), convert_to_tensor(y_pred, self.dtype)
        if y_pred.ndim != 2 or y_true.ndim != 2 or y_pred.shape[-1] is None:
            raise ValueError(
                f"{type(self).__name__}: expected targets and scores of shape (examples, classes). Received: "
                f"{y_true.shape} and {y_pred.shape}"
            )
        if not self._built:
            self._build(y_pred.shape[-1])
        if self.threshold is None:
            largest = ops.max(y_pred, axis=-1, keepdims=True)
            # Where all scores are 0 no class is chosen.
            said = ops.logical_and(y_pred >= largest, ops.abs(y_pred) > 1e-9)
        else:
            said = y_pred > self.threshold
        said = cast(said, self.dtype)
        weights = None
        if sample_weight is not None:
            weights = ops.expand_dims(convert_to_tensor(sample_weight, self.dtype), 1)

        def total(x):
            return ops.sum(x if weights is None else x * weights, axis=self.axis)

        self.true_positives.assign_add(total(said * y_true))
        self.false_positives.assign_add(total(said * (1 - y_true)))
        self.false_negatives.assign_add(total((1 - said) * y_true))
        self.intermediate_weights.assign_add(total(y_true))

    def result(self):
        """The score so far: a number, or one per class without `average`."""
        if not self._built:
            return convert_to_tensor(0.0, self.dtype)
        tp = self.true_positives.value
        precision = ops.divide_no_nan(tp, tp + self.false_positives.value)
        recall = ops.divide_no_nan(tp, tp + self.false_negatives.value)
        factor = self.beta**2
        score = (1 + factor) * ops.divide_no_nan(precision * recall, factor * precision + recall)
        if self.average == "weighted":
            weights = self.intermediate_weights.value
            return ops.sum(score * ops.divide_no_nan(weights, ops.sum(weights)))
        return score if self.average is None else ops.mean(score)

    def get_config(self):
        """The constructor arguments."""
        own = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**super().get_config(), **own}


class F1Score(FBetaScore):
    """2 precision recall / (precision + recall), per class; arguments as in `FBetaScore`."""

    def __init__(self, average=None, threshold=None, name="f1_score", dtype=None):
        super().__init__(average=average, beta=1.0, threshold=threshold, name=name, dtype=dtype)

    def get_config(self):
        """The constructor arguments."""
        config = super().get_config()
        del config["beta"]
        return config


class R2Score(Metric):
    """1 - Σ(y - p)² / Σ(y - mean y)²: the part of the variance that predictions explain.

    Args:
        class_aggregation: "uniform_average", "variance_weighted_average", or None for a score per output.
        num_regressors: if not 0, the score is adjusted for so many inputs.
        name, dtype: see `Metric`.

    Example:
        >>> m = keras.metrics.R2Score()
        >>> m.update_state([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]])
        >>> round(float(m.result()), 4)
        0.5714
    """

    _direction = "up"

    def __init__(self, class_aggregation="uniform_average", num_regressors=0, name="r2_score", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise ValueError(
                'R2Score: expected class_aggregation None, "uniform_average" or "variance_weighted_average". Received: '
                f"{class_aggregation!r}"
            )
        if num_regressors < 0:
            raise ValueError(f"R2Score: expected num_regressors of at least 0. Received: {num_regressors}")
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.num_samples = self.add_variable((), "zeros", name="num_samples")
        self._built = False

    def _build(self, shape):
        n = shape[1]
        self.squared_sum = self.add_variable((n,), "zeros", name="squared_sum")
        self.sum = self.add_variable((n,), "zeros", name="sum")
        self.total_mse = self.add_variable((n,), "zeros", name="residual")
        self.count = self.add_variable((n,), "zeros", name="count")
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        y_true, y_pred = convert_to_tensor(y_true, self.dtype), convert_to_tensor(y_pred, self.dtype)
        y_true, y_pred = same_rank(y_true, y_pred)
        if y_pred.ndim != 2 or y_true.shape != y_pred.shape:
            raise ValueError(
                f"R2Score: expected targets and predictions of shape (examples, outputs). Received: {y_true.shape} and "
                f"{y_pred.shape}"
            )
        if not self._built:
            self._build(y_true.shape)
        weights = convert_to_tensor(1.0 if sample_weight is None else sample_weight, self.dtype)
        if weights.ndim == 1:
            weights = ops.expand_dims(weights, 1)
        weights = ops.broadcast_to(weights, y_true.shape)
        weighted = y_true * weights
        self.sum.assign_add(ops.sum(weighted, axis=0))
        self.squared_sum.assign_add(ops.sum(y_true * weighted, axis=0))
        self.total_mse.assign_add(ops.sum(ops.square(y_true - y_pred) * weights, axis=0))
        self.count.assign_add(ops.sum(weights, axis=0))
        self.num_samples.assign_add(float(y_true.shape[0] * y_true.shape[1]))

    def result(self):
        """The score so far."""
        if not self._built:
            return convert_to_tensor(0.0, self.dtype)
        mean = ops.divide_no_nan(self.sum.value, self.count.value)
        total = self.squared_sum.value - self.sum.value * mean
        score = 1 - self.total_mse.value / total
        score = ops.where(ops.isinf(score), ops.zeros_like(score), score)
        if self.class_aggregation == "uniform_average":
            score = ops.mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = ops.sum(total * score) / ops.sum(total)
        if not self.num_regressors:
            return score
        n, p = self.num_samples.value, float(self.num_regressors)
        adjusted = 1 - (1 - score) * (n - 1) / (n - p - 1)
        # With too few examples there is nothing to adjust by.
        return ops.where(n - 1 > p, adjusted, score)

    def get_config(self):
        """The constructor arguments."""
        own = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {**super().get_config(), **own}


class _IoU(Metric):
    """The confusion matrix of classes, and the overlap |A ∩ B| / |A ∪ B| of each."""

    _direction = "up"

    def __init__(
        self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_true=True, sparse_y_pred=True, axis=-1
    ):  # fmt: skip
        super().__init__(name=name, dtype=dtype or "int")
        self.num_classes, self.ignore_class = num_classes, ignore_class
        self.sparse_y_true, self.sparse_y_pred, self.axis = sparse_y_true, sparse_y_pred, axis
        self.total_confusion_matrix = self.add_variable(
            (num_classes, num_classes), "zeros", name="total_confusion_matrix", dtype=self.dtype
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
        if not self.sparse_y_true:
            y_true = ops.argmax(y_true, axis=self.axis)
        if not self.sparse_y_pred:
            y_pred = ops.argmax(y_pred, axis=self.axis)
        self._count(y_true, y_pred, sample_weight)

    def _count(self, y_true, y_pred, sample_weight):
        weights = None
        if sample_weight is not None:
            weights = convert_to_tensor(sample_weight, "float32")
            while weights.ndim < y_true.ndim:
                weights = ops.expand_dims(weights, -1)
            weights = ops.reshape(ops.broadcast_to(weights, y_true.shape), (-1,))
        y_true = cast(ops.reshape(y_true, (-1,)), "int32")
        y_pred = cast(ops.reshape(y_pred, (-1,)), "int32")
        if self.ignore_class is not None:
            counted = ops.not_equal(y_true, int(self.ignore_class))
            y_true = ops.where(counted, y_true, ops.zeros_like(y_true))
            counted = cast(counted, "float32")
            weights = counted if weights is None else weights * counted
        rows = ops.one_hot(y_true, self.num_classes, dtype="float32")
        if weights is not None:
            rows = rows * ops.expand_dims(weights, 1)
        columns = ops.one_hot(y_pred, self.num_classes, dtype="float32")
        matrix = ops.matmul(ops.transpose(rows), columns)
        self.total_confusion_matrix.assign_add(cast(matrix, self.dtype))

    def reset_state(self):
        """Sets the counts to zero."""
        self.total_confusion_matrix.assign(ops.zeros_like(self.total_confusion_matrix.value))

    def _overlap(self, classes):
        matrix = cast(self.total_confusion_matrix.value, "float32")
        both = ops.diagonal(matrix)
        either = ops.sum(matrix, axis=0) + ops.sum(matrix, axis=1) - both
        if classes is not None:
            places = convert_to_tensor(list(classes), "int32")
            both, either = ops.take(both, places), ops.take(either, places)
        # Classes that never occurred do not count.
        seen = ops.sum(cast(either > 0, "float32"))
        return ops.divide_no_nan(ops.sum(ops.divide_no_nan(both, either)), seen)

    def result(self):
        """The mean overlap so far."""
        return self._overlap(getattr(self, "target_class_ids", None))


class IoU(_IoU):
    """The mean of |A ∩ B| / |A ∪ B| over chosen classes.

    Args:
        num_classes: the number of classes.
        target_class_ids: the classes that count.
        name, dtype: see `Metric`.
        ignore_class: a target class whose examples do not count.
        sparse_y_true, sparse_y_pred: whether these are class numbers, or scores whose largest is the class.
        axis: the axis of scores.

    Example:
        >>> m = keras.metrics.IoU(num_classes=2, target_class_ids=[0])
        >>> m.update_state([0, 0, 1, 1], [0, 1, 0, 1])
        >>> round(float(m.result()), 4)
        0.3333
    """

    def __init__(
        self, num_classes, target_class_ids, name=None, dtype=None, ignore_class=None, sparse_y_true=True,
        sparse_y_pred=True, axis=-1,
    ):  # fmt: skip
        super().__init__(num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)
        self.target_class_ids = list(target_class_ids)
        if self.target_class_ids and max(self.target_class_ids) >= num_classes:
            raise ValueError(
                f"{type(self).__name__}: expected target_class_ids below {num_classes}. Received: {target_class_ids}"
            )

    def get_config(self):
        """The constructor arguments."""
        own = {
            "num_classes": self.num_classes, "target_class_ids": self.target_class_ids,
            "ignore_class": self.ignore_class, "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred, "axis": self.axis,
        }  # fmt: skip
        return {**super().get_config(), **own}


class BinaryIoU(IoU):
    """The mean overlap of two classes, told apart by a threshold.

    Args:
        target_class_ids: the classes that count, of 0 and 1.
        threshold: a score of at least this is class 1.
        name, dtype: see `Metric`.
    """

    def __init__(self, target_class_ids=(0, 1), threshold=0.5, name=None, dtype=None):
        super().__init__(2, target_class_ids, name=name, dtype=dtype)
        self.threshold = threshold

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        y_pred = convert_to_tensor(y_pred, "float32")
        self._count(convert_to_tensor(y_true), cast(y_pred >= self.threshold, "int32"), sample_weight)

    def get_config(self):
        """The constructor arguments."""
        return {
            "target_class_ids": self.target_class_ids, "threshold": self.threshold, "name": self.name,
            "dtype": self.dtype,
        }  # fmt: skip


class MeanIoU(_IoU):
    """The mean of |A ∩ B| / |A ∪ B| over all classes; arguments as in `IoU`."""

    def get_config(self):
        """The constructor arguments."""
        return {
            "num_classes": self.num_classes, "name": self.name, "dtype": self.dtype,
            "ignore_class": self.ignore_class, "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred, "axis": self.axis,
        }  # fmt: skip


class OneHotIoU(IoU):
    """`IoU` for one-hot targets and scores."""

    def __init__(
        self, num_classes, target_class_ids, name=None, dtype=None, ignore_class=None, sparse_y_pred=False, axis=-1
    ):  # fmt: skip
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self):
        """The constructor arguments."""
        config = super().get_config()
        del config["sparse_y_true"]
        return config


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` for one-hot targets and scores."""

    def __init__(self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_pred=False, axis=-1):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self):
        """The constructor arguments."""
        config = super().get_config()
        del config["sparse_y_true"]
        return config


def _centred(y_true, y_pred, axis):
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    y_true, y_pred = same_rank(y_true, y_pred)
    mean_true = ops.mean(y_true, axis=axis, keepdims=True)
    mean_pred = ops.mean(y_pred, axis=axis, keepdims=True)
    return y_true - mean_true, y_pred - mean_pred, mean_true - mean_pred


def pearson_correlation(y_true, y_pred, axis=-1):
    """Σ ab / √(Σ a² Σ b²) for the deviations a, b of both from their means along an axis.

    Example:
        >>> keras.metrics.pearson_correlation([[0.0, 1.0, 2.0]], [[0.0, 2.0, 4.0]]).numpy().tolist()
        [1.0]
    """
    a, b, _ = _centred(y_true, y_pred, axis)
    both = ops.sum(a * b, axis=axis)
    return both / ops.sqrt(ops.sum(ops.square(a), axis=axis) * ops.sum(ops.square(b), axis=axis))


def concordance_correlation(y_true, y_pred, axis=-1):
    """2 cov(y, p) / (var y + var p + (mean y - mean p)²) along an axis: 1 only if both are equal."""
    a, b, apart = _centred(y_true, y_pred, axis)
    covariance = ops.mean(a * b, axis=axis)
    spread = ops.mean(ops.square(a), axis=axis) + ops.mean(ops.square(b), axis=axis)
    return 2 * covariance / (spread + ops.squeeze(ops.square(apart), axis))


class PearsonCorrelation(MeanMetricWrapper):
    """The mean of Pearson's correlation of targets and predictions.

    Args:
        name, dtype: see `Metric`.
        axis: the axis along which both are compared.
    """

    def __init__(self, name="pearson_correlation", dtype=None, axis=-1):
        super().__init__(pearson_correlation, name=name, dtype=dtype, axis=axis)
        self.axis = axis
        self._direction = "up"


class ConcordanceCorrelation(MeanMetricWrapper):
    """The mean of the concordance correlation of targets and predictions; arguments as in `PearsonCorrelation`."""

    def __init__(self, name="concordance_correlation", dtype=None, axis=-1):
        super().__init__(concordance_correlation, name=name, dtype=dtype, axis=axis)
        self.axis = axis
        self._direction = "up"
