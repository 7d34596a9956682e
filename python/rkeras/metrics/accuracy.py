"""Accuracies: how often predictions match targets."""

from rkeras import ops
from rkeras._core.tensor import cast, convert_to_tensor
from rkeras.losses.base import same_rank
from rkeras.metrics.reduction import MeanMetricWrapper


def accuracy(y_true, y_pred):
    """1 where both are equal, averaged over the last axis."""
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    y_true, y_pred = same_rank(y_true, y_pred)
    return cast(ops.equal(y_true, y_pred), "float32")


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where the prediction is on the target's side of the threshold.

    Example:
        >>> keras.metrics.binary_accuracy([[1.0, 0.0]], [[0.7, 0.6]]).numpy().tolist()
        [[1.0, 0.0]]
    """
    y_pred = convert_to_tensor(y_pred)
    y_true = convert_to_tensor(y_true, y_pred.dtype)
    y_true, y_pred = same_rank(y_true, y_pred)
    return cast(ops.equal(y_true, cast(y_pred > threshold, y_true.dtype)), "float32")


def categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction is at the largest target."""
    y_true, y_pred = convert_to_tensor(y_true), convert_to_tensor(y_pred)
    return cast(ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1)), "float32")


def _classes(y_true, y_pred):
    """Class numbers without a last axis of size one."""
    y_true = convert_to_tensor(y_true)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    return y_true


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest prediction is at the target class.

    Example:
        >>> keras.metrics.sparse_categorical_accuracy([1, 0], [[0.1, 0.9], [0.2, 0.8]]).numpy().tolist()
        [1.0, 0.0]
    """
    y_pred = convert_to_tensor(y_pred)
    squeezed = len(getattr(y_true, "shape", ())) == y_pred.ndim
    y_true = _classes(y_true, y_pred)
    best = ops.argmax(y_pred, axis=-1)
    matches = cast(ops.equal(cast(y_true, "int32"), best), "float32")
    return ops.expand_dims(matches, -1) if squeezed and matches.ndim > 1 else matches


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the largest target is among the k largest predictions."""
    y_true = convert_to_tensor(y_true)
    return sparse_top_k_categorical_accuracy(ops.argmax(y_true, axis=-1), y_pred, k=k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """1 where the target class is among the k largest predictions (or the first k ids)."""
    y_pred = convert_to_tensor(y_pred)
    y_true = cast(_classes(y_true, y_pred), "int32")
    if from_sorted_ids:
        hits = ops.equal(ops.expand_dims(y_true, -1), cast(y_pred[..., :k], "int32"))
        return cast(ops.any(hits, axis=-1), "float32")
    _, best = ops.top_k(y_pred, min(k, y_pred.shape[-1]))
    return cast(ops.any(ops.equal(ops.expand_dims(y_true, -1), best), axis=-1), "float32")


class Accuracy(MeanMetricWrapper):
    """How often predictions equal targets.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(accuracy, name, dtype)
        self._direction = "up"

    def _own_config(self):
        return {}


class BinaryAccuracy(MeanMetricWrapper):
    """How often predictions are on the target's side of a threshold.

    Args:
        name: a name.
        dtype: the dtype of the state.
        threshold: in (0, 1).

    Raises:
        ValueError: for a threshold outside (0, 1).
    """

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        if threshold is not None and not 0 < threshold < 1:
            raise ValueError(f"BinaryAccuracy: expected a threshold in (0, 1). Received: {threshold}")
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)
        self.threshold = threshold
        self._direction = "up"


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is at the largest target (one-hot rows).

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="categorical_accuracy", dtype=None):
        super().__init__(categorical_accuracy, name, dtype)
        self._direction = "up"


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is at the target class (integers).

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="sparse_categorical_accuracy", dtype=None):
        super().__init__(sparse_categorical_accuracy, name, dtype)
        self._direction = "up"


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the largest target is among the k largest predictions.

    Args:
        k: how many predictions count.
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)
        self.k = k
        self._direction = "up"


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the target class is among the k largest predictions.

    Args:
        k: how many predictions count.
        name: a name.
        dtype: the dtype of the state.
        from_sorted_ids: predictions are class ids, best first.
    """

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy", dtype=None, from_sorted_ids=False):
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids)
        self.k = k
        self.from_sorted_ids = from_sorted_ids
        self._direction = "up"
