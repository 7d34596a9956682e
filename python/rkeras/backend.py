"""Session, names and dtypes (`rkeras.backend`)."""

from rkeras._core import naming as _naming
from rkeras._core.naming import get_uid as get_uid
from rkeras._core.settings import epsilon as epsilon
from rkeras._core.settings import floatx as floatx
from rkeras._core.settings import image_data_format as image_data_format
from rkeras._core.settings import set_epsilon as set_epsilon
from rkeras._core.settings import set_floatx as set_floatx
from rkeras._core.settings import set_image_data_format as set_image_data_format
from rkeras._core.symbolic import is_keras_tensor as is_keras_tensor
from rkeras._core.tensor import is_float_dtype as is_float_dtype
from rkeras._core.tensor import is_int_dtype as is_int_dtype
from rkeras._core.tensor import result_type as result_type
from rkeras._core.tensor import standardize_dtype as standardize_dtype


def backend():
    """The name of what computes: "rkeras"."""
    return "rkeras"


def clear_session(free_memory=True):
    """Forgets all names: the next Dense is "dense" again.

    Args:
        free_memory: whether to collect garbage.
    """
    _naming.reset()
    if free_memory:
        import gc

        gc.collect()


def count_params(variable):
    """The number of elements of a variable (Keras 2's helper)."""
    return variable.size
