"""Optimizers by class and name."""

from rkeras._core import registry
from rkeras.optimizers import schedules
from rkeras.optimizers.adafactor import Adafactor
from rkeras.optimizers.adagrad import Adadelta, Adagrad
from rkeras.optimizers.adam import Adam, Adamax, AdamW
from rkeras.optimizers.ftrl import Ftrl
from rkeras.optimizers.lion import Lamb, Lion
from rkeras.optimizers.loss_scale import LossScaleOptimizer
from rkeras.optimizers.muon import Muon
from rkeras.optimizers.nadam import Nadam
from rkeras.optimizers.optimizer import Optimizer
from rkeras.optimizers.rmsprop import RMSprop
from rkeras.optimizers.schedule_free import ScheduleFreeAdamW
from rkeras.optimizers.sgd import SGD

_classes = [
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, LossScaleOptimizer, Muon, Nadam, RMSprop, SGD,
    ScheduleFreeAdamW,
]  # fmt: skip
_catalogue = registry.Catalogue(
    "optimizer", "keras.optimizers", [*_classes, Optimizer], {c.__name__.lower(): c for c in _classes}
)


def serialize(optimizer):
    """An optimizer as plain data."""
    return registry.serialize_keras_object(optimizer)


def deserialize(config, custom_objects=None):
    """The optimizer of that data."""
    return _catalogue.deserialize(config, custom_objects)


def get(identifier):
    """The optimizer that an argument means: a name, a config, a class, or an optimizer.

    Example:
        >>> keras.optimizers.get("adam").name
        'adam'
    """
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        identifier = identifier()
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, (str, dict)):
        return _catalogue.deserialize(identifier)
    raise _catalogue.unknown(identifier)
