"""Metrics that are sums and means of values."""

from rkeras import ops
from rkeras._core import registry
from rkeras._core.tensor import cast, convert_to_tensor, get_keras_mask
from rkeras.losses.base import same_rank
from rkeras.metrics.base import Metric


def reduce_to_samplewise_values(values, sample_weight, reduce_fn, dtype):
    """Values and weights brought to the same shape: what an axis of values has beyond the weights is reduced."""
    mask = get_keras_mask(values)
    values = cast(convert_to_tensor(values), dtype)
    if sample_weight is not None:
        sample_weight = convert_to_tensor(sample_weight, dtype)
    if mask is not None:
        mask = cast(convert_to_tensor(mask), dtype)
        sample_weight = mask if sample_weight is None else sample_weight * same_rank(mask, sample_weight)[0]
    if sample_weight is not None:
        values, sample_weight = same_rank(values, sample_weight)
        if values.ndim > sample_weight.ndim:
            values = reduce_fn(values, axis=tuple(range(sample_weight.ndim, values.ndim)))
        values = values * sample_weight
        if values.ndim > 1:
            sample_weight = reduce_fn(
                ops.broadcast_to(sample_weight, values.shape), axis=tuple(range(1, values.ndim))
            )
    if values.ndim > 1:
        values = reduce_fn(values, axis=tuple(range(1, values.ndim)))
    return values, sample_weight


class Sum(Metric):
    """The sum of all values.

    Args:
        name: a name.
        dtype: the dtype of the state.

    Example:
        >>> m = keras.metrics.Sum()
        >>> m.update_state([1, 3])
        >>> float(m.result())
        4.0
    """

    def __init__(self, name="sum", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, values, sample_weight=None):
        """Adds values, weighted."""
        values, _ = reduce_to_samplewise_values(values, sample_weight, ops.sum, self.dtype)
        self.total.assign_add(ops.sum(values))

    def result(self):
        """The sum so far."""
        return cast(self.total.value, self.dtype)


class Mean(Metric):
    """The weighted mean of all values.

    Args:
        name: a name.
        dtype: the dtype of the state.

    Example:
        >>> m = keras.metrics.Mean()
        >>> m.update_state([1, 3], sample_weight=[3, 1])
        >>> float(m.result())
        1.5
    """

    def __init__(self, name="mean", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, values, sample_weight=None):
        """Takes values into account, weighted."""
        values, sample_weight = reduce_to_samplewise_values(values, sample_weight, ops.mean, self.dtype)
        self.total.assign_add(ops.sum(values))
        if sample_weight is not None:
            count = ops.sum(sample_weight)
        else:
            count = 1 if values.ndim == 0 else values.shape[0]
        self.count.assign_add(
            cast(convert_to_tensor(count), self.dtype) if not isinstance(count, int) else float(count)
        )

    def result(self):
        """The mean so far; 0 before the first update."""
        return ops.divide_no_nan(self.total.value, self.count.value)


class MeanMetricWrapper(Mean):
    """The mean of a function of targets and predictions.

    Args:
        fn: `fn(y_true, y_pred, **kwargs)`: a number per sample.
        name: a name; by default that of the function.
        dtype: the dtype of the state.
        kwargs: further arguments of the function.
    """

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        super().__init__(name=name or getattr(fn, "__name__", None), dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Takes a batch into account."""
        mask = get_keras_mask(y_pred)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        if sample_weight is not None and mask is not None:
            mask = cast(mask, self.dtype)
            sample_weight = convert_to_tensor(sample_weight, self.dtype)
            mask, sample_weight = same_rank(mask, sample_weight)
            sample_weight = sample_weight * mask
        elif mask is not None:
            sample_weight = mask
        return super().update_state(values, sample_weight=sample_weight)

    def get_config(self):
        config = {"name": self.name, "dtype": self.dtype}
        if type(self) is MeanMetricWrapper:
            config["fn"] = registry.serialize_keras_object(self._fn)
        config.update(self._own_config())
        return config

    def _own_config(self):
        return registry.serialize_keras_object(self._fn_kwargs)

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if "fn" in config:
            config["fn"] = registry.deserialize_keras_object(config["fn"])
        return cls(**config)
