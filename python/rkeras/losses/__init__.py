"""Losses: what training makes small."""

from rkeras._core import registry as _registry
from rkeras.losses.base import Loss as Loss
from rkeras.losses.base import LossFunctionWrapper as LossFunctionWrapper
from rkeras.losses.classification import BinaryCrossentropy as BinaryCrossentropy
from rkeras.losses.classification import BinaryFocalCrossentropy as BinaryFocalCrossentropy
from rkeras.losses.classification import CategoricalCrossentropy as CategoricalCrossentropy
from rkeras.losses.classification import CategoricalFocalCrossentropy as CategoricalFocalCrossentropy
from rkeras.losses.classification import (
    CategoricalGeneralizedCrossEntropy as CategoricalGeneralizedCrossEntropy,
)
from rkeras.losses.classification import CategoricalHinge as CategoricalHinge
from rkeras.losses.classification import Dice as Dice
from rkeras.losses.classification import Hinge as Hinge
from rkeras.losses.classification import KLDivergence as KLDivergence
from rkeras.losses.classification import SparseCategoricalCrossentropy as SparseCategoricalCrossentropy
from rkeras.losses.classification import SquaredHinge as SquaredHinge
from rkeras.losses.classification import Tversky as Tversky
from rkeras.losses.classification import binary_crossentropy as binary_crossentropy
from rkeras.losses.classification import binary_focal_crossentropy as binary_focal_crossentropy
from rkeras.losses.classification import categorical_crossentropy as categorical_crossentropy
from rkeras.losses.classification import categorical_focal_crossentropy as categorical_focal_crossentropy
from rkeras.losses.classification import (
    categorical_generalized_cross_entropy as categorical_generalized_cross_entropy,
)
from rkeras.losses.classification import categorical_hinge as categorical_hinge
from rkeras.losses.classification import dice as dice
from rkeras.losses.classification import hinge as hinge
from rkeras.losses.classification import kl_divergence as kl_divergence
from rkeras.losses.classification import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from rkeras.losses.classification import squared_hinge as squared_hinge
from rkeras.losses.classification import tversky as tversky
from rkeras.losses.regression import CosineSimilarity as CosineSimilarity
from rkeras.losses.regression import Huber as Huber
from rkeras.losses.regression import LogCosh as LogCosh
from rkeras.losses.regression import MeanAbsoluteError as MeanAbsoluteError
from rkeras.losses.regression import MeanAbsolutePercentageError as MeanAbsolutePercentageError
from rkeras.losses.regression import MeanSquaredError as MeanSquaredError
from rkeras.losses.regression import MeanSquaredLogarithmicError as MeanSquaredLogarithmicError
from rkeras.losses.regression import Poisson as Poisson
from rkeras.losses.regression import cosine_similarity as cosine_similarity
from rkeras.losses.regression import huber as huber
from rkeras.losses.regression import log_cosh as log_cosh
from rkeras.losses.regression import mean_absolute_error as mean_absolute_error
from rkeras.losses.regression import mean_absolute_percentage_error as mean_absolute_percentage_error
from rkeras.losses.regression import mean_squared_error as mean_squared_error
from rkeras.losses.regression import mean_squared_logarithmic_error as mean_squared_logarithmic_error
from rkeras.losses.regression import poisson as poisson

_classes = [v for v in list(globals().values()) if isinstance(v, type) and issubclass(v, Loss)]
_functions = [
    v for v in list(globals().values())
    if callable(v) and not isinstance(v, type) and getattr(v, "__module__", "").startswith("rkeras.losses")
]  # fmt: skip
_catalogue = _registry.Catalogue("loss", "keras.losses", [*_classes, *_functions])
# A name stands for the function, so that its snake_case is not taken by the class.
_catalogue.by_name.update({f.__name__: f for f in _functions})
_catalogue.by_name.update(
    {
        "bce": binary_crossentropy, "BCE": binary_crossentropy, "kld": kl_divergence, "KLD": kl_divergence,
        "mae": mean_absolute_error, "MAE": mean_absolute_error, "mse": mean_squared_error, "MSE": mean_squared_error,
        "mape": mean_absolute_percentage_error, "MAPE": mean_absolute_percentage_error,
        "msle": mean_squared_logarithmic_error, "MSLE": mean_squared_logarithmic_error,
        "logcosh": log_cosh, "huber_loss": huber,
    }
)  # fmt: skip


def serialize(loss):
    """A loss as plain data."""
    return _registry.serialize_keras_object(loss)


def deserialize(name, custom_objects=None):
    """The loss of a config or a name."""
    return _catalogue.deserialize(name, custom_objects)


def get(identifier):
    """The loss that an argument means: None, a name, a config, a class, a function or a loss.

    Example:
        >>> keras.losses.get("mse").__name__
        'mean_squared_error'
    """
    return _catalogue.get(identifier)
