"""The base of losses: a function per sample, then masks, weights and the reduction."""

from rkeras import dtype_policies, ops
from rkeras._core import naming, registry, tree
from rkeras._core.tensor import cast, convert_to_tensor, get_keras_mask

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Loss:
    """A number that training makes small. Subclasses define `call(y_true, y_pred)`: a loss per sample.

    Args:
        name: a name; by default the class name in snake_case.
        reduction: "sum_over_batch_size", "sum", "mean", "mean_with_sample_weight" or "none".
        dtype: a dtype policy or its name for the computation.

    Raises:
        ValueError: for any other reduction.

    Example:
        >>> class Absolute(keras.losses.Loss):
        ...     def call(self, y_true, y_pred):
        ...         return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)
        >>> float(Absolute()([[1.0]], [[3.0]]))
        2.0
    """

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        self.name = name or naming.auto_name(type(self).__name__)
        # tf.keras 2 spelled "automatic" what is now the default.
        reduction = "sum_over_batch_size" if reduction == "auto" else reduction
        if reduction not in REDUCTIONS:
            raise ValueError(f"{type(self).__name__}: expected reduction to be one of {REDUCTIONS}. Received: {reduction!r}")
        self.reduction = reduction
        self._dtype_policy = dtype_policies.get(dtype)
        self._dtype = self._dtype_policy.compute_dtype

    @property
    def dtype(self):
        """The dtype of the computation."""
        return self._dtype

    def __call__(self, y_true, y_pred, sample_weight=None):
        in_mask = get_keras_mask(y_pred)
        y_pred = tree.map_structure(lambda x: convert_to_tensor(x, self.dtype), y_pred)
        y_true = tree.map_structure(lambda x: convert_to_tensor(x, self.dtype), y_true)
        losses = self.call(y_true, y_pred)
        mask = in_mask if in_mask is not None else get_keras_mask(losses)
        return reduce_weighted_values(losses, sample_weight, mask, self.reduction, self.dtype)

    def call(self, y_true, y_pred):
        """The loss per sample."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method call(y_true, y_pred). Received: none")

    def get_config(self):
        """What `from_config` needs."""
        config = {"name": self.name, "reduction": self.reduction}
        if self._dtype_policy != dtype_policies.get(None):
            config["dtype"] = dtype_policies.serialize(self._dtype_policy)
        return config

    @classmethod
    def from_config(cls, config):
        """The loss of that config."""
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


class LossFunctionWrapper(Loss):
    """A loss made of a function `fn(y_true, y_pred, **kwargs)`.

    Args:
        fn: the function; gives a loss per sample.
        reduction: as in `Loss`.
        name: a name; by default that of the function.
        dtype: as in `Loss`.
        kwargs: further arguments of the function.
    """

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        super().__init__(name=name or getattr(fn, "__name__", None), reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true, y_pred):
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self):
        config = super().get_config()
        if type(self) is LossFunctionWrapper:
            config["fn"] = registry.serialize_keras_object(self.fn)
        config.update(registry.serialize_keras_object(self._fn_kwargs))
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if "fn" in config:
            config["fn"] = registry.deserialize_keras_object(config["fn"])
        return cls(**config)


def squeeze_or_expand_to_same_rank(x1, x2, expand_rank_1=True):
    """Drops or adds a last axis of size one so that both have the same number of axes."""
    if not hasattr(x1, "shape") or not hasattr(x2, "shape"):
        return x1, x2
    r1, r2 = len(x1.shape), len(x2.shape)
    if r1 == r2:
        return x1, x2
    if r1 == r2 + 1 and x1.shape[-1] == 1:
        if r2 == 1 and expand_rank_1:
            x2 = ops.expand_dims(x2, -1)
        else:
            x1 = ops.squeeze(x1, -1)
    elif r2 == r1 + 1 and x2.shape[-1] == 1:
        if r1 == 1 and expand_rank_1:
            x1 = ops.expand_dims(x1, -1)
        else:
            x2 = ops.squeeze(x2, -1)
    return x1, x2


def apply_mask(sample_weight, mask, dtype, reduction):
    """The weights with masked samples at zero; scaled up so that the mean counts the others only."""
    if mask is None:
        return sample_weight
    mask = cast(convert_to_tensor(mask), dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        total = 1
        for d in mask.shape:
            total = total * d if d is not None else total
        valid = ops.sum(mask)
        mask = mask * (total / (valid + 1e-7))
    if sample_weight is None:
        return mask
    sample_weight = cast(convert_to_tensor(sample_weight), dtype)
    mask, sample_weight = squeeze_or_expand_to_same_rank(mask, sample_weight)
    return mask * sample_weight


def reduce_weighted_values(values, sample_weight=None, mask=None, reduction="sum_over_batch_size", dtype=None):
    """The weighted values, reduced."""
    values = convert_to_tensor(values, dtype)
    sample_weight = apply_mask(sample_weight, mask, values.dtype, reduction)
    if sample_weight is not None:
        sample_weight = convert_to_tensor(sample_weight, values.dtype)
        values, sample_weight = squeeze_or_expand_to_same_rank(values, sample_weight)
        values = values * sample_weight
    if reduction == "none" or reduction is None or (values.ndim == 0 and sample_weight is None):
        return values
    total = ops.sum(values)
    if reduction in ("sum_over_batch_size", "mean"):
        count = 1
        for d in values.shape:
            count = count * d if d is not None else count
        return total / max(count, 1)
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        weights = ops.sum(ops.broadcast_to(sample_weight, values.shape))
        return ops.divide_no_nan(total, weights)
    if reduction == "mean_with_sample_weight":
        return ops.mean(values)
    return total
