"""Losses of regression: the functions of `losses.functions` as objects."""

from rkeras.losses import functions
from rkeras.losses.base import LossFunctionWrapper


def _negative_cosine(y_true, y_pred, axis=-1):
    """So that vectors of the same direction are the minimum."""
    return -functions.cosine_similarity(y_true, y_pred, axis=axis)


class MeanSquaredError(LossFunctionWrapper):
    """The loss of `losses.mean_squared_error`, reduced over the batch.

    Args:
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(functions.mean_squared_error, reduction=reduction, name=name, dtype=dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """The loss of `losses.mean_absolute_error`, reduced over the batch.

    Args:
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(functions.mean_absolute_error, reduction=reduction, name=name, dtype=dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """The loss of `losses.mean_absolute_percentage_error`, reduced over the batch.

    Args:
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_percentage_error", dtype=None):
        super().__init__(functions.mean_absolute_percentage_error, reduction=reduction, name=name, dtype=dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """The loss of `losses.mean_squared_logarithmic_error`, reduced over the batch.

    Args:
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(functions.mean_squared_logarithmic_error, reduction=reduction, name=name, dtype=dtype)


class CosineSimilarity(LossFunctionWrapper):
    """The loss of `losses.cosine_similarity`, reduced over the batch.

    Args:
        axis: as in the function.
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, axis=-1, reduction="sum_over_batch_size", name="cosine_similarity", dtype=None):
        super().__init__(_negative_cosine, reduction=reduction, name=name, dtype=dtype, axis=axis)
        self.axis = axis


class Huber(LossFunctionWrapper):
    """The loss of `losses.huber`, reduced over the batch.

    Args:
        delta: as in the function.
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, delta=1.0, reduction="sum_over_batch_size", name="huber_loss", dtype=None):
        super().__init__(functions.huber, reduction=reduction, name=name, dtype=dtype, delta=delta)
        self.delta = delta


class LogCosh(LossFunctionWrapper):
    """The loss of `losses.log_cosh`, reduced over the batch.

    Args:
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="log_cosh", dtype=None):
        super().__init__(functions.log_cosh, reduction=reduction, name=name, dtype=dtype)


class Poisson(LossFunctionWrapper):
    """The loss of `losses.poisson`, reduced over the batch.

    Args:
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="poisson", dtype=None):
        super().__init__(functions.poisson, reduction=reduction, name=name, dtype=dtype)


class KLDivergence(LossFunctionWrapper):
    """The loss of `losses.kl_divergence`, reduced over the batch.

    Args:
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="kl_divergence", dtype=None):
        super().__init__(functions.kl_divergence, reduction=reduction, name=name, dtype=dtype)
