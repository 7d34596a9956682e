"""Losses for numbers: squared and absolute errors and their kin."""

import math

from rkeras import ops
from rkeras._core import settings
from rkeras.losses.base import LossFunctionWrapper, pair


def mean_squared_error(y_true, y_pred):
    """mean((y_true - y_pred)²) over the last axis.

    Example:
        >>> keras.losses.mean_squared_error([[0.0, 1.0]], [[1.0, 1.0]]).numpy().tolist()
        [0.5]
    """
    y_true, y_pred = pair(y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true, y_pred):
    """mean(|y_true - y_pred|) over the last axis."""
    y_true, y_pred = pair(y_true, y_pred)
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true, y_pred):
    """100 mean(|y_true - y_pred| / |y_true|) over the last axis; divisors are at least `epsilon`."""
    y_true, y_pred = pair(y_true, y_pred)
    size = ops.maximum(ops.abs(y_true), settings.epsilon())
    return 100.0 * ops.mean(ops.abs((y_true - y_pred) / size), axis=-1)


def mean_squared_logarithmic_error(y_true, y_pred):
    """mean((ln(1 + y_true) - ln(1 + y_pred))²) over the last axis; values are at least `epsilon`."""
    y_true, y_pred = pair(y_true, y_pred)
    a = ops.log(ops.maximum(y_true, settings.epsilon()) + 1.0)
    b = ops.log(ops.maximum(y_pred, settings.epsilon()) + 1.0)
    return ops.mean(ops.square(a - b), axis=-1)


def huber(y_true, y_pred, delta=1.0):
    """mean of e²/2 where |e| <= delta, else delta |e| - delta²/2, for e = y_true - y_pred, over the last axis.

    Source: Huber, Robust Estimation of a Location Parameter (1964).
    """
    y_true, y_pred = pair(y_true, y_pred)
    size = ops.abs(y_pred - y_true)
    inner, outer = 0.5 * ops.square(size), delta * size - 0.5 * delta * delta
    return ops.mean(ops.where(size <= delta, inner, outer), axis=-1)


def log_cosh(y_true, y_pred):
    """mean(ln(cosh(y_pred - y_true))) over the last axis."""
    y_true, y_pred = pair(y_true, y_pred)
    x = y_pred - y_true
    # ln cosh x = x + softplus(-2x) - ln 2 does not overflow.
    return ops.mean(x + ops.softplus(-2.0 * x) - math.log(2.0), axis=-1)


def poisson(y_true, y_pred):
    """mean(y_pred - y_true ln(y_pred)) over the last axis."""
    y_true, y_pred = pair(y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + settings.epsilon()), axis=-1)


def cosine_similarity(y_true, y_pred, axis=-1):
    """-cos of the angle between y_true and y_pred along an axis.

    Example:
        >>> keras.losses.cosine_similarity([[1.0, 0.0]], [[2.0, 0.0]]).numpy().astype("float64").round(4).tolist()
        [-1.0]
    """
    y_true, y_pred = pair(y_true, y_pred)
    return -ops.sum(ops.normalize(y_true, axis=axis) * ops.normalize(y_pred, axis=axis), axis=axis)


class MeanSquaredError(LossFunctionWrapper):
    """The mean of squared errors.

    Args:
        reduction, name, dtype: see `Loss`.

    Example:
        >>> float(keras.losses.MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]]))
        0.5
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, name=name, reduction=reduction, dtype=dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """The mean of absolute errors; arguments as in `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, name=name, reduction=reduction, dtype=dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """The mean of absolute errors in percent of y_true; arguments as in `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_percentage_error", dtype=None):
        super().__init__(mean_absolute_percentage_error, name=name, reduction=reduction, dtype=dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """The mean of squared errors of ln(1 + y); arguments as in `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(mean_squared_logarithmic_error, name=name, reduction=reduction, dtype=dtype)


class Huber(LossFunctionWrapper):
    """Squared errors up to `delta`, linear beyond.

    Args:
        delta: where the two meet, in units of y.
        reduction, name, dtype: see `Loss`.

    Source: Huber, Robust Estimation of a Location Parameter (1964).
    """

    _rare_arguments = {"delta": 1.0}

    def __init__(self, delta=1.0, reduction="sum_over_batch_size", name="huber_loss", dtype=None):
        super().__init__(huber, name=name, reduction=reduction, dtype=dtype, delta=delta)


class LogCosh(LossFunctionWrapper):
    """The mean of ln(cosh(error)); arguments as in `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="log_cosh", dtype=None):
        super().__init__(log_cosh, name=name, reduction=reduction, dtype=dtype)


class Poisson(LossFunctionWrapper):
    """The mean of y_pred - y_true ln(y_pred); arguments as in `Loss`."""

    def __init__(self, reduction="sum_over_batch_size", name="poisson", dtype=None):
        super().__init__(poisson, name=name, reduction=reduction, dtype=dtype)


class CosineSimilarity(LossFunctionWrapper):
    """Minus the cosine of the angle between y_true and y_pred: -1 for the same direction.

    Args:
        axis: the axis of components.
        reduction, name, dtype: see `Loss`.
    """

    _rare_arguments = {"axis": -1}

    def __init__(self, axis=-1, reduction="sum_over_batch_size", name="cosine_similarity", dtype=None):
        super().__init__(cosine_similarity, name=name, reduction=reduction, dtype=dtype, axis=axis)
