"""Printing, structures, names, devices and what programs ask about TensorFlow itself."""

import logging as _logging
import sys as _sys

from rkeras import ops as _ops
from rkeras._core import scopes as _scopes
from rkeras._core import tree as _tree
from rkeras._core.naming import name_scope as name_scope
from rkeras._core.scopes import device as device
from rkeras._core.tensor import Tensor as _Tensor
from rkeras._core.variable import Variable as _Variable


def print(*inputs, output_stream=None, summarize=3, sep=" ", end="\n", name=None):
    """Prints values.

    In a compiled function the values are not known: Python that prints them makes the function run op by op.

    Example:
        >>> import rkeras.tf as tf, sys
        >>> tf.print("loss:", tf.constant([1.0, 2.5]), output_stream=sys.stdout)
        loss: [1 2.5]
    """
    text = sep.join(_shown(v) for v in inputs) + end
    stream = _sys.stderr if output_stream in (None, "file:///dev/stderr") else output_stream
    if isinstance(stream, str):
        with open(stream.removeprefix("file://"), "a", encoding="utf-8") as file:
            file.write(text)
        return
    stream.write(text)


def _shown(value):
    import numpy as np

    if isinstance(value, (_Tensor, _Variable)):
        array = np.asarray(_ops.convert_to_numpy(value))
    elif isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
    elif hasattr(value, "numpy"):
        value = value.numpy()
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    elif isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_shown(v)}" for k, v in value.items()) + "}"
    elif isinstance(value, (list, tuple)):
        inner = ", ".join(_shown(v) for v in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    else:
        return str(value)

    def element(v):
        return f"{v:.6g}" if array.dtype.kind == "f" else str(int(v))

    return (
        np.array2string(array, formatter={"all": element}, threshold=1000)
        if array.ndim
        else element(array[()])
    )


def executing_eagerly():
    """Do operations run at once? False while a function is traced."""
    return _scopes.mode() == "eager"


def get_logger():
    """The logger of TensorFlow's name."""
    return _logging.getLogger("tensorflow")


def timestamp(name=None):
    """The seconds since 1970, as float64."""
    import time

    return _ops.convert_to_tensor(time.time(), "float64")


class nest:
    """Structures (`tf.nest`)."""

    flatten = staticmethod(lambda structure, expand_composites=False: _tree.flatten(structure))
    map_structure = staticmethod(lambda func, *structure, **kwargs: _tree.map_structure(func, *structure))
    pack_sequence_as = staticmethod(
        lambda structure, flat_sequence, expand_composites=False: _tree.pack_sequence_as(
            structure, flat_sequence
        )
    )
    assert_same_structure = staticmethod(
        lambda nest1, nest2, **kwargs: _tree.assert_same_structure(nest1, nest2)
    )
    is_nested = staticmethod(_tree.is_nested)


class VariableAggregation:
    """How values of several devices are combined; there is one."""

    NONE, SUM, MEAN, ONLY_FIRST_REPLICA = "none", "sum", "mean", "only_first_replica"


class VariableSynchronization:
    """When values of several devices are combined; there is one."""

    AUTO, NONE, ON_WRITE, ON_READ = "auto", "none", "on_write", "on_read"


class autograph:
    """Python is not rewritten; see `tf.function`."""

    class experimental:
        """Names that are experimental in TensorFlow."""

        @staticmethod
        def do_not_convert(func=None):
            """The function as it is."""
            return func if func is not None else lambda f: f

        @staticmethod
        def set_loop_options(**kwargs):
            """Accepted."""

    @staticmethod
    def set_verbosity(level, alsologtostdout=False):
        """Accepted."""


class version:
    """The dialect of TensorFlow that is followed."""

    VERSION = "2.21.0"
    COMPILER_VERSION = GIT_VERSION = "rkeras"


class sysconfig:
    """How it was built."""

    @staticmethod
    def get_build_info():
        """A dict that says that there is no GPU."""
        return {"is_cuda_build": False, "is_rocm_build": False, "is_tensorrt_build": False}


class test:
    """What tests ask about the machine."""

    @staticmethod
    def is_gpu_available(cuda_only=False, min_cuda_compute_capability=None):
        """False."""
        return False

    @staticmethod
    def is_built_with_cuda():
        """False."""
        return False

    @staticmethod
    def is_built_with_gpu_support():
        """False."""
        return False

    @staticmethod
    def gpu_device_name():
        """No name."""
        return ""
