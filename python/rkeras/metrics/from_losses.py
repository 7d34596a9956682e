"""Losses as metrics: their mean over everything seen."""

from rkeras import losses, ops
from rkeras._core.tensor import convert_to_tensor
from rkeras.losses.base import same_rank
from rkeras.metrics.reduction import Mean, MeanMetricWrapper


class MeanSquaredError(MeanMetricWrapper):
    """The mean of `losses.mean_squared_error`.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="mean_squared_error", dtype=None):
        super().__init__(losses.mean_squared_error, name, dtype)
        self._direction = "down"


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean of `losses.mean_absolute_error`.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="mean_absolute_error", dtype=None):
        super().__init__(losses.mean_absolute_error, name, dtype)
        self._direction = "down"


class MeanAbsolutePercentageError(MeanMetricWrapper):
    """The mean of `losses.mean_absolute_percentage_error`.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="mean_absolute_percentage_error", dtype=None):
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)
        self._direction = "down"


class MeanSquaredLogarithmicError(MeanMetricWrapper):
    """The mean of `losses.mean_squared_logarithmic_error`.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)
        self._direction = "down"


class LogCoshError(MeanMetricWrapper):
    """The mean of `losses.log_cosh`.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="logcosh", dtype=None):
        super().__init__(losses.log_cosh, name, dtype)
        self._direction = "down"


def cosine_similarity(y_true, y_pred, axis=-1):
    """The cosine of the angle between both along an axis: the loss of that name with the other sign."""
    return -losses.cosine_similarity(y_true, y_pred, axis=axis)


class CosineSimilarity(MeanMetricWrapper):
    """The mean cosine of the angle between targets and predictions.

    Args:
        name: a name.
        dtype: the dtype of the state.
        axis: as in the function.
    """

    def __init__(self, name="cosine_similarity", dtype=None, axis=-1):
        super().__init__(cosine_similarity, name, dtype, axis=axis)
        self.axis = axis
        self._direction = "up"


class KLDivergence(MeanMetricWrapper):
    """The mean of `losses.kl_divergence`.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="kl_divergence", dtype=None):
        super().__init__(losses.kl_divergence, name, dtype)
        self._direction = "down"


class Poisson(MeanMetricWrapper):
    """The mean of `losses.poisson`.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="poisson", dtype=None):
        super().__init__(losses.poisson, name, dtype)
        self._direction = "down"


class Hinge(MeanMetricWrapper):
    """The mean of `losses.hinge`.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="hinge", dtype=None):
        super().__init__(losses.hinge, name, dtype)
        self._direction = "down"


class SquaredHinge(MeanMetricWrapper):
    """The mean of `losses.squared_hinge`.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="squared_hinge", dtype=None):
        super().__init__(losses.squared_hinge, name, dtype)
        self._direction = "down"


class CategoricalHinge(MeanMetricWrapper):
    """The mean of `losses.categorical_hinge`.

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="categorical_hinge", dtype=None):
        super().__init__(losses.categorical_hinge, name, dtype)
        self._direction = "down"


class BinaryCrossentropy(MeanMetricWrapper):
    """The mean of `losses.binary_crossentropy`.

    Args:
        name: a name.
        dtype: the dtype of the state.
        from_logits: as in the function.
        label_smoothing: as in the function.
    """

    def __init__(self, name="binary_crossentropy", dtype=None, from_logits=False, label_smoothing=0):
        super().__init__(
            losses.binary_crossentropy, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing
        )
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self._direction = "down"


class CategoricalCrossentropy(MeanMetricWrapper):
    """The mean of `losses.categorical_crossentropy`.

    Args:
        name: a name.
        dtype: the dtype of the state.
        from_logits: as in the function.
        label_smoothing: as in the function.
        axis: as in the function.
    """

    def __init__(
        self, name="categorical_crossentropy", dtype=None, from_logits=False, label_smoothing=0, axis=-1
    ):
        super().__init__(
            losses.categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis
        self._direction = "down"


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """The mean of `losses.sparse_categorical_crossentropy`.

    Args:
        name: a name.
        dtype: the dtype of the state.
        from_logits: as in the function.
        ignore_class: as in the function.
        axis: as in the function.
    """

    def __init__(
        self,
        name="sparse_categorical_crossentropy",
        dtype=None,
        from_logits=False,
        ignore_class=None,
        axis=-1,
    ):
        super().__init__(
            losses.sparse_categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis
        self._direction = "down"


class RootMeanSquaredError(Mean):
    """The square root of the mean of (y_true - y_pred)².

    Args:
        name: a name.
        dtype: the dtype of the state.
    """

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name, dtype=dtype)
        self._direction = "down"

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        y_pred = convert_to_tensor(y_pred, self.dtype)
        y_true = convert_to_tensor(y_true, self.dtype)
        y_true, y_pred = same_rank(y_true, y_pred)
        return super().update_state(ops.square(y_pred - y_true), sample_weight=sample_weight)

    def result(self):
        """The root of the mean so far."""
        return ops.sqrt(super().result())
