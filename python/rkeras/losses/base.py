"""What losses share: reduction over examples, sample weights, masks."""

from rkeras import dtype_policies, ops
from rkeras._core import naming, settings, tree
from rkeras._core.tensor import get_keras_mask

REDUCTIONS = ("sum_over_batch_size", "sum", "none", "mean", "mean_with_sample_weight")


class Loss:
    """A number that says how wrong predictions are: `loss(y_true, y_pred, sample_weight)`.

    A subclass defines `call(y_true, y_pred)`, which gives one value per example (or per element).

    Args:
        name: a name; by default the class name in snake_case.
        reduction: "sum_over_batch_size" (the mean over all values), "sum", "mean", "mean_with_sample_weight" (the sum
            over the sum of weights), or "none".
        dtype: the dtype of the computation; `floatx` if None.

    Example:
        >>> class Cubic(keras.losses.Loss):
        ...     def call(self, y_true, y_pred):
        ...         return keras.ops.mean(keras.ops.abs(y_true - y_pred) ** 3, axis=-1)
        >>> float(Cubic()([[0.0, 0.0]], [[2.0, 0.0]]))
        4.0
    """

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        self.name = name or naming.auto_name(type(self).__name__)
        self.reduction = standardize_reduction(reduction)
        self._dtype_policy = dtype_policies.get(dtype or settings.floatx())
        self._explicit_dtype = dtype is not None

    @property
    def dtype(self):
        """The dtype of the computation."""
        return self._dtype_policy.compute_dtype

    def __call__(self, y_true, y_pred, sample_weight=None):
        in_mask = get_keras_mask(y_pred) if not tree.is_nested(y_pred) else None
        dtype = self.dtype
        with naming.name_scope(self.name, caller=self):
            y_pred, y_true = _tensors(y_pred, dtype), _tensors(y_true, dtype)
            losses = self.call(y_true, y_pred)
            out_mask = get_keras_mask(losses)
            mask = in_mask
            if out_mask is not None:
                mask = out_mask if in_mask is None else ops.logical_and(in_mask, out_mask)
            return reduce_weighted_values(losses, sample_weight, mask, self.reduction, dtype)

    def call(self, y_true, y_pred):
        """One value per example."""
        raise NotImplementedError(
            f"{type(self).__name__}: expected a method call(y_true, y_pred). Received: none"
        )

    def get_config(self):
        """The constructor arguments."""
        config = {"name": self.name, "reduction": self.reduction}
        if self._explicit_dtype:
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
        fn: the function.
        reduction, name, dtype: see `Loss`.
        **kwargs: further arguments of the function.
    """

    # Arguments that stand in a config always, and those that do only when they are not the default.
    _arguments: tuple[str, ...] = ()
    _rare_arguments = {}

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true, y_pred):
        """One value per example."""
        if tree.is_nested(y_pred):
            return self.fn(y_true, y_pred, **self._fn_kwargs)
        y_true, y_pred = same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self):
        """The constructor arguments."""
        config = super().get_config()
        if type(self) is LossFunctionWrapper:
            from rkeras._core import registry

            config["fn"] = registry.serialize_keras_object(self.fn)
            config.update({k: registry.serialize_keras_object(v) for k, v in self._fn_kwargs.items()})
            return config
        for name in self._arguments:
            config[name] = self._config_argument(name)
        for name, default in self._rare_arguments.items():
            if self._config_argument(name) != default:
                config[name] = self._config_argument(name)
        return config

    def _config_argument(self, name):
        return self._fn_kwargs[name] if name in self._fn_kwargs else getattr(self, name)

    @classmethod
    def from_config(cls, config):
        """The loss of that config."""
        if cls is LossFunctionWrapper:
            from rkeras._core import registry

            config = {
                k: registry.deserialize_keras_object(v) if isinstance(v, dict) else v
                for k, v in config.items()
            }
        return cls(**config)


def _tensors(structure, dtype):
    """The values as tensors; lists of plain numbers are one tensor, not a structure."""
    if isinstance(structure, (list, tuple)) and all(
        isinstance(v, (int, float)) for v in tree.flatten(structure)
    ):
        return ops.convert_to_tensor(structure, dtype)
    return tree.map_structure(lambda v: ops.convert_to_tensor(v, dtype), structure)


def standardize_reduction(reduction):
    """The name of a reduction; "none" for None."""
    if reduction is None:
        return "none"
    if reduction == "auto":  # Keras 2's name of the default
        return "sum_over_batch_size"
    if reduction not in REDUCTIONS:
        raise ValueError(f"Loss: expected reduction as one of {REDUCTIONS} or None. Received: {reduction!r}")
    return reduction


def same_rank(a, b, expand=True):
    """Both with the same number of axes, if one has a last axis of size 1 more than the other.

    That axis is taken away, unless the other has one axis only: then that gets it too (if `expand`).
    """
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        if b.ndim == 1 and expand:
            return a, ops.expand_dims(b, -1)
        return ops.squeeze(a, -1), b
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        if a.ndim == 1 and expand:
            return ops.expand_dims(a, -1), b
        return a, ops.squeeze(b, -1)
    return a, b


def _count(shape):
    """The number of elements; 1 where only the shape is asked for and a size is unknown."""
    n = 1
    for d in shape:
        n *= 1 if d is None else d
    return n


def apply_mask(sample_weight, mask, dtype, reduction):
    """Sample weights that are 0 where the mask is False; means are over the elements that count."""
    if mask is None:
        return sample_weight
    mask = ops.cast(mask, dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        mask = mask * (float(_count(mask.shape)) / (ops.sum(mask) + settings.epsilon()))
    if sample_weight is None:
        return mask
    sample_weight, mask = same_rank(ops.cast(sample_weight, dtype), mask)
    return sample_weight * mask


def reduce_weighted_values(
    values, sample_weight=None, mask=None, reduction="sum_over_batch_size", dtype=None
):
    """Values times weights, reduced to one number (or not, for "none")."""
    values = ops.convert_to_tensor(values, dtype)
    if sample_weight is not None:
        sample_weight = ops.convert_to_tensor(sample_weight, dtype)
    sample_weight = apply_mask(sample_weight, mask, values.dtype, reduction)
    if sample_weight is not None:
        sample_weight = ops.cast(sample_weight, values.dtype)
        values, sample_weight = same_rank(values, sample_weight)
        values = values * sample_weight
    if reduction == "none" or values.ndim == 0:
        return values
    total = ops.sum(values)
    if reduction in ("sum_over_batch_size", "mean"):
        count = _count(values.shape)
        return total / float(count) if count else total
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        return ops.divide_no_nan(total, ops.sum(sample_weight))
    if reduction == "mean_with_sample_weight":
        return total / float(_count(values.shape))
    return total


def pair(y_true, y_pred, match=True):
    """Tensors of the dtype of the predictions and (if `match`) of the same number of axes."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, y_pred.dtype)
    return same_rank(y_true, y_pred) if match else (y_true, y_pred)
