"""Optimizers by class and name."""

from rkeras._core import registry
from rkeras.optimizers import schedules
from rkeras.optimizers.adam import Adam, Adamax, AdamW
from rkeras.optimizers.optimizer import Optimizer
from rkeras.optimizers.rmsprop import RMSprop
from rkeras.optimizers.sgd import SGD

_catalogue = registry.Catalogue(
    "optimizer", "keras.optimizers", [Adam, AdamW, Adamax, RMSprop, SGD, Optimizer],
    {c.__name__.lower(): c for c in (Adam, AdamW, Adamax, RMSprop, SGD)},
)  # fmt: skip


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
