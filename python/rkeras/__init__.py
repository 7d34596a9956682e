"""Keras in Rust, for CPUs: `import rkeras as keras`."""

from rkeras import _rkeras as _rkeras
from rkeras import activations as activations
from rkeras import backend as backend
from rkeras import config as config
from rkeras import constraints as constraints
from rkeras import dtype_policies as dtype_policies
from rkeras import initializers as initializers
from rkeras import layers as layers
from rkeras import losses as losses
from rkeras import metrics as metrics
from rkeras import models as models
from rkeras import ops as ops
from rkeras import optimizers as optimizers
from rkeras import random as random
from rkeras import regularizers as regularizers
from rkeras import tree as tree
from rkeras._core.gradient import GradientTape as GradientTape
from rkeras._core.gradient import grad as grad
from rkeras._core.gradient import value_and_grad as value_and_grad
from rkeras._core.naming import name_scope as name_scope
from rkeras._core.scopes import SymbolicScope as SymbolicScope
from rkeras._core.scopes import device as device
from rkeras._core.symbolic import KerasTensor as KerasTensor
from rkeras._core.symbolic import Operation as Operation
from rkeras._core.variable import Variable as Variable
from rkeras.dtype_policies import DTypePolicy as DTypePolicy
from rkeras.dtype_policies import FloatDTypePolicy as FloatDTypePolicy
from rkeras.initializers import Initializer as Initializer
from rkeras.layers import Input as Input
from rkeras.layers import InputSpec as InputSpec
from rkeras.layers import Layer as Layer
from rkeras.losses import Loss as Loss
from rkeras.metrics import Metric as Metric
from rkeras.models import Model as Model
from rkeras.models import Sequential as Sequential
from rkeras.models.functional import Function as Function
from rkeras.optimizers import Optimizer as Optimizer
from rkeras.regularizers import Regularizer as Regularizer

__version__ = "0.1.0"

# Imported when they are first used, so that `import rkeras` stays quick.
_LATE = frozenset(
    [
        "applications",
        "callbacks",
        "datasets",
        "distribution",
        "export",
        "legacy",
        "mixed_precision",
        "preprocessing",
        "saving",
        "tf",
        "utils",
    ]
)


def version():
    """The version of rkeras."""
    return __version__


def __getattr__(name):
    if name in _LATE:
        import importlib

        try:
            return importlib.import_module(f"rkeras.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"rkeras.{name}":
                raise
    raise AttributeError(f"module 'rkeras' has no attribute {name!r}")


def __dir__():
    return sorted(set(globals()) | _LATE)
