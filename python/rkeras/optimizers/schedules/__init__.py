"""Learning rate schedules."""

from rkeras._core import registry
from rkeras.optimizers.schedules.schedule import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

_catalogue = registry.Catalogue(
    "learning rate schedule", "keras.optimizers.schedules",
    [ExponentialDecay, InverseTimeDecay, PolynomialDecay, PiecewiseConstantDecay, CosineDecay,
     CosineDecayRestarts, LearningRateSchedule],
)  # fmt: skip


def serialize(learning_rate_schedule):
    """A schedule as plain data."""
    return registry.serialize_keras_object(learning_rate_schedule)


def deserialize(config, custom_objects=None):
    """The schedule of that data."""
    return _catalogue.deserialize(config, custom_objects)
