"""Losses of classification: the functions of `losses.functions` as objects."""

from rkeras.losses import functions
from rkeras.losses.base import LossFunctionWrapper


class BinaryCrossentropy(LossFunctionWrapper):
    """The loss of `losses.binary_crossentropy`, reduced over the batch.

    Args:
        from_logits: as in the function.
        label_smoothing: as in the function.
        axis: as in the function.
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size", name="binary_crossentropy", dtype=None):
        super().__init__(functions.binary_crossentropy, reduction=reduction, name=name, dtype=dtype, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """The loss of `losses.binary_focal_crossentropy`, reduced over the batch.

    Args:
        apply_class_balancing: as in the function.
        alpha: as in the function.
        gamma: as in the function.
        from_logits: as in the function.
        label_smoothing: as in the function.
        axis: as in the function.
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size", name="binary_focal_crossentropy", dtype=None):
        super().__init__(functions.binary_focal_crossentropy, reduction=reduction, name=name, dtype=dtype, apply_class_balancing=apply_class_balancing, alpha=alpha, gamma=gamma, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
        self.apply_class_balancing = apply_class_balancing
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class CategoricalCrossentropy(LossFunctionWrapper):
    """The loss of `losses.categorical_crossentropy`, reduced over the batch.

    Args:
        from_logits: as in the function.
        label_smoothing: as in the function.
        axis: as in the function.
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size", name="categorical_crossentropy", dtype=None):
        super().__init__(functions.categorical_crossentropy, reduction=reduction, name=name, dtype=dtype, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """The loss of `losses.categorical_focal_crossentropy`, reduced over the batch.

    Args:
        alpha: as in the function.
        gamma: as in the function.
        from_logits: as in the function.
        label_smoothing: as in the function.
        axis: as in the function.
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size", name="categorical_focal_crossentropy", dtype=None):
        super().__init__(functions.categorical_focal_crossentropy, reduction=reduction, name=name, dtype=dtype, alpha=alpha, gamma=gamma, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """The loss of `losses.sparse_categorical_crossentropy`, reduced over the batch.

    Args:
        from_logits: as in the function.
        ignore_class: as in the function.
        axis: as in the function.
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, from_logits=False, ignore_class=None, reduction="sum_over_batch_size", axis=-1, name="sparse_categorical_crossentropy", dtype=None):
        super().__init__(functions.sparse_categorical_crossentropy, reduction=reduction, name=name, dtype=dtype, from_logits=from_logits, ignore_class=ignore_class, axis=axis)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis


class Hinge(LossFunctionWrapper):
    """The loss of `losses.hinge`, reduced over the batch.

    Args:
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="hinge", dtype=None):
        super().__init__(functions.hinge, reduction=reduction, name=name, dtype=dtype)


class SquaredHinge(LossFunctionWrapper):
    """The loss of `losses.squared_hinge`, reduced over the batch.

    Args:
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="squared_hinge", dtype=None):
        super().__init__(functions.squared_hinge, reduction=reduction, name=name, dtype=dtype)


class CategoricalHinge(LossFunctionWrapper):
    """The loss of `losses.categorical_hinge`, reduced over the batch.

    Args:
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="categorical_hinge", dtype=None):
        super().__init__(functions.categorical_hinge, reduction=reduction, name=name, dtype=dtype)


class Dice(LossFunctionWrapper):
    """The loss of `losses.dice`, reduced over the batch.

    Args:
        axis: as in the function.
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, reduction="sum_over_batch_size", name="dice", axis=None, dtype=None):
        super().__init__(functions.dice, reduction=reduction, name=name, dtype=dtype, axis=axis)
        self.axis = axis


class Tversky(LossFunctionWrapper):
    """The loss of `losses.tversky`, reduced over the batch.

    Args:
        alpha: as in the function.
        beta: as in the function.
        axis: as in the function.
        reduction: how losses of samples become one number.
        name: a name.
        dtype: a dtype policy or its name.
    """

    def __init__(self, alpha=0.5, beta=0.5, reduction="sum_over_batch_size", name="tversky", axis=None, dtype=None):
        super().__init__(functions.tversky, reduction=reduction, name=name, dtype=dtype, alpha=alpha, beta=beta, axis=axis)
        self.alpha = alpha
        self.beta = beta
        self.axis = axis
