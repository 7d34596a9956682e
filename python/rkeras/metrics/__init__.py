"""Metrics by class, function and name."""

from rkeras._core import registry as _registry
from rkeras.losses import binary_crossentropy as binary_crossentropy
from rkeras.losses import binary_focal_crossentropy as binary_focal_crossentropy
from rkeras.losses import categorical_crossentropy as categorical_crossentropy
from rkeras.losses import categorical_focal_crossentropy as categorical_focal_crossentropy
from rkeras.losses import categorical_hinge as categorical_hinge
from rkeras.losses import hinge as hinge
from rkeras.losses import huber as huber
from rkeras.losses import kl_divergence as kl_divergence
from rkeras.losses import log_cosh as log_cosh
from rkeras.losses import mean_absolute_error as mean_absolute_error
from rkeras.losses import mean_absolute_percentage_error as mean_absolute_percentage_error
from rkeras.losses import mean_squared_error as mean_squared_error
from rkeras.losses import mean_squared_logarithmic_error as mean_squared_logarithmic_error
from rkeras.losses import poisson as poisson
from rkeras.losses import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from rkeras.losses import squared_hinge as squared_hinge
from rkeras.metrics.accuracy import Accuracy as Accuracy
from rkeras.metrics.accuracy import BinaryAccuracy as BinaryAccuracy
from rkeras.metrics.accuracy import CategoricalAccuracy as CategoricalAccuracy
from rkeras.metrics.accuracy import SparseCategoricalAccuracy as SparseCategoricalAccuracy
from rkeras.metrics.accuracy import SparseTopKCategoricalAccuracy as SparseTopKCategoricalAccuracy
from rkeras.metrics.accuracy import TopKCategoricalAccuracy as TopKCategoricalAccuracy
from rkeras.metrics.accuracy import accuracy as accuracy
from rkeras.metrics.accuracy import binary_accuracy as binary_accuracy
from rkeras.metrics.accuracy import categorical_accuracy as categorical_accuracy
from rkeras.metrics.accuracy import sparse_categorical_accuracy as sparse_categorical_accuracy
from rkeras.metrics.accuracy import sparse_top_k_categorical_accuracy as sparse_top_k_categorical_accuracy
from rkeras.metrics.accuracy import top_k_categorical_accuracy as top_k_categorical_accuracy
from rkeras.metrics.base import Metric as Metric
from rkeras.metrics.confusion import AUC as AUC
from rkeras.metrics.confusion import FalseNegatives as FalseNegatives
from rkeras.metrics.confusion import FalsePositives as FalsePositives
from rkeras.metrics.confusion import Precision as Precision
from rkeras.metrics.confusion import PrecisionAtRecall as PrecisionAtRecall
from rkeras.metrics.confusion import Recall as Recall
from rkeras.metrics.confusion import RecallAtPrecision as RecallAtPrecision
from rkeras.metrics.confusion import SensitivityAtSpecificity as SensitivityAtSpecificity
from rkeras.metrics.confusion import SpecificityAtSensitivity as SpecificityAtSensitivity
from rkeras.metrics.confusion import TrueNegatives as TrueNegatives
from rkeras.metrics.confusion import TruePositives as TruePositives
from rkeras.metrics.from_losses import BinaryCrossentropy as BinaryCrossentropy
from rkeras.metrics.from_losses import CategoricalCrossentropy as CategoricalCrossentropy
from rkeras.metrics.from_losses import CategoricalHinge as CategoricalHinge
from rkeras.metrics.from_losses import CosineSimilarity as CosineSimilarity
from rkeras.metrics.from_losses import Hinge as Hinge
from rkeras.metrics.from_losses import KLDivergence as KLDivergence
from rkeras.metrics.from_losses import LogCoshError as LogCoshError
from rkeras.metrics.from_losses import MeanAbsoluteError as MeanAbsoluteError
from rkeras.metrics.from_losses import MeanAbsolutePercentageError as MeanAbsolutePercentageError
from rkeras.metrics.from_losses import MeanSquaredError as MeanSquaredError
from rkeras.metrics.from_losses import MeanSquaredLogarithmicError as MeanSquaredLogarithmicError
from rkeras.metrics.from_losses import Poisson as Poisson
from rkeras.metrics.from_losses import RootMeanSquaredError as RootMeanSquaredError
from rkeras.metrics.from_losses import SparseCategoricalCrossentropy as SparseCategoricalCrossentropy
from rkeras.metrics.from_losses import SquaredHinge as SquaredHinge
from rkeras.metrics.reduction import Mean as Mean
from rkeras.metrics.reduction import MeanMetricWrapper as MeanMetricWrapper
from rkeras.metrics.reduction import Sum as Sum
from rkeras.metrics.scores import BinaryIoU as BinaryIoU
from rkeras.metrics.scores import ConcordanceCorrelation as ConcordanceCorrelation
from rkeras.metrics.scores import F1Score as F1Score
from rkeras.metrics.scores import FBetaScore as FBetaScore
from rkeras.metrics.scores import IoU as IoU
from rkeras.metrics.scores import MeanIoU as MeanIoU
from rkeras.metrics.scores import OneHotIoU as OneHotIoU
from rkeras.metrics.scores import OneHotMeanIoU as OneHotMeanIoU
from rkeras.metrics.scores import PearsonCorrelation as PearsonCorrelation
from rkeras.metrics.scores import R2Score as R2Score
from rkeras.metrics.scores import concordance_correlation as concordance_correlation
from rkeras.metrics.scores import pearson_correlation as pearson_correlation

_classes = [v for v in list(globals().values()) if isinstance(v, type) and issubclass(v, Metric)]
_functions = (
    binary_accuracy, categorical_accuracy, sparse_categorical_accuracy, top_k_categorical_accuracy,
    sparse_top_k_categorical_accuracy, pearson_correlation, concordance_correlation, binary_focal_crossentropy,
    categorical_focal_crossentropy, huber, log_cosh,
)  # fmt: skip
# A name means the class, which keeps count, where there is one; "cosine_similarity" is that of the class, too.
_catalogue = _registry.Catalogue("metric", "keras.metrics", _classes)
for _f in _functions:
    _catalogue.by_name.setdefault(_f.__name__, _f)
_catalogue.by_name.update(
    {
        "bce": BinaryCrossentropy, "BCE": BinaryCrossentropy, "mse": MeanSquaredError, "MSE": MeanSquaredError,
        "mae": MeanAbsoluteError, "MAE": MeanAbsoluteError, "mape": MeanAbsolutePercentageError,
        "MAPE": MeanAbsolutePercentageError, "msle": MeanSquaredLogarithmicError, "MSLE": MeanSquaredLogarithmicError,
        "rmse": RootMeanSquaredError, "RMSE": RootMeanSquaredError, "logcosh": LogCoshError, "kld": KLDivergence,
        "KLD": KLDivergence, "auc": AUC, "f1_score": F1Score,
    }
)  # fmt: skip


def serialize(metric):
    """A metric as plain data."""
    return _registry.serialize_keras_object(metric)


def deserialize(config, custom_objects=None):
    """The metric of that data."""
    return _catalogue.deserialize(config, custom_objects)


def get(identifier):
    """The metric that an argument means: a name, a config, a class, a function, or a metric.

    Example:
        >>> keras.metrics.get("mse").name
        'mean_squared_error'
    """
    return _catalogue.get(identifier)
